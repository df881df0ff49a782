"""The shared vocabulary of checks: each names one way in which a fit may be wrong.

A check is pure and returns the failure, or None. The first failure of a protocol's list is the verdict.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, cast

import numpy as np
from scipy.special import chdtrc

from calibtasks.fits.decay import DecayFit
from calibtasks.fits.fit import Complex, Estimate, Fit, Quality, Real, TurningFit
from calibtasks.fits.least_squares import no_signal
from calibtasks.fits.ramsey import RamseyFit
from calibtasks.measure.sweep import Sweep
from qdash_queue.domain import Failure, FailureKind

SIGNAL_CHI2: Final = 50.0
"""Least sum of squares that a curve must explain: with six parameters and a hundred frequencies to choose
from, noise reaches it less often than once in a million times."""
CHI2_SIGMAS: Final = 5.0
"""Largest excess of chi² over 1 in parts of its scatter sqrt(2 / freedom): noise exceeds it once in 10⁵."""
ALLOWED_STRAY: Final = 0.005
"""Deviation from a curve that is always allowed, in parts of the swing: no model is exact."""
ALLOWED_DRIFT: Final = 0.01
"""Change of a reference that is always allowed, in parts of the swing: it shifts no value by its error."""
ALIKE_SIGMAS: Final = 3.5
"""Largest correlation of neighbouring points that counts as chance, in standard deviations of it."""
AGREE_SIGMAS: Final = 4.0
"""Largest distance of a curve's end from a reference that counts as chance, in standard deviations."""
CHANCE: Final = 1e-5
"""Least probability of references that count as steady."""
REPEATS: Final = 3
"""Equal points, or points at the very extreme, from which the instrument counts as dead or saturated."""
EQUAL: Final = 1e-9
"""Distance below which two points are equal, in parts of the range: noise never comes so near three times."""
RESOLVED: Final = 0.5
"""Largest relative error of a resolved decay time."""
STRETCH_SIGMAS: Final = 3.5
"""Largest stretch of an exponential that counts as chance, in standard deviations."""
ALLOWED_STRETCH: Final = 0.02
"""Stretch that is always allowed: it shifts a decay time by less than 1 %."""
REACHED: Final = 2.0
"""Largest decay time that counts as reached, in parts of the longest waiting time."""
ALLOWED_TILT: Final = 0.02
"""Population that a half-π pulse may leave, in parts of the equilibrium: about 1 % of its angle."""
NEAR_END: Final = 0.1
"""Part of a decay's swing within which it counts as at its end, or at its start."""
CARRY_OVER_SIGMAS: Final = 0.3
"""Largest systematic error of the carry-over, in parts of the statistical error ..."""
CARRY_OVER_PART: Final = 0.005
"""... or of the value, whichever is larger."""
LEAST_TURNS: Final = 1.0
"""Turns below which a fringe cannot be told from a decay."""

_LOOK: Final = "check the figure: did something change during the sweep?"


@dataclass(frozen=True)
class Checked:
    """What a check looks at.

    Attributes:
        what: what was measured, in words.
        fit: of the data.
        sweeps: the data by name.
    """

    what: str
    fit: Fit
    sweeps: Mapping[str, Sweep]


Check = Callable[[Checked], Failure | None]


def bad_fit(cause: str, message: str, remedy: str = "") -> Failure:
    """A failure of kind ``bad_fit``."""
    return Failure(kind=FailureKind.BAD_FIT, cause=cause, message=message, remedy=remedy)


# ---------------------------------------------------------------------- of every fit


def signal_seen(checked: Checked) -> Failure | None:
    """The points change beyond their noise, by the sum of squares that the curve explains.

    A curve that misses the points explains little too; that is no lack of a signal.
    """
    quality = checked.fit.quality
    if quality.explained < SIGNAL_CHI2 and quality.chi2 <= _most_chi2(quality):
        return no_signal(checked.what)
    return None


def bound_hit(checked: Checked) -> Failure | None:
    """No parameter ran to a bound of what the data resolve."""
    bound = checked.fit.quality.at_bound
    if bound:
        return bad_fit("at_bound", f"the fit of {checked.what} ran to a bound: {bound}")
    return None


def converged(checked: Checked) -> Failure | None:
    """The refinement ended by itself, and its numbers are finite."""
    quality = checked.fit.quality
    numbers = (quality.r2, quality.chi2, quality.explained, quality.swing, quality.noise)
    if quality.converged and all(map(math.isfinite, numbers)) and quality.noise > 0:
        return None
    return bad_fit("not_converged", f"the fit of {checked.what} did not converge")


def chi_squared(checked: Checked) -> Failure | None:
    """The curve misses the points by no more than their noise."""
    quality = checked.fit.quality
    if quality.chi2 <= _most_chi2(quality) or _is_small(checked):
        return None
    times = math.sqrt(quality.chi2)
    return bad_fit(
        "misfit", f"the fit of {checked.what} misses the points by {times:.1f} times their noise", _LOOK
    )


def residual_runs(checked: Checked) -> Failure | None:
    """The curve does not miss many points in a row on the same side."""
    if neighbours_alike(checked.fit.quality.residuals) <= ALIKE_SIGMAS or _is_small(checked):
        return None
    return bad_fit("misfit", f"the fit of {checked.what} misses many points in a row on the same side", _LOOK)


def on_axis(checked: Checked) -> Failure | None:
    """The points do not drift off their axis in the IQ plane."""
    if neighbours_alike(checked.fit.quality.across) <= ALIKE_SIGMAS:
        return None
    return bad_fit("drift", f"the signal of {checked.what} drifted off its axis in the IQ plane", _LOOK)


def references_steady(checked: Checked) -> Failure | None:
    """The references of all slices agree with the fit and with each other: gain and phase did not change."""
    quality = checked.fit.quality
    kinds = [kind for kind in (quality.ground, quality.excited) if kind.size]
    deviations = np.concatenate([np.concatenate([kind.real, kind.imag]) for kind in kinds] or [np.zeros(1)])
    trends = [_trend(part) for kind in kinds for part in (kind.real, kind.imag)]
    likely = chdtrc(deviations.size, float(deviations @ deviations)) >= CHANCE
    if likely and all(abs(trend) <= AGREE_SIGMAS for trend in trends):
        return None
    if _largest_drift(checked) <= ALLOWED_DRIFT * quality.swing:
        return None
    return bad_fit(
        "references_moved", f"the reference points of {checked.what} changed during the sweep", _LOOK
    )


def repeated(checked: Checked) -> Failure | None:
    """The points do not repeat each other without any noise, as those of a dead instrument do."""
    for sweep in checked.sweeps.values():
        if sweep.iq.size - np.unique(sweep.iq).size >= REPEATS:
            return bad_fit("repeated", f"points of {checked.what} repeat each other to the last digit", _LOOK)
    return None


def saturated(checked: Checked) -> Failure | None:
    """The points are not clipped at a largest or least value."""
    for sweep in checked.sweeps.values():
        for angle in (0.0, _axis_angle(sweep.iq)):
            turned = sweep.iq * np.exp(-1j * angle)
            if any(_clipped(part) for part in (turned.real, -turned.real, turned.imag, -turned.imag)):
                message = f"the signal of {checked.what} is clipped at a largest value"
                return bad_fit("saturated", message, "reduce the readout amplitude or the capture's gain")
    return None


SEEN: Final[tuple[Check, ...]] = (
    repeated,
    signal_seen,
    bound_hit,
    converged,
    saturated,
    references_steady,
)
"""That there is a signal and a fit."""
DESCRIBED: Final[tuple[Check, ...]] = (chi_squared, residual_runs, on_axis)
"""That the fit describes the signal; a check that knows why it may not comes before."""
STANDARD: Final = (*SEEN, *DESCRIBED)
"""What every fit needs."""


# ---------------------------------------------------------------------- of decays


class HasTau(Protocol):
    """A fit with a decay time."""

    @property
    def tau(self) -> Estimate:
        """The decay time, μs."""


def decay_resolved(checked: Checked) -> Failure | None:
    """The decay time is a number with a relative error of at most a half."""
    tau = cast("HasTau", checked.fit).tau
    if tau.error <= RESOLVED * tau.value:
        return None
    return bad_fit(
        "decay_not_resolved",
        f"the {checked.what} is not resolved by the sweep",
        "choose a time_range that ends well after the decay",
    )


def decay_reached(checked: Checked) -> Failure | None:
    """The sweep is long enough to show where the decay ends."""
    tau, longest = cast("DecayFit", checked.fit).tau, 1e-3 * float(checked.sweeps["decay"].points.max())
    if tau.value <= REACHED * longest:
        return None
    return bad_fit(
        "sweep_too_short",
        f"the {checked.what} takes {tau.value:.3g} μs, and the sweep ends after {longest:.3g} μs",
        f"choose a time_range that ends after {3e3 * tau.value:.0f} ns",
    )


def half_pi_halves(checked: Checked) -> Failure | None:
    """A half-π pulse leaves the qubit half-way, by the signals after one and three of them."""
    tilt = cast("DecayFit", checked.fit).tilt
    if abs(tilt.value) <= max(AGREE_SIGMAS * tilt.error, ALLOWED_TILT):
        return None
    message = f"the half-π pulse of the {checked.what} misses the middle by {50 * tilt.value:+.1f} %"
    return bad_fit("wrong_pulse", message, "run CreateHPIPulse: the pulse may have changed")


def single_decay(checked: Checked) -> Failure | None:
    """There is one decay time: a mixture of two, or a change in the sweep, stretches the exponential."""
    stretch = cast("DecayFit | RamseyFit", checked.fit).stretch
    if abs(stretch.value) <= max(STRETCH_SIGMAS * stretch.error, ALLOWED_STRETCH):
        return None
    message = f"the {checked.what} is no single exponential: its exponent is {1 + stretch.value:.2f}"
    return bad_fit("not_exponential", message, _LOOK)


def carry_over_known(checked: Checked) -> Failure | None:
    """What a shot leaves to the next one is known well enough not to shift the decay time."""
    fit = cast("DecayFit", checked.fit)
    tau = fit.tau
    if fit.carried <= max(CARRY_OVER_SIGMAS * tau.error, CARRY_OVER_PART * tau.value):
        return None
    return bad_fit(
        "carry_over",
        f"shots of the {checked.what} start before the qubit has relaxed, and shift the decay time by up to"
        f" {100 * fit.carried / tau.value:.1f} %",
        f"set interval to at least {5 * tau.value * 1e3:.0f} ns",
    )


def reaches_ground(checked: Checked) -> Failure | None:
    """Where the decay is over, the points agree with the ground references."""
    quality, height = checked.fit.quality, _height(checked)
    last = quality.residuals[: height.size][height < NEAR_END]
    if _agree(last, quality.ground.real):
        return None
    message = f"the {checked.what} does not end at the ground state's reference"
    return bad_fit("not_at_ground", message, _LOOK)


def starts_excited(checked: Checked) -> Failure | None:
    """The decay begins at the excited references, and on the right side of the ground references."""
    quality, height = checked.fit.quality, _height(checked)
    first = quality.residuals[: height.size][height > 1 - NEAR_END]
    if np.all(np.isfinite(height)) and _agree(first, quality.excited.real):
        return None
    message = f"the {checked.what} does not start at the excited state's reference"
    return bad_fit("not_excited", message, "run CreateHPIPulse: the pulse may have changed")


# ---------------------------------------------------------------------- of oscillations


def fringe_resolved(checked: Checked) -> Failure | None:
    """The fringe makes a whole turn: less can be the decay of T1 after a wrong pulse."""
    turns = abs(cast("TurningFit", checked.fit).turns)
    if turns >= LEAST_TURNS:
        return None
    return bad_fit(
        "zero_frequency",
        f"the {checked.what} makes {turns:.2f} turns in the sweep: it may be the decay of T1",
        "choose another detuning; if that changes nothing, run CreateHPIPulse: the pulse is no half π",
    )


# ---------------------------------------------------------------------- what they compute


def neighbours_alike(values: Real) -> float:
    """Lag-1 autocorrelation in standard deviations (1 / sqrt(n)) of that of independent values."""
    deviations = values - values.mean()
    square = max(float(deviations @ deviations), 1e-300)
    return float(deviations[1:] @ deviations[:-1] / square) * math.sqrt(deviations.size)


def _most_chi2(quality: Quality) -> float:
    return 1 + CHI2_SIGMAS * math.sqrt(2 / max(quality.freedom, 1))


def _is_small(checked: Checked) -> bool:
    quality = checked.fit.quality
    stray = quality.noise * float(np.sqrt(np.mean(quality.residuals**2)))
    return stray <= ALLOWED_STRAY * quality.swing


def _trend(values: Real) -> float:
    """The rise with the slice, in standard deviations."""
    steps = np.arange(values.size) - (values.size - 1) / 2
    return float(values @ steps / math.sqrt(max(float(steps @ steps), 1.0)))


def _largest_drift(checked: Checked) -> float:
    kinds = [
        kind for sweep in checked.sweeps.values() for kind in (sweep.ground_iq, sweep.excited_iq) if kind.size
    ]
    return max((float(np.max(np.abs(kind - kind.mean()))) for kind in kinds), default=math.inf)


def _axis_angle(iq: Complex) -> float:
    offsets = iq - iq.mean()
    return 0.5 * float(np.angle(np.sum((offsets / max(float(np.max(np.abs(offsets))), 1e-300)) ** 2)))


def _clipped(values: Real) -> bool:
    top = float(np.max(values))
    return bool(np.count_nonzero(values >= top - EQUAL * float(np.ptp(values))) >= REPEATS)


def _height(checked: Checked) -> Real:
    """Of the decay's curve at its points, 0 at its end and 1 at its start; not a number when it rises."""
    fit = cast("DecayFit", checked.fit)
    sweep = checked.sweeps["decay"]
    start, end = (float(fit.curve(np.array([time]))[0]) for time in (0.0, 1e6 * float(sweep.points.max())))
    return (fit.curve(sweep.points) - end) / (start - end if start > end else math.nan)


def _agree(some: Real, others: Real) -> bool:
    """Whether two sets of standardised deviations have one mean."""
    if not (some.size and others.size):
        return True
    distance = some.sum() / math.sqrt(some.size) - others.sum() / math.sqrt(others.size)
    return bool(abs(distance) <= AGREE_SIGMAS * math.sqrt(2))
