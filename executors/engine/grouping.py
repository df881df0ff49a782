"""Which targets of a task may be measured together, by the chip's multiplexers and couplings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class Layout:
    """What lies beside what on a chip.

    Attributes:
        muxes: the readout multiplexer of each qubit that has one, by qid.
        couplings: pairs of coupled qubits, each in both orders.
    """

    muxes: Mapping[str, int]
    couplings: Collection[tuple[str, str]]

    @classmethod
    def of(cls, muxes: Mapping[int, int], couplings: Iterable[tuple[str, str]]) -> Layout:
        """The layout of a chip; each coupled pair once."""
        pairs = frozenset(couplings)
        return cls({str(qid): mux for qid, mux in muxes.items()}, pairs | {(b, a) for a, b in pairs})


def groups(
    qids: Sequence[str], layout: Layout, readout_length: Callable[[str], float | None]
) -> list[list[str]]:
    """Split ``qids`` into groups of which each may be measured in one sweep.

    In a group no two qubits are coupled or share a multiplexer, no two couplings share a qubit or are
    neighbours, and all readouts have one length. Each qid goes into the first group that takes it, so the
    order is kept and the same input gives the same groups.

    Args:
        qids: qubits or couplings, each once.
        layout: of the chip.
        readout_length: of a qubit, in ns; None where there is none, which bars nothing.
    """
    found: list[list[str]] = []
    for qid in qids:
        fitting = (
            group for group in found if all(_fit(qid, other, layout, readout_length) for other in group)
        )
        group = next(fitting, None)
        if group is None:
            found.append([qid])
        else:
            group.append(qid)
    return found


def _fit(one: str, other: str, layout: Layout, readout_length: Callable[[str], float | None]) -> bool:
    pairs = list(product(one.split("-"), other.split("-")))
    if any(a == b or (a, b) in layout.couplings for a, b in pairs):
        return False
    if any(_differ(readout_length(a), readout_length(b)) for a, b in pairs):
        return False
    mux = layout.muxes.get(one)
    return mux is None or mux != layout.muxes.get(other)


def _differ(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and one != other
