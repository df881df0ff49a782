"""The intermediate results of one target of a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

from calibtasks.results import PostProcessResult, RunResult
from executors.job.failures import Phase
from qdash_queue.domain import ParameterModel, RunParameterModel


@dataclass(frozen=True, slots=True)
class Turn:
    """One target that a task has to run on.

    Attributes:
        qid: qubit, coupling, or empty for the whole chip.
        repetition: how often the session has run the task on it before.
        upstream_id: the task run before it.
        source_id: the task run that it repeats.
    """

    qid: str
    repetition: int = 0
    upstream_id: UUID | None = None
    source_id: UUID | None = None


@dataclass(slots=True)
class Measured:
    """What has been measured so far of one target; all of it is recorded, also after a failure.

    Attributes:
        hardware_seconds: this target's share of the instrument's time.
        task_id: of its record, once it has begun.
        measured_with: the other targets that were driven and read together with it.
        task_source: the package or file of a task that is not this project's.
    """

    turn: Turn
    run_parameters: Mapping[str, RunParameterModel]
    task_id: UUID | None = None
    phase: Phase = Phase.PREPROCESS
    input_parameters: Mapping[str, ParameterModel] = field(default_factory=dict)
    run_result: RunResult | None = None
    result: PostProcessResult | None = None
    hardware_seconds: float = 0.0
    measured_with: tuple[str, ...] = ()
    task_source: str = ""

    @property
    def record(self) -> UUID:
        """The id of its record; RuntimeError before it has begun."""
        if self.task_id is None:
            raise RuntimeError(f"no task run was started for {self.turn}")
        return self.task_id


def without_files(measured: Measured) -> Measured:
    """The same without figures and raw data."""
    result = measured.result
    return replace(
        measured,
        run_result=None,
        result=None if result is None else replace(result, figures=[], artifacts=[]),
    )
