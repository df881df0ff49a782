"""CheckT1: the energy relaxation time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from calibtasks.checks import STANDARD
from calibtasks.figures.plots import Axis, Figure, Series, fit_figure, spaced, value_and_error
from calibtasks.fits.fit import Estimate, Fit, NoFit, Quality
from calibtasks.fits.iq import project
from calibtasks.fits.least_squares import Curve
from calibtasks.fits.models import fit_decay
from calibtasks.measure.lab import Lab
from calibtasks.measure.settings import INTERVAL, shots_parameter
from calibtasks.measure.sweep import Sweep
from calibtasks.measure.targets import Target, Wait
from calibtasks.parameters.declared import DRIVE, HALF_PI, READ, T1, Param
from calibtasks.parameters.run_parameters import RunParameter
from calibtasks.protocol import Protocol, Sweeps
from qdash_queue.domain import FiniteRange


@dataclass(frozen=True)
class DecayFit(Fit):
    tau: Estimate
    curve: Curve = field(repr=False)


class CheckT1(Protocol):
    """Excite the qubit, wait, read out; the excited population decays with T1."""

    description = "Energy relaxation time T1"
    what = "T1 decay"
    needs = (*DRIVE, *HALF_PI, *READ)
    settings: ClassVar = {
        "time_range": RunParameter(
            unit="ns",
            value_type="np.logspace",
            value=[2, 5.699, 51],
            description="waiting times (exponents of ten, and how many)",
            limits=FiniteRange(low=0, high=1e7),
        ),
        "shots": shots_parameter(1024),
        "interval": INTERVAL,
    }
    yields = (T1,)
    checks = STANDARD

    def acquire(self, lab: Lab, targets: Sequence[Target]) -> Mapping[str, Mapping[str, Sweep]]:
        """π, wait, read."""
        times = lab.on_grid(self.points("time_range"))
        return {"decay": lab.sweep(targets, times, lambda t, time: [*t.qubit.x180, Wait(time)])}

    def fit(self, sweeps: Sweeps, target: Target) -> DecayFit | NoFit:
        """An exponential decay; its time in μs."""
        sweep = sweeps["decay"]
        projection = project(self.what, sweep.iq)
        found = fit_decay(self.what, sweep.points * 1e-3, projection.signal)
        quality = Quality(
            found.r2, 1.0, 48, projection.signal, projection.across, found.converged, found.at_bound, 1.0,
            projection.noise,
        )
        return DecayFit(quality, Estimate(found.values["tau"], found.errors["tau"]), found.curve)

    def values(self, fit: DecayFit, target: Target) -> Mapping[Param, Estimate]:
        """T1."""
        return {T1: fit.tau}

    def figures(self, sweeps: Sweeps, fit: DecayFit, target: Target) -> list[Figure]:
        """Signal and fit over the waiting time."""
        time = sweeps["decay"].points * 1e-3
        signal = project(self.what, sweeps["decay"].iq).signal
        line = spaced(float(time[time > 0].min()), float(time.max()), "log")
        figure = fit_figure(
            f"T1 of qubit {target.qid}: {value_and_error(fit.tau.value, fit.tau.total, 'μs')}",
            f"R² = {fit.quality.r2:.4f}, {time.size} points",
            Axis("Waiting time (μs)", "log"),
            Axis("Signal along the IQ axis (a.u.)"),
            [Series("data", time, signal, line, np.asarray(fit.curve(line).real))],
        )
        return [Figure.of("t1", figure)]
