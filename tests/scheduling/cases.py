"""Random chips, wirings and candidates, and what a schedule must say about them, worked out anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any, TypeVar

from hypothesis import strategies as st

from qdash_queue.scheduling import (
    DirectionRule,
    Pair,
    QubitTargets,
    Topology,
    Wiring,
    load_topology,
)

SMALL = ("linear-16", "heavy-hex-27", "square-lattice-mux-16", "square-lattice-mux-64")
UNKNOWN = ("99", "016", "-1", "control", "")
Row = dict[str, Any]
T = TypeVar("T")

topology = cache(load_topology)


def row(mux: int, *modules: str, **ports: str) -> Row:
    """A row of a wiring file: a control port on each module named, the readout on the first."""
    ctrl = [f"{module}-{port}" for port, module in enumerate(modules)]
    return {"mux": mux, "ctrl": ctrl, "read_out": f"{modules[0]}-9", **ports}


def modules(rows: Iterable[Row]) -> set[str]:
    """The modules that drive or read a MUX of the rows."""
    return {port.partition("-")[0] for row in rows for port in [*row["ctrl"], row["read_out"]]}


@dataclass(frozen=True)
class Case:
    """What a schedule is asked."""

    topology: Topology
    rows: Sequence[Row] | None
    qids: Sequence[str]
    frequencies: dict[str, float]
    rule: DirectionRule | None
    inverse: bool
    limit: int | None
    distance: int

    @property
    def wiring(self) -> Wiring | None:
        return None if self.rows is None else Wiring.of(self.rows)

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of ``cr_schedule``."""
        return {
            "frequencies": self.frequencies,
            "rule": self.rule,
            "inverse": self.inverse,
            "max_parallel_ops": self.limit,
            "min_distance": self.distance,
        }

    @property
    def candidates(self) -> QubitTargets:
        return QubitTargets(self.qids)

    def but(self, **changed: Any) -> Case:
        return replace(self, **changed)

    # What follows is worked out from the files' form alone, not by the code that is tested.

    def mux(self, qid: str) -> int | None:
        has_mux = self.topology.muxes or self.rows is not None
        return int(qid) // 4 if has_mux and qid in self.topology.sites else None

    def wired(self, qid: str) -> bool:
        return self.rows is None or self.mux(qid) in [row["mux"] for row in self.rows]

    def modules(self, qid: str) -> set[str]:
        return modules(row for row in self.rows or () if row["mux"] == self.mux(qid))

    def share(self, one: Iterable[str], other: Iterable[str]) -> bool:
        """Whether two targets share a qubit, a MUX or a module."""
        for a in one:
            for b in other:
                muxes = {self.mux(a), self.mux(b)}
                if a == b or (len(muxes) == 1 and None not in muxes) or self.modules(a) & self.modules(b):
                    return True
        return False

    def apart(self, one: Iterable[str], other: Iterable[str]) -> int:
        places = self.topology.sites
        return min(
            abs(places[a].row - places[b].row) + abs(places[a].column - places[b].column)
            for a in one
            for b in other
        )

    @property
    def known_pairs(self) -> set[Pair]:
        return {pair for pair in self.topology.couplings if {*pair} <= {*self.qids}}


MODULES = ("R0A", "R1A", "S2", "U0B", "U1B", "U2B")


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A case: its kind as Hypothesis draws it, its names from a seed, so that few chips are near empty."""
    chip = topology(draw(st.sampled_from(SMALL)))
    random = Random(draw(st.integers(0, 2**32)))
    share = draw(st.sampled_from((1.0, 0.9, 0.5, 0.1, 0.0)))
    rows = _rows(random, chip, draw(st.integers(1, 6))) if draw(st.booleans()) else None
    qids = [qid for qid in chip.sites if random.random() < share]
    known = draw(st.sampled_from((0.0, 0.9)))
    measured = [qid for qid in chip.sites if random.random() < known]
    return Case(
        topology=chip,
        rows=rows,
        qids=_mixed(random, qids + draw(st.lists(st.sampled_from(UNKNOWN), unique=True))),
        frequencies={qid: random.choice((4.1, 4.2, 4.3, 4.4)) for qid in measured},
        rule=draw(st.sampled_from((None, *DirectionRule))),
        inverse=draw(st.booleans()),
        limit=draw(st.sampled_from((None, 1, 2, 3, 10))),
        distance=draw(st.integers(0, 4)),
    )


def _rows(random: Random, chip: Topology, shared: int) -> list[Row]:
    """Most MUXes, each mostly on a module of its own, else on one of those shared."""

    def module(own: str) -> str:
        return own if random.random() < 0.8 else random.choice(MODULES[:shared])

    muxes = [mux for mux in range(-(-len(chip.sites) // 4)) if random.random() < 0.9]
    return [
        row(mux, *(module(f"V{mux}A") for _ in range(4)), read_out=f"{module(f'W{mux}A')}-9") for mux in muxes
    ]


def shuffled(case: Case, random: Random) -> Case:
    """The same chip, wiring and candidates, written down in another order, under a name that says 144."""
    chip = case.topology
    other = Topology(
        topology_id="144Q",
        sites=dict(_mixed(random, chip.sites.items())),
        muxes=dict(_mixed(random, chip.muxes.items())),
        couplings=tuple(_mixed(random, chip.couplings)),
        direction_convention=chip.direction_convention,
    )
    rows = None if case.rows is None else _mixed(random, case.rows)
    return case.but(topology=other, rows=rows, qids=_mixed(random, case.qids))


def _mixed(random: Random, items: Iterable[T]) -> list[T]:
    found = list(items)
    random.shuffle(found)
    return found
