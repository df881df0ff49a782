"""Run parameters of a measurement."""
