"""The interface of a backend, and its base: one qubex ``Experiment`` per process."""

from __future__ import annotations

import io
import logging
import math
import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from calibtasks.results import same_unit
from executors.backends.configuration import SessionFiles, note_entries, wiring_rows, write_note
from executors.backends.origins import Origin, Spoiler
from qdash_queue.domain import CalibrationError, Failure, FailureKind, ParameterModel

_log = logging.getLogger(__name__)


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
        origins: the measurements that stored values come from, by qid and name.
    """

    chip_id: str
    n_qubits: int
    qids: tuple[str, ...]
    parameters: Mapping[str, Mapping[str, ParameterModel]]
    scratch: Path
    muxes: Mapping[int, int] = field(default_factory=dict)
    checkpoint: Callable[[], None] = lambda: None
    origins: Mapping[str, Mapping[str, Origin]] = field(default_factory=dict)

    def qubits(self) -> tuple[str, ...]:
        """The session's qubits, those of its couplings included, in ascending order."""
        named = {part for qid in self.qids for part in qid.split("-")}
        return tuple(sorted(named, key=int))


def instrument_failure(message: str, cause: str, remedy: str = "") -> CalibrationError:
    """The error for an instrument that cannot do what it was asked."""
    return CalibrationError(Failure(kind=FailureKind.INSTRUMENT, cause=cause, message=message, remedy=remedy))


class BaseBackend(ABC):
    """A backend for one session, which builds a qubex ``Experiment``; a context manager that connects it.

    qubex keeps process-global state (one system manager, one sampling period): a second Experiment silently
    changes the first one's chip. So a second ``connect`` while another backend is open in the process is
    refused.
    """

    kind: ClassVar[str]
    _open: ClassVar[weakref.ReferenceType[BaseBackend] | None] = None

    def __init__(self, session: BackendSession) -> None:
        self.session = session
        self.files = SessionFiles(session.scratch / "qubex")
        self._parameters: dict[str, dict[str, ParameterModel]] = {
            qid: dict(values) for qid, values in session.parameters.items()
        }
        self._origins = {qid: dict(values) for qid, values in session.origins.items()}
        self._experiment: Any = None
        self._configuration: tuple[Path, str] | None = None

    @abstractmethod
    def _build(self) -> Any:
        """The connected Experiment."""

    @abstractmethod
    def quiesce(self) -> None:
        """Make the instrument idle and check that it is; needs no ``connect`` and no parameters.

        Raises CalibrationError (``instrument``) when it stays busy or does not answer.
        """

    @property
    @abstractmethod
    def hardware_seconds(self) -> float:
        """Seconds of instrument time used so far by this session."""

    def connect(self) -> None:
        """Write the session's files, reach the instrument and build the Experiment.

        Raises CalibrationError: ``missing_input`` when the session's parameters cannot configure it,
        ``instrument`` when it does not answer.
        """
        if self._experiment is not None:
            return
        other = BaseBackend._open() if BaseBackend._open is not None else None
        if other is not None and other is not self:
            raise instrument_failure(
                f"this process already holds the instrument of {other.session.chip_id}",
                "second_experiment",
                "close that session first: qubex allows one Experiment per process",
            )
        os.environ.setdefault("TQDM_DISABLE", "1")
        self.files.make()
        self.save_note()
        BaseBackend._open = weakref.ref(self)
        try:
            with redirect_stdout(io.StringIO()) as banner:
                self._experiment = self._build()
            _log.debug("output of qubex: %s", banner.getvalue())
        except BaseException:
            BaseBackend._open = None
            raise

    def _new_experiment(self, kind: Any, system_id: str, config_dir: Path, **options: Any) -> Any:
        """A connected Experiment (``kind``: qubex's class) on the session's files."""
        self._configuration = (config_dir, system_id)
        experiment = kind(
            system_id=system_id,
            config_dir=config_dir,
            params_dir=self.files.parameters,
            calib_note_path=self.files.note,
            classifier_dir=self.files.classifiers,
            property_dir=self.files.properties,
            **options,
        )
        experiment.connect()
        return experiment

    def close(self) -> None:
        """Disconnect; harmless when called twice or before ``connect``."""
        experiment, self._experiment = self._experiment, None
        if BaseBackend._open is not None and BaseBackend._open() is self:
            BaseBackend._open = None
        if experiment is not None:
            experiment.disconnect()

    def get_instance(self) -> Any:
        """The connected qubex ``Experiment``; raises CalibrationError (``instrument``) before ``connect``."""
        if self._experiment is None:
            raise instrument_failure(
                f"the backend of {self.session.chip_id} is not connected", "not_connected", "call connect()"
            )
        return self._experiment

    def save_note(self) -> Path:
        """Write qubex's calibration note from the current parameters into the scratch folder; its path."""
        labels = {qid: self.label(qid) for qid in self.session.qubits()}
        return write_note(self.files, labels, self._parameters)

    def update_note(
        self, qid: str, accepted: Mapping[str, ParameterModel], origin: Origin | None = None
    ) -> None:
        """Make accepted values current for the following tasks of this session, also in qubex's own note.

        Values without ``origin`` were not measured, and are never suspect.
        """
        self._parameters.setdefault(qid, {}).update(accepted)
        origins = self._origins.setdefault(qid, {})
        for name in accepted:
            origins.pop(name, None)
            if origin is not None:
                origins[name] = origin
        if self._experiment is None or not qid.isdecimal():
            return
        label = self.label(qid)
        for section, entry in note_entries(label, self._parameters[qid]).items():
            self._experiment.calib_note.put_property(section, label, entry)

    def muxes(self) -> list[int]:
        """The readout multiplexers of the session's qubits; none for a session of no qubit."""
        muxes = self.session.muxes
        return sorted({muxes[int(qid)] for qid in self.session.qubits() if int(qid) in muxes})

    def members(self, qid: str) -> tuple[str, ...]:
        """The session's qubits of a multiplexer (by its number), or all of them (``""``)."""
        qubits = self.session.qubits()
        if qid == "":
            return qubits
        return tuple(qubit for qubit in qubits if self.session.muxes.get(int(qubit)) == int(qid))

    def boxes(self, qid: str) -> tuple[str, ...]:
        """The ids of the control system's boxes that drive and read a qubit, or both of a coupling, in order.

        qubex hands these ids to the drivers, so an instrument's error names them. None for a qubit without
        wiring. Raises CalibrationError (``instrument``) before ``connect``.
        """
        system = self.get_instance().experiment_system
        found = system.get_boxes_for_qubits([self.label(part) for part in qid.split("-")])
        return tuple(sorted(box.id for box in found))

    def wiring(self) -> list[object] | None:
        """The rows of qubex's ``wiring.yaml`` for the chip; None where there is no such file.

        Raises CalibrationError (``instrument``) before ``connect``.
        """
        self.get_instance()
        if self._configuration is None:
            return None
        return wiring_rows(*self._configuration, self.session.chip_id)

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

    def has_parameter(self, qid: str, name: str) -> bool:
        """Whether there is a current value that is a finite number."""
        stored = self._parameters.get(qid, {}).get(name)
        return stored is not None and stored.value is not None and math.isfinite(stored.value)

    def is_suspect(self, qid: str, name: str) -> bool:
        """Whether a value that this one was measured with has moved since by more than its tolerance.

        A value that was not measured, or of whose measurement nothing is known, is not suspect.
        """
        origin = self._origins.get(qid, {}).get(name)
        return origin is not None and any(map(self._has_moved, origin.spoilers(qid, name)))

    def _has_moved(self, spoiler: Spoiler) -> bool:
        stored = [name for name in spoiler.names if self.has_parameter(spoiler.qid, name)]
        if not stored:
            return False
        now, then = self.parameter(spoiler.qid, stored[0]), spoiler.measured
        if now.value is None or then.value is None or not same_unit(now.unit, then.unit):
            return True
        return abs(now.value - then.value) > spoiler.tolerance

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
