"""IQ data: the one axis in the plane along which they vary, and how far they stray from a fitted curve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from calibtasks.least_squares import Real, check_data
from qdash_queue.values import Failure, FailureKind

STRAY_NOISES: Final = 3.0
"""How many times their noise the points may stray from a curve that describes them."""
STRAY_SWINGS: Final = 0.05
"""How much of the signal's swing they may stray by in any case: no model is exact."""


@dataclass(frozen=True)
class Projection:
    """IQ data on the axis along which they vary most.

    Attributes:
        signal: coordinate along the axis, relative to ``centre``; shape of the data.
        noise: standard deviation across the axis.
        angle: of the axis in the IQ plane, radians.
        centre: mean of the data.
    """

    signal: Real
    noise: float
    angle: float
    centre: complex

    def apply(self, iq: ArrayLike) -> Real:
        """Coordinates of other IQ points along the same axis."""
        points = np.asarray(iq, dtype=np.complex128)
        return np.asarray(((points - self.centre) * np.exp(-1j * self.angle)).real, dtype=np.float64)

    def misfit(self, what: str, curve: Real, shots: int) -> Failure | None:
        """The failure of a fit that does not describe the data, which stray far from ``curve``.

        A good R² alone does not say it: a jump or a drift makes a fine decay. Points of ``shots`` shots each
        scatter by the noise across the axis, and by at most half the swing over the root of the shots.
        """
        swing, stray = float(np.ptp(self.signal)), float(np.std(self.signal - curve))
        noise = math.hypot(self.noise, 0.5 * swing / math.sqrt(shots))
        if stray <= max(STRAY_NOISES * noise, STRAY_SWINGS * swing):
            return None
        return Failure(
            kind=FailureKind.BAD_FIT,
            cause="misfit",
            message=f"the fit of {what} misses the points by {stray / noise:.0f} times their noise",
            remedy="look at the figure: did something change during the sweep?",
        )


def project(what: str, iq: ArrayLike, reference: complex | None = None) -> Projection:
    """Project IQ points (1-D complex, any unit) on their principal axis.

    The axis points towards ``reference`` (the ground state's point) when one is given, else towards the first
    point. Raises CalibrationError on data that are not finite or all the same.
    """
    points = np.asarray(iq, dtype=np.complex128)
    check_data(what, np.arange(points.size), points.ravel(), parameters=2)
    centre = complex(points.mean())
    offsets = points - centre
    angle = 0.5 * float(np.angle(np.sum(offsets**2)))
    towards = (reference if reference is not None else complex(points.ravel()[0])) - centre
    if (towards * np.exp(-1j * angle)).real < 0:
        angle += np.pi
    angle = float(np.angle(np.exp(1j * angle)))
    rotated = offsets * np.exp(-1j * angle)
    # Centre and angle were chosen to make it small: two degrees of freedom.
    noise = float(np.sqrt(np.sum(rotated.imag**2) / (points.size - 2)))
    return Projection(rotated.real, noise, angle, centre)
