"""Run a task on a backend as the engine does, and find why its result would be refused."""

from __future__ import annotations

from dataclasses import dataclass

from calibtasks.base import BaseTask, OutputParameter, PostProcessResult, RunResult
from executors.backends.base import BaseBackend
from qdash_queue.domain import Failure, FailureKind


@dataclass(frozen=True)
class Measured:
    task: BaseTask
    run: RunResult
    result: PostProcessResult


def measure(backend: BaseBackend, task: BaseTask, qid: str = "0") -> Measured:
    task.call_preprocess(backend, qid)
    run = task.call_run(backend, qid)
    return Measured(task, run, task.call_postprocess(None, "20261123-q001", run, qid))


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
