"""A backend with the names by which QDash's task files ask for its name and session."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from executors.backends.base import BaseBackend
from executors.job.context import current_job


class ServedBackend:
    """The session's backend; everything that is not here is its own."""

    def __init__(self, backend: BaseBackend, task_type: str) -> None:
        self._backend = backend
        self._task_type = task_type

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    @property
    def name(self) -> str:
        """``fake`` or ``qubex``."""
        return self._backend.kind

    @property
    def config(self) -> dict[str, Any]:
        """The session, under QDash's keys; user and project only inside a session's job."""
        backend, job = self._backend, current_job()
        whose = {} if job is None else job.claimed.model_dump(include={"username", "project_id"})
        return {
            **whose,
            "task_type": self._task_type,
            "chip_id": backend.session.chip_id,
            "qids": list(backend.session.qids),
            "muxes": backend.muxes(),
            "note_path": str(backend.files.note),
            "classifier_dir": str(backend.files.classifiers),
        }

    def version(self) -> str:
        """Of the measuring library."""
        return version("qubex")
