"""Small tasks that measure many targets in one sweep, each behaving in one known way."""

# The methods are called with more than these small ones need.
# ruff: noqa: ARG003

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Self

import numpy as np

from calibtasks.dataset import Dataset, MeasuredArray
from calibtasks.results import Backend, OutputParameter, PostProcessResult, PreProcessResult, RunResult
from calibtasks.task import Task
from executors.backends.base import instrument_failure
from executors.job.stop import checkpoint
from qdash_queue.domain import FiniteRange, ParameterModel, TaskType


class ManyTask(Task, register=False):
    """Measures its targets' own numbers and puts these out as T1; each sweep calls ``during`` first."""

    name = "ManyTask"
    simultaneous = True
    input_parameters: Mapping[str, ParameterModel] = {"pi_amplitude": ParameterModel(unit="a.u.")}
    output_parameters: Mapping[str, ParameterModel] = {
        "t1": OutputParameter(unit="μs", believable=FiniteRange(low=0.0, high=100.0)),
    }
    during: ClassVar[Callable[[Sequence[str]], None]] = lambda _qids: None

    @classmethod
    def from_record(
        cls, qid: str, input_parameters: Mapping[str, ParameterModel], run_parameters: Mapping[str, object]
    ) -> Self:
        """The task again; it keeps nothing of its targets."""
        return cls(run_parameters)

    def prepare(self, backend: Backend, qid: str) -> PreProcessResult:
        """Read the amplitude."""
        declared = self.input_parameters["pi_amplitude"]
        return PreProcessResult({"pi_amplitude": self.stored(backend, qid, "pi_amplitude", declared)})

    def measure(self, backend: Backend, qids: Sequence[str]) -> Mapping[str, RunResult]:
        """The number of each target."""
        type(self).during(qids)
        return {
            qid: RunResult(Dataset([MeasuredArray("iq", np.array([float(qid)]), "a.u.")])) for qid in qids
        }

    def analyse(self, execution_id: str, qid: str, run_result: RunResult) -> PostProcessResult:
        """The number as T1; above 100 it is not believable."""
        value = float(run_result.data.values("iq")[0])
        return PostProcessResult({"t1": ParameterModel(value=value, error=0.1, unit="μs")})


class SlowManyTask(ManyTask, register=False):
    """Measures indefinitely, with checkpoints."""

    name = "SlowManyTask"

    def measure(self, backend: Backend, qids: Sequence[str]) -> Mapping[str, RunResult]:
        """Never ends by itself."""
        while True:
            checkpoint()
            time.sleep(0.001)


class ImpatientManyTask(SlowManyTask, register=False):
    """The same, with a short time limit."""

    name = "ImpatientManyTask"
    timeout = 0.2


class MisfitTask(ManyTask, register=False):
    """Cannot analyse qubit 4's data."""

    name = "MisfitTask"

    def analyse(self, execution_id: str, qid: str, run_result: RunResult) -> PostProcessResult:
        """As of the other, without qubit 4."""
        if qid == "4":
            raise ZeroDivisionError("no fit")
        return super().analyse(execution_id, qid, run_result)


class PlainTask(ManyTask, register=False):
    """The same without input and output."""

    name = "PlainTask"
    input_parameters: Mapping[str, ParameterModel] = {}
    output_parameters: Mapping[str, ParameterModel] = {}

    def prepare(self, backend: Backend, qid: str) -> PreProcessResult:
        """Nothing to read."""
        return PreProcessResult()

    def measure(self, backend: Backend, qids: Sequence[str]) -> Mapping[str, RunResult]:
        """Nothing, of each target."""
        return {}

    def analyse(self, execution_id: str, qid: str, run_result: RunResult) -> PostProcessResult:
        """Nothing to analyse."""
        return PostProcessResult()


class PairTask(PlainTask, register=False):
    """The same, about a coupling."""

    name = "PairTask"
    task_type = TaskType.COUPLING


def breaking(*messages: str) -> tuple[Callable[[Sequence[str]], None], list[list[str]]]:
    """A ``during`` that raises an instrument's error with each message in turn; and what was measured."""
    left, seen = list(messages), list[list[str]]()

    def during(qids: Sequence[str]) -> None:
        seen.append(list(qids))
        if left:
            raise instrument_failure(left.pop(0), "test_fault")

    return during, seen


MANY_TASKS: tuple[type[Task], ...] = (
    ManyTask,
    SlowManyTask,
    ImpatientManyTask,
    MisfitTask,
    PlainTask,
    PairTask,
)
