"""Run a task on a backend as the engine does, and find why its result would be refused."""

from __future__ import annotations

from dataclasses import dataclass

from calibtasks.results import OutputParameter, PostProcessResult, PreProcessResult, RunResult
from calibtasks.task import Task
from executors.backends.base import BaseBackend
from qdash_queue.domain import Failure, FailureKind


@dataclass(frozen=True)
class Measured:
    task: Task
    prepared: PreProcessResult
    run: RunResult
    result: PostProcessResult


def measure(backend: BaseBackend, task: Task, qid: str = "0") -> Measured:
    prepared = task.prepare(backend, qid)
    run = task.measure(backend, [qid])[qid]
    return Measured(task, prepared, run, task.analyse("20261123-q001", qid, run))


def refusal(measured: Measured) -> Failure | None:
    """The task's own failure, or that of its declared R² and ranges."""
    result = measured.result
    if result.failure is not None:
        return result.failure
    assert result.r2 is not None
    if result.r2 <= measured.task.r2_threshold:
        return Failure(kind=FailureKind.BAD_FIT, cause="low_r2", message="")
    for name, value in result.output_parameters.items():
        declared = measured.task.output_parameters[name]
        assert isinstance(declared, OutputParameter)
        if declared.believable is not None and float(value.value or 0) not in declared.believable:
            return Failure(kind=FailureKind.OUT_OF_RANGE, cause=name, message="")
    return None
