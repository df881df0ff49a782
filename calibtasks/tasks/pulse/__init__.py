"""Amplitudes of control pulses."""
