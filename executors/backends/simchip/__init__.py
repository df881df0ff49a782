"""The simulated chip: hidden truth, pulse-level physics, and a controller that qubex drives."""
