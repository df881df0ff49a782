"""Relaxation and dephasing times."""
