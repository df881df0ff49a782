"""Backends: real instruments and the simulated chip, behind one interface."""
