"""Small tasks that behave in one known way each and never use the instrument."""

# A task's methods are called with more than these small ones need; the short form is tested without types.
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from calibtasks.base import BaseTask, OutputParameter, PostProcessResult, RunParameter, RunResult
from calibtasks.dataset import Dataset, MeasuredArray
from calibtasks.figures.plots import Figure
from executors.job.context import current_job
from executors.job.stop import checkpoint
from qdash_queue.domain import FiniteRange, ParameterModel, RunParameterModel


class GoodTask(BaseTask, register=False):
    """Measures a straight line and outputs its slope, without fail."""

    name = "GoodTask"
    fits = True
    input_parameters: Mapping[str, ParameterModel] = {"qubit_frequency": ParameterModel(unit="GHz")}
    run_parameters: Mapping[str, RunParameterModel] = {
        "slope": RunParameter(value_type="float", value=2.0, limits=FiniteRange(low=-1e6, high=1e6)),
        "points": RunParameter(value_type="int", value=5),
    }
    output_parameters: Mapping[str, ParameterModel] = {
        "t1": OutputParameter(unit="μs", believable=FiniteRange(low=0.0, high=100.0)),
    }

    def run(self, backend: Any, qid: str) -> RunResult:
        x = np.arange(float(self.setting("points")))
        y = x * float(self.setting("slope"))
        return RunResult(
            Dataset([MeasuredArray("x", x, "ns"), MeasuredArray("iq", y + 0j, "a.u.")]), {"slope": 1.0}
        )

    def postprocess(
        self, backend: Any, execution_id: str, run_result: RunResult, qid: str
    ) -> PostProcessResult:
        assert backend is None
        x, y = run_result.data.values("x"), run_result.data.values("iq").real
        slope = float(y[-1] / x[-1])
        figure = go.Figure(go.Scatter(x=x, y=y))
        return PostProcessResult(
            output_parameters={"t1": self.output("t1", slope, 0.1)},
            figures=[Figure.of("line", figure)],
            r2=self.quality(),
            quality_metrics={"chi2": 1.0, "odd": math.nan},
        )

    def quality(self) -> float:
        return 0.99


class RefusedTask(GoodTask, register=False):
    """Its fit is poor."""

    name = "RefusedTask"

    def quality(self) -> float:
        return 0.1


class NanTask(GoodTask, register=False):
    """Its value and error are no numbers."""

    name = "NanTask"

    def postprocess(
        self, backend: Any, execution_id: str, run_result: RunResult, qid: str
    ) -> PostProcessResult:
        result = super().postprocess(backend, execution_id, run_result, qid)
        bad = result.output_parameters["t1"].model_copy(update={"value": math.nan, "error": math.inf})
        return PostProcessResult(output_parameters={"t1": bad}, figures=result.figures, r2=result.r2)


class NanDataTask(GoodTask, register=False):
    """Its data hold a NaN, and its analysis breaks on it."""

    name = "NanDataTask"

    def run(self, backend: Any, qid: str) -> RunResult:
        return RunResult(Dataset([MeasuredArray("iq", np.array([1.0, math.nan]), "a.u.")]))

    def postprocess(
        self, backend: Any, execution_id: str, run_result: RunResult, qid: str
    ) -> PostProcessResult:
        raise ValueError("array must not contain infs or NaNs")


class BrokenTask(GoodTask, register=False):
    """Its program is wrong."""

    name = "BrokenTask"

    def run(self, backend: Any, qid: str) -> RunResult:
        raise ZeroDivisionError("a\x00b")


class NeedyTask(GoodTask, register=False):
    """Needs a value that is not stored."""

    name = "NeedyTask"
    input_parameters: Mapping[str, ParameterModel] = {"pi_amplitude": ParameterModel(unit="a.u.")}


class SlowTask(GoodTask, register=False):
    """Measures indefinitely, with checkpoints."""

    name = "SlowTask"
    timeout = 300.0

    def run(self, backend: Any, qid: str) -> RunResult:
        while True:
            checkpoint()
            time.sleep(0.001)


class ImpatientTask(SlowTask, register=False):
    """Measures indefinitely, with a short time limit."""

    name = "ImpatientTask"
    timeout = 0.2


class WrappingTask(GoodTask, register=False):
    """Stands for a library that turns the signal that stops it into an error of its own."""

    name = "WrappingTask"

    def run(self, backend: Any, qid: str) -> RunResult:
        job = current_job()
        assert job is not None
        while not job.stop.at_once:
            pass
        raise RuntimeError("driver interrupted")


class HugeTask(GoodTask, register=False):
    """Its figure is larger than the database takes."""

    name = "HugeTask"

    def postprocess(
        self, backend: Any, execution_id: str, run_result: RunResult, qid: str
    ) -> PostProcessResult:
        result = super().postprocess(backend, execution_id, run_result, qid)
        huge = Figure("huge", json.dumps({"data": [], "layout": {"title": "x" * 17 * 2**20}}))
        return replace(result, figures=[*result.figures, huge])


class OddUnitTask(GoodTask, register=False):
    """It gives a value that every chip knows in another unit."""

    name = "OddUnitTask"
    output_parameters: Mapping[str, ParameterModel] = {"t1": OutputParameter(unit="ms")}


class ShortFormTask(BaseTask, register=False):
    """Written as the quickstart shows, with the short signatures."""

    name = "ShortFormTask"
    output_parameters: Mapping[str, ParameterModel] = {"t2_echo": OutputParameter(unit="μs")}

    def preprocess(self, backend):  # type: ignore[no-untyped-def, override]
        pass

    def run(self, backend):  # type: ignore[no-untyped-def, override]
        return {"iq": [1.0, 2.0]}

    def postprocess(self, backend, result):  # type: ignore[no-untyped-def, override]
        return PostProcessResult({"t2_echo": self.output("t2_echo", float(result.data.values("iq")[1]), 0.1)})


NOTEBOOK_TASKS: tuple[type[BaseTask], ...] = (
    GoodTask,
    RefusedTask,
    NanTask,
    NanDataTask,
    BrokenTask,
    NeedyTask,
    SlowTask,
    ImpatientTask,
    WrappingTask,
    HugeTask,
    OddUnitTask,
    ShortFormTask,
)
