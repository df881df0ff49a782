"""Where the fit of an oscillation starts: the best of a grid of frequencies and damping rates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from calibtasks.fits.fit import Complex, Real

_TWO_PI: Final = 2 * np.pi
_OVERSAMPLING: Final = 4
_FOLDING_SIGMAS: Final = 5.0
"""Significance needed to prefer a cosine above the usual step's Nyquist frequency to its folding below."""
_SINGULAR: Final = 1e-10
"""Least determinant of a cosine and a sine, in parts of that of such waves that are independent."""


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
    step = 1 / _OVERSAMPLING

    def evenly(order: float, weights: Real) -> Complex:
        return even_spectrum(order * lowest, order * step, frequencies.size, u, weights)

    def at(chosen: Real) -> tuple[float, float, Real, float]:
        return _search(u, v, chosen, lambda order, weights: spectrum_at(order * chosen, u, weights))

    coarse, *_ = _search(u, v, frequencies, evenly)
    sampling = 1 / float(np.median(np.diff(np.sort(u))))
    folds = sampling * np.arange(-np.ceil(2 * highest / sampling), np.ceil(highest / sampling) + 1)
    fine = coarse + np.arange(-2, 3) / (4 * _OVERSAMPLING)
    folded = np.abs(fine[:, None] + folds).ravel()
    folded = folded[(folded >= lowest) & (folded <= highest)]
    frequency, rate, (cosine, sine, offset), explained = at(folded)
    slow = folded[folded <= sampling / 2]
    if slow.size and frequency > sampling / 2:
        other = at(slow)
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


Spectrum = Callable[[float, Real], Complex]
"""Of an order and weights, shape (n, m): the sums over the points of weights times exp(2π i order f u), at k
frequencies f, shape (k, m)."""


def _search(u: Real, v: Real, frequencies: Real, spectrum: Spectrum) -> tuple[float, float, Real, float]:
    """The best frequency, its rate, coefficients of cosine, sine and offset, and what it explains.

    The mean of ``v`` is 0. The normal equations are solved in closed form, the offset first.
    """
    rates = np.array([0.0, 0.7, 2.0, 6.0])
    damping = np.exp(-rates[:, None] * u).T
    once, seen = np.split(spectrum(1, np.concatenate([damping, damping * v[:, None]], axis=1)), 2, axis=1)
    square, twice = np.sum(damping**2, axis=0), spectrum(2, damping**2)
    cosines = (square + twice.real) / 2 - once.real**2 / u.size
    sines = (square - twice.real) / 2 - once.imag**2 / u.size
    mixed = twice.imag / 2 - once.real * once.imag / u.size
    determinant = np.maximum(cosines * sines - mixed**2, _SINGULAR * (cosines + sines) ** 2)
    cosine = (sines * seen.real - mixed * seen.imag) / determinant
    sine = (cosines * seen.imag - mixed * seen.real) / determinant
    explained = cosine * seen.real + sine * seen.imag
    best = np.unravel_index(np.argmax(explained), explained.shape)
    offset = -(cosine[best] * once[best].real + sine[best] * once[best].imag) / u.size
    coefficients = np.array([cosine[best], sine[best], offset])
    return float(frequencies[best[0]]), float(rates[best[1]]), coefficients, float(explained[best])


def spectrum_at(frequencies: Real, u: Real, weights: Real | Complex) -> Complex:
    """The sums over the points of ``weights`` times ``exp(2π i f u)``, shape (k, m).

    ``frequencies`` have shape (k,), ``u`` (n,) and ``weights`` (n, m).
    """
    return np.asarray(np.exp(1j * _TWO_PI * frequencies[:, None] * u) @ weights)


def even_spectrum(first: float, step: float, count: int, u: Real, weights: Real | Complex) -> Complex:
    """The same at ``count`` evenly spaced frequencies: as products of a few waves, which are much cheaper."""
    block = math.isqrt(count - 1) + 1
    coarse = np.exp(1j * _TWO_PI * step * block * u[:, None] * np.arange(block))
    turned = (coarse[:, :, None] * weights[:, None, :]).reshape(u.size, -1)
    fine = first + step * np.arange(block, dtype=np.float64)
    found = spectrum_at(fine, u, turned).reshape(block, block, -1)
    return np.asarray(found.swapaxes(0, 1).reshape(block * block, -1)[:count])
