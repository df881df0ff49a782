"""What CreateHPIPulse and CreatePIPulse share: a pulse repeated to a whole turn, with a varied amplitude."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, cast

import numpy as np

from calibtasks.checks import STANDARD, Checked, bad_fit
from calibtasks.figures.plots import Axis, Figure, Series, fit_figure, spaced, value_and_error
from calibtasks.fits.fit import Estimate, NoFit
from calibtasks.fits.pulse_amplitude import PHASE, PULSE, Pulse, PulseFit, fit_pulse_amplitude
from calibtasks.fits.third_level import anharmonicity
from calibtasks.measure.lab import Lab
from calibtasks.measure.pulses import HALF_PI_RAMP_NS, pulse_steps
from calibtasks.measure.settings import INTERVAL, shots_parameter
from calibtasks.measure.sweep import Sweep
from calibtasks.measure.targets import Op, Play, Target
from calibtasks.parameters.declared import (
    CONTROL_AMPLITUDE,
    DRIVE,
    NOMINAL_RABI_MHZ,
    READ,
    THIRD_LEVEL,
    Param,
)
from calibtasks.parameters.run_parameters import RunParameter
from calibtasks.protocol import Protocol, Sweeps
from qdash_queue.domain import CalibrationError, Failure, FailureKind, FiniteRange, RunParameterModel

POINTS: Final = 20
RETURN_TOLERANCE: Final = 0.06
"""Largest distance from the ground state after a whole turn, in parts of the full swing."""
STRETCH_TOLERANCE: Final = 0.03
"""Largest relative deviation of the rotation per amplitude from that of a whole turn at this amplitude."""
RESONANT_DETUNING: Final = 0.1
"""Largest detuning of a drive that counts as resonant, in Rabi frequencies of the pulse."""


def is_resonant(checked: Checked) -> Failure | None:
    """The detuning is known, and small beside the pulse's Rabi frequency."""
    fit = cast("PulseFit", checked.fit)
    allowed = RESONANT_DETUNING * fit.rabi_mhz
    offset = value_and_error(fit.detuning.value, fit.detuning.error, "MHz")
    if not abs(fit.detuning.value) <= allowed:
        return Failure(
            kind=FailureKind.OUT_OF_RANGE,
            cause="off_resonance",
            message=f"the drive is off resonance by {offset}",
            remedy="measure the qubit's frequency with CheckRamsey, or set qubit_frequency",
        )
    if not 3 * fit.detuning.error <= allowed:
        message = f"the drive's detuning of {offset} is not known well enough"
        return bad_fit("detuning_not_resolved", message, "use more shots")
    return None


def returns(checked: Checked) -> Failure | None:
    """The whole turn ends in the ground state."""
    missed = cast("PulseFit", checked.fit).missed
    if abs(missed.value) <= max(RETURN_TOLERANCE, 3 * missed.error):
        return None
    return bad_fit(
        "no_return",
        f"the pulses of a whole turn miss the ground state by {abs(missed.value):.0%} of the signal's swing",
        "run CheckRabi: the drive may be off resonance",
    )


def is_linear(checked: Checked) -> Failure | None:
    """The rotation grows with the amplitude as it must for a whole turn at this one."""
    stretch = cast("PulseFit", checked.fit).stretch
    if abs(stretch.value - 1) <= max(STRETCH_TOLERANCE, 3 * stretch.error):
        return None
    return bad_fit(
        "stretched",
        f"the rotation per amplitude is {stretch.value:.3f} times the one that a whole turn means",
        "run CheckRabi: points may be in the wrong order, or the drive is not linear",
    )


def duration(words: str) -> RunParameterModel:
    """The setting of a pulse's length, by default 32 ns."""
    return RunParameter(
        unit="ns",
        value_type="int",
        value=32,
        description=f"length of the {words}",
        limits=FiniteRange(low=2 * HALF_PI_RAMP_NS, high=1000),
    )


class RepeatedPulse(Protocol, register=False):
    """Apply a pulse several times with a varied amplitude; at the right one the qubit returns.

    Two quarter turns about different axes tell by how much the drive is off resonance.

    Attributes:
        count: of pulses that make a whole turn.
        amplitude: the parameter that is measured.
        length: the parameter that holds the pulse's length.
        duration_setting: the setting that is it.
    """

    count: ClassVar[int]
    amplitude: ClassVar[Param]
    length: ClassVar[Param]
    duration_setting: ClassVar[str]
    needs = (*DRIVE, CONTROL_AMPLITUDE, *READ, *THIRD_LEVEL)
    settings: ClassVar = {"shots": shots_parameter(2048), "interval": INTERVAL}
    checks = (*STANDARD, is_resonant, returns, is_linear)

    def acquire(self, lab: Lab, targets: Sequence[Target]) -> Mapping[str, Mapping[str, Sweep]]:
        """Half to three halves of the expected amplitude; then a quarter turn about X and one about ±Y."""
        length = self.number(self.duration_setting)
        expected = {target.qid: self._expected(target) for target in targets}

        def repeated(target: Target, height: float) -> Sequence[Op]:
            return [target.qubit.pulse(height, length)] * self.count

        def quarters(target: Target, phase: float) -> Sequence[Op]:
            first = target.qubit.pulse(expected[target.qid] * self.count / 4, length)
            return [first, Play(first.label, first.waveform.shifted(phase))]

        heights = {
            qid: np.linspace(0.5 * middle, min(1.5 * middle, 1.0), POINTS) for qid, middle in expected.items()
        }
        phases = np.array([math.pi / 2, -math.pi / 2])
        return {
            PULSE: lab.sweep(targets, heights, repeated, unit="a.u."),
            PHASE: lab.sweep(targets, phases, quarters, unit="rad"),
        }

    def fit(self, sweeps: Sweeps, target: Target) -> PulseFit | NoFit:
        """The amplitude of a whole turn; each pulse is its part of it."""
        return fit_pulse_amplitude(self.what, sweeps, self._pulse(target), anharmonicity(target.qubit).error)

    def values(self, fit: PulseFit, target: Target) -> Mapping[Param, Estimate]:
        """Amplitude and length of the pulse."""
        return {self.amplitude: fit.full_turn, self.length: Estimate(self.number(self.duration_setting), 0.0)}

    def figures(self, sweeps: Sweeps, fit: PulseFit, target: Target) -> list[Figure]:
        """Signal and fit over the amplitude."""
        found = value_and_error(fit.full_turn.value, fit.full_turn.total, "a.u.")
        detuning = value_and_error(fit.detuning.value, fit.detuning.total, "MHz")
        heights, scale = sweeps[PULSE].points, fit.signal.scale
        line = spaced(float(heights.min()), float(heights.max()), "linear")
        data = fit.signal.values[fit.signal.parts[PULSE]] * scale
        figure = fit_figure(
            f"Amplitude of the {self.what} of qubit {target.qid}: {found}",
            f"R² = {fit.quality.r2:.4f}, {heights.size} points, {self.count} pulses each,"
            f" drive off resonance by {detuning}",
            Axis("Pulse amplitude (a.u.)"),
            Axis("Signal along the IQ axis (a.u.)"),
            [Series("data", heights, data, line, fit.curve(line) * scale)],
        )
        return [Figure.of(self.amplitude.name, figure)]

    def _pulse(self, target: Target) -> Pulse:
        steps = pulse_steps(self.number(self.duration_setting))
        return Pulse(*steps, self.count, anharmonicity(target.qubit).value)

    def _expected(self, target: Target) -> float:
        """The amplitude by the stored drive strength; CalibrationError when it is above full scale."""
        expected = target.value("control_amplitude") * self._pulse(target).rabi_ghz * 1e3 / NOMINAL_RABI_MHZ
        if expected <= 1:
            return expected
        length = self.number(self.duration_setting)
        message = f"a {self.what} of {length:g} ns needs an amplitude of {expected:.3g}, above full scale"
        raise CalibrationError(
            Failure(
                kind=FailureKind.OUT_OF_RANGE,
                cause="full_scale",
                message=message,
                remedy=f"use a longer {self.duration_setting}, or check control_amplitude",
            )
        )
