"""Which faults hit which target when: made from a seed alone, so that a run can be repeated."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Kind(StrEnum):
    """The kinds of faults."""

    KILL_EXECUTOR = "SIGKILL of an executor"
    STOP_EXECUTOR = "SIGSTOP of an executor"
    KILL_CHILD = "SIGKILL of a job's process"
    STOP_CHILD = "SIGSTOP of a job's process"
    STOP_FAMILY = "SIGSTOP of an executor and all its processes"
    KILL_MIRROR = "SIGKILL of the mirror"
    STOP_MIRROR = "SIGSTOP of the mirror"
    CRASH_POSTGRES = "PostgreSQL stopped at once and restarted"
    CRASH_BACKEND = "SIGKILL of a PostgreSQL backend"
    CUT_CONNECTIONS = "connections to PostgreSQL cut"
    KILL_MONGO = "MongoDB killed and restarted"
    LOSE_MONGO = "MongoDB unreachable for a minute"
    REFUSE_DOCUMENTS = "MongoDB refuses writes"
    KILL_PREFECT = "Prefect's server killed and restarted"
    STOP_PREFECT = "SIGSTOP of Prefect's server"
    LOSE_PREFECT = "Prefect's server unreachable for longer than a lease"
    REFUSE_FILES = "the folder of figures is refused"
    FILL_DISK = "the disk of figures is full"
    JUMP_CLOCK = "a client's clock jumps by hours and back"

    @property
    def resource(self) -> str:
        """What it affects; two faults never affect the same one at a time."""
        return _TRAITS[self].resource


@dataclass(frozen=True)
class _Trait:
    resource: str
    weight: float
    seconds: tuple[float, float]
    """Between which bounds it lasts; beyond the lease, for those that stop an executor."""


_TRAITS = {
    Kind.KILL_EXECUTOR: _Trait("chip", 3.0, (0.0, 0.0)),
    Kind.STOP_EXECUTOR: _Trait("chip", 3.0, (0.3, 8.0)),
    Kind.KILL_CHILD: _Trait("chip", 4.0, (0.0, 0.0)),
    Kind.STOP_CHILD: _Trait("chip", 2.0, (0.3, 8.0)),
    Kind.STOP_FAMILY: _Trait("chip", 2.0, (0.3, 8.0)),
    Kind.KILL_MIRROR: _Trait("mirror", 2.0, (0.0, 0.0)),
    Kind.STOP_MIRROR: _Trait("mirror", 1.0, (0.3, 8.0)),
    Kind.CRASH_POSTGRES: _Trait("postgres", 1.0, (0.5, 3.0)),
    Kind.CRASH_BACKEND: _Trait("postgres", 1.0, (0.0, 0.0)),
    Kind.CUT_CONNECTIONS: _Trait("postgres", 3.0, (0.0, 0.0)),
    Kind.KILL_MONGO: _Trait("mongo", 1.0, (0.5, 6.0)),
    Kind.LOSE_MONGO: _Trait("mongo", 0.3, (60.0, 60.0)),
    Kind.REFUSE_DOCUMENTS: _Trait("mongo", 1.0, (1.0, 5.0)),
    Kind.KILL_PREFECT: _Trait("prefect", 0.7, (0.5, 5.0)),
    Kind.STOP_PREFECT: _Trait("prefect", 1.0, (0.3, 5.0)),
    Kind.LOSE_PREFECT: _Trait("prefect", 0.5, (8.0, 16.0)),
    Kind.REFUSE_FILES: _Trait("files", 1.0, (2.0, 6.0)),
    Kind.FILL_DISK: _Trait("files", 1.0, (2.0, 6.0)),
    Kind.JUMP_CLOCK: _Trait("clock", 2.0, (1.0, 8.0)),
}
_REST_SECONDS = {
    "chip": 1.0,
    "clock": 1.0,
    "mirror": 2.0,
    "files": 2.0,
    "postgres": 4.0,
    "mongo": 4.0,
    "prefect": 6.0,
}
"""How long a target is left alone after a fault, so that some work gets done."""


@dataclass(frozen=True)
class Fault:
    """One fault: when it begins, which target of its resource it hits, how long it lasts (seconds)."""

    at: float
    kind: Kind
    victim: int
    seconds: float

    @property
    def place(self) -> tuple[str, int]:
        """Which target it hits; only one fault hits a target at a time."""
        return _place(self.kind, self.victim)

    @property
    def ends_at(self) -> float:
        """When it is over."""
        return self.at + self.seconds


@dataclass(frozen=True)
class Schedule:
    """All faults of one run, in order."""

    seed: int
    seconds: float
    faults: tuple[Fault, ...]

    @classmethod
    def make(cls, seed: int, seconds: float, chips: int, mean_gap: float) -> Self:
        """Faults ``mean_gap`` apart on average: first each kind once, in any order, then by weight.

        All are over when the time is; a kind that would take most of it is left out.
        """
        source = random.Random(seed)
        kinds = kinds_within(seconds)
        first = list(kinds)
        source.shuffle(first)
        free_at: dict[tuple[str, int], float] = {}
        faults: list[Fault] = []
        now = source.expovariate(1 / mean_gap)
        while now < seconds:
            victim = source.randrange(chips)
            fitting = [kind for kind in kinds if _fits(kind, victim, free_at, now, seconds)]
            kind = _next_kind(source, first, fitting)
            if kind is not None:
                low, high = _TRAITS[kind].seconds
                fault = Fault(round(now, 3), kind, victim, round(source.uniform(low, high), 3))
                faults.append(fault)
                free_at[fault.place] = fault.ends_at + _REST_SECONDS[kind.resource]
            now += source.expovariate(1 / mean_gap)
        return cls(seed, seconds, tuple(faults))


def kinds_within(seconds: float) -> list[Kind]:
    """The kinds of which none would take more than half of the time."""
    return [kind for kind in Kind if _TRAITS[kind].seconds[1] <= seconds / 2]


def _place(kind: Kind, victim: int) -> tuple[str, int]:
    return kind.resource, victim if kind.resource in ("chip", "clock") else 0


def _fits(kind: Kind, victim: int, free_at: dict[tuple[str, int], float], now: float, seconds: float) -> bool:
    return free_at.get(_place(kind, victim), 0.0) <= now and now + _TRAITS[kind].seconds[1] <= seconds


def _next_kind(source: random.Random, first: list[Kind], fitting: list[Kind]) -> Kind | None:
    for kind in first:
        if kind in fitting:
            first.remove(kind)
            return kind
    if not fitting:
        return None
    return source.choices(fitting, [_TRAITS[kind].weight for kind in fitting])[0]
