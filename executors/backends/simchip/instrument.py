"""The state of a simulated instrument, kept outside any process: a killed process leaves it busy."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from executors.backends.base import instrument_failure


@dataclass
class InstrumentState:
    """Busy or idle, in ``path`` (one small file per chip), or in memory when ``path`` is None."""

    chip_id: str
    path: Path | None
    _busy_in_memory: str | None = None

    @classmethod
    def of(cls, chip_id: str, directory: Path | None) -> InstrumentState:
        """The state of the chip's instrument, in ``directory`` (made when missing)."""
        if directory is None:
            return cls(chip_id, None)
        directory.mkdir(parents=True, exist_ok=True)
        return cls(chip_id, directory / f"{chip_id}.busy.json")

    def busy(self) -> str | None:
        """The owner of the measurement that is still running; None when idle."""
        if self.path is None:
            return self._busy_in_memory
        try:
            return self.path.read_text()
        except FileNotFoundError:
            return None

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Busy inside the block, idle after it; an error or a kill inside leaves the instrument busy.

        Raises CalibrationError (``instrument``) when it is busy already.
        """
        owner = self.busy()
        if owner is not None:
            raise instrument_failure(
                f"the simulated instrument of {self.chip_id} is busy ({owner})",
                "instrument_busy",
                "quiesce it before the next measurement",
            )
        self._begin(json.dumps({"pid": os.getpid()}))
        yield
        self.reset()

    def reset(self) -> None:
        """Make the instrument idle; harmless when it is."""
        if self.path is None:
            self._busy_in_memory = None
        else:
            self.path.unlink(missing_ok=True)

    def _begin(self, owner: str) -> None:
        if self.path is None:
            self._busy_in_memory = owner
            return
        try:
            with self.path.open("x") as file:
                file.write(owner)
        except FileExistsError:
            raise instrument_failure(
                f"the simulated instrument of {self.chip_id} is busy", "instrument_busy"
            ) from None
