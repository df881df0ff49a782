"""IQ data: the axis in the plane along which they vary, and their deviation from a fitted curve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from calibtasks.fits.least_squares import Real, check_data, point_variances
from qdash_queue.domain import Failure, FailureKind

STRAY_NOISES: Final = 1.3
"""Largest deviation from a curve that describes the points, in units of their noise."""
TRUSTED_SCATTER: Final = 2.3
"""Largest scatter from point to point that counts as noise, in units of the expected noise."""
STRAY_SWINGS: Final = 0.02
"""Deviation that is always allowed, in parts of the signal's swing: no model is exact."""
SMALL_SWINGS: Final = 0.005
"""Deviation that is allowed whatever its pattern, in parts of the swing."""
REPEATS: Final = 3
"""Number of points equal to the previous one to the last bit from which the instrument counts as dead."""
CORRELATED_SIGMAS: Final = 3.5
"""Largest correlation of neighbouring points that counts as chance, in standard deviations of it."""


@dataclass(frozen=True)
class Projection:
    """IQ data on the axis along which they vary most.

    Attributes:
        signal: coordinate along the axis, relative to ``centre``; shape of the data.
        across: coordinate across the axis, likewise: only noise.
        noise: standard deviation across the axis.
        angle: of the axis in the IQ plane, radians.
        centre: mean of the data.
    """

    signal: Real
    across: Real
    noise: float
    angle: float
    centre: complex

    def apply(self, iq: ArrayLike) -> Real:
        """Coordinates of other IQ points along the same axis."""
        points = np.asarray(iq, dtype=np.complex128)
        return np.asarray(((points - self.centre) * np.exp(-1j * self.angle)).real, dtype=np.float64)

    def misfit(self, what: str, curve: Real, shots: int) -> Failure | None:
        """The failure of a fit that does not describe the data, or of data that drifted; else None.

        A good R² is not enough: a jump, a drift or a dead instrument can look like a decay. With
        the residuals r = signal - curve of n points, refused are

        * a noise that is not known, and points that repeat the one before to the last bit;
        * an rms(r) above 1.3 times the noise and above 2 % of the swing. The noise is the larger of what is
          expected of points of ``shots`` shots, sqrt(noise² + swing² / 4 shots) with the noise across the
          axis and the largest shot noise of the visible swing, and of the scatter from point to point,
          sqrt(mean((r[i+1] - r[i])²) / 2). The scatter holds the shot noise of a swing that is seen in part
          only (a hot qubit, a detuned pulse), and counts up to 2.3 times what is expected;
        * neighbours that are alike: a lag-1 autocorrelation above 3.5 / sqrt(n) of r over its own standard
          deviation, or of the data across the axis; unless rms(r) is below 0.5 % of the swing.
        """
        residuals = self.signal - curve
        swing, stray = float(np.ptp(self.signal)), float(np.sqrt(np.mean(residuals**2)))
        expected = math.hypot(self.noise, 0.5 * swing / math.sqrt(shots))
        if not (math.isfinite(expected) and expected > 0 and math.isfinite(stray)):
            return _bad_fit("noise_unknown", f"the noise of {what} is not known")
        scatter = math.sqrt(float(np.mean(np.diff(residuals) ** 2)) / 2)
        noise = min(max(expected, scatter), TRUSTED_SCATTER * expected)
        if not stray <= max(STRAY_NOISES * noise, STRAY_SWINGS * swing):
            message = f"the fit of {what} misses the points by {stray / noise:.1f} times their noise"
            return _bad_fit("misfit", message)
        return self._pattern(what, curve, residuals, is_small=stray <= SMALL_SWINGS * swing)

    def _pattern(self, what: str, curve: Real, residuals: Real, *, is_small: bool) -> Failure | None:
        same = (np.diff(self.signal) == 0) & (np.diff(self.across) == 0)
        if np.count_nonzero(same) >= REPEATS:
            return _bad_fit("repeated", f"points of {what} repeat the one before, without any noise")
        if is_small:
            return None
        standardised = residuals / np.sqrt(point_variances(curve, residuals**2))
        if not neighbours_alike(standardised) <= CORRELATED_SIGMAS:
            return _bad_fit("misfit", f"the fit of {what} misses many points in a row on the same side")
        if not neighbours_alike(self.across) <= CORRELATED_SIGMAS:
            return _bad_fit("drift", f"the signal of {what} drifted off its axis in the IQ plane")
        return None


def neighbours_alike(values: Real) -> float:
    """Lag-1 autocorrelation in standard deviations (1 / sqrt(n)) of that of independent values."""
    deviations = values - values.mean()
    return float(deviations[1:] @ deviations[:-1] / max(float(deviations @ deviations), 1e-300)) * math.sqrt(
        deviations.size
    )


def _bad_fit(cause: str, message: str) -> Failure:
    remedy = "check the figure: did something change during the sweep?"
    return Failure(kind=FailureKind.BAD_FIT, cause=cause, message=message, remedy=remedy)


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
    return Projection(rotated.real, rotated.imag, noise, angle, centre)
