"""Executors: the processes beside the instruments that run calibration jobs."""
