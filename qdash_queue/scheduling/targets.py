"""What is to be calibrated: qubits and couplings of a topology, in numeric order.

An empty list means none. Names that the topology does not know are kept, for the schedule to report.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qdash_queue.errors import BadValueError, UnknownNameError
from qdash_queue.scheduling.topology import Pair, Topology, numeric


class Targets(ABC):
    """What is to be calibrated."""

    @abstractmethod
    def to_qids(self, topology: Topology) -> tuple[str, ...]:
        """The qubits, each once."""

    def to_pairs(self, topology: Topology) -> tuple[Pair, ...]:
        """The couplings, each once: those of the topology between two of the qubits."""
        qids = set(self.to_qids(topology))
        return _pairs_in_order(pair for pair in topology.couplings if qids.issuperset(pair))


@dataclass(frozen=True)
class QubitTargets(Targets):
    """The qubits named."""

    qids: Sequence[str]

    def to_qids(self, topology: Topology) -> tuple[str, ...]:  # noqa: ARG002 - one shape
        """Those named."""
        return _in_order(_texts("qids", self.qids))


@dataclass(frozen=True)
class MuxTargets(Targets):
    """The qubits of the MUXes named, without those excluded."""

    mux_ids: Sequence[int]
    exclude_qids: Sequence[str] = ()

    def to_qids(self, topology: Topology) -> tuple[str, ...]:
        """Those of the MUXes.

        Raises:
            UnknownNameError: the topology has no such MUX.
        """
        for mux in self.mux_ids:
            if mux not in topology.muxes:
                known = f"0 to {max(topology.muxes)}" if topology.muxes else "none, for it has no MUXes"
                raise UnknownNameError(
                    f"unknown MUX {mux!r} of {topology.topology_id}: expected {known}", column="mux_ids"
                )
        members = {qid for mux in self.mux_ids for qid in topology.muxes[mux]}
        return _in_order(members.difference(_texts("exclude_qids", self.exclude_qids)))


@dataclass(frozen=True)
class AllMuxTargets(Targets):
    """All qubits of the chip, whether or not it has MUXes, without those excluded."""

    exclude_qids: Sequence[str] = ()

    def to_qids(self, topology: Topology) -> tuple[str, ...]:
        """All but those excluded."""
        return _in_order(topology.sites.keys() - _texts("exclude_qids", self.exclude_qids))


@dataclass(frozen=True)
class CouplingTargets(Targets):
    """The couplings named, in either order of their qubits: which controls is for the schedule to say."""

    pairs: Sequence[tuple[str, str]]

    def to_qids(self, topology: Topology) -> tuple[str, ...]:
        """The qubits at their ends."""
        return _in_order(qid for pair in self.to_pairs(topology) for qid in pair)

    def to_pairs(self, topology: Topology) -> tuple[Pair, ...]:
        """Those named, in the topology's order of control and target if it knows them."""
        listed = {frozenset(pair): pair for pair in topology.couplings}
        found: dict[frozenset[str], Pair] = {}
        for given in self.pairs:
            ends = _texts("pairs", given)
            if len(ends) != 2:
                raise BadValueError(f"pairs: expected (control, target), got {given!r}", column="pairs")
            found.setdefault(frozenset(ends), listed.get(frozenset(ends), Pair(*ends)))
        return _pairs_in_order(found.values())


def _in_order(qids: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(qids), key=numeric))


def _pairs_in_order(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    # An unknown coupling comes in the order in which it was given, which must not count.
    return tuple(sorted(pairs, key=lambda pair: (numeric(pair.control), numeric(pair.target))))


def _texts(name: str, given: Iterable[object]) -> list[str]:
    """As they are; 12 and "12" are different names, and a text is no list of its letters."""
    found = [] if isinstance(given, str) else list(given)
    texts = [item for item in found if isinstance(item, str)]
    if isinstance(given, str) or len(texts) < len(found):
        raise BadValueError(f'{name}: expected a list of texts such as "12", got {given!r}', column=name)
    return texts
