"""Fits of calibration data, with honest errors."""
