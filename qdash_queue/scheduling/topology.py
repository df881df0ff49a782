"""The shape of a chip: places, multiplexers and couplings of its qubits."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from qdash_queue.errors import BadValueError, UnknownNameError, shown


class Site(NamedTuple):
    """A qubit's place on the chip; lines of the lattice, from 0."""

    row: int
    column: int


class Pair(NamedTuple):
    """Two coupled qubits."""

    control: str
    target: str

    @property
    def qid(self) -> str:
        """Its name as a target of a task, such as ``4-1``."""
        return f"{self.control}-{self.target}"

    @property
    def reversed(self) -> Pair:
        """The same with control and target exchanged."""
        return Pair(self.target, self.control)


def numeric(name: str) -> list[tuple[int, str]]:
    """Sort key of the names of qubits and couplings: by number, so that 2 stands before 10.

    Numbers are written without leading zeros: the shorter is the smaller. Any text has a key.
    """
    return [(len(part), part) for part in name.split("-")]


class Topology(BaseModel):
    """Qubits, multiplexers (MUXes) and couplings of a chip, as designed.

    Attributes:
        topology_id: its name.
        sites: place of each qubit, by qid.
        muxes: qubits of each readout multiplexer in the order of their positions, by number of the MUX.
            Empty: the topology has none.
        couplings: each once, as ``(control, target)``.
        direction_convention: ``checkerboard_cr`` where the design fixes which qubit of a coupling is the
            control; None where the order in ``couplings`` says nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    topology_id: str
    sites: dict[str, Site]
    muxes: dict[int, tuple[str, ...]] = {}
    couplings: tuple[Pair, ...] = ()
    direction_convention: Literal["checkerboard_cr"] | None = None

    @classmethod
    def read(cls, text: str) -> Self:
        """A topology from JSON of the form of the files in ``qdash_queue/scheduling/topologies``.

        Raises:
            BadValueError: naming what is wrong.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise refusal("topology", error) from error

    @classmethod
    def of_rows(
        cls,
        topology_id: str,
        qubits: Iterable[tuple[str, int, int, int | None]],
        couplings: Iterable[tuple[str, str]],
    ) -> Self:
        """The topology of a chip in the database, where a chip with MUXes has its couplings by design.

        Args:
            topology_id: ``topology`` of ``calib.chips``.
            qubits: ``qid, grid_row, grid_column, mux`` of ``calib.qubits``.
            couplings: ``control, target`` of ``calib.couplings``.

        Raises:
            BadValueError: naming what is wrong.
        """
        rows = sorted(qubits, key=lambda row: numeric(row[0]))
        pairs = sorted((Pair(*pair) for pair in couplings), key=lambda pair: numeric(pair.qid))
        members: dict[int, list[str]] = {}
        for qid, _, _, mux in rows:
            if mux is not None:
                members.setdefault(mux, []).append(qid)
        try:
            return cls.model_validate(
                {
                    "topology_id": topology_id,
                    "sites": {qid: (row, column) for qid, row, column, _ in rows},
                    "muxes": dict(sorted(members.items())),
                    "couplings": pairs,
                    "direction_convention": "checkerboard_cr" if members else None,
                }
            )
        except ValidationError as error:
            raise refusal("topology", error) from error

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if len(set(self.sites.values())) < len(self.sites):
            raise ValueError("expected a place of its own for each qubit, got two qubits at one place")
        members = [qid for mux in self.muxes.values() for qid in mux]
        if members and sorted(members) != sorted(self.sites):
            raise ValueError("expected each qubit in exactly one MUX, or no MUX at all")
        seen: set[frozenset[str]] = set()
        for pair in self.couplings:
            ends = frozenset(pair)
            if len(ends) < 2 or not ends <= self.sites.keys() or ends in seen:
                raise ValueError(f"expected couplings of two qubits of the chip, each once, got {pair.qid}")
            seen.add(ends)
        return self

    def distance(self, one: str, other: str) -> int:
        """Steps along the lattice from one qubit to the other."""
        a, b = self.sites[one], self.sites[other]
        return abs(a.row - b.row) + abs(a.column - b.column)


def refusal(name: str, error: ValidationError) -> BadValueError:
    """The first of pydantic's complaints, as one sentence."""
    wrong = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in (name, *wrong["loc"]))
    return BadValueError(f"{where}: {wrong['msg'].removeprefix('Value error, ')}", column=name)


def topology_names() -> list[str]:
    """The topologies that come with the package."""
    folder = resources.files(__package__).joinpath("topologies")
    names = (file.name.removesuffix(".json") for file in folder.iterdir() if file.name.endswith(".json"))
    return sorted(names, key=numeric)


def load_topology(topology_id: str) -> Topology:
    """A topology that comes with the package.

    Raises:
        UnknownNameError: none has this name.
    """
    known = topology_names()
    if topology_id not in known:
        words = f"unknown topology {shown(topology_id)}: expected one of {', '.join(known)}"
        raise UnknownNameError(words, column="topology")
    file = resources.files(__package__).joinpath(f"topologies/{topology_id}.json")
    return Topology.read(file.read_text(encoding="utf-8"))
