"""Rabi oscillations."""
