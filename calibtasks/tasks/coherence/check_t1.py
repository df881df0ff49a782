"""CheckT1: the energy relaxation time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from qubex.pulse import Blank

from calibtasks.base import Backend, BaseTask, OutputParameter, PostProcessResult, RunParameter, RunResult
from calibtasks.dataset import Dataset, MeasuredArray
from calibtasks.figures.plots import Axis, Figure, Series, fit_figure, spaced, value_and_error
from calibtasks.fits.iq import Projection, project
from calibtasks.fits.least_squares import Fit, Real, is_signal, no_signal, unresolved_decay
from calibtasks.fits.models import fit_decay
from calibtasks.fits.qubex_fits import library_t1
from calibtasks.measure.pulses import half_pi_pulse
from calibtasks.measure.sweeps import HALF_PI_INPUTS, INTERVAL, Sweep, shots_parameter
from qdash_queue.domain import Failure, FiniteRange, ParameterModel, RunParameterModel, TaskType


class CheckT1(BaseTask):
    """Excite the qubit by two half-π pulses, wait, read out; the signal decays with T1."""

    name = "CheckT1"
    task_type = TaskType.QUBIT
    description = "Energy relaxation time T1"
    input_parameters: Mapping[str, ParameterModel] = HALF_PI_INPUTS
    run_parameters: Mapping[str, RunParameterModel] = {
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
    output_parameters: Mapping[str, ParameterModel] = {
        "t1": OutputParameter(
            unit="μs",
            description="energy relaxation time",
            believable=FiniteRange(low=0.1, high=2000),
        ),
    }
    fits = True
    r2_threshold = 0.7

    def run(self, backend: Backend, qid: str) -> RunResult:
        """Measure; arrays ``time`` (ns, shape (n,)) and ``iq`` (a.u., complex, shape (n,))."""
        sweep = Sweep.of(self, backend, qid)
        time = sweep.on_grid(np.asarray(self.setting("time_range")))
        half_pi = half_pi_pulse(self.input("hpi_amplitude"), self.input("hpi_length"))

        def sequence(wait: float) -> list[Any]:
            return [half_pi, half_pi, Blank(wait)]

        iq = sweep.measure(sequence, time)
        return RunResult(
            Dataset(
                [
                    MeasuredArray("time", time, "ns", "waiting time"),
                    MeasuredArray("iq", iq, "a.u.", "averaged IQ signal"),
                ]
            ),
            library_t1(sweep.label, time, iq),
        )

    def postprocess(
        self, backend: Backend | None, execution_id: str, run_result: RunResult, qid: str
    ) -> PostProcessResult:
        """Fit a decay to the signal along its axis in the IQ plane; T1 in μs with its error."""
        time = run_result.data.values("time") * 1e-3
        projection = project("T1 decay", run_result.data.values("iq"))
        fit = fit_decay("T1 decay", time, projection.signal)
        line = spaced(float(time[time > 0].min()), float(time.max()), "log")
        figure = fit_figure(
            f"T1 of qubit {qid}: {value_and_error(fit.values['tau'], fit.errors['tau'], 'μs')}",
            f"R² = {fit.r2:.4f}, {time.size} points",
            Axis("Waiting time (μs)", "log"),
            Axis("Signal along the IQ axis (a.u.)"),
            [Series("data", time, projection.signal, line, np.asarray(fit.curve(line).real))],
        )
        return PostProcessResult(
            output_parameters={"t1": self.output("t1", fit.values["tau"], fit.errors["tau"])},
            figures=[Figure.of("t1", figure)],
            r2=fit.r2,
            failure=_failure(fit, time, projection, int(self.setting("shots"))),
            quality_metrics={"r2": fit.r2, "iq_noise": projection.noise},
        )


def _failure(fit: Fit, time: Real, projection: Projection, shots: int) -> Failure | None:
    if not is_signal(fit.r2, time.size, 3):
        return no_signal("T1 decay")
    return (
        fit.failure("T1 decay")
        or unresolved_decay("the excited state", fit.values["tau"], fit.errors["tau"])
        or projection.misfit("T1 decay", np.asarray(fit.curve(time).real), shots)
    )
