"""The simulated chip behind qubex's QuEL-3 controller: the only file that knows qubex's internals.

qubex hands its controller a self-contained pulse program (waveforms, events, carriers, capture windows) and
expects IQ arrays; everything above that seam is qubex's own code. Value modes return the sum over the
samples, as the instrument does.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from qubex.backend.quel3 import (
    Quel3BackendController,
    Quel3BackendExecutionResult,
    Quel3CaptureMode,
    Quel3ExecutionPayload,
    Quel3FixedTimeline,
)
from qubex.system import SystemManager

from executors.backends.base import instrument_failure
from executors.backends.configuration import simulated_box
from executors.backends.simchip.engine import Capture, CaptureMode, Engine, Program, ReadLine
from executors.backends.simchip.instrument import InstrumentState
from executors.backends.simchip.options import SimulationOptions
from executors.backends.simchip.solver import Pulse

CAPTURE_STEP_NS: Final = 0.8

_MODES: Final[Mapping[Quel3CaptureMode, CaptureMode]] = {
    Quel3CaptureMode.AVERAGED_VALUE: CaptureMode.AVERAGED_VALUE,
    Quel3CaptureMode.AVERAGED_WAVEFORM: CaptureMode.AVERAGED_WAVEFORM,
    Quel3CaptureMode.VALUES_PER_ITER: CaptureMode.VALUES_PER_SHOT,
    Quel3CaptureMode.RAW_WAVEFORMS: CaptureMode.RAW_WAVEFORMS,
}


@dataclass
class SimulatedRuns:
    """Executions on the simulated instrument: busy state, extra wall time, faults; and the checkpoint."""

    instrument: InstrumentState
    checkpoint: Callable[[], None]
    options: SimulationOptions
    executions: int = 0

    def execute(self, engine: Engine, program: Program) -> dict[str, list[Any]]:
        """One execution; raises CalibrationError (``instrument``) when the instrument is busy or faulty."""
        self.executions += 1
        with self.instrument.measuring():
            if self.executions == self.options.hang_at_execution:
                _hang()
            error = self._error(engine, program)
            if error is not None:
                raise instrument_failure(error, "simulated_fault")
            if self.options.wall_seconds_per_run > 0:
                time.sleep(self.options.wall_seconds_per_run)
            return engine.run(program)

    def _error(self, engine: Engine, program: Program) -> str | None:
        box, at = self.options.error_box, self.options.error_at_execution
        if box is None:
            is_due = self.executions == at
            return f"the simulated instrument reported an error in execution {at}" if is_due else None
        touched = {simulated_box(engine.muxes[qid]) for qid in program.qubits()}
        if box in touched and self.executions >= (at or 1):
            return f"the simulated instrument's box {box} reported an error in execution {self.executions}"
        return None


def _hang() -> None:
    """Never return, and obey no signal but SIGKILL: a driver stuck in a C call."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # A mask alone is not enough: the signal would be delivered to another thread.
        if threading.current_thread() is threading.main_thread():
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    while True:
        threading.Event().wait()


class _NoHardware:
    """Replaces the reader of a unit's settings: a simulated unit has none."""

    def fetch_backend_settings_from_hardware(
        self, *, unit_labels: Sequence[str] = (), **_: Any
    ) -> dict[str, dict[str, object]]:
        return {unit: {} for unit in unit_labels}

    def read_instrument_infos(self, **_: Any) -> list[object]:
        return []


class SimulatedQuel3Controller(Quel3BackendController):
    """A QuEL-3 controller whose instrument is an :class:`Engine`."""

    def __init__(self, engine: Engine, runs: SimulatedRuns) -> None:
        super().__init__(hardware_state_reader=cast("Any", _NoHardware()))
        self._engine = engine
        self._runs = runs
        self._connected = False

    @property
    def hash(self) -> int:
        """Equal for equal settings; a simulated unit's never change."""
        return hash((self._engine.chip_id, self._engine.seed))

    @property
    def is_connected(self) -> bool:
        """Whether ``connect`` was called."""
        return self._connected

    def connect(self, *_: object, **__: object) -> None:
        """Connect to nothing."""
        self._connected = True

    def disconnect(self) -> None:
        """Disconnect."""
        self._connected = False

    def deploy_instruments(self, **_: Any) -> dict[str, Any]:
        """Deploy nothing."""
        return {}

    def execute_sync(self, *, request: Any, **_: Any) -> Quel3BackendExecutionResult:
        """Run one request; result arrays by target, one per capture window."""
        self._runs.checkpoint()
        return self._execute(request)

    async def execute_async(self, *, request: Any, **_: Any) -> Quel3BackendExecutionResult:
        """Run one request."""
        return self.execute_sync(request=request)

    async def execute_batch_async(
        self, *, requests: Sequence[Any], **_: Any
    ) -> list[Quel3BackendExecutionResult]:
        """Run requests one after another; nothing stops them between, as an instrument's batch."""
        self._runs.checkpoint()
        return [self._execute(request) for request in requests]

    def _execute(self, request: Any) -> Quel3BackendExecutionResult:
        data = self._runs.execute(self._engine, _program(request.payload))
        return Quel3BackendExecutionResult(
            status={}, data=data, config={"sampling_period_ns": CAPTURE_STEP_NS}
        )


def _program(payload: Quel3ExecutionPayload) -> Program:
    system = SystemManager.shared().experiment_system
    drives: dict[int, list[Pulse]] = {}
    reads: dict[str, ReadLine] = {}
    for label, timeline in payload.fixed_timelines.items():
        qid = system.get_qubit(system.resolve_qubit_label(label)).index
        pulses = _pulses(label, timeline, payload)
        if system.get_target(label).is_read:
            captures = tuple(
                Capture(item.start_offset_ns, item.length_ns) for item in timeline.capture_windows
            )
            reads[label] = ReadLine(qid, _frequency(label, timeline), pulses, captures)
        else:
            drives.setdefault(qid, []).extend(pulses)
    return Program(
        drives={qid: tuple(sorted(line, key=lambda pulse: pulse.start_ns)) for qid, line in drives.items()},
        reads=reads,
        shots=payload.n_iterations,
        interval_ns=payload.shot_interval_ns,
        mode=_MODES[payload.capture_mode],
        capture_step_ns=CAPTURE_STEP_NS,
    )


def _frequency(label: str, timeline: Quel3FixedTimeline) -> float:
    if timeline.frequency_hz is None or not math.isfinite(timeline.frequency_hz):
        raise instrument_failure(f"no carrier frequency is set for {label}", "no_carrier")
    return float(timeline.frequency_hz) / 1e9


def _pulses(label: str, timeline: Quel3FixedTimeline, payload: Quel3ExecutionPayload) -> tuple[Pulse, ...]:
    if not timeline.events:
        return ()
    frequency = _frequency(label, timeline)
    pulses = []
    for event in timeline.events:
        waveform = payload.waveform_library[event.waveform_name]
        pulses.append(
            Pulse(
                start_ns=event.start_offset_ns,
                samples=np.asarray(waveform.iq_array, dtype=np.complex128),
                step_ns=float(waveform.sampling_period_ns or Quel3BackendController.SAMPLING_PERIOD_NS),
                frequency_ghz=frequency,
                gain=event.gain,
                phase=math.radians(event.phase_offset_deg),
            )
        )
    return tuple(pulses)
