"""CreateHPIPulse: the amplitude of the half-π pulse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from qubex.pulse import Blank

from calibtasks.base import Backend, BaseTask, OutputParameter, PostProcessResult, RunParameter, RunResult
from calibtasks.dataset import Dataset, MeasuredArray
from calibtasks.figures.plots import Axis, Figure, Series, fit_figure, spaced, value_and_error
from calibtasks.fits.iq import project
from calibtasks.fits.least_squares import Fit, is_signal, no_signal
from calibtasks.fits.models import fit_pulse_amplitude
from calibtasks.fits.qubex_fits import library_half_pi
from calibtasks.measure.pulses import HALF_PI_RAMP_NS, half_pi_area, half_pi_pulse
from calibtasks.measure.sweeps import INTERVAL, READOUT_INPUTS, Sweep, shots_parameter
from calibtasks.tasks.rabi.check_rabi import NOMINAL_RABI_MHZ, REFERENCE_WAIT_NS
from qdash_queue.domain import (
    CalibrationError,
    Failure,
    FailureKind,
    FiniteRange,
    ParameterModel,
    RunParameterModel,
    TaskType,
)

POINTS: Final = 20
REPETITIONS: Final = 4
"""Half-π pulses that make one whole turn."""
RETURN_TOLERANCE: Final = 0.06
"""Largest distance from the ground state after a whole turn, in parts of the full swing."""
STRETCH_TOLERANCE: Final = 0.03
"""Largest relative deviation of the rotation per amplitude from that of a whole turn at this amplitude."""


class CreateHPIPulse(BaseTask):
    """Apply the half-π pulse four times with a varied amplitude; at the right one the qubit returns."""

    name = "CreateHPIPulse"
    task_type = TaskType.QUBIT
    description = "Amplitude of the half-π pulse"
    input_parameters: Mapping[str, ParameterModel] = {
        "qubit_frequency": ParameterModel(unit="GHz", description="carrier of the control pulses"),
        "control_amplitude": ParameterModel(
            unit="a.u.", description="control amplitude that gives a Rabi frequency of 12.5 MHz"
        ),
        **READOUT_INPUTS,
    }
    run_parameters: Mapping[str, RunParameterModel] = {
        "hpi_duration": RunParameter(
            unit="ns",
            value_type="int",
            value=32,
            description="length of the half-π pulse",
            limits=FiniteRange(low=2 * HALF_PI_RAMP_NS, high=1000),
        ),
        "shots": shots_parameter(2048),
        "interval": INTERVAL,
    }
    output_parameters: Mapping[str, ParameterModel] = {
        "hpi_amplitude": OutputParameter(
            unit="a.u.",
            description="amplitude of the half-π pulse",
            believable=FiniteRange(low=1e-4, high=1),
        ),
        "hpi_length": OutputParameter(
            unit="ns",
            description="length of the half-π pulse",
            believable=FiniteRange(low=2 * HALF_PI_RAMP_NS, high=1000),
            exact=True,
        ),
    }
    fits = True
    r2_threshold = 0.7

    def run(self, backend: Backend, qid: str) -> RunResult:
        """Measure; arrays ``amplitude`` (a.u., shape (n,)) and ``iq`` (a.u., complex, shape (n,))."""
        sweep = Sweep.of(self, backend, qid)
        length = float(self.setting("hpi_duration"))
        rabi_ghz = NOMINAL_RABI_MHZ * 1e-3
        expected = self.input("control_amplitude") * (0.25 / half_pi_area(length)) / rabi_ghz
        if not expected <= 1:
            raise CalibrationError(_too_strong(length, expected))
        amplitude = np.linspace(0.5 * expected, min(1.5 * expected, 1.0), POINTS)

        def sequence(height: float) -> list[Any]:
            return [half_pi_pulse(height, length)] * REPETITIONS

        reference = sweep.measure(lambda _: [Blank(REFERENCE_WAIT_NS)], np.zeros(1))
        iq = sweep.measure(sequence, amplitude)
        return RunResult(
            Dataset(
                [
                    MeasuredArray("amplitude", amplitude, "a.u.", "amplitude of each of four pulses"),
                    MeasuredArray("iq", iq, "a.u.", "averaged IQ signal"),
                    MeasuredArray("reference_iq", reference, "a.u.", "IQ signal without a drive"),
                ]
            ),
            library_half_pi(sweep.label, amplitude, iq, complex(reference[0])),
        )

    def postprocess(
        self, backend: Backend | None, execution_id: str, run_result: RunResult, qid: str
    ) -> PostProcessResult:
        """Fit the amplitude of a whole turn; four of its pulses make one, so each is half a π."""
        amplitude = run_result.data.values("amplitude")
        reference = complex(run_result.data.values("reference_iq")[0])
        projection = project("pulse amplitude", run_result.data.values("iq"), reference)
        fit = fit_pulse_amplitude("pulse amplitude", amplitude, projection.signal, turns=1)
        missed = _missed_return(fit, float(projection.apply(reference)))
        fitted = np.asarray(fit.curve(amplitude).real)
        misfit = projection.misfit("pulse amplitude", fitted, int(self.setting("shots")))
        value, error = fit.values["full_turn"], fit.errors["full_turn"]
        line = spaced(float(amplitude.min()), float(amplitude.max()), "linear")
        figure = fit_figure(
            f"Half-π pulse of qubit {qid}: amplitude {value_and_error(value, error, 'a.u.')}",
            f"R² = {fit.r2:.4f}, {amplitude.size} points, {REPETITIONS} pulses each",
            Axis("Pulse amplitude (a.u.)"),
            Axis("Signal along the IQ axis (a.u.)"),
            [Series("data", amplitude, projection.signal, line, np.asarray(fit.curve(line).real))],
        )
        return PostProcessResult(
            output_parameters={
                "hpi_amplitude": self.output("hpi_amplitude", value, error),
                "hpi_length": self.output("hpi_length", float(self.setting("hpi_duration"))),
            },
            figures=[Figure.of("hpi_amplitude", figure)],
            r2=fit.r2,
            failure=_failure(fit, amplitude.size, missed) or misfit or _stretched(fit),
            quality_metrics={
                "r2": fit.r2,
                "iq_noise": projection.noise,
                "stretch": fit.values["stretch"],
                "missed_return": missed,
            },
        )


def _too_strong(length: float, amplitude: float) -> Failure:
    return Failure(
        kind=FailureKind.OUT_OF_RANGE,
        cause="full_scale",
        message=f"a half-π pulse of {length:g} ns needs an amplitude of {amplitude:.3g}, above full scale",
        remedy="use a longer hpi_duration, or check control_amplitude",
    )


def _stretched(fit: Fit) -> Failure | None:
    stretch, error = fit.values["stretch"], fit.errors["stretch"]
    if abs(stretch - 1) <= max(STRETCH_TOLERANCE, 3 * error):
        return None
    return Failure(
        kind=FailureKind.BAD_FIT,
        cause="stretched",
        message=f"the rotation per amplitude is {stretch:.3f} times the one that a whole turn means",
        remedy="run CheckRabi: the drive may be off resonance, or points may be in the wrong order",
    )


def _missed_return(fit: Fit, reference: float) -> float:
    """How far from the undriven signal the whole turn ends, in parts of the full swing."""
    contrast = fit.values["contrast"]
    return (reference - (fit.values["offset"] + contrast)) / (2 * abs(contrast))


def _failure(fit: Fit, points: int, missed: float) -> Failure | None:
    if not is_signal(fit.r2, points, 4):
        return no_signal("pulse amplitude")
    failure = fit.failure("pulse amplitude")
    if failure is None and not abs(missed) <= RETURN_TOLERANCE:
        return Failure(
            kind=FailureKind.BAD_FIT,
            cause="no_return",
            message=f"four half-π pulses miss the ground state by {abs(missed):.0%} of the signal's swing",
            remedy="run CheckRabi: the drive may be off resonance",
        )
    return failure
