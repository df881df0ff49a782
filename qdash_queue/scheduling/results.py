"""What every schedule tells beside its groups: what was left out and why, and how close its targets come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations, product

from qdash_queue.scheduling.topology import Topology, numeric


class Reason(StrEnum):
    """Why a candidate is in no group."""

    UNKNOWN_QUBIT = "the topology has no such qubit"
    UNKNOWN_COUPLING = "the topology has no such coupling"
    NO_PARTNER = "no other candidate is coupled to it"
    NOT_WIRED = "the wiring has no MUX for it"
    NO_FREQUENCY = "the frequency of one of its qubits is not known"
    NO_DIRECTION = "the direction rule finds no difference between its qubits"


@dataclass(frozen=True)
class LeftOut:
    """A candidate that is in no group.

    Attributes:
        target: its qid, that of a coupling as the topology lists it.
        reason: why.
    """

    target: str
    reason: Reason


def in_order(left_out: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    """Qubits first, then couplings, each by number."""
    return tuple(sorted(left_out, key=lambda item: (item.target.count("-"), numeric(item.target))))


def gap(topology: Topology, one: Iterable[str], other: Iterable[str]) -> int:
    """The least lattice distance of a qubit of one target from a qubit of the other."""
    return min(topology.distance(a, b) for a, b in product(one, other))


def closest(topology: Topology, targets: Iterable[Iterable[str]]) -> int | None:
    """The least lattice distance between qubits of different targets; None: there is one target only."""
    return min((gap(topology, one, other) for one, other in combinations(targets, 2)), default=None)
