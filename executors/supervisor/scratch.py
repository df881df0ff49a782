"""The folders in which jobs run, one of them always made before a job is claimed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from executors.job.context import new_scratch_folder


class ScratchFolders:
    """Makes folders below ``state_path`` while no job depends on it: a full disk is no job's fault."""

    def __init__(self, state_path: Path) -> None:
        self._state_path = state_path
        self._next: Path | None = None

    def prepare(self) -> Path:
        """The folder for the next job, made if there is none.

        Raises:
            OSError: none can be made.
        """
        if self._next is None or not self._next.is_dir():
            self._next = new_scratch_folder(self._state_path, "job")
        return self._next

    @contextmanager
    def take(self) -> Iterator[Path]:
        """The prepared folder; it is removed with all that the job left there."""
        folder = self.prepare()
        self._next = None
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove the folder that no job came for."""
        if self._next is not None:
            shutil.rmtree(self._next, ignore_errors=True)
