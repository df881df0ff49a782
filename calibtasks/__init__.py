"""Calibration tasks: what is measured, how it is fitted, what it looks like."""
