"""The state of a simulated instrument, kept outside any process: a killed process leaves it busy."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from executors.backends.base import instrument_failure


@dataclass(frozen=True)
class InstrumentState:
    """Busy or idle, in one small file per chip."""

    chip_id: str
    path: Path

    @classmethod
    def of(cls, chip_id: str, directory: Path) -> InstrumentState:
        """The state of the chip's instrument, in ``directory`` (made when missing)."""
        directory.mkdir(parents=True, exist_ok=True)
        return cls(chip_id, directory / f"{chip_id}.busy.json")

    def busy(self) -> str | None:
        """The owner of the measurement that is still running; None when idle."""
        try:
            return self.path.read_text()
        except FileNotFoundError:
            return None

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Busy inside the block, idle after it; an error or a kill inside leaves the instrument busy.

        Raises CalibrationError (``instrument``) when it is busy already.
        """
        try:
            with self.path.open("x") as file:
                file.write(json.dumps({"pid": os.getpid()}))
        except FileExistsError:
            raise instrument_failure(
                f"the simulated instrument of {self.chip_id} is busy ({self.busy()})",
                "instrument_busy",
                "quiesce it before the next measurement",
            ) from None
        yield
        self.reset()

    def reset(self) -> None:
        """Make the instrument idle; harmless when it is."""
        self.path.unlink(missing_ok=True)
