"""Options of the simulated chip and its instrument."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True)
class Faults:
    """Faults of the simulated instrument, for tests; executions are counted from 1 per process.

    Attributes:
        error_at_execution: this execution raises an instrument error.
        hang_at_execution: this execution never returns, and SIGTERM has no effect on it.
        error_at_quiesce: ``quiesce`` fails.
    """

    error_at_execution: int | None = None
    hang_at_execution: int | None = None
    error_at_quiesce: bool = False


@dataclass(frozen=True)
class SimulationOptions:
    """How a chip is simulated.

    Attributes:
        instrument_dir: where the instrument keeps its state, outside any process.
        seed: of the simulated chip's hidden truth.
        noise_seed: of the simulated noise; the same one gives the same data again.
        wall_seconds_per_run: extra wall time of each execution.
        faults: what goes wrong.
    """

    instrument_dir: Path
    seed: int = 0
    noise_seed: int = 0
    wall_seconds_per_run: float = 0.0
    faults: Faults = field(default_factory=Faults)

    def with_faults_from_file(self, chip_id: str) -> SimulationOptions:
        """Changed by ``<chip_id>.faults.json`` in ``instrument_dir``, with which tests switch faults on.

        The file holds the fields of :class:`Faults`, and ``wall_seconds_per_run``.
        """
        try:
            given = json.loads((self.instrument_dir / f"{chip_id}.faults.json").read_text())
        except FileNotFoundError:
            return self
        wall = float(given.pop("wall_seconds_per_run", self.wall_seconds_per_run))
        return replace(self, wall_seconds_per_run=wall, faults=Faults(**given))
