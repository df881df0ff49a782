"""Plans of a chip's calibration: pure functions of its topology, its wiring and the candidates."""

from qdash_queue.scheduling.cross_resonance import CrGroup, CrSchedule, DirectionRule, cr_schedule
from qdash_queue.scheduling.one_qubit import (
    OneQubitSchedule,
    OneQubitStage,
    OneQubitStep,
    QubitOrder,
    one_qubit_schedule,
)
from qdash_queue.scheduling.results import LeftOut, Reason
from qdash_queue.scheduling.targets import (
    AllMuxTargets,
    CouplingTargets,
    MuxTargets,
    QubitTargets,
    Targets,
)
from qdash_queue.scheduling.topology import Pair, Site, Topology, load_topology, topology_names
from qdash_queue.scheduling.wiring import BoxType, MuxWiring, Wiring

__all__ = [
    "AllMuxTargets",
    "BoxType",
    "CouplingTargets",
    "CrGroup",
    "CrSchedule",
    "DirectionRule",
    "LeftOut",
    "MuxTargets",
    "MuxWiring",
    "OneQubitSchedule",
    "OneQubitStage",
    "OneQubitStep",
    "Pair",
    "QubitOrder",
    "QubitTargets",
    "Reason",
    "Site",
    "Targets",
    "Topology",
    "Wiring",
    "cr_schedule",
    "load_topology",
    "one_qubit_schedule",
    "topology_names",
]
