"""Fits of decays: relaxation after a π pulse, and the echo, both with the carry-over of shots.

A shot starts from what the previous one left: a readout ends superpositions and moves no populations, which
relax until the next shot. In the steady state of many equal shots, with E = exp(-R/T1) over the time R from a
readout to the next sequence, and z = 1 - 2p counted in parts of its value in equilibrium (1):

* π pulse, wait t: before the pulse z = 1 - δ, behind it -(1 - δ), so that the distance from equilibrium is
  2 - δ, at the readout (2 - δ) exp(-t/T1), at the next pulse δ = (2 - δ) exp(-(t + R)/T1). The population
  above the thermal one is therefore ∝ exp(-t/T1) / (1 + exp(-(t + R)/T1)). A pulse that multiplies z by c has
  (1 - c) exp(-t/T1) / (1 - c exp(-(t + R)/T1)) instead. c shows after two pulses: about equal and opposite
  axes they multiply z by c² on average, since what the first leaves in superposition turns its sign.
* x90, t/2, y180, t/2, x90: the first pulse turns z into the equator, where it decays by q = exp(-t/T2), and
  the last one turns it down: c = -q in the words of ``carry_over``. What relaxes meanwhile ends there too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from calibtasks.fits.carry_over import carried
from calibtasks.fits.fit import Estimate, Fit, attempted
from calibtasks.fits.least_squares import Real, Weighted, refine_weighted, search
from calibtasks.fits.signal import Signal, stacked
from calibtasks.measure.sweep import Sweep
from qdash_queue.domain import CalibrationError, Failure, FailureKind

PULSE_LOSS: Final = 0.01
"""Part of an echo's start that calibrated pulses may lose: decoherence, detuning, angle."""
TRIPLE: Final = 3.0
"""Points of an echo's middle that have three half-π pulses."""
_GRID: Final = 32
_SMALLEST: Final = 1e-9
NO_TILT: Final = Estimate(0.0, 0.0)


@dataclass(frozen=True)
class DecayFit(Fit):
    """A decay.

    Attributes:
        tau: the decay time, μs.
        carried: what is not known of the carry-over shifts tau by this, μs, at most.
        stretch: β - 1 of a stretched exponential exp(-(t/τ)**β): 0 for a single decay.
        signal: the data.
        curve: values of the signal at waiting times in ns.
        tilt: part of the population that a half-π pulse leaves in the ground or excited state.
    """

    tau: Estimate
    carried: float
    stretch: Estimate
    signal: Signal = field(repr=False)
    curve: Callable[[Real], Real] = field(repr=False)
    tilt: Estimate = NO_TILT


@attempted
def fit_relaxation(what: str, decay: Sweep, doubled: Sweep, pulse: float, readout: float) -> DecayFit:
    """T1 from a sweep of waiting times (ns) after a π pulse of ``pulse`` ns, read out for ``readout`` ns.

    ``doubled`` is the signal after two π pulses, the second about X or, at points below 0, about -X. Unknown
    are level and contrast of the signal, c of the π pulse, what its superpositions add to c² when it is
    repeated, and T1. Bound: T1 outside half the shortest positive time to ten times the longest. NoFit on
    unusable data.
    """
    fit = _Decay(what, decay, {"decay": decay, "doubled": doubled}, parameters=5)
    rest = (decay.recovery + pulse) / fit.span
    time, sign = np.zeros((2, fit.signal.values.size))
    time[fit.signal.parts["decay"]] = fit.time
    sign[fit.signal.parts["doubled"]] = np.where(doubled.points < 0, -1.0, 1.0)
    seen, ones = np.where(fit.signal.ground, 0.0, 1.0), np.ones(sign.size)

    def excess(p: Real) -> _Excess:
        tau = np.exp(p[4])
        turned = np.where(sign == 0, p[2], p[2] ** 2 + p[3] * sign)
        return _excess(turned, seen * np.exp(-time / tau), float(np.exp(-rest / tau)))

    def linear(p: Real) -> Real:
        return np.stack([excess(p).value, ones], axis=1)

    def jacobian(p: Real) -> Real:
        tau, found = np.exp(p[4]), excess(p)
        by_left = found.by_left * seen * np.exp(-time / tau) * time / tau
        by_tau = by_left + found.by_kept * np.exp(-rest / tau) * rest / tau
        by_c = found.by_c * np.where(sign == 0, 1.0, 2 * p[2])
        slopes = np.stack([by_c, found.by_c * sign, by_tau], axis=1)
        return np.column_stack([found.value, ones, p[0] * slopes])

    grid = [np.array([0, 0, -1.0, 0, np.log(tau)]) for tau in fit.grid()]
    best, coefficients = search(np.stack([linear(p) for p in grid]), fit.signal.values)
    found = refine_weighted(
        lambda p: linear(p) @ p[:2],
        jacobian,
        [*coefficients, *grid[best][2:]],
        fit.signal.values,
        lambda p, fitted, slopes: fit.signal.variances(
            fitted, slopes, p[0], spread_while_read(readout / (fit.span * np.exp(p[4])))
        ),
    )
    amplitude, offset, c, _, log_tau = map(float, found.parameters)

    def curve(time: Real) -> Real:
        tau = math.exp(log_tau)
        return np.asarray(offset + amplitude * _excess(c, np.exp(-time / tau), math.exp(-rest / tau)).value)

    return fit.described(found, 4, np.zeros_like(fit.signal.values), curve, is_known=True)


class _Excess(NamedTuple):
    """The population above the thermal one after a pulse and a wait, in parts of the contrast."""

    value: Real
    by_c: Real
    by_left: Real
    by_kept: Real


def _excess(c: float | Real, left: Real, kept: float) -> _Excess:
    """``left`` is exp(-t/T1), ``kept`` that from the readout to the next sequence."""
    rest = 1 - c * kept * left
    return _Excess(
        0.5 * (1 - c) * left / rest,
        0.5 * left * (kept * left - 1) / rest**2,
        0.5 * (1 - c) / rest**2,
        0.5 * (1 - c) * c * left**2 / rest**2,
    )


def spread_while_read(turns: float) -> float:
    """Variance that relaxation during a readout of ``turns`` T1 adds to an excited shot, over contrast².

    The signal is averaged over the readout, so that a decay at its part x leaves x of the contrast.
    """
    turns = min(max(turns, 1e-3), 50.0)
    stays = math.exp(-turns)
    return max(0.0, 2 * (1 - stays * (1 + turns)) / (1 - stays) ** 2 - 1)


@attempted
def fit_echo(what: str, decay: Sweep, middle: Sweep, pulses: float) -> DecayFit:
    """T2 from an echo's sweep of total waiting times (ns), with pulses of ``pulses`` ns in all.

    ``middle`` is the signal right after one or three half-π pulses, by its points: what one leaves above the
    middle, three leave below it three times. Unknown are middle, contrast and decay of the echo, the distance
    of the ground state from the middle, what a half-π pulse leaves (of the equilibrium, and so of what
    relaxes during the echo), and the carry-over E, which shows in where the middle lies between the
    references. Without excited references E is that of T1 = T2, and the systematic error that of T1 from
    T2 / 2 to 2 T2. Bound as in ``fit_relaxation``. NoFit on unusable data.
    """
    fit = _Decay(what, decay, {"decay": decay, "middle": middle}, parameters=6)
    rest = (decay.recovery + pulses) / fit.span
    is_known = bool(decay.excited_iq.size)
    tilts = np.where(middle.points == TRIPLE, -3.0, 1.0)
    none, level = np.zeros_like(fit.time), np.zeros_like(tilts)

    def kept_part(p: Real) -> float:
        return float(p[5]) if is_known else float(np.exp(-rest / np.exp(p[4])))

    def stack(points: Real, others: Real, ground: float, excited: float) -> Real:
        return stacked(fit.signal, [points, others], ground, excited)

    def columns(p: Real) -> Real:
        kept = kept_part(p)
        echo = carried(-np.exp(-fit.time / np.exp(p[4])), kept)
        flip = carried(np.array([-1.0]), kept)
        ones = np.ones(fit.signal.values.size)
        relaxed = (1 - np.exp(-0.5 * fit.time / np.exp(p[4]))) ** 2
        return np.stack(
            [
                stack(-echo.z, level, 0, 0),
                ones,
                stack(none, level, -1, -flip.z[0]),
                stack(relaxed, tilts, 0, 0),
            ],
            axis=1,
        )

    def by_kept(p: Real) -> Real:
        echo, flip = (carried(c, kept_part(p)) for c in (-np.exp(-fit.time / np.exp(p[4])), -np.ones(1)))
        return stack(-p[0] * echo.by_part, level, 0, -p[2] * flip.by_part[0])

    def jacobian(p: Real) -> Real:
        tau, kept = np.exp(p[4]), kept_part(p)
        left, half = np.exp(-fit.time / tau), np.exp(-0.5 * fit.time / tau)
        slope = p[0] * carried(-left, kept).by_c * left * fit.time / tau
        by_tau = stack(slope - p[3] * (1 - half) * half * fit.time / tau, level, 0, 0)
        if is_known:
            return np.column_stack([columns(p), by_tau, by_kept(p)])
        return np.column_stack([columns(p), by_tau + by_kept(p) * kept * rest / tau])

    grid = [np.array([0, 0, 0, 0, np.log(tau), np.exp(-rest / tau)]) for tau in fit.grid()]
    best, linear = search(np.stack([columns(p) for p in grid]), fit.signal.values)
    found = refine_weighted(
        lambda p: columns(p) @ p[:4],
        jacobian,
        [*linear, *grid[best][4 : 6 if is_known else 5]],
        fit.signal.values,
        lambda p, fitted, slopes: fit.signal.variances(fitted, slopes, 2 * p[2]),
        _starts_at_contrast,
    )
    p = found.parameters
    kept = kept_part(p)
    change = np.zeros_like(fit.signal.values)
    if not is_known:
        change = by_kept(p) * max(kept - kept**2, math.sqrt(kept) - kept)

    def curve(time: Real) -> Real:
        return np.asarray(p[1] - p[0] * carried(-np.exp(-time / np.exp(p[4])), kept).z)

    tilt = Estimate(float(p[3] / p[2]), float(np.sqrt(found.covariance[3, 3])) / abs(float(p[2])))
    return fit.described(found, 4, change, curve, is_known=is_known, tilt=tilt)


def _starts_at_contrast(p: Real) -> Real:
    """The tie of an echo's start to the full contrast, less what pulses may lose."""
    tie = np.zeros(p.size)
    tie[[0, 2]] = 1.0, -1.0
    return np.asarray(tie / (PULSE_LOSS * max(abs(float(p[2])), _SMALLEST)))


class _Decay:
    """What both decays share; times are in parts of the longest waiting time."""

    def __init__(self, what: str, decay: Sweep, sweeps: Mapping[str, Sweep], parameters: int) -> None:
        self.signal = Signal.of(what, sweeps, parameters=parameters)
        self.span = float(np.max(decay.points))
        if np.min(decay.points) < 0 or not self.span > 0:
            message = f"{what}: expected waiting times of 0 ns and more"
            raise CalibrationError(Failure(kind=FailureKind.BAD_FIT, cause="bad_shape", message=message))
        self.time = decay.points / self.span
        self.limits = 0.5 * float(np.min(self.time[self.time > 0])), 10.0

    def grid(self) -> Real:
        return np.geomspace(*self.limits, _GRID)

    def described(
        self,
        found: Weighted,
        place: int,
        change: Real,
        curve: Callable[[Real], Real],
        *,
        is_known: bool = False,
        tilt: Estimate = NO_TILT,
    ) -> DecayFit:
        tau = float(np.exp(found.parameters[place]))
        error = tau * float(np.sqrt(found.covariance[place, place]))
        turns = self.time[self.time > 0] / tau
        stretched = np.zeros_like(self.time)
        stretched[self.time > 0] = -turns * np.log(turns) * np.exp(-turns)
        slope = np.zeros(found.residuals.size)
        slope[self.signal.parts["decay"]] = float(found.parameters[0]) * stretched
        systematic = tau * abs(float(found.shift(change)[place])) if found.converged else math.nan
        low, high = self.limits
        bound = "" if low < tau < high else f"a decay time of {tau * self.span:.3g} ns is outside the sweep"

        def drawn(time: Real) -> Real:
            with np.errstate(all="ignore"):
                return curve(time / self.span)

        estimate = Estimate(tau, error, systematic).scaled(self.span * 1e-3)
        return DecayFit(
            self.signal.quality(found, bound),
            estimate,
            0.0 if is_known else estimate.systematic,
            Estimate(*found.further(slope)),
            self.signal,
            drawn,
            tilt,
        )
