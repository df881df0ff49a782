"""Calibration tasks: measurements, fits, figures."""
