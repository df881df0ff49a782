"""Least squares for every model: checks, grid search, refinement, errors.

A fit starts from a grid search in which the linear parameters are solved exactly (variable projection), so it
needs no initial guess, and is refined by Levenberg-Marquardt with an analytic Jacobian, in coordinates scaled
to the data, so that it does not depend on units. Errors are one standard deviation. Shot noise depends on the
population, so the points' variances are modelled as a constant and a part that goes as p(1 - p), found from
the squared residuals. These are corrected for leverage as in HC2 (MacKinnon and White 1985), and the errors
widened by the variance of Student's distribution, so that (estimate - truth) / error has a width of one with
few points too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import leastsq, nnls
from scipy.special import fdtrc

from qdash_queue.domain import CalibrationError, Failure, FailureKind

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]
Curve = Callable[[Real], Real | Complex]

CHANCE_OF_NOISE: Final = 1e-6
"""Largest probability that noise alone looks like an accepted signal."""

SPARE_POINTS: Final = 5
"""Points that a fit needs beyond its parameters, for its errors to be known."""

RESOLVED_DECAY: Final = 0.5
"""Largest relative error of a resolved decay time."""

CHI2_SIGMAS: Final = 3.0
"""Excess of chi² over 1 from which errors are widened, in parts of its scatter sqrt(2 / freedom)."""

_MAX_EVALUATIONS: Final = 400
_WEIGHT_ROUNDS: Final = 3
_VARIANCE_ROUNDS: Final = 3
_VARIANCE_FLOOR: Final = 0.05


@dataclass(frozen=True)
class Fit:
    """A fitted model.

    Attributes:
        values: parameters by name, in the data's units.
        errors: their standard deviations.
        r2: coefficient of determination.
        converged: whether the refinement ended by itself with a usable covariance.
        at_bound: which parameter ran to a bound of what the data resolve, else empty.
        curve: the model, for drawing.
    """

    values: Mapping[str, float]
    errors: Mapping[str, float]
    r2: float
    converged: bool
    at_bound: str
    curve: Curve = field(repr=False, compare=False)

    def failure(self, what: str) -> Failure | None:
        """Why the fit is refused; None when it is good."""
        if self.at_bound:
            return _failure(
                FailureKind.BAD_FIT, "at_bound", f"the fit of {what} ran to a bound: {self.at_bound}"
            )
        if not self.converged or not np.all(np.isfinite([*self.values.values(), *self.errors.values()])):
            return _failure(FailureKind.BAD_FIT, "not_converged", f"the fit of {what} did not converge")
        return None


def _failure(kind: FailureKind, cause: str, message: str) -> Failure:
    return Failure(kind=kind, cause=cause, message=message)


def no_signal(what: str) -> Failure:
    """The failure of data with only noise."""
    return _failure(FailureKind.NO_SIGNAL, "flat", f"{what} shows no signal above its noise")


def unresolved_decay(what: str, value: float, error: float) -> Failure | None:
    """The failure of a decay whose time (or rate) the data does not resolve; None when it does."""
    if error <= RESOLVED_DECAY * value:
        return None
    failure = _failure(
        FailureKind.BAD_FIT, "decay_not_resolved", f"the decay of {what} is not resolved by the sweep"
    )
    return failure.model_copy(update={"remedy": "choose a time_range that ends well after the decay"})


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
class Refined:
    """A refined fit in scaled coordinates: parameters, their covariance, data minus model."""

    parameters: Real
    covariance: Real
    residuals: Real
    converged: bool

    def described(
        self, values: Mapping[str, float], scales: ArrayLike, r2: float, at_bound: str, curve: Curve
    ) -> Fit:
        """The fit in the data's units: ``values`` in the parameters' order, ``scales`` of their errors."""
        with np.errstate(invalid="ignore"):
            errors = np.sqrt(np.diag(self.covariance)) * np.asarray(scales, dtype=np.float64)
        named = dict(zip(values, map(float, errors), strict=True))
        return Fit(values, named, r2, self.converged, at_bound, curve)


def refine(
    model: Callable[[Real], Real], jacobian: Callable[[Real], Real], start: ArrayLike, y: Real
) -> Refined:
    """Levenberg-Marquardt from ``start``, and the covariance at its end."""
    with np.errstate(all="ignore"):
        found, _, _, _, status = cast("Any", leastsq)(
            lambda p: model(p) - y,
            np.asarray(start, dtype=np.float64),
            Dfun=jacobian,
            full_output=True,
            maxfev=_MAX_EVALUATIONS,
            ftol=1e-10,
            xtol=1e-10,
        )
        residuals = y - model(found)
        slopes = jacobian(found)
    size = len(found)
    if not (np.all(np.isfinite(slopes)) and np.all(np.isfinite(residuals))):
        return Refined(found, np.full((size, size), np.nan), residuals, converged=False)
    try:
        inverse = np.linalg.inv(slopes.T @ slopes)
    except np.linalg.LinAlgError:
        return Refined(found, np.full((size, size), np.nan), residuals, converged=False)
    leverage = np.clip(np.einsum("ni,ij,nj->n", slopes, inverse, slopes), 0.0, 1 - 1e-9)
    spread = point_variances(y - residuals, residuals**2 / (1 - leverage))
    freedom = len(y) - size
    # Two degrees of freedom went into the variances; Student's distribution of the rest is wide.
    widening = freedom / (freedom - 4) if freedom > 4 else np.inf
    covariance = widening * (inverse @ (slopes.T * spread) @ slopes @ inverse)
    return Refined(found, covariance, residuals, converged=status in (1, 2, 3, 4))


@dataclass(frozen=True)
class Weighted:
    """A fit refined with known variances.

    Attributes:
        parameters: shape (k,).
        covariance: of the parameters, shape (k, k); widened where the residuals exceed the known noise.
        residuals: data minus model, shape (n,).
        sigmas: standard deviation of each of the data, shape (n,).
        slopes: derivative of the model, shape (n, k).
        converged: whether the refinement ended by itself with a usable covariance.
    """

    parameters: Real
    covariance: Real
    residuals: Real
    sigmas: Real
    slopes: Real
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
        with np.errstate(invalid="ignore"):
            return float(np.sqrt(slope @ self.covariance @ slope))

    def further(self, slope: Real) -> tuple[float, float]:
        """One parameter more, by its slope at 0, shape (n,): its estimate and error."""
        weighted = np.column_stack([self.slopes, slope]) / self.sigmas[:, None]
        if not np.all(np.isfinite(weighted)) or np.linalg.matrix_rank(weighted) < weighted.shape[1]:
            return 0.0, float("inf")
        covariance = np.linalg.inv(weighted.T @ weighted)
        found = covariance @ weighted.T @ (self.residuals / self.sigmas)
        return float(found[-1]), float(np.sqrt(covariance[-1, -1]))

    def shift(self, change: Real) -> Real:
        """What a small change of the data, shape (n,), adds to the parameters, shape (k,)."""
        weighted = self.slopes / self.sigmas[:, None]
        found, *_ = np.linalg.lstsq(weighted, change / self.sigmas, rcond=None)
        return np.asarray(found)


def refine_weighted(
    model: Callable[[Real], Real],
    jacobian: Callable[[Real], Real],
    start: ArrayLike,
    y: Real,
    variances: Callable[[Real, Real], Real],
) -> Weighted:
    """Levenberg-Marquardt from ``start`` with weights from the fitted curve; all arrays scaled to order 1.

    Args:
        model: of the parameters, shape (k,), to the data, shape (n,).
        jacobian: its derivative, shape (n, k).
        start: parameters.
        y: data.
        variances: of the data, from the parameters and the fitted curve.

    Shot noise depends on the fitted curve, so the weights are found in a few rounds. The covariance is
    that of the known variances, times chi² where that exceeds 1 by more than three times its scatter.
    """
    found, status, size = np.asarray(start, dtype=np.float64), 0, np.asarray(start).size
    sigmas = np.ones_like(y)
    with np.errstate(all="ignore"):
        for _ in range(_WEIGHT_ROUNDS):
            fitted = model(found)
            if np.all(np.isfinite(fitted)):
                sigmas = np.sqrt(variances(found, fitted))
            found, _, _, _, status = cast("Any", leastsq)(
                lambda p, s=sigmas: (model(p) - y) / s,
                found,
                Dfun=lambda p, s=sigmas: jacobian(p) / s[:, None],
                full_output=True,
                maxfev=_MAX_EVALUATIONS,
                ftol=1e-10,
                xtol=1e-10,
            )
        residuals, slopes = y - model(found), jacobian(found)
        weighted = slopes / sigmas[:, None]
        usable = bool(np.all(np.isfinite(weighted)) and np.all(np.isfinite(residuals)))
        covariance = np.full((size, size), np.nan)
        if usable and np.linalg.matrix_rank(weighted) == size:
            covariance = np.linalg.inv(weighted.T @ weighted)
        freedom = y.size - size
        chi2 = float(np.sum((residuals / sigmas) ** 2)) / freedom
        if chi2 > 1 + CHI2_SIGMAS * np.sqrt(2 / freedom):
            covariance = covariance * chi2
    converged = status in (1, 2, 3, 4) and bool(np.all(np.isfinite(covariance)))
    return Weighted(found, covariance, residuals, sigmas, slopes, converged)


def point_variances(fitted: Real, squares: Real) -> Real:
    """Variance of each point: a constant, and a part that is largest half-way between the signal's extremes.

    That is how shot noise goes, ∝ p(1 - p) in the population p; both are found from the squared residuals.
    """
    low, high = float(np.min(fitted)), float(np.max(fitted))
    middle = (fitted - low) * (high - fitted) / max(high - low, 1e-300) ** 2
    parts = np.stack([np.ones_like(fitted), 4 * middle], axis=1)
    mean = max(float(np.mean(squares)), 1e-300)
    found = np.full_like(squares, mean)
    for _ in range(_VARIANCE_ROUNDS):
        shares, _ = nnls(parts / found[:, None], squares / found)
        found = np.maximum(parts @ shares, _VARIANCE_FLOOR * mean)
    return found


def goodness(y: Real, residuals: Real) -> float:
    """The coefficient of determination."""
    return 1 - float(residuals @ residuals) / float(np.sum((y - y.mean()) ** 2))


def is_signal(r2: float, points: int, parameters: int) -> bool:
    """Whether noise alone would reach this R² less often than once in a million times (F test)."""
    if not np.isfinite(r2):
        return False
    explained, rest = parameters - 1, points - parameters
    ratio = (r2 / explained) / max((1 - r2) / rest, 1e-300)
    return bool(fdtrc(explained, rest, ratio) < CHANCE_OF_NOISE)
