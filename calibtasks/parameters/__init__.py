"""Settings of a measurement."""
