"""What every backend is: a session's parameters, a connected qubex ``Experiment``, a way to make it quiet."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from qdash_queue.domain import CalibrationError, Failure, FailureKind, ParameterModel


def _nothing() -> None:
    """Let every execution pass."""


@dataclass(frozen=True)
class Faults:
    """Faults of the simulated instrument, on request of a test; executions are counted from 1 per process.

    Attributes:
        error_at_execution: this execution raises an instrument error.
        hang_at_execution: this execution never returns, and keeps SIGTERM from being heard.
        error_at_quiesce: ``quiesce`` fails.
    """

    error_at_execution: int | None = None
    hang_at_execution: int | None = None
    error_at_quiesce: bool = False


@dataclass(frozen=True)
class BackendSession:
    """Everything a backend is told about the job that it serves.

    Attributes:
        chip_id: the chip.
        topology: its lattice, e.g. ``square-lattice``.
        n_qubits: number of qubits of the whole chip.
        qids: the session's qubits (decimal, unpadded) and couplings (``"c-t"``).
        parameters: stored values, valid now, by qid and name.
        scratch: a folder of this job only; every file the backend writes is under it.
        seed: of the simulated chip's hidden truth.
        noise_seed: of the simulated noise; the same one gives the same data again.
        instrument_dir: where a simulated instrument keeps its state, outside any process.
        config_dir: qubex's configuration of the real instruments.
        wall_seconds_per_run: extra wall time of each simulated execution.
        checkpoint: called before each execution; raises to stop.
        faults: of the simulated instrument.
    """

    chip_id: str
    topology: str
    n_qubits: int
    qids: tuple[str, ...]
    parameters: Mapping[str, Mapping[str, ParameterModel]]
    scratch: Path
    seed: int
    noise_seed: int = 0
    instrument_dir: Path | None = None
    config_dir: Path | None = None
    wall_seconds_per_run: float = 0.0
    checkpoint: Callable[[], None] = _nothing
    faults: Faults = field(default_factory=Faults)

    def qubits(self) -> tuple[str, ...]:
        """The session's qubits, those of its couplings included, in ascending order."""
        named = {part for qid in self.qids for part in qid.split("-")}
        return tuple(sorted(named, key=int))


def instrument_failure(message: str, cause: str, remedy: str = "") -> CalibrationError:
    """The error for an instrument that cannot do what it was asked."""
    return CalibrationError(Failure(kind=FailureKind.INSTRUMENT, cause=cause, message=message, remedy=remedy))


class BaseBackend(ABC):
    """A backend for one session. Use as a context manager, or call ``connect`` and ``close``."""

    kind: ClassVar[str]

    def __init__(self, session: BackendSession) -> None:
        self.session = session
        self._parameters: dict[str, dict[str, ParameterModel]] = {
            qid: dict(values) for qid, values in session.parameters.items()
        }

    @abstractmethod
    def connect(self) -> None:
        """Reach the instrument and build the Experiment.

        Raises CalibrationError: ``missing_input`` when the session's parameters cannot configure it,
        ``instrument`` when it does not answer.
        """

    @abstractmethod
    def get_instance(self) -> Any:
        """The connected qubex ``Experiment``; raises CalibrationError (``instrument``) before ``connect``."""

    @abstractmethod
    def quiesce(self) -> None:
        """Make the instrument idle and check that it is; needs no ``connect`` and no parameters.

        Raises CalibrationError (``instrument``) when it stays busy or does not answer.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the instrument; harmless when called twice or before ``connect``."""

    @property
    @abstractmethod
    def hardware_seconds(self) -> float:
        """Seconds of instrument time used so far by this session."""

    @abstractmethod
    def save_note(self) -> Path:
        """Write qubex's calibration note from the current parameters into the scratch folder; its path."""

    def update_note(self, qid: str, accepted: Mapping[str, ParameterModel]) -> None:
        """Make values that passed the gate the current ones, for the tasks that follow in this session."""
        self._parameters.setdefault(qid, {}).update(accepted)

    def parameter(self, qid: str, name: str) -> ParameterModel:
        """The current value; raises CalibrationError (``missing_input``) when there is no finite one."""
        stored = self._parameters.get(qid, {}).get(name)
        if stored is None or stored.value is None:
            raise self._missing(f"qubit {qid} of {self.session.chip_id} has no {name}", "no_value", name)
        if not math.isfinite(stored.value):
            raise self._missing(
                f"qubit {qid} of {self.session.chip_id}: expected a finite {name}, got {stored.value}",
                "not_finite",
                name,
            )
        return stored

    def parameters(self, qid: str) -> Iterator[tuple[str, ParameterModel]]:
        """The current values of one qubit or coupling."""
        return iter(self._parameters.get(qid, {}).items())

    def label(self, qid: str) -> str:
        """The instrument's name of the qubit: ``Q`` and the number, zero-padded to the chip's size."""
        width = len(str(self.session.n_qubits - 1))
        return f"Q{int(qid):0{width}d}"

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def _missing(message: str, cause: str, name: str) -> CalibrationError:
        remedy = f"measure {name}, or set it: qdash-queue parameters set"
        return CalibrationError(
            Failure(kind=FailureKind.MISSING_INPUT, cause=cause, message=message, remedy=remedy)
        )


def make_backend(kind: str, session: BackendSession) -> BaseBackend:
    """The backend of that kind (``fake`` or ``qubex``), not yet connected.

    Raises CalibrationError (``invalid_request``) on an unknown kind.
    """
    if kind == "fake":
        from executors.backends.fake import FakeBackend  # noqa: PLC0415  loads qubex: 3 s

        return FakeBackend(session)
    if kind == "qubex":
        from executors.backends.qubex import QubexBackend  # noqa: PLC0415

        return QubexBackend(session)
    raise CalibrationError(
        Failure(
            kind=FailureKind.INVALID_REQUEST,
            cause="unknown_backend",
            message=f'unknown backend "{kind}": expected "fake" or "qubex"',
        )
    )
