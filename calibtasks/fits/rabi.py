"""Fit of a Rabi oscillation and of a second one, driven higher, which tells the drive's detuning.

Both are damped cosines in the population difference, fitted at once with the carry-over of shots.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from calibtasks.fits.carry_over import MOST, carried
from calibtasks.fits.cosine_start import Start, cosine_start
from calibtasks.fits.fit import Estimate, Fit, NoFit, Real, attempted
from calibtasks.fits.iq_line import IQLine
from calibtasks.fits.least_squares import Weighted, refine_weighted
from calibtasks.fits.signal import Signal, stacked
from calibtasks.fits.third_level import TYPICAL_ANHARMONICITY, resonant_rabi
from calibtasks.measure.sweep import Sweep

MAIN: Final = "rabi"
SIDE: Final = "side"
_TWO_PI: Final = 2 * np.pi
_PARAMETERS: Final = 12
_WAVE: Final = 5
"""Parameters of a damped cosine; the second one's follow the first one's."""
_AMPLITUDE, _FREQUENCY, _PHASE, _OFFSET, _RATE = range(_WAVE)
PHASE_SIGMA: Final = 0.01
"""How far, in radians, a detuning makes the turn of the ramps differ from that in a resonant drive."""
_PART: Final = 10
"""The carried part; the ground references' signal is last."""


@dataclass(frozen=True)
class RabiFit(Fit):
    """A Rabi oscillation: ``signal = offset - amplitude * exp(-rate * t) * cos(2π frequency * t + phase)``.

    Attributes:
        amplitude: half the oscillation, in the data's unit.
        frequency: MHz.
        phase: at zero pulse area, radians.
        side_amplitude: of the second oscillation, in the data's unit.
        side_detuning: how much higher it was driven, MHz.
        detuning: drive frequency minus the qubit's, MHz.
        strength: Rabi frequency of this drive on resonance, MHz; NaN when none would fit.
        start: how far from the ground references the oscillation starts, in parts of its swing.
        line: of the signal in the IQ plane.
        signal: the data.
        curve: signal of the oscillation (0) or of the second one (1) at drive times in ns.
    """

    amplitude: Estimate
    frequency: Estimate
    phase: Estimate
    side_amplitude: Estimate
    side_detuning: float
    detuning: Estimate
    strength: Estimate
    start: Estimate
    line: IQLine
    signal: Signal = field(repr=False)
    curve: Callable[[Real, int], Real] = field(repr=False)

    def metrics(self) -> Mapping[str, float]:
        """The detuning beside the usual ones."""
        return {
            **super().metrics(),
            "detuning_mhz": self.detuning.value,
            "detuning_error_mhz": self.detuning.error,
        }


@attempted
def fit_rabi(
    what: str,
    sweeps: Mapping[str, Sweep],
    side_detuning_mhz: float,
    anharmonicity: Estimate = TYPICAL_ANHARMONICITY,
) -> RabiFit | NoFit:
    """Fit both sweeps (``rabi`` and ``side``, over drive times in ns) at once.

    A drive off by Δ turns the qubit with f² = Ω² + Δ². A second drive, off by δ more, has f'² =
    Ω² + (Δ + δ)², so Δ = (f'² - f² - δ²) / 2δ: neither contrast nor drive strength need be known. It
    refers to the driven qubit, whose frequency the third level raises by Ω² / 2|α|: a quarter of a MHz at
    12.5 MHz. The third level also slows the oscillation, for which the strength is corrected; its systematic
    error is that of ``anharmonicity`` (GHz).
    """
    signal = Signal.of(what, sweeps, parameters=_PARAMETERS)
    times = [sweeps[name].points for name in (MAIN, SIDE)]
    starts = [
        cosine_start(time, signal.values[signal.parts[name]])
        for time, name in zip(times, (MAIN, SIDE), strict=True)
    ]
    span = float(np.ptp(times[0]))
    model = _Model(signal, (times[0] / span, times[1] / span))
    begin = [number for start in starts for number in _downwards(start, span)]
    begin += [0.0, signal.mean(signal.ground)]
    found = refine_weighted(
        model.values,
        model.jacobian,
        begin,
        signal.values,
        lambda p, fitted, slopes: signal.variances(fitted, slopes, 2 * p[_AMPLITUDE]),
        _same_ramps,
    )
    return _described(signal, sweeps, found, starts, side_detuning_mhz, anharmonicity)


def _same_ramps(p: Real) -> Real:
    """The tie of both phases: they are the turn of the same ramps, at another frequency."""
    tie = np.zeros(p.size)
    tie[[_PHASE, _WAVE + _PHASE]] = -p[_WAVE + _FREQUENCY] / p[_FREQUENCY], 1.0
    return np.asarray(tie / PHASE_SIGMA)


def _downwards(start: Start, span: float) -> list[float]:
    """A wave of negative amplitude, which starts in the ground state, where signals are low."""
    phase = math.remainder(start.phase - math.pi, 2 * math.pi)
    return [-start.amplitude, start.frequency * span, phase, start.offset, start.rate * span]


def _bound(p: Real, starts: Sequence[Start], span: float) -> str:
    frequency = p[_FREQUENCY] / span
    if not starts[0].lowest < frequency < starts[0].highest:
        return f"a frequency of {frequency * 1e3:.3g} MHz is outside the range that the sweep resolves"
    if p[_RATE] < -1:
        return "the oscillation grows"
    return "" if abs(p[_PART]) < MOST else "the signal does not fit to the shots before"


@dataclass(frozen=True)
class _Model:
    """Both oscillations and the ground references; parameters: two waves, the carried part, the ground.

    The population difference is counted from the first oscillation's middle in parts of its amplitude.
    """

    signal: Signal
    times: tuple[Real, Real]

    def values(self, p: Real) -> Real:
        """Of all data, shape (n,)."""
        amplitude, c, _, offset = self._waves(p)
        both = offset + amplitude * carried(c, p[_PART]).z
        return stacked(self.signal, [both], p[-1], math.nan)

    def jacobian(self, p: Real) -> Real:
        """Derivatives, shape (n, 12)."""
        amplitude, c, sine, _ = self._waves(p)
        z, by_c, by_part = carried(c, p[_PART])
        u, slope = np.concatenate(self.times), amplitude * by_c
        slopes = np.stack([z, -slope * sine * _TWO_PI * u, -slope * sine, np.ones_like(u), -slope * c * u])
        full = np.zeros((self.signal.values.size, _PARAMETERS))
        for which, name in enumerate((MAIN, SIDE)):
            rows = self.signal.parts[name]
            full[rows, _own(which)] = slopes[:, rows].T
        full[self.signal.points, _PART] = amplitude * by_part
        full[self.signal.ground, -1] = 1.0
        return full

    def _waves(self, p: Real) -> tuple[Real, Real, Real, Real]:
        """Amplitude, cosine and sine with their decay, and offset at all points of both, each of shape (n,).

        Both at once, because a call costs more than a number.
        """
        sizes = [u.size for u in self.times]
        each = np.repeat(p[: 2 * _WAVE].reshape(2, _WAVE).T, sizes, axis=1)
        amplitude, frequency, phase, offset, rate = each
        u = np.concatenate(self.times)
        wave = np.exp(-rate * u + 1j * (_TWO_PI * frequency * u + phase))
        return amplitude, wave.real, wave.imag, offset


def _own(which: int) -> slice:
    return slice(which * _WAVE, (which + 1) * _WAVE)


def curve(p: Real, which: int, u: Real) -> Real:
    """Signal of an oscillation, with the carry-over of shots."""
    amplitude, frequency, phase, offset, rate = p[_own(which)]
    c = np.exp(-rate * u) * np.cos(_TWO_PI * frequency * u + phase)
    return np.asarray(offset + amplitude * carried(c, p[_PART]).z)


def _described(
    signal: Signal,
    sweeps: Mapping[str, Sweep],
    found: Weighted,
    starts: Sequence[Start],
    side_mhz: float,
    anharmonicity: Estimate,
) -> RabiFit:
    span = float(np.ptp(sweeps[MAIN].points))
    bound = _bound(found.parameters, starts, span)
    p, scale, mhz = found.parameters, signal.scale, 1e3 / span
    rabi, side = p[_FREQUENCY] * mhz, p[_WAVE + _FREQUENCY] * mhz
    detuning = (side**2 - rabi**2 - side_mhz**2) / (2 * side_mhz)
    # Ω² = f² - Δ², so Ω dΩ = f (1 + Δ/δ) df - (Δ f'/δ) df'.
    strength = math.sqrt(rabi**2 - detuning**2) if abs(detuning) < rabi else math.nan
    part = detuning / side_mhz
    corrected, low, high = (
        resonant_rabi(strength, detuning, 1e3 * ghz) if math.isfinite(strength) else math.nan
        for ghz in anharmonicity.value + anharmonicity.error * np.array([0, -1, 1])
    )
    cosine, sine = math.cos(p[_PHASE]), math.sin(p[_PHASE])

    def estimate(value: float, slopes: Mapping[int, float], systematic: float = 0.0) -> Estimate:
        return Estimate(float(value), found.error(slopes), systematic)

    def slopes(first: float, second: float) -> dict[int, float]:
        return {_FREQUENCY: first * mhz, _WAVE + _FREQUENCY: second * mhz}

    return RabiFit(
        signal.quality(found, bound),
        amplitude=estimate(-p[_AMPLITUDE], {_AMPLITUDE: 1.0}).scaled(scale),
        frequency=estimate(rabi, slopes(1.0, 0.0)),
        phase=estimate(math.remainder(p[_PHASE], 2 * math.pi), {_PHASE: 1.0}),
        side_amplitude=estimate(-p[_WAVE], {_WAVE: 1.0}).scaled(scale),
        side_detuning=side_mhz,
        detuning=estimate(detuning, slopes(-rabi / side_mhz, side / side_mhz)),
        strength=estimate(
            corrected,
            slopes(rabi * (1 + part) / strength, -part * side / strength),
            abs(high - low) / 2,
        ),
        start=estimate(
            p[_OFFSET] + p[_AMPLITUDE] * cosine - p[-1],
            {_OFFSET: 1.0, _AMPLITUDE: cosine, _PHASE: -p[_AMPLITUDE] * sine, _PARAMETERS - 1: -1.0},
        ).scaled(1 / abs(2 * p[_AMPLITUDE])),
        line=IQLine.of(signal, sweeps, found, estimate(p[_OFFSET], {_OFFSET: 1.0})),
        signal=signal,
        curve=lambda time, which: curve(p, which, time / span),
    )
