"""Options of the simulated chip and its instrument."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class SimulationOptions:
    """How a chip is simulated, and its faults; executions are counted from 1 per process.

    Attributes:
        instrument_dir: where the instrument keeps its state, outside any process.
        seed: of the simulated chip's hidden truth.
        noise_seed: of the simulated noise; the same one gives the same data again.
        wall_seconds_per_run: extra wall time of each execution.
        error_at_execution: this execution raises an instrument error.
        error_box: a control system's box, as qubex names it, that is broken from ``error_at_execution`` on
            (from the first one when that is not given): then not that execution fails, but each one that
            drives or reads a qubit of the box, with an error that names the box.
        hang_at_execution: this execution never returns, and SIGTERM has no effect on it.
        error_at_quiesce: ``quiesce`` fails.
    """

    instrument_dir: Path
    seed: int = 0
    noise_seed: int = 0
    wall_seconds_per_run: float = 0.0
    error_at_execution: int | None = None
    error_box: str | None = None
    hang_at_execution: int | None = None
    error_at_quiesce: bool = False

    def with_faults_from_file(self, chip_id: str) -> SimulationOptions:
        """Changed by the fields in ``<chip_id>.faults.json`` of ``instrument_dir``, which tests write."""
        try:
            given = (self.instrument_dir / f"{chip_id}.faults.json").read_text()
        except FileNotFoundError:
            return self
        return replace(self, **json.loads(given))
