"""What every fit of a sweep returns: typed estimates, its quality, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qdash_queue.domain import Failure

Real = NDArray[np.float64]


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


@dataclass(frozen=True)
class Fit:
    """Base of the typed fits."""

    quality: Quality

    def metrics(self) -> Mapping[str, float]:
        """What is recorded beside the values."""
        return {"r2": self.quality.r2, "chi2": self.quality.chi2, "iq_noise": self.quality.noise}


@dataclass(frozen=True)
class NoFit:
    """Why there is no fit."""

    failure: Failure
