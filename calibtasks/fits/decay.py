"""Fits of decays: relaxation after a π pulse, and the echo, both with the carry-over of shots.

A shot starts from what the previous one left: a readout ends superpositions and moves no populations, which
relax until the next shot. In the steady state of many equal shots, with E = exp(-R/T1) over the time R from a
readout to the next sequence, and z = 1 - 2p counted in parts of its value in equilibrium (1):

* π pulse, wait t: before the pulse z = 1 - δ, behind it -(1 - δ), so that the distance from equilibrium is
  2 - δ, at the readout (2 - δ) exp(-t/T1), at the next pulse δ = (2 - δ) exp(-(t + R)/T1). The population
  above the thermal one is therefore ∝ exp(-t/T1) / (1 + exp(-(t + R)/T1)). A pulse that turns only a part s
  of the population has (2s - 1) exp(-(t + R)/T1) below the line instead.
* x90, t/2, y180, t/2, x90: the first pulse turns z into the equator, where it decays by q = exp(-t/T2), and
  the last one turns it down: c = -q in the words of ``carry_over``. What relaxes meanwhile ends there too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from calibtasks.fits.carry_over import carried
from calibtasks.fits.fit import Estimate, Fit, attempted
from calibtasks.fits.least_squares import Real, Weighted, refine_weighted, search
from calibtasks.fits.signal import Signal, stacked
from calibtasks.measure.sweep import Sweep
from qdash_queue.domain import CalibrationError, Failure, FailureKind

PULSE_LOSS: Final = 0.01
"""Part of the population that a calibrated π pulse may fail to turn: decoherence, detuning, angle."""
TILT: Final = 0.005
"""Distance from the middle that a half-π pulse may leave, in parts of half the contrast: 0.3 % in angle."""
_GRID: Final = 80


@dataclass(frozen=True)
class DecayFit(Fit):
    """A decay.

    Attributes:
        tau: the decay time, μs.
        carried: what is not known of the carry-over shifts tau by this, μs, at most.
        stretch: β - 1 of a stretched exponential exp(-(t/τ)**β): 0 for a single decay.
        signal: the data.
        curve: values of the signal at waiting times in ns.
    """

    tau: Estimate
    carried: float
    stretch: Estimate
    signal: Signal = field(repr=False)
    curve: Callable[[Real], Real] = field(repr=False)


@attempted
def fit_relaxation(what: str, sweep: Sweep, pulse: float) -> DecayFit:
    """T1 from a sweep of waiting times (ns) after a π pulse of ``pulse`` ns.

    Unknown are level and contrast of the signal, which the references share, and T1. The systematic error is
    what a loss of PULSE_LOSS in the pulse changes in the carry-over. Bound: T1 outside half the shortest
    positive time to ten times the longest. NoFit on unusable data.
    """
    fit = _Decay(what, sweep, {"decay": sweep}, parameters=3)
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
def fit_echo(what: str, decay: Sweep, middle: Sweep, pulses: float) -> DecayFit:
    """T2 from an echo's sweep of total waiting times (ns), with pulses of ``pulses`` ns in all.

    ``middle`` is the signal right after a half-π pulse. Unknown are middle, contrast and decay of the echo,
    the distance of the ground state from the middle, and the carry-over E, which shows in where the middle
    lies between the references. Without excited references E is that of T1 = T2, and the systematic error
    that of T1 from T2 / 2 to 2 T2; else what a TILT of the half-π pulse changes. Bound as in
    ``fit_relaxation``.
    NoFit on unusable data.
    """
    fit = _Decay(what, decay, {"decay": decay, "middle": middle}, parameters=5)
    rest = (decay.recovery + pulses) / fit.span
    is_known = bool(decay.excited_iq.size)
    none = np.zeros_like(fit.time)

    def kept_part(p: Real) -> float:
        return float(p[4]) if is_known else float(np.exp(-rest / np.exp(p[3])))

    def columns(p: Real) -> Real:
        echo, kept = carried(-np.exp(-fit.time / np.exp(p[3])), kept_part(p)), kept_part(p)
        flip = carried(np.array([-1.0]), kept)
        ones = np.ones(fit.signal.values.size)
        return np.stack([fit.stack(-echo.z, 0, 0), ones, fit.stack(none, -1, -flip.z[0])], axis=1)

    def by_kept(p: Real) -> Real:
        echo, flip = (carried(c, kept_part(p)) for c in (-np.exp(-fit.time / np.exp(p[3])), -np.ones(1)))
        return fit.stack(-p[0] * echo.by_part, 0, -p[2] * flip.by_part[0])

    def jacobian(p: Real) -> Real:
        tau, kept = np.exp(p[3]), kept_part(p)
        left = np.exp(-fit.time / tau)
        by_tau = fit.stack(p[0] * carried(-left, kept).by_c * left * fit.time / tau, 0, 0)
        if is_known:
            return np.column_stack([columns(p), by_tau, by_kept(p)])
        return np.column_stack([columns(p), by_tau + by_kept(p) * kept * rest / tau])

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
        kept = kept_part(p)
        relaxed = (1 - np.exp(-0.5 * fit.time / np.exp(p[3]))) ** 2
        change = TILT * p[2] * fit.stack(relaxed, 0, 0, middle=1)
        if not is_known:
            change = by_kept(p) * max(kept - kept**2, math.sqrt(kept) - kept)

    def curve(time: Real) -> Real:
        return np.asarray(p[1] - p[0] * carried(-np.exp(-time / np.exp(p[3])), kept).z)

    return fit.described(found, 3, change, curve, is_known=is_known)


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

    def stack(self, points: Real, ground: float, excited: float, middle: float = 0.0) -> Real:
        others = np.count_nonzero(self.signal.points) - points.size
        return stacked(self.signal, [points, np.full(others, middle)], ground, excited)

    def described(
        self,
        found: Weighted,
        place: int,
        change: Real,
        curve: Callable[[Real], Real],
        *,
        is_known: bool = False,
    ) -> DecayFit:
        with np.errstate(all="ignore"):
            tau = float(np.exp(found.parameters[place]))
            error = tau * float(np.sqrt(found.covariance[place, place]))
            turns = self.time[self.time > 0] / tau
            stretched = np.zeros_like(self.time)
            stretched[self.time > 0] = -turns * np.log(turns) * np.exp(-turns)
            amplitude = float(found.parameters[0])
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
            Estimate(*found.further(amplitude * self.stack(stretched, 0, 0))),
            self.signal,
            drawn,
        )
