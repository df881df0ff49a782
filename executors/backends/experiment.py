"""The base of both backends: one qubex ``Experiment`` per process, its files in the scratch folder."""

from __future__ import annotations

import io
import logging
import os
import weakref
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, ClassVar

from executors.backends.base import BackendSession, BaseBackend, instrument_failure
from executors.backends.configuration import SessionFiles, note_entries, write_note
from qdash_queue.domain import ParameterModel

_log = logging.getLogger(__name__)


class ExperimentBackend(BaseBackend):
    """A backend that builds a qubex ``Experiment``.

    qubex keeps process-global state (one system manager, one sampling period): a second Experiment silently
    changes the first one's chip. So a second ``connect`` while another backend is open in the process is
    refused.
    """

    _open: ClassVar[weakref.ReferenceType[ExperimentBackend] | None] = None

    def __init__(self, session: BackendSession) -> None:
        super().__init__(session)
        self.files = SessionFiles(session.scratch / "qubex")
        self._experiment: Any = None

    def connect(self) -> None:
        """Write the session's files and build the Experiment; see :meth:`BaseBackend.connect`."""
        if self._experiment is not None:
            return
        other = ExperimentBackend._open() if ExperimentBackend._open is not None else None
        if other is not None and other is not self:
            raise instrument_failure(
                f"this process already holds the instrument of {other.session.chip_id}",
                "second_experiment",
                "close that session first: qubex allows one Experiment per process",
            )
        os.environ.setdefault("TQDM_DISABLE", "1")
        self.files.make()
        self.save_note()
        ExperimentBackend._open = weakref.ref(self)
        try:
            with redirect_stdout(io.StringIO()) as banner:
                self._experiment = self._build()
            _log.debug("output of qubex: %s", banner.getvalue())
        except BaseException:
            ExperimentBackend._open = None
            raise

    @abstractmethod
    def _build(self) -> Any:
        """The connected Experiment."""

    def get_instance(self) -> Any:
        """The connected ``Experiment``; raises CalibrationError (``instrument``) before ``connect``."""
        if self._experiment is None:
            raise instrument_failure(
                f"the backend of {self.session.chip_id} is not connected", "not_connected", "call connect()"
            )
        return self._experiment

    def close(self) -> None:
        """Disconnect; harmless when called twice or before ``connect``."""
        experiment, self._experiment = self._experiment, None
        if ExperimentBackend._open is not None and ExperimentBackend._open() is self:
            ExperimentBackend._open = None
        if experiment is not None:
            experiment.disconnect()

    def muxes(self) -> list[int]:
        """The readout multiplexers of the session's qubits; none for a session of no qubit."""
        muxes = self.session.muxes
        return sorted({muxes[int(qid)] for qid in self.session.qubits() if int(qid) in muxes})

    def save_note(self) -> Path:
        """Write qubex's calibration note from the current parameters; its path."""
        self.files.make()
        labels = {qid: self.label(qid) for qid in self.session.qubits()}
        return write_note(self.files, labels, self._parameters)

    def update_note(self, qid: str, accepted: Mapping[str, ParameterModel]) -> None:
        """Make accepted values current, also in qubex's own note."""
        super().update_note(qid, accepted)
        if self._experiment is None or not qid.isdecimal():
            return
        label = self.label(qid)
        for section, entry in note_entries(label, self._parameters[qid]).items():
            self._experiment.calib_note.put_property(section, label, entry)
