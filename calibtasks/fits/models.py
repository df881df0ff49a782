"""Fits of calibration data: decay, damped cosine, pulse amplitude, Ramsey fringe.

The method and the meaning of the errors are described in :mod:`calibtasks.fits.least_squares`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from calibtasks.fits.least_squares import Complex, Fit, Real, check_data, goodness, refine, search, solve

_TWO_PI: Final = 2 * np.pi
_OVERSAMPLING: Final = 4
_ALIASES: Final = 5
"""Number of foldings of a fringe's frequency that are distinguished."""

_FOLDING_SIGMAS: Final = 5.0
"""Significance needed to prefer a cosine above the usual step's Nyquist frequency to its folding below."""


def fit_decay(what: str, time: ArrayLike, signal: ArrayLike) -> Fit:
    """Fit ``amplitude * exp(-time / tau) + offset``; the amplitude may have either sign.

    ``time`` and ``signal`` are 1-D and real, in any unit. Bound: tau outside half the shortest positive time
    to ten times the longest. Raises CalibrationError on unusable data.
    """
    check_data(what, time, signal, parameters=3)
    t, y = np.asarray(time, dtype=np.float64), np.asarray(signal, dtype=np.float64)
    span, scale, mean = float(np.max(t)), float(np.std(y)), float(np.mean(y))
    u, v = t / span, (y - mean) / scale
    shortest, longest = 0.5 * float(np.min(u[u > 0])), 10.0
    grid = np.geomspace(shortest, longest, 80)
    columns = np.exp(-u[None, :] / grid[:, None])
    best, start = search(np.stack([columns, np.ones_like(columns)], axis=2), v)

    def model(p: Real) -> Real:
        return np.asarray(p[0] * np.exp(-u * np.exp(-p[1])) + p[2])

    def jacobian(p: Real) -> Real:
        rate = np.exp(-p[1])
        decay = np.exp(-u * rate)
        return np.stack([decay, p[0] * decay * u * rate, np.ones_like(u)], axis=1)

    fit = refine(model, jacobian, [start[0], np.log(grid[best]), start[1]], v)
    amplitude, log_tau, offset = fit.parameters
    tau = float(np.exp(log_tau))
    bound = "" if shortest < tau < longest else f"a decay time of {tau * span:.3g} is outside the sweep"

    def curve(at: Real) -> Real:
        return np.asarray(mean + scale * (amplitude * np.exp(-at / (tau * span)) + offset))

    values = {"amplitude": amplitude * scale, "tau": tau * span, "offset": mean + offset * scale}
    return fit.described(values, [scale, tau * span, scale], goodness(v, fit.residuals), bound, curve)


def _frequency_grid(u: Real) -> Real:
    """Frequencies that points ``u`` (spanning 1) can distinguish, from a third of a period to Nyquist's."""
    nyquist = 0.5 / float(np.min(np.diff(np.sort(u))))
    return np.arange(0.35, nyquist, 1 / _OVERSAMPLING)


def _cosine_search(u: Real, v: Real, frequencies: Real) -> tuple[float, float, Real, float]:
    """The best frequency, its rate, coefficients of cosine, sine and offset, and what it explains.

    Points close together require many frequencies, so the sums over the points are matrix products.
    """
    rates = np.array([0.0, 0.7, 2.0, 6.0])
    waves = np.exp(1j * _TWO_PI * frequencies[:, None] * u)
    damping = np.exp(-rates[:, None] * u).T
    once, twice, seen = waves @ damping, waves**2 @ damping**2, waves @ (damping * v[:, None])
    square, count = np.sum(damping**2, axis=0), np.full(once.shape, float(len(u)))
    cosines, sines, mixed = (square + twice.real) / 2, (square - twice.real) / 2, twice.imag / 2
    normal = [[cosines, mixed, once.real], [mixed, sines, once.imag], [once.real, once.imag, count]]
    best, coefficients, explained = solve(
        np.moveaxis(np.asarray(normal), (0, 1), (2, 3)).reshape(-1, 3, 3),
        np.stack([seen.real, seen.imag, np.full(once.shape, float(np.sum(v)))], axis=2).reshape(-1, 3),
    )
    frequency, rate = float(frequencies[best // len(rates)]), float(rates[best % len(rates)])
    return frequency, rate, coefficients, explained


def _cosine_start(u: Real, v: Real) -> tuple[list[float], float, float]:
    """Parameters to start from, and the lowest and highest frequency that the points resolve.

    A frequency folded at the usual step's Nyquist looks the same at most points, and may by chance be nearer
    to one of the grid's. So all foldings of the best are compared once more, on a finer grid, and one above
    Nyquist's is taken only where the points favour it beyond their noise.
    """
    frequencies = _frequency_grid(u)
    lowest, highest = float(frequencies[0]), float(frequencies[-1]) + 1 / _OVERSAMPLING
    coarse, *_ = _cosine_search(u, v, frequencies)
    sampling = 1 / float(np.median(np.diff(np.sort(u))))
    folds = sampling * np.arange(-np.ceil(2 * highest / sampling), np.ceil(highest / sampling) + 1)
    fine = coarse + np.arange(-2, 3) / (4 * _OVERSAMPLING)
    folded = np.abs(fine[:, None] + folds).ravel()
    folded = folded[(folded >= lowest) & (folded <= highest)]
    frequency, rate, (cosine, sine, offset), explained = _cosine_search(u, v, folded)
    slow = folded[folded <= sampling / 2]
    if slow.size and frequency > sampling / 2:
        other = _cosine_search(u, v, slow)
        variance = (float(v @ v) - explained) / (len(u) - 5)
        if explained - other[3] <= _FOLDING_SIGMAS**2 * variance:
            frequency, rate, (cosine, sine, offset), _ = other
    start = [np.hypot(cosine, sine), frequency, np.arctan2(-sine, cosine), offset, rate]
    return list(map(float, start)), lowest / 1.5, highest


def fit_damped_cosine(what: str, time: ArrayLike, signal: ArrayLike) -> Fit:
    """Fit ``amplitude * exp(-rate * time) * cos(2π frequency * time + phase) + offset``.

    ``time`` and ``signal`` are 1-D and real, in any unit; ``amplitude`` > 0, ``phase`` in (-π, π]. ``rate``
    may come out slightly negative when there is no damping. Bounds: the frequency below a third of a
    period over the sweep or at Nyquist's, the signal growing e-fold or more. Raises CalibrationError on
    unusable data.
    """
    check_data(what, time, signal, parameters=5)
    t, y = np.asarray(time, dtype=np.float64), np.asarray(signal, dtype=np.float64)
    span, scale, mean = float(np.ptp(t)), float(np.std(y)), float(np.mean(y))
    u, v = t / span, (y - mean) / scale
    start, lowest, highest = _cosine_start(u, v)

    def model(p: Real) -> Real:
        return np.asarray(p[0] * np.exp(-p[4] * u) * np.cos(_TWO_PI * p[1] * u + p[2]) + p[3])

    def jacobian(p: Real) -> Real:
        decay, angle = np.exp(-p[4] * u), _TWO_PI * p[1] * u + p[2]
        cosine, sine = decay * np.cos(angle), decay * np.sin(angle)
        return np.stack(
            [cosine, -p[0] * sine * _TWO_PI * u, -p[0] * sine, np.ones_like(u), -p[0] * cosine * u], axis=1
        )

    fit = refine(model, jacobian, start, v)
    amplitude, frequency, phase, offset, rate = map(float, fit.parameters)
    if amplitude < 0:
        amplitude, phase = -amplitude, phase + np.pi
    phase = float(np.angle(np.exp(1j * phase)))
    bound = ""
    if not lowest < frequency < highest:
        bound = f"a frequency of {frequency / span:.3g} is outside the range that the sweep resolves"
    elif rate < -1:
        bound = "the oscillation grows"

    def curve(at: Real) -> Real:
        wave = amplitude * np.exp(-rate * at / span) * np.cos(_TWO_PI * frequency * at / span + phase)
        return np.asarray(mean + scale * (wave + offset))

    values = {
        "amplitude": amplitude * scale,
        "frequency": frequency / span,
        "phase": phase,
        "offset": mean + offset * scale,
        "rate": rate / span,
    }
    scales = [scale, 1 / span, 1.0, scale, 1 / span]
    return fit.described(values, scales, goodness(v, fit.residuals), bound, curve)


def fit_pulse_amplitude(what: str, amplitude: ArrayLike, signal: ArrayLike, *, turns: int) -> Fit:
    """Fit the amplitude at which a repeated pulse makes ``turns`` whole turns.

    Model: ``contrast * cos(2π turns * stretch * (a - full_turn) / full_turn) + offset``. On a perfect pulse
    ``stretch`` is 1; leaving it free keeps ``full_turn`` where the signal comes back, whatever the rotation's
    distortions. ``amplitude`` and ``signal`` are 1-D and real. Bound: ``full_turn`` outside the sweep, or a
    stretch outside 0.8 to 1.25. Raises CalibrationError on unusable data.
    """
    check_data(what, amplitude, signal, parameters=4)
    a, y = np.asarray(amplitude, dtype=np.float64), np.asarray(signal, dtype=np.float64)
    unit, scale, mean = float(np.max(np.abs(a))), float(np.std(y)), float(np.mean(y))
    u, v = a / unit, (y - mean) / scale
    grid = np.linspace(float(np.min(u)), float(np.max(u)), 201)[1:-1]
    grid = grid[grid > 0]
    columns = np.cos(_TWO_PI * turns * (u[None, :] - grid[:, None]) / grid[:, None])
    best, start = search(np.stack([columns, np.ones_like(columns)], axis=2), v)

    def model(p: Real) -> Real:
        return np.asarray(p[0] * np.cos(_TWO_PI * turns * p[2] * (u / p[1] - 1)) + p[3])

    def jacobian(p: Real) -> Real:
        angle = _TWO_PI * turns * p[2] * (u / p[1] - 1)
        sine = -p[0] * np.sin(angle) * _TWO_PI * turns
        return np.stack(
            [np.cos(angle), -sine * p[2] * u / p[1] ** 2, sine * (u / p[1] - 1), np.ones_like(u)], axis=1
        )

    fit = refine(model, jacobian, [start[0], grid[best], 1.0, start[1]], v)
    contrast, full_turn, stretch, offset = map(float, fit.parameters)
    bound = ""
    if not float(np.min(u)) < full_turn < float(np.max(u)):
        bound = f"the amplitude {full_turn * unit:.3g} is outside the sweep"
    elif not 0.8 < stretch < 1.25:
        bound = f"the rotation per amplitude is {stretch:.2f} times the one expected"

    def curve(at: Real) -> Real:
        wave = contrast * np.cos(_TWO_PI * turns * stretch * (at / (unit * full_turn) - 1))
        return np.asarray(mean + scale * (wave + offset))

    values = {
        "contrast": contrast * scale,
        "full_turn": full_turn * unit,
        "stretch": stretch,
        "offset": mean + offset * scale,
    }
    return fit.described(values, [scale, unit, 1.0, scale], goodness(v, fit.residuals), bound, curve)


def _helix_overlaps(u: Real, w: Complex, frequencies: Real, rates: Real) -> tuple[Complex, Complex, Real]:
    """For each (frequency, rate): best amplitude, the candidate's mean, and how much it explains."""
    waves = np.exp(-1j * _TWO_PI * frequencies[:, None] * u)
    damping = np.exp(-rates[:, None] * u).T
    means = (waves @ damping).conj() / len(u)
    norms = np.sum(damping**2, axis=0) - len(u) * np.abs(means) ** 2
    overlaps = (waves @ (damping * w[:, None])) / np.maximum(norms, 1e-9)
    return overlaps, means, np.abs(overlaps) ** 2 * norms


def _ramsey_start(u: Real, w: Complex) -> tuple[list[float], float]:
    """Parameters to start from, and the highest frequency that the points resolve.

    A frequency beyond Nyquist's of the usual step looks like a lower one at most points; the few points
    between them distinguish the two.
    """
    sampling = 1 / float(np.median(np.diff(np.sort(u))))
    frequencies = np.arange(-0.5 * sampling, 0.5 * sampling, 1 / _OVERSAMPLING)
    rates = np.array([0.3, 1.0, 3.0, 8.0])
    _, _, explained = _helix_overlaps(u, w, frequencies, rates)
    row, column = np.unravel_index(np.argmax(explained), explained.shape)
    fine = frequencies[row] + np.arange(-1, 2) / (2 * _OVERSAMPLING)
    aliases = (fine[:, None] + sampling * np.arange(-_ALIASES, _ALIASES + 1)).ravel()
    overlaps, means, explained = _helix_overlaps(u, w, aliases, rates[column : column + 1])
    good = np.flatnonzero(explained[:, 0] >= (1 - 1e-6) * np.max(explained[:, 0]))
    best = int(good[np.argmin(np.abs(aliases[good]))])
    overlap, mean = complex(overlaps[best, 0]), complex(means[best, 0])
    shift = -overlap * mean
    start = [abs(overlap), aliases[best], np.angle(overlap), rates[column], shift.real, shift.imag]
    return list(map(float, start)), (_ALIASES + 0.5) * sampling


def fit_ramsey(what: str, time: ArrayLike, in_phase: ArrayLike, quadrature: ArrayLike) -> Fit:
    """Fit both quadratures of a Ramsey fringe at once, so that the frequency keeps its sign.

    Model: ``in_phase + i quadrature = amplitude * exp(-rate * time + i(2π frequency * time + phase)) +
    offset``, with a complex offset (``offset_i``, ``offset_q``). Arrays are 1-D and real, of one length.
    ``rate`` comes out zero or negative when there is no decay: check with ``unresolved_decay``. Bound: the
    frequency beyond what the points resolve. Raises CalibrationError on unusable data.
    """
    check_data(what, time, in_phase, parameters=3)
    check_data(what, time, quadrature, parameters=3)
    t = np.asarray(time, dtype=np.float64)
    z = np.asarray(in_phase, dtype=np.float64) + 1j * np.asarray(quadrature, dtype=np.float64)
    span, mean = float(np.ptp(t)), complex(z.mean())
    scale = float(np.sqrt(np.mean(np.abs(z - mean) ** 2)))
    u, w = t / span, (z - mean) / scale
    v = np.concatenate([w.real, w.imag])
    start, highest = _ramsey_start(u, w)

    def model(p: Real) -> Real:
        wave = p[0] * np.exp(-p[3] * u + 1j * (_TWO_PI * p[1] * u + p[2]))
        return np.concatenate([wave.real + p[4], wave.imag + p[5]])

    def jacobian(p: Real) -> Real:
        unit = np.exp(-p[3] * u + 1j * (_TWO_PI * p[1] * u + p[2]))
        wave, one = p[0] * unit, np.ones_like(unit)
        columns = np.stack([unit, 2j * np.pi * u * wave, 1j * wave, -u * wave, one, 1j * one], axis=1)
        return np.concatenate([columns.real, columns.imag])

    fit = refine(model, jacobian, start, v)
    amplitude, frequency, phase, rate, offset_i, offset_q = map(float, fit.parameters)
    if amplitude < 0:
        amplitude, phase = -amplitude, phase + np.pi
    phase = float(np.angle(np.exp(1j * phase)))
    bound = ""
    if abs(frequency) > highest:
        bound = f"a frequency of {frequency / span:.3g} is outside the range that the sweep resolves"
    offset = mean + scale * complex(offset_i, offset_q)

    def curve(at: Real) -> Complex:
        wave = np.exp(-rate * at / span + 1j * (_TWO_PI * frequency * at / span + phase))
        return np.asarray(offset + scale * amplitude * wave)

    values = {
        "amplitude": amplitude * scale,
        "frequency": frequency / span,
        "phase": phase,
        "rate": rate / span,
        "offset_i": offset.real,
        "offset_q": offset.imag,
    }
    scales = [scale, 1 / span, 1.0, 1 / span, scale, scale]
    return fit.described(values, scales, goodness(v, fit.residuals), bound, curve)
