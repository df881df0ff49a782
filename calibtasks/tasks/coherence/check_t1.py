"""CheckT1: the energy relaxation time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import numpy as np

from calibtasks.checks import (
    STANDARD,
    decay_reached,
    decay_resolved,
    reaches_ground,
    single_decay,
    starts_excited,
)
from calibtasks.figures.plots import Axis, Figure, Series, add_level, fit_figure, spaced, value_and_error
from calibtasks.fits.decay import DecayFit, fit_relaxation
from calibtasks.fits.fit import Estimate, NoFit
from calibtasks.measure.lab import Lab
from calibtasks.measure.settings import INTERVAL, shots_parameter
from calibtasks.measure.sweep import Sweep
from calibtasks.measure.targets import Op, Target, Wait
from calibtasks.parameters.declared import DRIVE, HALF_PI, READ, T1, Param
from calibtasks.parameters.run_parameters import RunParameter
from calibtasks.protocol import Protocol, Sweeps
from qdash_queue.domain import FiniteRange

DOUBLED_POINTS: Final = 4
"""Points that show how much of the population the π pulse turns, which the carry-over of shots depends on."""


def decay_settings(first: float, last: float) -> dict[str, RunParameter]:
    """The settings of a decay's sweep, from 10**first to 10**last ns."""
    return {
        "time_range": RunParameter(
            unit="ns",
            value_type="np.logspace",
            value=[first, last, 51],
            description="waiting times (exponents of ten, and how many)",
            limits=FiniteRange(low=0, high=1e7),
        ),
        "shots": shots_parameter(1024),
        "interval": INTERVAL,
    }


class CheckT1(Protocol):
    """Excite the qubit, wait, read out; the excited population decays with T1."""

    description = "Energy relaxation time T1"
    what = "T1 decay"
    symbol: ClassVar[str] = "T1"
    needs = (*DRIVE, *HALF_PI, *READ)
    settings: ClassVar = decay_settings(2, 5.699)
    yields = (T1,)
    checks = (*STANDARD, decay_resolved, decay_reached, single_decay, reaches_ground, starts_excited)

    def acquire(self, lab: Lab, targets: Sequence[Target]) -> Mapping[str, Mapping[str, Sweep]]:
        """π, wait, read; and the signal after two π about equal or opposite axes."""

        def twice(target: Target, sign: float) -> list[Op]:
            return [*target.qubit.x180, *target.qubit.pi(0.0 if sign > 0 else math.pi)]

        times = lab.on_grid(self.points("time_range"))
        signs = np.tile([1.0, -1.0], DOUBLED_POINTS // 2)
        return {
            "decay": lab.sweep(targets, times, lambda t, time: [*t.qubit.x180, Wait(time)]),
            "doubled": lab.sweep(targets, signs, twice, unit=""),
        }

    def fit(self, sweeps: Sweeps, target: Target) -> DecayFit | NoFit:
        """The decay of the excited population, with the carry-over of shots."""
        qubit = target.qubit
        pulse, readout = 2 * qubit.value("hpi_length"), qubit.value("readout_length")
        return fit_relaxation(self.what, sweeps["decay"], sweeps["doubled"], pulse, readout)

    def values(self, fit: DecayFit, target: Target) -> Mapping[Param, Estimate]:
        """The decay time in μs."""
        return {self.yields[0]: fit.tau}

    def figures(self, sweeps: Sweeps, fit: DecayFit, target: Target) -> list[Figure]:
        """Data, fit and references over the waiting time."""
        time, signal = sweeps["decay"].points, fit.signal
        has_excited = bool(np.any(signal.excited))
        unit = 1 / signal.contrast if has_excited else signal.scale
        line = spaced(float(time[time > 0].min()), float(time.max()), "log")
        points, curve = signal.values[signal.parts["decay"]] * unit, fit.curve(line) * unit
        figure = fit_figure(
            f"{self.symbol} of qubit {target.qid}: {value_and_error(fit.tau.value, fit.tau.total, 'μs')}",
            f"R² = {fit.quality.r2:.4f}, χ² = {fit.quality.chi2:.2f}, {time.size} points",
            Axis("Waiting time (μs)", "log"),
            Axis("Excited population" if has_excited else "Signal along the IQ axis (a.u.)"),
            [Series("data", time * 1e-3, points, line * 1e-3, curve)],
        )
        for name, which in (("ground", signal.ground), ("excited", signal.excited)):
            if np.any(which):
                add_level(figure, name, float(signal.mean(which) * unit))
        return [Figure.of(self.yields[0].name, figure)]
