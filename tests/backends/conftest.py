"""Sessions on the simulated chip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from executors.backends.base import BackendSession, BaseBackend
from executors.backends.registry import make_backend
from executors.backends.simchip.device import design_parameters
from executors.backends.simchip.options import SimulationOptions
from qdash_queue.domain import ParameterModel

MakeSession = Callable[..., BackendSession]
MakeBackend = Callable[..., BaseBackend]


@pytest.fixture
def new_session(tmp_path: Path) -> MakeSession:
    """Makes sessions on design values; ``stored`` changes them by qid and name (None takes one away)."""
    made = 0

    def make(
        qids: tuple[str, ...] = ("0",),
        chip_id: str = "SIM16",
        n_qubits: int = 16,
        stored: dict[str, dict[str, float | None]] | None = None,
        **options: Any,
    ) -> BackendSession:
        nonlocal made
        made += 1
        wanted = {part for qid in qids for part in qid.split("-")}
        values = {
            qid: dict(design) for qid, design in design_parameters(chip_id, n_qubits).items() if qid in wanted
        }
        for qid, changes in (stored or {}).items():
            for name, value in changes.items():
                unit = "ns" if name.endswith("length") else "GHz" if name.endswith("frequency") else ""
                if value is None:
                    values[qid].pop(name)
                else:
                    values[qid][name] = ParameterModel(value=value, unit=unit)
        return BackendSession(chip_id, n_qubits, qids, values, tmp_path / f"scratch{made}", **options)

    return make


@pytest.fixture
def new_backend(new_session: MakeSession, tmp_path: Path) -> MakeBackend:
    """Makes simulated backends: the options of a simulation, and what ``new_session`` takes.

    Each has an idle instrument of its own, unless a folder is given.
    """
    names = {field.name for field in fields(SimulationOptions)}
    made = count()

    def make(*arguments: Any, **options: Any) -> BaseBackend:
        simulated = {name: options.pop(name) for name in names & options.keys()}
        defaults = {"seed": 7, "instrument_dir": tmp_path / f"instruments{next(made)}"}
        simulation = SimulationOptions(**{**defaults, **simulated})
        return make_backend("fake", new_session(*arguments, **options), simulation, None)

    return make


@pytest.fixture
def connected(new_backend: MakeBackend) -> Iterator[MakeBackend]:
    """Makes connected simulated backends, one at a time, and closes the last one."""
    opened: list[BaseBackend] = []

    def connect(*arguments: Any, **options: Any) -> BaseBackend:
        for backend in opened:
            backend.close()
        backend = new_backend(*arguments, **options)
        opened.append(backend)
        backend.connect()
        return backend

    yield connect
    for backend in opened:
        backend.close()
