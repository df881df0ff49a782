"""Fits of decays: relaxation after a π pulse, and the echo, both with the carry-over of shots.

A shot starts from what the previous one left: a readout ends superpositions and moves no populations, which
relax until the next shot. In the steady state of many equal shots, with E = exp(-R/T1) over the time R from a
readout to the next sequence, and z = 1 - 2p counted in parts of its value in equilibrium (1):

* π pulse, wait t: before the pulse z = 1 - δ, behind it -(1 - δ), so that the distance from equilibrium is
  2 - δ, at the readout (2 - δ) exp(-t/T1), at the next pulse δ = (2 - δ) exp(-(t + R)/T1). The population
  above the thermal one is therefore ∝ exp(-t/T1) / (1 + exp(-(t + R)/T1)). A pulse that turns only a part s
  of the population has (2s - 1) exp(-(t + R)/T1) below the line instead.
* x90, t/2, y180, t/2, x90: the pulse turns z into the equator, where it decays by q = exp(-t/T2) and is turned
  down: z = -z₀ q. What relaxes meanwhile ends in the equator. The next shot starts with z₀ = 1 - (1 + z₀ q) E,
  so z = -q (1 - E) / (1 + q E) about the middle between ground and excited state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from calibtasks.fits.fit import Estimate, Fit, attempted
from calibtasks.fits.least_squares import Real, Weighted, refine_weighted, search
from calibtasks.fits.signal import Signal, stacked
from calibtasks.measure.sweep import Sweep
from qdash_queue.domain import CalibrationError, Failure, FailureKind

PULSE_LOSS: Final = 0.01
"""Part of the population that a calibrated π pulse may fail to turn: decoherence, detuning, angle."""
ECHO_TILT: Final = 0.01
"""Distance of an echo's end from the middle that a half-π pulse's error may leave, in parts of half the contrast."""
_GRID: Final = 80


@dataclass(frozen=True)
class DecayFit(Fit):
    """A decay.

    Attributes:
        tau: the decay time, μs.
        signal: the data.
        curve: values of the signal at waiting times in ns.
    """

    tau: Estimate
    signal: Signal = field(repr=False)
    curve: Callable[[Real], Real] = field(repr=False)


@attempted
def fit_relaxation(what: str, sweep: Sweep, pulse: float) -> DecayFit:
    """T1 from a sweep of waiting times (ns) after a π pulse of ``pulse`` ns.

    Unknown are level and contrast of the signal, which the references share, and T1. The systematic error is
    what a loss of PULSE_LOSS in the pulse changes in the carry-over. Bound: T1 outside half the shortest
    positive time to ten times the longest. NoFit on unusable data.
    """
    fit = _Decay(what, sweep, parameters=3)
    rest = (sweep.recovery + pulse) / fit.span

    def basis(log_tau: float, time: Real) -> tuple[Real, Real, Real]:
        tau = np.exp(log_tau)
        left = np.exp(-time / tau)
        carried = np.exp(-rest / tau) * left
        excess = left / (1 + carried)
        slope = left * (time / tau - carried * rest / tau) / (1 + carried) ** 2
        return excess, slope, -excess * carried / (1 + carried)

    def columns(log_tau: float) -> tuple[Real, Real]:
        (value, slope, _), (top, top_slope, _) = basis(log_tau, fit.time), basis(log_tau, np.zeros(1))
        stack = fit.stack(value, 0.0, float(top[0]))
        return np.stack([stack, np.ones_like(stack)], axis=1), fit.stack(slope, 0.0, float(top_slope[0]))

    grid = np.log(fit.grid())
    best, linear = search(np.stack([columns(value)[0] for value in grid]), fit.signal.values)
    found = refine_weighted(
        lambda p: columns(p[2])[0] @ p[:2],
        lambda p: np.column_stack([columns(p[2])[0], p[0] * columns(p[2])[1]]),
        [*linear, grid[best]],
        fit.signal.values,
        lambda p, fitted: fit.signal.variances(p, fitted, p[0]),
    )
    amplitude, offset, log_tau = map(float, found.parameters)
    with np.errstate(all="ignore"):
        lossy = [basis(log_tau, time)[2] for time in (fit.time, np.zeros(1))]
        change = 2 * PULSE_LOSS * amplitude * fit.stack(lossy[0], 0.0, float(lossy[1][0]))
    return fit.described(
        found, 2, change, lambda time: np.asarray(offset + amplitude * basis(log_tau, time)[0])
    )


@attempted
def fit_echo(what: str, sweep: Sweep, pulses: float) -> DecayFit:
    """T2 from an echo's sweep of total waiting times (ns), with pulses of ``pulses`` ns in all.

    Unknown are middle, contrast and decay of the echo, the distance of the ground state from the middle, and
    the carry-over E, which shows in where the middle lies between the references. Without excited references
    E is that of T1 = T2, and the systematic error that of T1 from T2 / 2 to 3 T2; else what a tilt of
    ECHO_TILT changes. Bound as in ``fit_relaxation``. NoFit on unusable data.
    """
    fit = _Decay(what, sweep, parameters=5)
    rest = (sweep.recovery + pulses) / fit.span
    is_known = bool(sweep.excited_iq.size)
    nothing = np.zeros_like(fit.time)

    def carried(p: Real) -> float:
        return float(p[4]) if is_known else float(np.exp(-rest / np.exp(p[3])))

    def columns(p: Real) -> Real:
        left, kept = np.exp(-fit.time / np.exp(p[3])), carried(p)
        return np.stack(
            [
                fit.stack(left / (1 + kept * left), 0.0, 0.0),
                np.ones(fit.signal.values.size),
                fit.stack(nothing, -1.0, (1 - kept) / (1 + kept)),
            ],
            axis=1,
        )

    def by_carried(p: Real) -> Real:
        left, kept = np.exp(-fit.time / np.exp(p[3])), carried(p)
        return fit.stack(-p[0] * (left / (1 + kept * left)) ** 2, 0.0, -2 * p[2] / (1 + kept) ** 2)

    def jacobian(p: Real) -> Real:
        tau, kept = np.exp(p[3]), carried(p)
        left = np.exp(-fit.time / tau)
        by_tau = fit.stack(p[0] * left * fit.time / tau / (1 + kept * left) ** 2, 0.0, 0.0)
        parts = [columns(p), by_tau[:, None]]
        if is_known:
            return np.column_stack([*parts, by_carried(p)])
        parts[1] = parts[1] + (by_carried(p) * kept * rest / tau)[:, None]
        return np.column_stack(parts)

    grid = [np.array([0, 0, 0, np.log(tau), np.exp(-rest / tau)]) for tau in fit.grid()]
    best, linear = search(np.stack([columns(p) for p in grid]), fit.signal.values)
    found = refine_weighted(
        lambda p: columns(p) @ p[:3],
        jacobian,
        [*linear, *grid[best][3 : 5 if is_known else 4]],
        fit.signal.values,
        lambda p, fitted: fit.signal.variances(p, fitted, 2 * p[2]),
    )
    p = found.parameters
    with np.errstate(all="ignore"):
        kept, change = carried(p), fit.stack(np.full_like(fit.time, ECHO_TILT * p[2]), 0.0, 0.0)
        if not is_known:
            change = by_carried(p) * max(kept - kept**2, np.cbrt(kept) - kept)

    def curve(time: Real) -> Real:
        left = np.exp(-time / np.exp(p[3]))
        return np.asarray(p[1] + p[0] * left / (1 + kept * left))

    return fit.described(found, 3, change, curve)


class _Decay:
    """What both decays share; times are in parts of the longest waiting time."""

    def __init__(self, what: str, sweep: Sweep, parameters: int) -> None:
        self.signal = Signal.of(what, {"decay": sweep}, parameters=parameters)
        self.span = float(np.max(sweep.points))
        if np.min(sweep.points) < 0:
            raise CalibrationError(
                Failure(kind=FailureKind.BAD_FIT, cause="bad_shape", message=f"{what}: negative times")
            )
        self.time = sweep.points / self.span
        self.limits = 0.5 * float(np.min(self.time[self.time > 0])), 10.0

    def grid(self) -> Real:
        return np.geomspace(*self.limits, _GRID)

    def stack(self, points: Real, ground: float, excited: float) -> Real:
        return stacked(self.signal, [points], ground, excited)

    def described(self, found: Weighted, place: int, change: Real, curve: Callable[[Real], Real]) -> DecayFit:
        with np.errstate(all="ignore"):
            tau = float(np.exp(found.parameters[place]))
            error = tau * math.sqrt(found.covariance[place, place])
            systematic = tau * abs(float(found.shift(change)[place])) if found.converged else math.nan
        low, high = self.limits
        bound = "" if low < tau < high else f"a decay time of {tau * self.span:.3g} ns is outside the sweep"
        return DecayFit(
            self.signal.quality(found, bound),
            Estimate(tau, error, systematic).scaled(self.span * 1e-3),
            self.signal,
            lambda time: curve(time / self.span),
        )
