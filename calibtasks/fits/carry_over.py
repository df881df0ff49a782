"""What the previous shot leaves: the signal of a sequence that starts before the qubit has relaxed.

A readout moves no populations, and the qubit relaxes for a time R until the next sequence. In parts of
its equilibrium value, the population difference z of a sequence that multiplies it by c is, in the steady
state of many equal shots with E = exp(-R/T1): z = c z₀ and z₀ = 1 - (1 - z) E, so

    z = (1 - E) c / (1 - E c).

Even harmonics of an oscillating c arise, and its amplitude no longer follows the decay. E is a parameter of
each fit, because T1 is not known to it. A reference without a drive has c = 1 and z = 1, whatever E.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from calibtasks.fits.fit import Real

MOST: Final = 0.9
"""Largest part E of a shot's population that may come from the one before."""


class Carried(NamedTuple):
    """The population difference z and its derivatives, each of the shape of c."""

    z: Real
    by_c: Real
    by_part: Real


def carried(c: Real, part: float) -> Carried:
    """Of a sequence that multiplies the population difference by ``c``; ``part`` is E."""
    rest = 1 - part * c
    return Carried((1 - part) * c / rest, (1 - part) / rest**2, -c * (1 - c) / rest**2)
