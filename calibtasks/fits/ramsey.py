"""Fit of a Ramsey fringe: both quadratures at once, so that the frequency keeps its sign."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from calibtasks.fits.carry_over import MOST, carried
from calibtasks.fits.cosine_start import even_spectrum, spectrum_at
from calibtasks.fits.fit import Complex, Estimate, NoFit, Real, TurningFit, attempted
from calibtasks.fits.least_squares import Weighted, refine_weighted
from calibtasks.fits.signal import Signal, stacked
from calibtasks.measure.sweep import Sweep

QUADRATURES: Final = ("in_phase", "quadrature")

_HALF, _FREQUENCY, _PHASE, _RATE, _IN_PHASE, _QUADRATURE, _PART, _TILT = range(8)
_OVERSAMPLING: Final = 4
_ALIASES: Final = 5
"""Number of foldings of a fringe's frequency that are distinguished."""
LOSS: Final = 0.001
"""Part of the fringe that its pulses may lose beside dephasing, and those of the references not."""
_VISIBLE: Final = 3.0
"""Decay times for which a fringe is seen."""


@dataclass(frozen=True)
class RamseyFit(TurningFit):
    """``exp(-t / T2*) cos(2π frequency t + phase)``, and the sine, are the population difference's factors.

    ``turns`` are those that are seen: within the sweep, and three decay times.

    Attributes:
        frequency: of the fringe, MHz; positive when the drive is above the qubit.
        rate: of the decay, 1/μs; zero or negative when none is seen.
        tau: the decay time T2*, μs; not a number when none is seen.
        stretch: β - 1 of a stretched exponential: 0 for a single decay.
        contrast: swing of the fringe in parts of the references' distance; 1 for pulses that lose nothing.
        signal: the data.
        curve: both quadratures' signals at waiting times in ns, as in phase + i quadrature.
    """

    frequency: Estimate
    rate: Estimate
    tau: Estimate
    stretch: Estimate
    contrast: Estimate
    signal: Signal = field(repr=False)
    curve: Callable[[Real], Complex] = field(repr=False)


@attempted
def fit_ramsey(what: str, sweeps: Mapping[str, Sweep], turning_ns: float = 0.0) -> RamseyFit | NoFit:
    """Fit ``in_phase`` and ``quadrature``, both over the same waiting times in ns.

    Both are fitted with one carry-over, which at T1 above the interval makes the fringe's amplitude depend on
    its phase; each has a middle of its own, because a wrong half-π pulse moves it. Such a pulse also leaves
    part of the relaxation during the wait in the signal, to first order a tilt.

    A pulse that leaves the population difference z and the superposition s = sqrt(1 - z²), applied twice with
    the phase φ between, gives z² + s² cos φ. So whatever the pulse is, the fringe would reach the ground
    references, and the excited ones, two half-π pulses, are the fringe without a wait, turned by π. Both tell
    the fringe's amplitude. A superposition dephases in the pulses too, between not at all and for
    ``turning_ns``, as fast as the noise is: half of it is fitted, and the other half a systematic error.
    """
    signal = Signal.of(what, sweeps, parameters=8)
    times = sweeps[QUADRATURES[0]].points
    span = float(np.ptp(times))
    seen = [signal.values[signal.parts[name]] for name in QUADRATURES]
    model = _Model(signal, times / span, 0.5 * turning_ns / span)
    start, highest = _start(times / span, seen[0] + 1j * seen[1])
    begin = [*start, 0.0, 0.0]
    found = refine_weighted(
        model.values,
        model.jacobian,
        begin,
        signal.values,
        lambda p, fitted, slopes: signal.variances(fitted, slopes, 2 * p[_HALF]),
    )
    bound = ""
    if not abs(found.parameters[_FREQUENCY]) < highest:
        frequency = found.parameters[_FREQUENCY] / span * 1e3
        bound = f"a frequency of {frequency:.3g} MHz is outside the range that the sweep resolves"
    elif not abs(found.parameters[_PART]) < MOST:
        bound = "the signal does not fit to the shots before"
    return _described(model, found, span, bound)


@dataclass(frozen=True)
class _Model:
    signal: Signal
    u: Real
    pulses: float

    def fringe(self, p: Real, u: Real) -> Complex:
        return np.asarray(
            np.exp(-p[_RATE] * (u + self.pulses) + 1j * (2 * np.pi * p[_FREQUENCY] * u + p[_PHASE]))
        )

    def curve(self, p: Real, u: Real) -> Complex:
        wave = self.fringe(p, u)
        first, second = (p[_HALF] * carried(c, p[_PART]).z + p[_TILT] * u for c in (wave.real, wave.imag))
        return np.asarray(p[_IN_PHASE] + first + 1j * (p[_QUADRATURE] + second))

    def values(self, p: Real) -> Real:
        both = _both(self.curve(p, self.u))
        excited = p[_IN_PHASE] + p[_HALF] * carried(self.undone(p), p[_PART]).z
        return stacked(self.signal, [both], p[_IN_PHASE] + p[_HALF], float(excited[0]))

    def lost(self, p: Real) -> Real:
        """What the fringe may have lost in its pulses, as a change of the signal."""
        wave, change = _both(self.fringe(p, self.u)), np.zeros(self.signal.values.size)
        loss = LOSS + abs(p[_RATE]) * self.pulses
        change[self.signal.points] = loss * p[_HALF] * carried(wave, p[_PART]).by_c * wave
        return change

    def stretched(self, p: Real) -> Real:
        """What a stretch of the decay, exp(-(t / T2*)**β), would change in the signal, by β at 1."""
        turns = np.maximum(p[_RATE] * self.u, 0.0)
        slope = np.where(turns > 0, -turns * np.log(np.maximum(turns, 1e-300)), 0.0)
        wave, change = self.fringe(p, self.u), np.zeros(self.signal.values.size)
        change[self.signal.points] = p[_HALF] * carried(_both(wave), p[_PART]).by_c * _both(wave * slope)
        return change

    def undone(self, p: Real) -> Real:
        """The fringe's factor of the excited references, shape (1,)."""
        return -np.cos(p[_PHASE : _PHASE + 1])

    def jacobian(self, p: Real) -> Real:
        wave, full = self.fringe(p, self.u), np.zeros((self.signal.values.size, p.size))
        by_rate = -(self.u + self.pulses) * wave
        turning = {_FREQUENCY: 2j * np.pi * self.u * wave, _PHASE: 1j * wave, _RATE: by_rate}
        points, excited = self.signal.points, self.signal.excited
        z, by_c, by_part = carried(_both(wave), p[_PART])
        full[points, _HALF], full[points, _PART] = z, p[_HALF] * by_part
        for parameter, slope in turning.items():
            full[points, parameter] = p[_HALF] * by_c * _both(slope)
        for name, middle in zip(QUADRATURES, (_IN_PHASE, _QUADRATURE), strict=True):
            full[self.signal.parts[name], middle] = 1.0
            full[self.signal.parts[name], _TILT] = self.u
        full[self.signal.ground, _IN_PHASE] = full[self.signal.ground, _HALF] = 1.0
        c = self.undone(p)
        z, by_c, by_part = carried(c, p[_PART])
        full[excited, _IN_PHASE], full[excited, _HALF], full[excited, _PART] = 1.0, z, p[_HALF] * by_part
        full[excited, _PHASE] = p[_HALF] * by_c * np.sin(p[_PHASE])
        return full


def _both(z: Complex) -> Real:
    """In phase, then quadrature."""
    return np.concatenate([z.real, z.imag])


def _described(model: _Model, found: Weighted, span: float, bound: str) -> RamseyFit:
    p, per_us = found.parameters, 1e3 / span

    def estimate(value: float, slopes: Mapping[int, float]) -> Estimate:
        return Estimate(float(value), found.error(slopes))

    lost = float(found.shift(model.lost(p))[_RATE]) if found.converged else math.nan
    rate = replace(estimate(p[_RATE], {_RATE: 1.0}), systematic=abs(lost)).scaled(per_us)
    frequency = estimate(p[_FREQUENCY], {_FREQUENCY: 1.0}).scaled(per_us)
    tau = rate.inverse() if rate.value > 0 else Estimate(math.nan, math.nan)
    seen = min(1.0, _VISIBLE / p[_RATE]) if p[_RATE] > 0 else 1.0
    off, error = found.further(np.subtract(model.signal.ground, model.signal.excited, dtype=np.float64))
    depth = p[_HALF] + off
    return RamseyFit(
        model.signal.quality(found, bound),
        turns=float(abs(p[_FREQUENCY]) * seen),
        frequency=frequency,
        rate=rate,
        tau=tau,
        stretch=Estimate(*found.further(model.stretched(p))),
        contrast=Estimate(float(p[_HALF] / depth), abs(float(p[_HALF])) * error / depth**2),
        signal=model.signal,
        curve=lambda time: model.curve(p, time / span),
    )


def _start(u: Real, z: Complex) -> tuple[list[float], float]:
    """Parameters to start from, and the highest frequency that the points resolve.

    The amplitude is negative: a fringe starts in the ground state, where signals are low. A frequency beyond
    Nyquist's of the usual step looks like a lower one at most points; the few between them distinguish both.
    """
    mean = complex(z.mean())
    w = z - mean
    sampling = 1 / float(np.median(np.diff(np.sort(u))))
    frequencies = np.arange(-0.5 * sampling, 0.5 * sampling, 1 / _OVERSAMPLING)
    rates = np.array([0.3, 1.0, 3.0, 8.0])
    _, _, explained = _overlaps(
        u,
        w,
        rates,
        lambda weights: even_spectrum(0.5 * sampling, -1 / _OVERSAMPLING, frequencies.size, u, weights),
    )
    row, column = np.unravel_index(np.argmax(explained), explained.shape)
    fine = frequencies[row] + np.arange(-1, 2) / (2 * _OVERSAMPLING)
    aliases = (fine[:, None] + sampling * np.arange(-_ALIASES, _ALIASES + 1)).ravel()
    overlaps, means, explained = _overlaps(
        u, w, rates[column : column + 1], lambda weights: spectrum_at(-aliases, u, weights)
    )
    good = np.flatnonzero(explained[:, 0] >= (1 - 1e-6) * np.max(explained[:, 0]))
    best = int(good[np.argmin(np.abs(aliases[good]))])
    overlap = complex(overlaps[best, 0])
    middle = mean - overlap * complex(means[best, 0])
    phase = math.remainder(float(np.angle(overlap)) - math.pi, 2 * math.pi)
    start = [-abs(overlap), aliases[best], phase, rates[column], middle.real, middle.imag]
    return list(map(float, start)), (_ALIASES + 0.5) * sampling


def _overlaps(
    u: Real, w: Complex, rates: Real, spectrum: Callable[[Complex], Complex]
) -> tuple[Complex, Complex, Real]:
    """For each (frequency, rate): best amplitude, the candidate's mean, and how much it explains.

    ``spectrum`` sums weights, shape (n, m), over the points, each wave turning backwards.
    """
    damping = np.exp(-rates[:, None] * u).T
    sums, seen = np.split(spectrum(np.concatenate([damping, damping * w[:, None]], axis=1)), 2, axis=1)
    means = sums.conj() / u.size
    norms = np.sum(damping**2, axis=0) - u.size * np.abs(means) ** 2
    overlaps = seen / np.maximum(norms, 1e-9)
    return overlaps, means, np.abs(overlaps) ** 2 * norms
