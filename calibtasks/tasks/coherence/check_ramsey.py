"""CheckRamsey: the qubit's frequency and dephasing time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from qubex.pulse import Blank

from calibtasks.base import Backend, BaseTask, OutputParameter, PostProcessResult, RunParameter, RunResult
from calibtasks.dataset import Dataset, MeasuredArray
from calibtasks.figures.plots import (
    DATA_COLOUR,
    SECOND_COLOUR,
    Axis,
    Figure,
    Real,
    Series,
    fit_figure,
    plane_figure,
    spaced,
    value_and_error,
)
from calibtasks.fits.iq import Projection, project
from calibtasks.fits.least_squares import Fit, is_signal, no_signal, unresolved_decay
from calibtasks.fits.models import fit_ramsey
from calibtasks.fits.qubex_fits import library_ramsey
from calibtasks.measure.pulses import half_pi_pulse
from calibtasks.measure.sweeps import HALF_PI_INPUTS, INTERVAL, Sweep, shots_parameter, with_guards
from qdash_queue.domain import Failure, FailureKind, FiniteRange, ParameterModel, RunParameterModel, TaskType

IN_PHASE_ROTATION: Final = math.pi
QUADRATURE_ROTATION: Final = -math.pi / 2
"""Phases of the second half-π pulse; without a wait the first one undoes the pulse before."""
MIN_TURNS: Final = 1.0
"""Fewest turns of a fringe in the sweep; with fewer it may be the decay of an excited state."""


class CheckRamsey(BaseTask):
    """Two half-π pulses, detuned, with a varied wait between them, read along two axes.

    Both quadratures are fitted at once, so the sign of the detuning is known.
    """

    name = "CheckRamsey"
    task_type = TaskType.QUBIT
    description = "Ramsey fringe: qubit frequency and dephasing time T2*"
    input_parameters: Mapping[str, ParameterModel] = HALF_PI_INPUTS
    run_parameters: Mapping[str, RunParameterModel] = {
        "detuning": RunParameter(
            unit="GHz",
            value_type="float",
            value=0.001,
            description="detuning of the control pulses",
            limits=FiniteRange(low=-0.05, high=0.05),
        ),
        "time_range": RunParameter(
            unit="ns",
            value_type="np.arange",
            value=[0, 10001, 100],
            description="waiting times",
            limits=FiniteRange(low=0, high=1e7),
        ),
        "shots": shots_parameter(1024),
        "interval": INTERVAL,
    }
    output_parameters: Mapping[str, ParameterModel] = {
        "ramsey_frequency": OutputParameter(
            unit="MHz",
            description="frequency of the fringe",
            believable=FiniteRange(low=0, high=100),
        ),
        "qubit_frequency": OutputParameter(
            unit="GHz",
            description="0-1 transition frequency",
            believable=FiniteRange(low=2, high=12),
        ),
        "t2_star": OutputParameter(
            unit="μs",
            description="dephasing time",
            believable=FiniteRange(low=0.05, high=2000),
        ),
    }
    fits = True
    r2_threshold = 0.7

    def run(self, backend: Backend, qid: str) -> RunResult:
        """Measure; arrays ``time`` (ns), ``iq_x`` and ``iq_y`` (a.u., complex), each of shape (n,)."""
        sweep = Sweep.of(self, backend, qid, detuning=float(self.setting("detuning")))
        time = sweep.on_grid(with_guards(np.asarray(self.setting("time_range"))))
        half_pi = half_pi_pulse(self.input("hpi_amplitude"), self.input("hpi_length"))

        def sequence(rotation: float) -> Any:
            return lambda wait: [half_pi, Blank(wait), half_pi.shifted(rotation)]

        iq_x = sweep.measure(sequence(IN_PHASE_ROTATION), time)
        iq_y = sweep.measure(sequence(QUADRATURE_ROTATION), time)
        return RunResult(
            Dataset(
                [
                    MeasuredArray("time", time, "ns", "waiting time"),
                    MeasuredArray("iq_x", iq_x, "a.u.", "averaged IQ signal, second pulse about -X"),
                    MeasuredArray("iq_y", iq_y, "a.u.", "averaged IQ signal, second pulse about -Y"),
                ]
            ),
            library_ramsey(sweep.label, time, iq_y),
        )

    def postprocess(
        self, backend: Backend | None, execution_id: str, run_result: RunResult, qid: str
    ) -> PostProcessResult:
        """Fit both quadratures at once; the drive's frequency less the fringe's is the qubit's."""
        data = run_result.data
        time, iq_x, iq_y = data.values("time") * 1e-3, data.values("iq_x"), data.values("iq_y")
        projection = project("Ramsey fringe", np.concatenate([iq_x, iq_y]))
        in_phase, quadrature = projection.apply(iq_x), projection.apply(iq_y)
        fit = fit_ramsey("Ramsey fringe", time, in_phase, quadrature)
        drive = self.input("qubit_frequency") + float(self.setting("detuning"))
        fringe, fringe_error = fit.values["frequency"], fit.errors["frequency"]
        rate, rate_error = fit.values["rate"], fit.errors["rate"]
        t2_star = 1 / rate if rate > 0 else math.nan
        return PostProcessResult(
            output_parameters={
                "ramsey_frequency": self.output("ramsey_frequency", abs(fringe), fringe_error),
                "qubit_frequency": self.output("qubit_frequency", drive - fringe * 1e-3, fringe_error * 1e-3),
                "t2_star": self.output("t2_star", t2_star, rate_error * t2_star**2),
            },
            figures=_figures(qid, time, in_phase, quadrature, fit, drive),
            r2=fit.r2,
            failure=_failure(fit, time, projection, int(self.setting("shots"))),
            quality_metrics={"r2": fit.r2, "iq_noise": projection.noise},
        )


def _failure(fit: Fit, time: Real, projection: Projection, shots: int) -> Failure | None:
    if not is_signal(fit.r2, 2 * time.size, 6):
        return no_signal("Ramsey fringe")
    rate, error = fit.values["rate"], fit.errors["rate"]
    curve = np.asarray(fit.curve(time), dtype=np.complex128)
    return (
        fit.failure("Ramsey fringe")
        or _standing(fit, time)
        or unresolved_decay("the Ramsey fringe", rate, error)
        or projection.misfit("Ramsey fringe", np.concatenate([curve.real, curve.imag]), shots)
    )


def _standing(fit: Fit, time: Real) -> Failure | None:
    turns = abs(fit.values["frequency"]) * float(np.ptp(time))
    if turns >= MIN_TURNS:
        return None
    return Failure(
        kind=FailureKind.BAD_FIT,
        cause="zero_frequency",
        message=f"the Ramsey fringe makes {turns:.2f} turns in the sweep: it may be the decay of T1",
        remedy="choose another detuning; if that changes nothing, run CreateHPIPulse: the pulse is no half π",
    )


def _figures(qid: str, time: Real, in_phase: Real, quadrature: Real, fit: Fit, drive: float) -> list[Figure]:
    rate, error = fit.values["rate"], fit.errors["rate"]
    t2_star = value_and_error(1 / rate, error / rate**2, "μs") if rate > 0 else "not seen"
    frequency = value_and_error(drive - fit.values["frequency"] * 1e-3, fit.errors["frequency"] * 1e-3, "GHz")
    quality = f"R² = {fit.r2:.4f}, {2 * time.size} points, drive at {drive:.6f} GHz"
    line = spaced(float(time.min()), float(time.max()), "linear")
    fitted = np.asarray(fit.curve(line), dtype=np.complex128)
    fringe = fit_figure(
        f"Ramsey fringe of qubit {qid}: T2* = {t2_star}",
        f"qubit frequency {frequency}, {quality}",
        Axis("Waiting time (μs)"),
        Axis("Signal along the IQ axis (a.u.)"),
        [
            Series("in phase", time, in_phase, line, fitted.real, DATA_COLOUR),
            Series("quadrature", time, quadrature, line, fitted.imag, SECOND_COLOUR),
        ],
    )
    clouds = {"fit": fitted, "data": in_phase + 1j * quadrature}
    plane = plane_figure(f"Ramsey fringe of qubit {qid} in the equatorial plane", quality, "a.u.", clouds)
    return [Figure.of("ramsey", fringe), Figure.of("equatorial_plane", plane)]
