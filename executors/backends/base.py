"""The interface of a backend: parameters of a session, a connected qubex ``Experiment``, an idle state."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from qdash_queue.domain import CalibrationError, Failure, FailureKind, ParameterModel


@dataclass(frozen=True)
class BackendSession:
    """The input of a backend: the job's chip, qubits, values and folders.

    Attributes:
        chip_id: the chip.
        n_qubits: number of qubits of the whole chip.
        qids: the session's qubits (decimal, unpadded) and couplings (``"c-t"``).
        parameters: stored values, valid now, by qid and name.
        scratch: a folder of this job only; every file the backend writes is under it.
        muxes: number of the readout multiplexer of each qubit of the chip, by qubit number; a qubit that is
            read out by none is missing.
        checkpoint: called before each execution; raises to stop.
    """

    chip_id: str
    n_qubits: int
    qids: tuple[str, ...]
    parameters: Mapping[str, Mapping[str, ParameterModel]]
    scratch: Path
    muxes: Mapping[int, int] = field(default_factory=dict)
    checkpoint: Callable[[], None] = lambda: None

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
        """Disconnect; harmless when called twice or before ``connect``."""

    @property
    @abstractmethod
    def hardware_seconds(self) -> float:
        """Seconds of instrument time used so far by this session."""

    @abstractmethod
    def save_note(self) -> Path:
        """Write qubex's calibration note from the current parameters into the scratch folder; its path."""

    def update_note(self, qid: str, accepted: Mapping[str, ParameterModel]) -> None:
        """Make accepted values current for the following tasks of this session."""
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
