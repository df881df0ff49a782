"""What a calibration is about: qubits and couplings of the chip, under QDash's names."""

from qdash_queue.scheduling.targets import (
    AllMuxTargets,
    CouplingTargets,
    MuxTargets,
    QubitTargets,
    Targets,
)

Target = Targets

__all__ = ["AllMuxTargets", "CouplingTargets", "MuxTargets", "QubitTargets", "Target"]
