"""The pulses and sweeps of the tasks."""
