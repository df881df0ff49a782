"""What every fit of a sweep returns: typed estimates, its quality, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from qdash_queue.domain import CalibrationError, Failure

P = ParamSpec("P")
F = TypeVar("F")
Real = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class Estimate:
    """A value with its errors, one standard deviation each, in the value's unit.

    Attributes:
        value: the estimate.
        error: statistical.
        systematic: what the model leaves out, at most.
    """

    value: float
    error: float
    systematic: float = 0.0

    @property
    def total(self) -> float:
        """Both errors together."""
        return math.hypot(self.error, self.systematic)

    def inverse(self, numerator: float = 1.0) -> Estimate:
        """``numerator`` divided by it."""
        slope = abs(numerator) / self.value**2
        return Estimate(numerator / self.value, self.error * slope, self.systematic * slope)

    def scaled(self, factor: float) -> Estimate:
        """The same in another unit."""
        return Estimate(self.value * factor, self.error * abs(factor), self.systematic * abs(factor))


@dataclass(frozen=True)
class Quality:
    """How well a model describes its data, against the known variance of the points.

    Attributes:
        r2: coefficient of determination.
        chi2: weighted sum of squares per degree of freedom.
        freedom: degrees of freedom.
        residuals: of the points in the order measured, in standard deviations, shape (n,).
        across: distance of the points from the IQ axis, likewise, shape (n,).
        converged: whether the refinement ended by itself with a usable covariance.
        at_bound: which parameter ran to a bound of what the data resolve, else empty.
        swing: of the signal, in the data's unit.
        noise: standard deviation of a point, in the data's unit.
        explained: weighted sum of squares that the points have about their mean and not about the curve.
        ground: deviation of each ground reference from the fit, in standard deviations, across the axis as
            the imaginary part, shape (m,).
        excited: of each excited reference, likewise.
    """

    r2: float
    chi2: float
    freedom: int
    residuals: Real = field(repr=False)
    across: Real = field(repr=False)
    converged: bool
    at_bound: str
    swing: float
    noise: float
    explained: float = 0.0
    ground: Complex = field(repr=False, default_factory=lambda: np.empty(0, dtype=np.complex128))
    excited: Complex = field(repr=False, default_factory=lambda: np.empty(0, dtype=np.complex128))


@dataclass(frozen=True)
class Fit:
    """Base of the typed fits."""

    quality: Quality

    def metrics(self) -> Mapping[str, float]:
        """What is recorded beside the values."""
        return {"r2": self.quality.r2, "chi2": self.quality.chi2, "iq_noise": self.quality.noise}


@dataclass(frozen=True)
class TurningFit(Fit):
    """A fit of an oscillation.

    Attributes:
        turns: in the sweep.
    """

    turns: float


@dataclass(frozen=True)
class NoFit:
    """Why there is no fit."""

    failure: Failure


def attempted(fit: Callable[P, F | NoFit]) -> Callable[P, F | NoFit]:
    """The same fit, which returns a NoFit instead of raising CalibrationError.

    Numbers that overflow in it are no warning: what is not finite is refused by the checks.
    """

    @wraps(fit)
    def tried(*args: P.args, **kwargs: P.kwargs) -> F | NoFit:
        try:
            with np.errstate(all="ignore"):
                return fit(*args, **kwargs)
        except CalibrationError as error:
            return NoFit(error.failure)

    return tried
