"""Fit of the amplitude at which a repeated pulse turns the qubit once, and of the drive's detuning.

Both come from the exact rotations of a two-level system: a detuning turns the qubit while the ramps hardly
drive it, so that its effect is no simple change of the Rabi frequency.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.polynomial import Polynomial

from calibtasks.fits.carry_over import MOST, carried
from calibtasks.fits.fit import Complex, Estimate, Fit, NoFit, Real, attempted
from calibtasks.fits.least_squares import Weighted, refine_weighted, search
from calibtasks.fits.signal import Signal, stacked
from calibtasks.fits.third_level import driven
from calibtasks.measure.sweep import Sweep

PULSE: Final = "pulse"
PHASE: Final = "phase"

_HALF, _TURN, _STRETCH, _MIDDLE, _PART, _DETUNING, _TILT, _GROUND = range(8)
_GRID: Final = 201
_STEP: Final = 1e-4
"""Of numerical derivatives, relative; their error is its square."""

Spinor = tuple[Complex, Complex]
"""The first column of a rotation's SU(2) matrix."""


@dataclass(frozen=True)
class Pulse:
    """A pulse of which a number makes a whole turn at the right amplitude.

    Attributes:
        heights: of its equal steps, in parts of its largest, shape (k,).
        step: their length, ns.
        count: of pulses in a whole turn, a power of 2.
        anharmonicity: GHz.
    """

    heights: Real
    step: float
    count: int
    anharmonicity: float

    @cached_property
    def right(self) -> float:
        """Height of the right pulse in parts of that of its area.

        On resonance half of the population stays in the ground state after a half-π pulse, least after a π
        pulse.
        """
        heights = 1 + np.linspace(-0.05, 0.05, 11)
        once = _difference(self.rotation(heights, np.zeros(heights.size)))
        # The population difference is smooth: a polynomial finds where it, or its slope, is 0.
        curve = Polynomial.fit(heights, once, 6)
        roots = (curve if self.count == 4 else curve.deriv()).roots()
        real = roots[np.abs(roots.imag) < 1e-9].real
        return float(real[np.argmin(np.abs(real - 1))])

    @property
    def rabi_ghz(self) -> float:
        """Rabi frequency at the largest height of a pulse of the right area."""
        return 1 / (self.count * float(self.heights.sum()) * self.step)

    def whole_turn(self, once: Spinor) -> Real:
        """Factor of the population difference after all pulses, each of them ``once``."""
        for _ in range(self.count.bit_length() - 1):
            once = _after(once, once)
        return _difference(once)

    def two_quarters(self, quarter: Spinor, signs: Real) -> Real:
        """The same after two quarter turns, the second about +Y or -Y (the sign of ``signs``)."""
        up, down = quarter
        return _difference(_after((up, down * np.exp(0.5j * np.pi * np.sign(signs))), (up, down)))

    def rotation(self, height: Real, detuning: Real) -> Spinor:
        """One pulse about X, shape (n,).

        ``height`` is in parts of the right area's, ``detuning`` in Rabi frequencies, both of shape (n,).
        """
        x, shift = driven(self.heights[:, None] * height, self.rabi_ghz / self.anharmonicity)
        detuning = detuning + shift
        size = np.hypot(x, detuning) + 1e-12
        half = np.pi * self.rabi_ghz * self.step * size
        sine = -1j * np.sin(half) / size
        parts: Spinor = (np.cos(half) + detuning * sine, x * sine)
        while len(parts[0]) > 1:
            up, down = parts
            even = len(up) // 2 * 2
            joined = _after((up[1:even:2], down[1:even:2]), (up[:even:2], down[:even:2]))
            parts = (np.concatenate([joined[0], up[even:]]), np.concatenate([joined[1], down[even:]]))
        return parts[0][0], parts[1][0]


def _after(second: Spinor, first: Spinor) -> Spinor:
    (a, b), (up, down) = second, first
    return a * up - b.conj() * down, b * up + a.conj() * down


def _difference(spinor: Spinor) -> Real:
    return np.asarray(np.abs(spinor[0]) ** 2 - np.abs(spinor[1]) ** 2)


@dataclass(frozen=True)
class PulseFit(Fit):
    """The pulses' turn, whose size goes as ``1 + stretch (a / full_turn - 1)`` with the amplitude a.

    Attributes:
        full_turn: amplitude of the right pulse: on resonance a half-π pulse leaves half in the ground state,
            a π pulse least. The systematic error is that of the anharmonicity.
        stretch: 1 for a drive of the expected linearity.
        missed: how far from the ground references the whole turn ends, in parts of the swing.
        detuning: drive frequency minus the qubit's, MHz.
        rabi_mhz: Rabi frequency of the pulse.
        signal: the data.
        curve: values of the signal at amplitudes in a.u.
    """

    full_turn: Estimate
    stretch: Estimate
    missed: Estimate
    detuning: Estimate
    rabi_mhz: float
    signal: Signal = field(repr=False)
    curve: Callable[[Real], Real] = field(repr=False)

    def metrics(self) -> Mapping[str, float]:
        """The checked numbers beside the usual ones."""
        return {
            **super().metrics(),
            "stretch": self.stretch.value,
            "missed_return": self.missed.value,
            "detuning_mhz": self.detuning.value,
            "detuning_error_mhz": self.detuning.error,
        }


@attempted
def fit_pulse_amplitude(
    what: str, sweeps: Mapping[str, Sweep], pulse: Pulse, anharmonicity_error: float
) -> PulseFit | NoFit:
    """Fit ``pulse``, over the amplitude, and ``phase``: two quarter turns, the second about +Y and about -Y.

    On resonance both of these end at the same signal. A detuning turns the superposition between the pulses,
    which moves them apart, whatever the quarter turns' errors.
    """
    signal = Signal.of(what, sweeps, parameters=8)
    amplitude = sweeps[PULSE].points
    unit = float(np.max(np.abs(amplitude)))
    model = _Model(signal, amplitude / unit, sweeps[PHASE].points, pulse)
    found = refine_weighted(
        model.values,
        model.jacobian,
        model.start(),
        signal.values,
        lambda p, fitted, slopes: signal.variances(fitted, slopes, 2 * p[_HALF]),
    )
    return _described(model, found, unit, anharmonicity_error)


@dataclass(frozen=True)
class _Model:
    signal: Signal
    u: Real
    signs: Real
    pulse: Pulse
    last: dict[bytes, tuple[Real, Real, Real]] = field(default_factory=dict, repr=False)

    def start(self) -> list[float]:
        """The best of a grid of full turns, on resonance."""
        seen = self.signal.values[self.signal.parts[PULSE]]
        grid = np.linspace(float(np.min(self.u)), float(np.max(self.u)), _GRID)[1:-1]
        grid = grid[grid > 0]
        columns = np.cos(2 * np.pi * self.u[None, :] / grid[:, None])
        best, (half, middle) = search(np.stack([columns, np.ones_like(columns)], axis=2), seen)
        ground = self.signal.mean(self.signal.ground)
        return [float(half), float(grid[best]), 1.0, float(middle), 0.0, 0.0, 0.0, ground]

    def height(self, p: Real, u: Real) -> Real:
        return np.asarray(self.pulse.right * (1 + p[_STRETCH] * (u / p[_TURN] - 1)))

    def turned(self, p: Real, u: Real) -> Real:
        """Factor of the population difference at amplitudes in parts of the largest."""
        once = self.pulse.rotation(self.height(p, u), np.full(u.shape, p[_DETUNING]))
        return self.pulse.whole_turn(once)

    def factors(self, p: Real) -> tuple[Real, Real, Real]:
        """Of all points; their slopes by the height and by the detuning.

        All rotations are made at once, because a call costs more than a number. ``values`` and ``jacobian``
        are asked for the same parameters one after the other.
        """
        key = p.tobytes()
        if key not in self.last:
            self.last.clear()
            self.last[key] = self._factors(p)
        return self.last[key]

    def _factors(self, p: Real) -> tuple[Real, Real, Real]:
        height = np.append(self.height(p, self.u), self.pulse.count / 4 * self.pulse.right)
        n, none = self.u.size, np.zeros(height.size)
        heights = height + np.array([none, none + _STEP, none - _STEP, none, none])
        heights[:, n] = height[n]
        detunings = p[_DETUNING] + np.array([none, none, none, none + _STEP, none - _STEP])
        up, down = (
            part.reshape(5, n + 1) for part in self.pulse.rotation(heights.ravel(), detunings.ravel())
        )
        turns = self.pulse.whole_turn((up[:, :n], down[:, :n]))
        quarters = self.pulse.two_quarters((up[:, n:], down[:, n:]), self.signs)
        found = np.concatenate([turns, quarters], axis=1)
        found[0, n:] += p[_TILT]
        return found[0], (found[1] - found[2]) / (2 * _STEP), (found[3] - found[4]) / (2 * _STEP)

    def signals(self, p: Real, c: Real) -> Real:
        return np.asarray(p[_MIDDLE] + p[_HALF] * carried(c, p[_PART]).z)

    def values(self, p: Real) -> Real:
        return stacked(self.signal, [self.signals(p, self.factors(p)[0])], p[_GROUND], math.nan)

    def jacobian(self, p: Real) -> Real:
        factors, by_height, by_detuning = self.factors(p)
        z, by_c, by_part = carried(factors, p[_PART])
        n, full = self.u.size, np.zeros((self.signal.values.size, p.size))
        slopes = np.zeros((z.size, p.size))
        slopes[:, _HALF], slopes[:, _MIDDLE], slopes[:, _PART] = z, 1.0, p[_HALF] * by_part
        change = p[_HALF] * by_c
        turned = (change * by_height)[:n] * self.pulse.right
        slopes[:n, _TURN] = turned * -p[_STRETCH] * self.u / p[_TURN] ** 2
        slopes[:n, _STRETCH] = turned * (self.u / p[_TURN] - 1)
        slopes[:, _DETUNING], slopes[n:, _TILT] = change * by_detuning, change[n:]
        full[self.signal.points] = slopes
        full[self.signal.ground, _GROUND] = 1.0
        return full

    def bound(self, p: Real, unit: float) -> str:
        if not float(np.min(self.u)) < p[_TURN] < float(np.max(self.u)):
            return f"the amplitude {p[_TURN] * unit:.3g} is outside the sweep"
        if not 0.8 < p[_STRETCH] < 1.25:
            return f"the rotation per amplitude is {p[_STRETCH]:.2f} times the one expected"
        return "" if abs(p[_PART]) < MOST else "the signal does not fit to the shots before"


def _described(model: _Model, found: Weighted, unit: float, anharmonicity_error: float) -> PulseFit:
    p, rabi_mhz = found.parameters, model.pulse.rabi_ghz * 1e3

    def estimate(value: float, slopes: Mapping[int, float], unit: float = 1.0) -> Estimate:
        return Estimate(float(value), found.error(slopes)).scaled(unit)

    missed = {_MIDDLE: 1.0, _HALF: 1.0, _GROUND: -1.0}
    turn = estimate(p[_TURN], {_TURN: 1.0}, unit)
    detuning = estimate(p[_DETUNING], {_DETUNING: 1.0}, rabi_mhz)
    other = replace(model.pulse, anharmonicity=model.pulse.anharmonicity + anharmonicity_error)
    moved = found.shift(model.values(p) - replace(model, pulse=other, last={}).values(p))[_TURN]
    return PulseFit(
        model.signal.quality(found, model.bound(p, unit)),
        full_turn=replace(turn, systematic=abs(float(moved)) * unit),
        stretch=estimate(p[_STRETCH], {_STRETCH: 1.0}),
        missed=estimate(p[_MIDDLE] + p[_HALF] - p[_GROUND], missed, 1 / abs(2 * float(p[_HALF]))),
        detuning=detuning,
        rabi_mhz=rabi_mhz,
        signal=model.signal,
        curve=lambda amplitude: model.signals(p, model.turned(p, amplitude / unit)),
    )
