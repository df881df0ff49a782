"""What the queue's views and verbs return, typed."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from qdash_queue.domain import (
    CancelMode,
    FailureKind,
    JobState,
    ParameterModel,
    TaskStatus,
    TaskType,
)
from qdash_queue.requests import JobRequest

JsonObject = dict[str, JsonValue]
WaitKind = Literal[
    "chip_paused",
    "not_before",
    "no_executor",
    "executor_not_ready",
    "job_running",
    "jobs_ahead",
    "ready",
    "ending",
    "not_waiting",
]
StageStatus = Literal["running", "completed", "failed", "cancelled", "skipped"]


class Row(BaseModel):
    """A row read from the database: never changed in place."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Job(JobRequest):
    """A row of ``calib.jobs``: the request with the queue's defaults, and what became of it."""

    model_config = ConfigDict(extra="ignore")

    job_id: int
    username: str
    flow: str
    priority: int
    not_before: datetime
    timeout_seconds: int
    max_attempts: int
    tags: list[str]
    note: JsonObject
    state: JobState
    attempt: int
    execution_id: str | None
    flow_run_id: UUID | None
    executor_id: str | None
    submitted_by: str
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    waiting_for: str | None
    tasks_total: int
    tasks_done: int
    tasks_failed: int
    failure_kind: FailureKind | None
    failure_message: str | None
    cancel_requested: bool
    cancel_mode: CancelMode | None
    cancel_reason: str | None
    cancel_requested_by: str | None
    cancel_requested_at: datetime | None
    cancel_seen_at: datetime | None
    version: int


class CancelAnswer(Row):
    """What became of one job of :meth:`Queue.cancel_jobs`."""

    job_id: int
    answer: Literal[
        "cancelled", "requested", "requested_before", "ended", "forbidden", "not_matching", "unknown"
    ]
    state: JobState | None
    message: str


class WaitReason(Row):
    """Why a job waits: in a word, in a sentence, by which job, and when that is over at the latest."""

    job_id: int
    kind: WaitKind
    sentence: str
    blocking_job_id: int | None
    chip_id: str
    clears_at: datetime | None


class ClaimedJob(Row):
    """What a claim gives: the job, its fence and whether the instrument must be quiesced first.

    ``claim`` proves who holds the lease: it is sent to the database only.
    """

    job_id: int
    fence: int
    attempt: int
    max_attempts: int
    execution_id: str
    project_id: str
    username: str
    chip_id: str
    flow: str
    parameters: JsonObject
    tags: list[str]
    note: JsonObject
    timeout_seconds: int
    repeatable: bool
    submitted_by: str
    submitted_at: datetime
    started_at: datetime
    dirty: bool
    claim: UUID = Field(repr=False, exclude=True)


class CancelRequest(Row):
    """A request to cancel the job of the lease."""

    cancel_mode: CancelMode
    cancel_reason: str
    cancel_requested_by: str


class SweptJob(Row):
    """A job that a sweep ended or requeued."""

    job_id: int
    chip_id: str
    outcome: JobState


class JobEvent(Row):
    """A row of the append-only event log."""

    event_id: int
    job_id: int
    at: datetime
    actor: str
    event: str
    old_state: JobState | None
    new_state: JobState | None
    attempt: int | None
    detail: JsonObject


class Attempt(Row):
    """One run of a job by one executor."""

    job_id: int
    attempt: int
    executor_id: str
    flow_run_id: UUID | None
    started_at: datetime
    ended_at: datetime | None
    verdict: JobState | None
    outcome: Literal["completed", "failed", "cancelled", "requeued"] | None
    failure_kind: FailureKind | None
    failure_message: str | None
    prefect_synced: bool


class UnsyncedFlowRun(Row):
    """A Prefect run whose state may differ from how its attempt ended."""

    job_id: int
    attempt: int
    flow_run_id: UUID
    outcome: Literal["completed", "failed", "cancelled", "requeued"]
    failure_kind: FailureKind | None
    failure_message: str | None


class TaskRun(Row):
    """A row of ``calib.task_runs``."""

    task_run_id: UUID
    job_id: int
    attempt: int
    task: str
    qid: str
    repetition: int
    task_type: TaskType
    status: TaskStatus
    ordinal: int
    upstream_id: UUID | None
    started_at: datetime | None
    ended_at: datetime | None
    hardware_seconds: float | None
    message: str
    failure_kind: FailureKind | None
    cause: str
    remedy: str
    stack_trace: str
    input_parameters: JsonObject
    output_parameters: JsonObject
    run_parameters: JsonObject
    quality_metrics: dict[str, float]
    note: JsonObject
    sweep_id: UUID | None


class Sweep(Row):
    """A row of ``calib.sweeps``: one measurement of one task on many targets."""

    sweep_id: UUID
    job_id: int
    attempt: int
    task: str
    targets: list[str]
    started_at: datetime
    ended_at: datetime | None
    hardware_seconds: float | None


class Stage(Row):
    """A row of ``calib.stages``."""

    job_id: int
    attempt: int
    position: int
    name: str
    step: str
    mode: str | None
    targets: list[str]
    status: StageStatus
    result: JsonObject
    message: str
    started_at: datetime | None
    ended_at: datetime | None


class Figure(Row):
    """A stored figure; ``png`` is there once the mirror has rendered it."""

    figure_id: int
    task_run_id: UUID
    job_id: int
    attempt: int
    task: str
    qid: str
    ordinal: int
    name: str
    plotly: JsonObject
    png: bytes | None
    render_error: str | None


class RawData(Row):
    """A stored array."""

    raw_data_id: int
    task_run_id: UUID
    job_id: int
    task: str
    qid: str
    ordinal: int
    name: str
    dtype: str
    shape: list[int]
    unit: str
    data: bytes


class Parameter(Row):
    """A calibrated value and where it came from; ``valid_to`` is absent while it is in force."""

    chip_id: str
    qid: str
    name: str
    value: float
    error: float
    unit: str
    value_type: Literal["float", "int"]
    description: str
    valid_from: datetime
    valid_to: datetime | None = None
    source: Literal["task", "import", "edit", "revert"]
    task_run_id: UUID | None
    job_id: int | None
    execution_id: str | None
    actor: str
    reason: str

    def as_model(self) -> ParameterModel:
        """The value in QDash's shape."""
        return ParameterModel(
            parameter_name=self.name,
            value=int(self.value) if self.value_type == "int" and self.value.is_integer() else self.value,
            value_type=self.value_type,
            error=self.error,
            unit=self.unit,
            description=self.description,
            calibrated_at=self.valid_from,
            execution_id=self.execution_id or "",
            task_id=str(self.task_run_id or ""),
        )


class Chip(Row):
    """A row of ``calib.chips``."""

    chip_id: str
    backend: Literal["fake", "qubex"]
    topology: str
    n_qubits: int
    paused: bool
    pause_reason: str | None
    paused_by: str | None
    paused_at: datetime | None
    max_waiting: int
    max_waiting_per_project: int | None
    submitter_priority: int
    jobs_waiting: int
    running_job_id: int | None
    retired_at: datetime | None
    retired_by: str | None


class ExecutorRow(Row):
    """A row of ``calib.executors``."""

    executor_id: str
    chip_id: str
    role_name: str
    host: str
    pid: int
    version: str
    condition: str
    started_at: datetime
    last_seen_at: datetime
    stopped_at: datetime | None
    alive: bool
    job_id: int | None


class TaskRow(Row):
    """A row of ``calib.tasks``."""

    chip_id: str
    task: str
    task_type: TaskType
    description: str
    input_parameters: list[str]
    output_parameters: list[str]
    version: str
