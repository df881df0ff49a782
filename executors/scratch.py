"""The folders in which jobs run, one of them always made before a job is claimed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from executors.session import new_scratch_folder


class ScratchFolders:
    """Makes folders below ``state_path`` while no job depends on it: a full disk is no job's fault."""

    def __init__(self, state_path: Path) -> None:
        self._state_path = state_path
        self._next: Path | None = None

    def prepare(self) -> None:
        """Make sure that there is a folder for the next job.

        Raises:
            OSError: none can be made.
        """
        if self._next is None or not self._next.is_dir():
            self._next = new_scratch_folder(self._state_path, "job")

    @contextmanager
    def take(self) -> Iterator[Path]:
        """The prepared folder; it is removed with all that the job left there."""
        self.prepare()
        folder, self._next = self._next, None
        assert folder is not None  # noqa: S101 - it was prepared above
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove the folder that no job came for."""
        if self._next is not None:
            shutil.rmtree(self._next, ignore_errors=True)
