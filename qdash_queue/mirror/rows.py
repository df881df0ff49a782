"""What the mirror reads from PostgreSQL, as typed rows.

Field names are the columns' names of the views in schema ``calib``; a column that the mirror does not need is
ignored, so views may grow.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from qdash_queue.values import CancelMode, FailureKind, JobState, TaskStatus, TaskType

JsonObject = dict[str, JsonValue]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class JobRow(_Row):
    """A job, from ``calib.jobs``."""

    job_id: int
    project_id: str
    username: str
    chip_id: str
    flow: str
    parameters: JsonObject = Field(default_factory=dict)
    tags: list[str] = Field(default_factory=list)
    note: JsonObject | None = None
    state: JobState
    attempt: int = 0
    max_attempts: int = 1
    execution_id: str | None = None
    flow_run_id: UUID | None = None
    executor_id: str | None = None
    submitted_by: str | None = None
    submitted_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failure_kind: FailureKind | None = None
    failure_message: str | None = None
    cancel_requested: bool = False
    cancel_mode: CancelMode | None = None
    cancel_reason: str | None = None
    cancel_requested_by: str | None = None
    cancel_requested_at: datetime | None = None
    cancel_seen_at: datetime | None = None
    version: int = 0


class TaskRunRow(_Row):
    """One task on one target within one attempt, from ``calib.task_runs``; its id is QDash's ``task_id``."""

    task_run_id: UUID
    job_id: int
    attempt: int
    task: str
    qid: str = ""
    repetition: int = 0
    task_type: TaskType
    status: TaskStatus
    upstream_id: UUID | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    hardware_seconds: float | None = None
    message: str | None = None
    failure_kind: FailureKind | None = None
    cause: str | None = None
    remedy: str | None = None
    stack_trace: str | None = None
    input_parameters: JsonObject | None = None
    output_parameters: JsonObject | None = None
    run_parameters: JsonObject | None = None
    quality_metrics: JsonObject | None = None
    note: JsonObject | None = None


class FigureRow(_Row):
    """A figure of a task run, without its content, from ``calib.figures``."""

    figure_id: int
    task_run_id: UUID
    ordinal: int
    name: str = ""
    has_png: bool = False
    render_error: str | None = None


class RawDataRow(_Row):
    """A raw-data array of a task run, without its content, from ``calib.raw_data``."""

    raw_data_id: int
    task_run_id: UUID
    ordinal: int
    name: str = ""
    dtype: str
    shape: list[int]
    unit: str | None = None


class ParameterRow(_Row):
    """One version of a parameter, from ``calib.parameters`` or ``calib.parameter_history``."""

    chip_id: str
    qid: str
    name: str
    value: float
    error: float | None = None
    unit: str | None = None
    value_type: str | None = None
    description: str | None = None
    valid_from: datetime
    source: str
    task_run_id: UUID | None = None
    job_id: int | None = None
    execution_id: str | None = None


class JobSnapshot(_Row):
    """A job with everything that hangs on it, read in one statement, hence as of one instant."""

    job: JobRow
    task_runs: list[TaskRunRow] = Field(default_factory=list)
    figures: list[FigureRow] = Field(default_factory=list)
    raw_data: list[RawDataRow] = Field(default_factory=list)
    parameters: list[ParameterRow] = Field(default_factory=list)

    def figures_of(self, task_run: TaskRunRow) -> list[FigureRow]:
        """The task run's figures in their order."""
        own = [figure for figure in self.figures if figure.task_run_id == task_run.task_run_id]
        return sorted(own, key=lambda figure: figure.ordinal)

    def raw_data_of(self, task_run: TaskRunRow) -> list[RawDataRow]:
        """The task run's raw-data arrays in their order."""
        own = [array for array in self.raw_data if array.task_run_id == task_run.task_run_id]
        return sorted(own, key=lambda array: array.ordinal)


class Mark(_Row):
    """A place in the outbox: this job, or this chip, is to be mirrored again."""

    mark_id: int
    job_id: int | None = None
    chip_id: str | None = None
    version: int
