"""Where the fit of an oscillation starts: the best of a grid of frequencies and damping rates."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from calibtasks.fits.least_squares import Real, solve

_TWO_PI: Final = 2 * np.pi
_OVERSAMPLING: Final = 4
_FOLDING_SIGMAS: Final = 5.0
"""Significance needed to prefer a cosine above the usual step's Nyquist frequency to its folding below."""


class Start(NamedTuple):
    """``amplitude * exp(-rate * t) * cos(2π frequency * t + phase) + offset``; the range that is resolved."""

    amplitude: float
    frequency: float
    phase: float
    offset: float
    rate: float
    lowest: float
    highest: float


def cosine_start(time: Real, signal: Real) -> Start:
    """The best of the grid; ``time`` and ``signal`` have shape (n,), in any unit.

    A frequency folded at the usual step's Nyquist looks the same at most points, and may by chance be nearer
    to one of the grid's. So all foldings of the best are compared once more, on a finer grid, and one above
    Nyquist's is taken only where the points favour it beyond their noise.
    """
    span, scale, mean = float(np.ptp(time)), float(np.std(signal)), float(np.mean(signal))
    u, v = (time - time.min()) / span, (signal - mean) / scale
    # From a third of a period over the sweep to the Nyquist frequency of the closest points.
    frequencies = np.arange(0.35, 0.5 / float(np.min(np.diff(np.sort(u)))), 1 / _OVERSAMPLING)
    lowest, highest = float(frequencies[0]), float(frequencies[-1]) + 1 / _OVERSAMPLING
    coarse, *_ = _search(u, v, frequencies)
    sampling = 1 / float(np.median(np.diff(np.sort(u))))
    folds = sampling * np.arange(-np.ceil(2 * highest / sampling), np.ceil(highest / sampling) + 1)
    fine = coarse + np.arange(-2, 3) / (4 * _OVERSAMPLING)
    folded = np.abs(fine[:, None] + folds).ravel()
    folded = folded[(folded >= lowest) & (folded <= highest)]
    frequency, rate, (cosine, sine, offset), explained = _search(u, v, folded)
    slow = folded[folded <= sampling / 2]
    if slow.size and frequency > sampling / 2:
        other = _search(u, v, slow)
        variance = (float(v @ v) - explained) / (len(u) - 5)
        if explained - other[3] <= _FOLDING_SIGMAS**2 * variance:
            frequency, rate, (cosine, sine, offset), _ = other
    amplitude, phase = float(np.hypot(cosine, sine)), float(np.arctan2(-sine, cosine))
    earlier = float(time.min()) / span
    return Start(
        amplitude=amplitude * scale * float(np.exp(rate * earlier)),
        frequency=frequency / span,
        phase=phase - _TWO_PI * frequency * earlier,
        offset=mean + float(offset) * scale,
        rate=rate / span,
        lowest=lowest / 1.5 / span,
        highest=highest / span,
    )


def _search(u: Real, v: Real, frequencies: Real) -> tuple[float, float, Real, float]:
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
