"""CheckRabi: the Rabi frequency of the drive, and the states in the IQ plane."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from qubex.pulse import Blank

from calibtasks.base import Backend, BaseTask, OutputParameter, PostProcessResult, RunParameter, RunResult
from calibtasks.dataset import Dataset, MeasuredArray
from calibtasks.figures.plots import (
    SECOND_COLOUR,
    Axis,
    Figure,
    Series,
    fit_figure,
    plane_figure,
    spaced,
    value_and_error,
)
from calibtasks.fits.iq import Projection, project
from calibtasks.fits.least_squares import Fit, is_signal, no_signal
from calibtasks.fits.models import fit_damped_cosine
from calibtasks.fits.qubex_fits import library_rabi
from calibtasks.measure.pulses import rabi_pulse
from calibtasks.measure.sweeps import (
    GUARD_POINTS,
    INTERVAL,
    READOUT_INPUTS,
    Sweep,
    shots_parameter,
    with_guards,
)
from qdash_queue.domain import Failure, FailureKind, FiniteRange, ParameterModel, RunParameterModel, TaskType

RABI_RAMP_NS: Final = 20.0
"""Ramp of the drive pulse; its area equals that of so much plateau."""
REFERENCE_WAIT_NS: Final = 8.0
REFERENCE_POINTS: Final = 16
"""Points that share the shots of the undriven signal, so that its scatter is measured."""
NOMINAL_RABI_MHZ: Final = 12.5
"""The Rabi frequency at the stored control amplitude."""
RESONANT_DETUNING: Final = 0.2
"""Largest detuning of a drive that counts as resonant, in Rabi frequencies; it costs 4 % of the contrast."""
MIN_SIDE_POINTS: Final = 12

_TINY: Final = FiniteRange(low=-1e3, high=1e3)
_IQ: Final = FiniteRange(low=1e-9, high=1e3)


@dataclass(frozen=True)
class _Analysis:
    time: NDArray[np.float64]
    iq: NDArray[np.complex128]
    undriven: NDArray[np.complex128]
    projection: Projection
    fit: Fit
    side_time: NDArray[np.float64]
    side_signal: NDArray[np.float64]
    side_fit: Fit
    side_detuning: float

    @property
    def reference(self) -> complex:
        """The undriven signal."""
        return complex(self.undriven.mean())

    def detuning(self) -> tuple[float, float]:
        """Drive frequency minus the qubit's, and its error, in MHz.

        A drive off by Δ turns the qubit with f² = Ω² + Δ². A second drive, off by δ more, has f'² = Ω² + (Δ +
        δ)², so Δ = (f'² - f² - δ²) / 2δ: neither contrast nor drive strength need be known. It refers to the
        driven qubit, whose frequency the third level raises by Ω² / 2|α|: a quarter of a MHz at 12.5 MHz.
        """
        side, rabi = self.side_fit.values["frequency"] * 1e3, self.fit.values["frequency"] * 1e3
        errors = math.hypot(
            side * self.side_fit.errors["frequency"] * 1e3, rabi * self.fit.errors["frequency"] * 1e3
        )
        return (side**2 - rabi**2 - self.side_detuning**2) / (
            2 * self.side_detuning
        ), errors / self.side_detuning

    def drive_strength(self) -> tuple[float, float]:
        """Rabi frequency Ω of this drive on resonance, and its error, in MHz; NaN when none would fit.

        Ω² = f² - Δ² with the Δ of :meth:`detuning`, so Ω dΩ = f (1 + Δ/δ) df - (Δ f'/δ) df'.
        """
        rabi, side = self.fit.values["frequency"] * 1e3, self.side_fit.values["frequency"] * 1e3
        detuning, _ = self.detuning()
        if not detuning**2 < rabi**2:
            return math.nan, math.nan
        strength, part = math.sqrt(rabi**2 - detuning**2), detuning / self.side_detuning
        errors = math.hypot(
            rabi * (1 + part) * self.fit.errors["frequency"] * 1e3,
            part * side * self.side_fit.errors["frequency"] * 1e3,
        )
        return strength, errors / strength

    def reference_phase_error(self) -> float:
        """Error of the undriven signal's phase, radians, from the scatter of its points across its direction.

        That holds the shot noise of a hot qubit too, which lies along the IQ axis.
        """
        points = self.undriven.size
        if points <= 3:  # Too few to scatter: older data has one, as noisy as a point of the sweep.
            return self.projection.noise / math.sqrt(points) / abs(self.reference)
        across = (self.undriven * np.exp(-1j * np.angle(self.reference))).imag
        # Widened by the variance of Student's distribution, as the fits' errors are: 15/13 for 16 points.
        variance = float(np.var(across, ddof=1)) / points * (points - 1) / (points - 3)
        return math.sqrt(variance) / abs(self.reference)


class CheckRabi(BaseTask):
    """Drive the qubit for a varied time; the signal oscillates with the Rabi frequency.

    A drive off resonance gives a fine oscillation too, only faster and weaker. So a second, shorter sweep is
    driven at a slightly higher frequency: the two together give the detuning.
    """

    name = "CheckRabi"
    task_type = TaskType.QUBIT
    description = "Rabi oscillation: drive strength and the states' positions in the IQ plane"
    input_parameters: Mapping[str, ParameterModel] = {
        "qubit_frequency": ParameterModel(unit="GHz", description="carrier of the control pulses"),
        "control_amplitude": ParameterModel(unit="a.u.", description="amplitude of the drive"),
        **READOUT_INPUTS,
    }
    run_parameters: Mapping[str, RunParameterModel] = {
        "time_range": RunParameter(
            unit="ns",
            value_type="range",
            value=[0, 401, 8],
            description="lengths of the pulse's plateau",
            limits=FiniteRange(low=0, high=1e5),
        ),
        "side_detuning": RunParameter(
            unit="GHz",
            value_type="float",
            value=0.005,
            description="how much higher the second sweep is driven",
            limits=FiniteRange(low=0.001, high=0.02),
        ),
        "shots": shots_parameter(2048),
        "interval": INTERVAL,
    }
    output_parameters: Mapping[str, ParameterModel] = {
        "rabi_amplitude": OutputParameter(unit="a.u.", description="half the oscillation", believable=_IQ),
        "rabi_frequency": OutputParameter(
            unit="MHz",
            description="Rabi frequency at this control amplitude",
            believable=FiniteRange(low=2, high=40),
        ),
        "rabi_phase": OutputParameter(
            unit="a.u.",
            description="phase of the oscillation at zero pulse area, radians",
            believable=FiniteRange(low=-math.pi, high=math.pi),
        ),
        "rabi_offset": OutputParameter(
            unit="a.u.", description="centre of the oscillation", believable=_TINY
        ),
        "rabi_angle": OutputParameter(
            unit="degree",
            description="rotation that brings the oscillation to the imaginary axis",
            believable=FiniteRange(low=-360, high=360),
        ),
        "rabi_noise": OutputParameter(
            unit="a.u.", description="deviation of the points across the oscillation", believable=_IQ
        ),
        "rabi_distance": OutputParameter(
            unit="a.u.", description="distance of the oscillation's line from the origin", believable=_TINY
        ),
        "rabi_reference_phase": OutputParameter(
            unit="a.u.",
            description="phase of the undriven signal, radians",
            believable=FiniteRange(low=-math.pi, high=math.pi),
        ),
        "control_amplitude": OutputParameter(
            unit="a.u.",
            description="control amplitude that gives a Rabi frequency of 12.5 MHz",
            believable=FiniteRange(low=1e-4, high=0.99),
        ),
        "maximum_rabi_frequency": OutputParameter(
            unit="MHz/a.u.",
            description="Rabi frequency per control amplitude",
            believable=FiniteRange(low=10, high=20_000),
        ),
    }
    fits = True
    r2_threshold = 0.6

    def run(self, backend: Backend, qid: str) -> RunResult:
        """Measure ``time`` (ns of full drive), ``iq`` (a.u.), ``reference_iq``, and the second sweep's."""
        sweep = Sweep.of(self, backend, qid)
        side_sweep = replace(
            Sweep.of(self, backend, qid, detuning=float(self.setting("side_detuning"))),
            shots=max(1, sweep.shots // 2),
        )
        steps = np.asarray(self.setting("time_range"))
        plateau = sweep.on_grid(with_guards(steps))
        drive = self.input("control_amplitude")

        def sequence(time: float) -> list[Any]:
            return [rabi_pulse(drive, time, RABI_RAMP_NS)]

        few_shots = replace(sweep, shots=max(1, sweep.shots // REFERENCE_POINTS))
        undriven = few_shots.measure(lambda _: [Blank(REFERENCE_WAIT_NS)], np.zeros(REFERENCE_POINTS))
        iq = sweep.measure(sequence, plateau)
        # The first half of the steps, with all the guards, which are among the first points.
        side_plateau = plateau[: max(MIN_SIDE_POINTS, (plateau.size + len(GUARD_POINTS) + 1) // 2)]
        side_iq = side_sweep.measure(sequence, side_plateau)
        time = plateau + RABI_RAMP_NS
        # qubex starts its fit from a Fourier transform, which needs even steps.
        even = np.isin(plateau, sweep.on_grid(steps))
        return RunResult(
            Dataset(
                [
                    MeasuredArray("time", time, "ns", "pulse area over its amplitude"),
                    MeasuredArray("iq", iq, "a.u.", "averaged IQ signal"),
                    MeasuredArray("reference_iq", undriven, "a.u.", "IQ signal without a drive"),
                    MeasuredArray("side_time", side_plateau + RABI_RAMP_NS, "ns", "time of the second sweep"),
                    MeasuredArray("side_iq", side_iq, "a.u.", "averaged IQ signal of the second sweep"),
                ]
            ),
            library_rabi(sweep.label, time[even], iq[even], complex(undriven.mean())),
        )

    def postprocess(
        self, backend: Backend | None, execution_id: str, run_result: RunResult, qid: str
    ) -> PostProcessResult:
        """Fit a damped cosine along the IQ axis; refuse no oscillation, and one of a drive off resonance."""
        data = run_result.data
        undriven = data.values("reference_iq")
        projection = project("Rabi oscillation", data.values("iq"), complex(undriven.mean()))
        fit = fit_damped_cosine("Rabi oscillation", data.values("time"), projection.signal)
        side_time, side_signal = data.values("side_time"), projection.apply(data.values("side_iq"))
        found = _Analysis(
            time=data.values("time"),
            iq=data.values("iq"),
            undriven=undriven,
            projection=projection,
            fit=fit,
            side_time=side_time,
            side_signal=side_signal,
            side_fit=fit_damped_cosine("detuned Rabi oscillation", side_time, side_signal),
            side_detuning=float(self.setting("side_detuning")) * 1e3,
        )
        detuning, detuning_error = found.detuning()
        return PostProcessResult(
            output_parameters={
                name: self.output(name, value, error)
                for name, (value, error) in _outputs(found, self.input("control_amplitude")).items()
            },
            figures=_figures(found, qid),
            r2=fit.r2,
            failure=_failure(found, int(self.setting("shots"))),
            quality_metrics={
                "r2": fit.r2,
                "iq_noise": projection.noise,
                "detuning_mhz": detuning,
                "detuning_error_mhz": detuning_error,
            },
        )


def _failure(found: _Analysis, shots: int) -> Failure | None:
    if not is_signal(found.fit.r2, found.time.size, 5):
        return no_signal("Rabi oscillation")
    fitted = np.asarray(found.fit.curve(found.time).real)
    failure = found.fit.failure("Rabi oscillation") or found.projection.misfit(
        "Rabi oscillation", fitted, shots
    )
    return failure or _off_resonance(found)


def _off_resonance(found: _Analysis) -> Failure | None:
    detuning, error = found.detuning()
    offset = value_and_error(detuning, error, "MHz")
    allowed = RESONANT_DETUNING * found.fit.values["frequency"] * 1e3
    if not is_signal(found.side_fit.r2, found.side_time.size, 5) or found.side_fit.failure("") is not None:
        reason = f"no Rabi oscillation is seen {found.side_detuning:g} MHz higher: the drive is off resonance"
    elif not abs(detuning) <= allowed + 3 * error:
        reason = f"the drive is off resonance by {offset}"
    elif not 3 * error <= allowed:
        return Failure(
            kind=FailureKind.BAD_FIT,
            cause="detuning_not_resolved",
            message=f"the drive's detuning of {offset} is not known well enough",
            remedy="use more shots",
        )
    else:
        return None
    return Failure(
        kind=FailureKind.OUT_OF_RANGE,
        cause="off_resonance",
        message=reason,
        remedy="measure the qubit's frequency, or set qubit_frequency",
    )


def _outputs(found: _Analysis, drive: float) -> dict[str, tuple[float, float]]:
    """Values and errors in QDash's units, in qubex's convention: iq = (distance + i signal) exp(i angle)."""
    fit, projection, points = found.fit, found.projection, found.time.size
    angle = projection.angle - math.pi / 2
    centre = projection.centre * complex(math.cos(angle), -math.sin(angle))
    noise, amplitude = projection.noise, fit.values["amplitude"]
    frequency, frequency_error = fit.values["frequency"] * 1e3, fit.errors["frequency"] * 1e3
    strength, strength_error = found.drive_strength()
    slope, relative = strength / drive, strength_error / strength
    control = NOMINAL_RABI_MHZ / slope
    mean_error, angle_error = noise / math.sqrt(points), noise / float(np.linalg.norm(projection.signal))
    return {
        "rabi_amplitude": (amplitude, fit.errors["amplitude"]),
        "rabi_frequency": (frequency, frequency_error),
        "rabi_phase": (fit.values["phase"], fit.errors["phase"]),
        # The line rotates about its middle, so an error of its angle moves the foot of the perpendicular too.
        "rabi_offset": (
            centre.imag + fit.values["offset"],
            math.hypot(fit.errors["offset"], centre.real * angle_error),
        ),
        "rabi_angle": (
            math.degrees(math.remainder(angle, 2 * math.pi)),
            math.degrees(angle_error),
        ),
        "rabi_noise": (noise, noise / math.sqrt(2 * points)),
        "rabi_distance": (centre.real, math.hypot(mean_error, centre.imag * angle_error)),
        "rabi_reference_phase": (float(np.angle(found.reference)), found.reference_phase_error()),
        "control_amplitude": (control, control * relative),
        "maximum_rabi_frequency": (slope, slope * relative),
    }


def _figures(found: _Analysis, qid: str) -> list[Figure]:
    fit, projection, time = found.fit, found.projection, found.time
    frequency = value_and_error(fit.values["frequency"] * 1e3, fit.errors["frequency"] * 1e3, "MHz")
    detuning = value_and_error(*found.detuning(), "MHz")
    quality = f"R² = {fit.r2:.4f}, {time.size} points, drive off resonance by {detuning}"
    line = spaced(float(time.min()), float(time.max()), "linear")
    fitted = np.asarray(fit.curve(line).real)
    side_line = spaced(float(found.side_time.min()), float(found.side_time.max()), "linear")
    oscillation = fit_figure(
        f"Rabi oscillation of qubit {qid}: {frequency}",
        quality,
        Axis("Drive time (ns)"),
        Axis("Signal along the IQ axis (a.u.)"),
        [
            Series("data", time, projection.signal, line, fitted),
            Series(
                f"driven {found.side_detuning:g} MHz higher",
                found.side_time,
                found.side_signal,
                side_line,
                np.asarray(found.side_fit.curve(side_line).real),
                SECOND_COLOUR,
            ),
        ],
    )
    along = projection.centre + fitted * np.exp(1j * projection.angle)
    clouds = {"fit": along, "data": found.iq, "no drive": [found.reference]}
    plane = plane_figure(f"Rabi oscillation of qubit {qid} in the IQ plane", quality, "a.u.", clouds)
    return [Figure.of("rabi", oscillation), Figure.of("iq_plane", plane)]
