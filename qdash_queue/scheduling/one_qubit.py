"""Steps in which qubits may be calibrated at once: one of each MUX, no module twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest

from qdash_queue.scheduling.arguments import check_count, choice
from qdash_queue.scheduling.grouping import fewest_groups
from qdash_queue.scheduling.results import LeftOut, Reason, closest, in_order
from qdash_queue.scheduling.targets import Targets
from qdash_queue.scheduling.topology import Topology, numeric
from qdash_queue.scheduling.wiring import BoxType, Layout, Wiring


class QubitOrder(StrEnum):
    """In which order the qubits of a MUX come."""

    NUMERIC = "numeric"
    """By position."""
    CHECKERBOARD = "checkerboard"
    """In every other column of MUXes the second half of the positions first: 2, 3, 0, 1."""


@dataclass(frozen=True)
class OneQubitStep:
    """Qubits that may be calibrated at once, in numeric order.

    Attributes:
        qids: at most one of each MUX.
        closest: least lattice distance between two of them; None: there is one only.
    """

    qids: tuple[str, ...]
    closest: int | None


@dataclass(frozen=True)
class OneQubitStage:
    """MUXes that may be calibrated at once.

    Attributes:
        box: which types of module serve them.
        queues: the qubits of each MUX in their order. Queues may run beside each other, each at its own pace.
        steps: the same qubits in step: no qubit begins before those of the step before it have ended.
    """

    box: BoxType
    queues: tuple[tuple[str, ...], ...]
    steps: tuple[OneQubitStep, ...]


@dataclass(frozen=True)
class OneQubitSchedule:
    """Stages to be calibrated one after another: boxes A, then B, then MUXes that need both.

    Attributes:
        stages: in which each accepted qubit is once.
        left_out: candidates in no stage.
    """

    stages: tuple[OneQubitStage, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def steps(self) -> tuple[OneQubitStep, ...]:
        """The steps of all stages."""
        return tuple(step for stage in self.stages for step in stage.steps)


def one_qubit_schedule(
    topology: Topology,
    wiring: Wiring | None,
    candidates: Targets,
    *,
    order: QubitOrder = QubitOrder.CHECKERBOARD,
    min_distance: int = 0,
) -> OneQubitSchedule:
    """Stage the candidates by their boxes; the same input in any order gives the same stages.

    On a lattice of 2 × 2 MUXes both orders keep the qubits of a step at least two apart.

    Args:
        topology: of the chip.
        wiring: of the chip; None: every MUX has an A module of its own.
        candidates: qubits to calibrate.
        order: of the qubits of a MUX.
        min_distance: least lattice distance of two qubits of a step; steps that come closer are split.

    Raises:
        BadValueError: the distance is not an integer of at least 0, or the order is none.
        UnknownNameError: the candidates name a MUX that the topology does not have.
        MissingExtraError: networkx is not installed.
    """
    check_count("min_distance", min_distance, 0)
    order = choice("order", QubitOrder, order)
    layout = Layout(topology, wiring)
    accepted, left_out = set(), []
    for qid in candidates.to_qids(topology):
        if qid not in topology.sites:
            left_out.append(LeftOut(qid, Reason.UNKNOWN_QUBIT))
        elif not layout.is_wired(qid):
            left_out.append(LeftOut(qid, Reason.NOT_WIRED))
        else:
            accepted.add(qid)
    units = list(_units(layout, accepted, order))
    stages = []
    for box in BoxType:
        of_box = [unit for unit in units if layout.box(unit.mux) is box]
        groups = fewest_groups(
            of_box, lambda one, other: bool(layout.modules(one.mux) & layout.modules(other.mux))
        )
        stages += [_stage(topology, box, group, min_distance) for group in groups]
    return OneQubitSchedule(tuple(stages), in_order(left_out))


@dataclass(frozen=True)
class _Unit:
    """Qubits that come one after another: those of a MUX, or a single one that has none."""

    mux: int | None
    places: tuple[str | None, ...]
    """By step; None: the qubit of this place is no candidate."""


def _units(layout: Layout, accepted: set[str], order: QubitOrder) -> Iterator[_Unit]:
    for mux, members in sorted(layout.members.items()):
        places = _ordered(layout.topology, members) if order is QubitOrder.CHECKERBOARD else members
        if accepted.intersection(members):
            yield _Unit(mux, tuple(qid if qid in accepted else None for qid in places))
    for qid in sorted(accepted - layout.mux_of.keys(), key=numeric):
        yield _Unit(None, (qid,))


def _ordered(topology: Topology, members: tuple[str, ...]) -> tuple[str, ...]:
    """Shifted by the column and not by the MUX's number, whose parity is the column's on some chips only."""
    if not topology.muxes:
        return members
    columns = [topology.sites[qid].column for qid in members]
    width = max(columns) - min(columns) + 1
    half = len(members) // 2
    return members if min(columns) // width % 2 == 0 else members[half:] + members[:half]


def _stage(topology: Topology, box: BoxType, units: list[_Unit], min_distance: int) -> OneQubitStage:
    queues = tuple(tuple(qid for qid in unit.places if qid is not None) for unit in units)
    steps = []
    for places in zip_longest(*(unit.places for unit in units)):
        qids = sorted((qid for qid in places if qid is not None), key=numeric)
        parts = fewest_groups(qids, lambda one, other: topology.distance(one, other) < min_distance)
        steps += [OneQubitStep(tuple(part), closest(topology, ((qid,) for qid in part))) for part in parts]
    return OneQubitStage(box, queues, tuple(steps))
