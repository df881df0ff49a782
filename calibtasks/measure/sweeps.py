"""Sweeps of one qubit through qubex's public ``Experiment``.

Every setting (carriers, readout, shots) is passed explicitly with each sweep, so a run uses exactly the
inputs that it recorded, and no state of qubex.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from qubex.pulse import PulseSchedule

from calibtasks.base import Backend, BaseTask
from calibtasks.parameters.run_parameters import RunParameter
from qdash_queue.domain import CalibrationError, Failure, FailureKind, FiniteRange, ParameterModel

READOUT_INPUTS = {
    "readout_frequency": ParameterModel(unit="GHz", description="carrier of the readout pulse"),
    "readout_amplitude": ParameterModel(unit="a.u.", description="amplitude of the readout pulse"),
    "readout_length": ParameterModel(unit="ns", description="length of the readout pulse"),
}
"""Inputs of every task with a readout."""

HALF_PI_INPUTS = {
    "qubit_frequency": ParameterModel(unit="GHz", description="carrier of the control pulses"),
    "hpi_amplitude": ParameterModel(unit="a.u.", description="amplitude of the half-π pulse"),
    "hpi_length": ParameterModel(unit="ns", description="length of the half-π pulse"),
    **READOUT_INPUTS,
}
"""Inputs of every task with half-π pulses and a readout."""

INTERVAL = RunParameter(
    unit="ns",
    value_type="int",
    value=153600,
    description="wait from the end of one shot to the next",
    limits=FiniteRange(low=1_000, high=1_000_000_000),
)

GUARD_POINTS: Final = (0.13, 0.29, 0.53, 0.79)
"""Extra times, in steps of the sweep, at which no two frequencies below fifty foldings agree."""


def with_guards(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """The times, and a few between the first two, which distinguish a fast oscillation from a slow one."""
    if times.size < 2:
        return times
    return np.concatenate([times, times[0] + (times[1] - times[0]) * np.asarray(GUARD_POINTS)])


def shots_parameter(shots: int) -> RunParameter:
    """The number of shots per point, by default ``shots``."""
    return RunParameter(
        value_type="int",
        value=shots,
        description="shots per point",
        limits=FiniteRange(low=1, high=1_000_000),
    )


@dataclass(frozen=True)
class Sweep:
    """One qubit's sweep: label, carriers (GHz), readout (a.u. and ns), shots and their interval (ns)."""

    experiment: Any
    label: str
    drive_frequency: float
    readout_frequency: float
    readout_amplitude: float
    readout_length: float
    shots: int
    interval: float

    @classmethod
    def of(cls, task: BaseTask, backend: Backend, qid: str, *, detuning: float = 0.0) -> Sweep:
        """The sweep of a task's inputs and run parameters, the drive detuned by ``detuning`` GHz."""
        return cls(
            experiment=backend.get_instance(),
            label=backend.label(qid),
            drive_frequency=task.input("qubit_frequency") + detuning,
            readout_frequency=task.input("readout_frequency"),
            readout_amplitude=task.input("readout_amplitude"),
            readout_length=task.input("readout_length"),
            shots=int(task.setting("shots")),
            interval=float(task.setting("interval")),
        )

    def on_grid(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Times (ns) on the instrument's grid, each once, in ascending order."""
        step = float(self.experiment.measurement.sampling_period)
        return np.unique(np.round(times / step) * step)

    def measure(
        self, sequence: Callable[[float], list[Any]], points: NDArray[np.float64]
    ) -> NDArray[np.complex128]:
        """Averaged IQ of the qubit, shape of ``points``, after the waveforms of ``sequence``."""

        def schedule(point: float) -> PulseSchedule:
            with PulseSchedule([self.label]) as pulses:
                for waveform in sequence(float(point)):
                    pulses.add(self.label, waveform)
            return pulses

        result = self.experiment.sweep_parameter(
            schedule,
            sweep_range=points,
            frequencies={
                self.label: self.drive_frequency,
                self.experiment.ctx.resolve_read_label(self.label): self.readout_frequency,
            },
            n_shots=self.shots,
            shot_interval=self.interval,
            readout_amplitudes={self.label: self.readout_amplitude},
            readout_duration=self.readout_length,
            plot=False,
        )
        iq = np.asarray(result.data[self.label].data, dtype=np.complex128)
        if iq.shape != points.shape:
            raise CalibrationError(
                Failure(
                    kind=FailureKind.INSTRUMENT,
                    cause="missing_points",
                    message=f"{self.label}: expected {points.size} points from the instrument, got {iq.size}",
                )
            )
        return iq
