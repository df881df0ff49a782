"""The intermediate results of one run of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from calibtasks.base import PostProcessResult, RunResult
from executors.job.failures import Phase
from qdash_queue.domain import ParameterModel, RunParameterModel


@dataclass(slots=True)
class Measured:
    """What has been measured so far; all of it is recorded, also after a failure.

    ``hardware_seconds``: instrument time of this run.
    """

    run_parameters: Mapping[str, RunParameterModel]
    phase: Phase = Phase.PREPROCESS
    input_parameters: Mapping[str, ParameterModel] = field(default_factory=dict)
    run_result: RunResult | None = None
    result: PostProcessResult | None = None
    hardware_seconds: float = 0.0


def without_files(measured: Measured) -> Measured:
    """The same without figures and raw data."""
    result = measured.result
    return replace(
        measured,
        run_result=None,
        result=None if result is None else replace(result, figures=[]),
    )
