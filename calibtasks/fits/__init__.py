"""Fits of calibration data, and checks of IQ data."""
