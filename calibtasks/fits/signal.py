"""All data of a target on one IQ axis, with the variance of every point.

A point of n shots with excited population p has the variance (s + C² p (1 - p)) / n along the axis: s is a
shot's variance whatever the qubit's state, C the contrast between ground and excited state. s is what is seen
across the axis, and an excess, found from the scatter of neighbouring residuals: of a thermal population q,
C² q (1 - q), exactly constant when C and p are those between the references. (Populations of 0 and q give a
visible contrast of C (1 - 2q), and (q + p (1 - 2q)) (1 - q - p (1 - 2q)) = q (1 - q) + (1 - 2q)² p (1 - p).)
Both are found from the scatter of neighbours, which, unlike that about a mean or a curve, hides neither a
drift nor a curve that misses the points.

References are data like the points: a model describes them too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calibtasks.fits.fit import Quality
from calibtasks.fits.least_squares import Weighted, check_data, no_signal
from calibtasks.measure.sweep import Complex, Real, Sweep
from qdash_queue.domain import CalibrationError, Failure, FailureKind

MOST_EXCESS: Final = 0.5
"""Largest excess variance of a shot in parts of C²: that of a thermal population of 0.21."""
SEEN_SIGMAS: Final = 5.0
"""Distance between the references from which they decide the axis' sign, in standard deviations."""
MOST_CONTRAST: Final = 3.0
"""Largest contrast that is believed, in parts of what the data show."""
_SMALLEST: Final = 1e-280
"""Signals below this have no finite reciprocal square."""
_ROUNDS: Final = 4
_LEAST_LEFT: Final = 0.1
"""Neighbours of whose scatter a fit leaves less do not tell what it was."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Signal:
    """Data of n points and references: all points of every sweep, then ground, then excited references.

    ``iq = origin + unit * (values + 1j * across)``. ``values`` grow from the ground to the excited state.

    Attributes:
        what: is measured, in words.
        values: coordinate along the axis, 0 at the mean of the ground references, shape (n,).
        across: coordinate across it, 0 on average, shape (n,).
        shots: of each, shape (n,).
        ground: which are ground references, shape (n,).
        excited: which are excited references, shape (n,).
        parts: where each sweep's points are, by its name.
        origin: of the coordinates in the IQ plane.
        unit: of the coordinates, as a vector in the IQ plane.
        shot_variance: of one shot across the axis.
    """

    what: str
    values: Real = field(repr=False)
    across: Real = field(repr=False)
    shots: Real = field(repr=False)
    ground: Mask = field(repr=False)
    excited: Mask = field(repr=False)
    parts: Mapping[str, slice]
    origin: complex
    unit: complex
    shot_variance: float

    @classmethod
    def of(cls, what: str, sweeps: Mapping[str, Sweep], *, parameters: int) -> Signal:
        """The sweeps on the principal axis of all their points and references.

        Raises CalibrationError: ``bad_fit`` on data that cannot be fitted with that many parameters,
        ``no_signal`` on data that never change.
        """
        found = list(sweeps.values())
        points = np.concatenate([sweep.iq for sweep in found])
        steps = np.concatenate([sweep.points for sweep in found])
        check_data(what, steps, points, parameters=parameters)
        ground = np.concatenate([sweep.ground_iq for sweep in found])
        excited = np.concatenate([sweep.excited_iq for sweep in found])
        iq = np.concatenate([points, ground, excited])
        shots = np.concatenate(
            [np.full(sweep.iq.size, float(sweep.shots)) for sweep in found]
            + [sweep.reference_shots for sweep in found]
            + [sweep.reference_shots for sweep in found if sweep.excited_iq.size]
        )
        if ground.size == 0 or shots.size != iq.size or not np.all(shots >= 1):
            raise _refused("bad_shape", f"{what}: expected ground references, and shots of each point")
        if not np.all(np.isfinite(iq)):
            raise _refused("not_finite", f"{what}: expected finite references")
        order = np.arange(iq.size)
        is_ground = (order >= points.size) & (order < points.size + ground.size)
        is_excited = order >= points.size + ground.size
        origin, unit = _axis(what, iq, shots, is_ground, is_excited)
        rotated = (iq - origin) / abs(unit) * (abs(unit) / unit)
        values, across = rotated.real, rotated.imag
        across = across - np.average(across, weights=shots)
        near = _neighbours(is_ground, is_excited)
        jumps = np.diff(across)[near] ** 2 / (1 / shots[near] + 1 / shots[near + 1])
        variance = float(np.mean(jumps))
        if not (np.all(np.isfinite(rotated)) and math.isfinite(variance) and variance > 0):
            raise _refused("noise_unknown", f"the noise of {what} is not known")
        ends = np.cumsum([0, *(sweep.iq.size for sweep in found)])
        parts = {name: slice(int(a), int(b)) for name, a, b in zip(sweeps, ends[:-1], ends[1:], strict=True)}
        return cls(what, values, across, shots, is_ground, is_excited, parts, origin, unit, variance)

    @property
    def scale(self) -> float:
        """One unit of the coordinates, in the data's unit."""
        return abs(self.unit)

    @property
    def points(self) -> Mask:
        """Which are points of a sweep, shape (n,)."""
        return ~(self.ground | self.excited)

    @property
    def contrast(self) -> float:
        """From the ground to the excited references; not a number where there are none."""
        return self.mean(self.excited) - self.mean(self.ground)

    def mean(self, which: Mask) -> float:
        """Mean of the chosen values, weighted by shots; not a number when none is chosen."""
        if not np.any(which):
            return math.nan
        return float(np.average(self.values[which], weights=self.shots[which]))

    def variances(
        self, fitted: Real, slopes: Real, contrast: float = math.nan, while_read: float = 0.0
    ) -> Real:
        """Variance of every value about a fitted curve with k parameters, shape (n,).

        ``slopes`` is the curve's derivative, shape (n, k): what of the noise the fit has taken up.
        ``contrast`` is the distance between the states, where the fit knows it better than the references;
        ``while_read`` what relaxation during the readout adds to an excited shot's variance, over contrast².
        """
        low = self.mean(self.ground)
        swing = abs(contrast)
        if not math.isfinite(swing):
            swing = float(np.nanmax([self.contrast, float(np.max(fitted)) - low]))
        swing = min(max(swing, 0.0), MOST_CONTRAST * (float(np.max(self.values)) - low))
        population = np.clip((fitted - low) / max(swing, 1e-12), 0.0, 1.0)
        shot = self.shot_variance + swing**2 * population * (1 - population + while_read)
        return np.asarray((shot + self._excess(fitted, shot, swing, slopes)) / self.shots)

    def _excess(self, fitted: Real, shot: Real, swing: float, slopes: Real) -> float:
        """Variance of a shot that the scatter of neighbouring residuals has beyond ``shot``."""
        near = _neighbours(self.ground, self.excited)
        left = _left_by_fit(slopes, np.sqrt(shot / self.shots))[near]
        near, left = near[left > _LEAST_LEFT], left[left > _LEAST_LEFT]
        jumps = np.diff(self.values - fitted)[near] ** 2 / left
        known = (shot / self.shots)[near] + (shot / self.shots)[near + 1]
        slope = 1 / self.shots[near] + 1 / self.shots[near + 1]
        most = MOST_EXCESS * swing**2
        excess = 0.0
        for _ in range(_ROUNDS):
            weight = slope / (known + excess * slope) ** 2
            excess = float(np.sum(weight * (jumps - known)) / np.sum(weight * slope))
            excess = float(np.clip(excess, 0.0, most))
        return excess

    def quality(self, found: Weighted, at_bound: str = "") -> Quality:
        """How well a refined model of all the values describes them."""
        points = self.points
        values, residuals, deviations = self.values[points], found.residuals[points], found.sigmas[points]
        weights = deviations**-2.0
        level = float(np.average(values, weights=weights))
        explained = float(np.sum(weights * ((values - level) ** 2 - residuals**2)))
        spread = float(np.sum((values - values.mean()) ** 2))
        across = self.across * np.sqrt(self.shots / self.shot_variance)
        standardised = found.residuals / found.sigmas + 1j * across
        return Quality(
            r2=1 - float(residuals @ residuals) / max(spread, 1e-300),
            chi2=found.chi2,
            freedom=found.freedom,
            residuals=standardised.real[points],
            across=across[points],
            converged=found.converged,
            at_bound=at_bound,
            swing=float(np.ptp(values - residuals)) * self.scale,
            noise=float(np.sqrt(np.mean(deviations**2))) * self.scale,
            explained=explained,
            ground=standardised[self.ground],
            excited=standardised[self.excited],
        )


def _neighbours(ground: Mask, excited: Mask) -> NDArray[np.int64]:
    """Places of data that are of one kind with the next."""
    return np.flatnonzero(np.diff(ground + 2 * excited) == 0)


def _left_by_fit(slopes: Real, deviations: Real) -> Real:
    """Share of each squared step between neighbours that a weighted fit leaves in the residuals."""
    weighted = slopes / deviations[:, None]
    if not np.all(np.isfinite(weighted)):
        return np.ones(deviations.size - 1)
    basis, _ = np.linalg.qr(weighted)
    seen = deviations[:, None] * basis
    before = deviations[1:] ** 2 + deviations[:-1] ** 2
    return np.asarray(1 - np.sum(np.diff(seen, axis=0) ** 2, axis=1) / before)


def _axis(what: str, iq: Complex, shots: Real, ground: Mask, excited: Mask) -> tuple[complex, complex]:
    """The mean of the ground references, and a unit along the axis towards the excited state."""
    size = float(max(np.max(np.abs(iq.real)), np.max(np.abs(iq.imag))))
    if not size > _SMALLEST:
        raise CalibrationError(no_signal(what))
    scaled = iq / size
    origin = complex(np.average(scaled[ground], weights=shots[ground]))
    offsets = scaled - complex(scaled.mean())
    spread = float(np.sqrt(np.mean(np.abs(offsets) ** 2)))
    if not spread * size > _SMALLEST:
        raise CalibrationError(no_signal(what))
    offsets = offsets / spread
    angle = 0.5 * float(np.angle(np.sum(offsets**2)))
    unit = complex(math.cos(angle), math.sin(angle))
    along, across = ((scaled - origin) / spread / unit).real, (offsets / unit).imag
    towards = float(np.average(along[~ground], weights=shots[~ground]))
    if np.any(excited):
        error = math.sqrt(
            float(np.mean(shots * across**2)) * (1 / shots[ground].sum() + 1 / shots[excited].sum())
        )
        distance = float(np.average(along[excited], weights=shots[excited]))
        towards = distance if abs(distance) > SEEN_SIGMAS * error else towards
    unit = unit if towards >= 0 else -unit
    return origin * size, unit * spread * size


def _refused(cause: str, message: str) -> CalibrationError:
    return CalibrationError(Failure(kind=FailureKind.BAD_FIT, cause=cause, message=message))


def stacked(signal: Signal, parts: Sequence[Real], ground: float, excited: float) -> Real:
    """One value for each of the signal's: of the sweeps' points in order, and of both references."""
    full = np.empty(signal.values.size)
    full[signal.points] = np.concatenate(parts)
    full[signal.ground], full[signal.excited] = ground, excited
    return full
