"""Weighted least squares for every model: checks, grid search, refinement, errors.

A fit starts from a grid search in which the linear parameters are solved exactly (variable projection), so it
needs no initial guess, and is refined by Levenberg-Marquardt with an analytic Jacobian, in coordinates scaled
to the data, so that it does not depend on units. Points are weighted by their known variances, so that the
errors, one standard deviation each, are those of the Cramér-Rao bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import leastsq

from qdash_queue.domain import CalibrationError, Failure, FailureKind

Real = NDArray[np.float64]

SPARE_POINTS: Final = 5
"""Points that a fit needs beyond its parameters, for its errors to be known."""

CHI2_SIGMAS: Final = 3.0
"""Excess of chi² over 1 from which errors are widened, in parts of its scatter sqrt(2 / freedom)."""

_MAX_EVALUATIONS: Final = 400
_TOLERANCES: Final = (1e-4, 1e-4, 1e-9)
"""Of the refinement in each round of weights: only the last one counts."""


def _failure(kind: FailureKind, cause: str, message: str) -> Failure:
    return Failure(kind=kind, cause=cause, message=message)


def no_signal(what: str) -> Failure:
    """The failure of data with only noise."""
    return _failure(FailureKind.NO_SIGNAL, "flat", f"{what} shows no signal above its noise")


def check_data(what: str, x: ArrayLike, y: ArrayLike, *, parameters: int) -> None:
    """Raise CalibrationError unless the data can be fitted with that many parameters.

    ``bad_fit`` on lengths that differ, too few points, numbers that are not finite, or x that never changes;
    ``no_signal`` on y that never changes.
    """
    xs, ys = np.asarray(x), np.asarray(y)
    if xs.ndim != 1 or xs.shape != ys.shape:
        message = f"{what}: expected as many values as points, got shapes {xs.shape} and {ys.shape}"
        raise CalibrationError(_failure(FailureKind.BAD_FIT, "bad_shape", message))
    if len(xs) < parameters + SPARE_POINTS:
        message = f"{what}: expected at least {parameters + SPARE_POINTS} points to fit, got {len(xs)}"
        raise CalibrationError(_failure(FailureKind.BAD_FIT, "too_few_points", message))
    if not (np.all(np.isfinite(xs)) and np.all(np.isfinite(ys))):
        bad = int(np.count_nonzero(~(np.isfinite(xs) & np.isfinite(ys))))
        message = f"{what}: expected finite numbers, got {bad} of {len(xs)} points that are not"
        raise CalibrationError(_failure(FailureKind.BAD_FIT, "not_finite", message))
    if np.ptp(xs) == 0:
        message = f"{what}: all points are at {xs[0]:g}"
        raise CalibrationError(_failure(FailureKind.BAD_FIT, "no_sweep", message))
    if np.all(ys == ys[0]):
        raise CalibrationError(no_signal(what))


def search(basis: NDArray[np.float64], y: Real) -> tuple[int, Real]:
    """The candidate that explains y best, and its coefficients; basis has shape (candidates, n, k)."""
    transposed = basis.transpose(0, 2, 1)
    best, coefficients, _ = solve(transposed @ basis, transposed @ y)
    return best, coefficients


def solve(normal: Real, moments: Real) -> tuple[int, Real, float]:
    """The candidate that explains most, its coefficients, and the sum of squares that it explains.

    ``normal`` holds the products of the basis with itself, shape (candidates, k, k), and ``moments`` those
    with the data, shape (candidates, k).
    """
    normal = normal + 1e-12 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(normal.shape[2])
    coefficients = np.linalg.solve(normal, moments[..., None])[..., 0]
    explained = np.sum(coefficients * moments, axis=1)
    best = int(np.argmax(explained))
    return best, coefficients[best], float(explained[best])


@dataclass(frozen=True)
class Weighted:
    """A fit refined with known variances.

    Attributes:
        parameters: shape (k,).
        covariance: of the parameters, shape (k, k); widened where the residuals exceed the known noise.
        residuals: data minus model, shape (n,).
        sigmas: standard deviation of each of the data, shape (n,).
        slopes: derivative of the model, shape (n, k).
        known: what was known of the parameters beforehand, as the rows of a tie, shape (m, k).
        converged: whether the refinement ended by itself with a usable covariance.
    """

    parameters: Real
    covariance: Real
    residuals: Real
    sigmas: Real
    slopes: Real
    known: Real
    converged: bool

    @property
    def freedom(self) -> int:
        """Degrees of freedom."""
        return self.residuals.size - self.parameters.size

    @property
    def chi2(self) -> float:
        """Weighted sum of squares per degree of freedom."""
        return float(np.sum((self.residuals / self.sigmas) ** 2)) / self.freedom

    def error(self, slopes: Mapping[int, float]) -> float:
        """Standard deviation of what depends on the parameters with these slopes, by their number."""
        slope = np.zeros(self.parameters.size)
        slope[list(slopes)] = list(slopes.values())
        return float(np.sqrt(slope @ self.covariance @ slope))

    def further(self, slope: Real) -> tuple[float, float]:
        """One parameter more, by its slope at 0, shape (n,): its estimate and error."""
        weighted = np.column_stack([self._weighted, self._standardised(slope)])
        if not np.all(np.isfinite(weighted)) or np.linalg.matrix_rank(weighted) < weighted.shape[1]:
            return 0.0, float("inf")
        covariance = np.linalg.inv(weighted.T @ weighted)
        residuals = np.append(self.residuals / self.sigmas, -self.known @ self.parameters)
        found = covariance @ weighted.T @ residuals
        return float(found[-1]), float(np.sqrt(covariance[-1, -1]))

    def shift(self, change: Real) -> Real:
        """What a small change of the data, shape (n,), adds to the parameters, shape (k,)."""
        found, *_ = np.linalg.lstsq(self._weighted, self._standardised(change), rcond=None)
        return np.asarray(found)

    @property
    def _weighted(self) -> Real:
        return np.vstack([self.slopes / self.sigmas[:, None], self.known])

    def _standardised(self, change: Real) -> Real:
        return np.append(change / self.sigmas, np.zeros(len(self.known)))


def refine_weighted(
    model: Callable[[Real], Real],
    jacobian: Callable[[Real], Real],
    start: ArrayLike,
    y: Real,
    variances: Callable[[Real, Real, Real], Real],
    tie: Callable[[Real], Real] | None = None,
) -> Weighted:
    """Levenberg-Marquardt from ``start`` with weights from the fitted curve; all arrays scaled to order 1.

    Args:
        model: of the parameters, shape (k,), to the data, shape (n,).
        jacobian: its derivative, shape (n, k).
        start: parameters.
        y: data.
        variances: of the data, from the parameters, the fitted curve and its derivative.
        tie: of the parameters to what is known beforehand: a sum of them that is 0 with a standard deviation
            of 1, as its coefficients, shape (k,).

    Shot noise depends on the fitted curve, so the weights are found in a few rounds. The covariance is
    that of the known variances, times chi² where that exceeds 1 by more than three times its scatter.
    """
    found, status, size = np.asarray(start, dtype=np.float64), 0, np.asarray(start).size
    sigmas = np.ones_like(y)
    known = np.zeros((0, size))
    for tolerance in _TOLERANCES:
        fitted = model(found)
        if np.all(np.isfinite(fitted)):
            sigmas = np.sqrt(variances(found, fitted, jacobian(found)))
        if tie is not None:
            known = tie(found)[None, :]
        found, _, _, _, status = cast("Any", leastsq)(
            lambda p, s=sigmas, k=known: np.append((model(p) - y) / s, k @ p),
            found,
            Dfun=lambda p, s=sigmas, k=known: np.vstack([jacobian(p) / s[:, None], k]),
            full_output=True,
            maxfev=_MAX_EVALUATIONS,
            ftol=tolerance,
            xtol=tolerance,
        )
    residuals, slopes = y - model(found), jacobian(found)
    weighted = np.vstack([slopes / sigmas[:, None], known])
    usable = bool(np.all(np.isfinite(weighted)) and np.all(np.isfinite(residuals)))
    covariance = np.full((size, size), np.nan)
    if usable and np.linalg.matrix_rank(weighted) == size:
        covariance = np.linalg.inv(weighted.T @ weighted)
    freedom = y.size - size
    chi2 = float(np.sum((residuals / sigmas) ** 2)) / freedom
    if chi2 > 1 + CHI2_SIGMAS * np.sqrt(2 / freedom):
        covariance = covariance * chi2
    converged = status in (1, 2, 3, 4) and bool(np.all(np.isfinite(covariance)))
    return Weighted(found, covariance, residuals, sigmas, slopes, known, converged)
