"""IQ data: the one axis in the plane along which they vary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibtasks.least_squares import Real, check_data


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
    return Projection(rotated.real, float(np.std(rotated.imag)), angle, centre)
