"""The calibration tasks: a folder for each family, a file for each task."""
