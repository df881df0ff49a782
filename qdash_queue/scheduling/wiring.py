"""How a chip is wired to its control boxes, and what of it only one measurement at a time can use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from qdash_queue.scheduling.topology import Pair, Topology, refusal

_QUBITS_PER_MUX: Final = 4
"""qubex numbers the qubits of MUX m from 4 m on; where the topology has no MUXes, the wiring makes them."""

Port = Annotated[str, Field(pattern="^.+[:-].+$")]


class BoxType(StrEnum):
    """Which types of control module serve a MUX; the last letter of a module's name tells its type."""

    A = "A"
    B = "B"
    MIXED = "mixed"


class MuxWiring(BaseModel):
    """The ports of one MUX, each named ``module:port`` or ``module-port``, as in qubex's ``wiring.yaml``.

    Attributes:
        mux: its number.
        ctrl: control ports of its qubits by position, at most four.
        read_out: readout port.
        read_in: capture port.
        pump: port of the amplifier's pump, if it has one.
    """

    model_config = ConfigDict(frozen=True)

    mux: int = Field(ge=0)
    ctrl: tuple[Port, ...] = Field(min_length=1, max_length=_QUBITS_PER_MUX)
    read_out: Port
    read_in: Port | None = None
    pump: Port | None = None

    @property
    def modules(self) -> frozenset[str]:
        """The modules that drive or read its qubits. Another MUX on one of them cannot be measured meanwhile.

        Capture ports and pumps bar nothing, as in QDash.
        """
        return frozenset(map(_module, (*self.ctrl, self.read_out)))

    @property
    def box(self) -> BoxType:
        """By all its modules; a name that ends in neither letter counts as A, the type of most boxes."""
        ports = (*self.ctrl, self.read_out, self.read_in, self.pump)
        is_b = {_module(port).endswith("B") for port in ports if port}
        return BoxType.MIXED if len(is_b) == 2 else BoxType.B if True in is_b else BoxType.A


class Wiring(BaseModel):
    """The wiring of a chip, each MUX once."""

    model_config = ConfigDict(frozen=True)

    muxes: tuple[MuxWiring, ...]

    @classmethod
    def of(cls, rows: Iterable[object]) -> Self:
        """From the rows that ``wiring.yaml`` holds for a chip.

        Raises:
            BadValueError: naming the field that is missing or wrong.
        """
        try:
            return cls.model_validate({"muxes": tuple(rows)})
        except ValidationError as error:
            raise refusal("wiring", error) from error

    @model_validator(mode="after")
    def _names_each_mux_once(self) -> Self:
        numbers = [row.mux for row in self.muxes]
        twice = {number for number in numbers if numbers.count(number) > 1}
        if twice:
            raise ValueError(f"expected each MUX once, got MUX {min(twice)} again")
        return self


def _module(port: str) -> str:
    return port.rpartition(":" if ":" in port else "-")[0]


@dataclass(frozen=True)
class Layout:
    """A topology with its wiring. Without a wiring every MUX counts as having an A box of its own."""

    topology: Topology
    wiring: Wiring | None

    @cached_property
    def rows(self) -> dict[int, MuxWiring]:
        """The wiring, by number of the MUX."""
        return {row.mux: row for row in self.wiring.muxes} if self.wiring else {}

    @cached_property
    def members(self) -> dict[int, tuple[str, ...]]:
        """The qubits of each MUX by position: by the topology; if it has none, by the wiring."""
        if self.topology.muxes:
            return self.topology.muxes
        return {
            mux: tuple(str(_QUBITS_PER_MUX * mux + position) for position in range(len(row.ctrl)))
            for mux, row in self.rows.items()
        }

    @cached_property
    def mux_of(self) -> dict[str, int]:
        """The MUX of each qubit that has one."""
        return {qid: mux for mux, qids in self.members.items() for qid in qids}

    def is_wired(self, qid: str) -> bool:
        """Whether the qubit can be driven and read."""
        return self.wiring is None or self.mux_of.get(qid) in self.rows

    def modules(self, mux: int | None) -> frozenset[str]:
        """The modules that drive or read the MUX."""
        row = self.rows.get(mux) if mux is not None else None
        return row.modules if row else frozenset()

    def resources(self, pair: Pair) -> frozenset[str]:
        """What a gate of the pair needs for itself: its qubits, their MUXes and the modules of these."""
        muxes = {self.mux_of[qid] for qid in pair if qid in self.mux_of}
        modules = (f"module {name}" for mux in muxes for name in self.modules(mux))
        return frozenset((*pair, *(f"MUX {mux}" for mux in muxes), *modules))

    def box(self, mux: int | None) -> BoxType:
        """The type of the MUX's modules."""
        row = self.rows.get(mux) if mux is not None else None
        return row.box if row else BoxType.A
