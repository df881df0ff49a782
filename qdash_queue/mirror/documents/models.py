"""What QDash's MongoDB collections hold: one model for each, with the types that QDash's API accepts.

Each names every field that the mirror owns. Fields that QDash's users own (``user_note``, ``ai_review``,
``ai_review_note``, ``excluded``, …) are not here, hence never written. What the queue knows and QDash has no
field for stands under ``note.qdash_queue``. Dates are aware and become BSON dates in UTC; no number is NaN.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from qdash_queue.domain import JobState, TaskStatus

# QDash's API answers 500 for a whole list when one elapsed time is longer.
LONGEST_ELAPSED_SECONDS = 365 * 86400.0
LONGEST_STACK_TRACE = 10_000

Number = int | FiniteFloat


class QDashDocument(BaseModel):
    """A document, or a part of one, as QDash reads it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_enum_values=True)


class SystemInfo(QDashDocument):
    """When QDash's document came to be and last changed."""

    created_at: AwareDatetime
    updated_at: AwareDatetime


class _Parameter(QDashDocument):
    parameter_name: str
    qid_role: str = ""
    value_type: str
    error: FiniteFloat
    unit: str
    description: str
    execution_id: str
    task_id: str


class ParameterDocument(_Parameter):
    """QDash's ParameterModel: ``value`` and ``error`` (one standard deviation) in ``unit``."""

    value: Number
    calibrated_at: AwareDatetime


class InputParameterDocument(_Parameter):
    """A task's input; QDash accepts one without a value, and one without the field of its date."""

    value: Number | None
    calibrated_at: AwareDatetime | None

    @model_serializer(mode="wrap")
    def _without_unknown_date(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = serialize(self)
        if fields["calibrated_at"] is None:
            del fields["calibrated_at"]
        return fields


class RunParameterDocument(QDashDocument):
    """One setting of an experiment."""

    unit: str
    value_type: str
    value: JsonValue
    description: str


class FailureNote(QDashDocument):
    """Why a job or a task failed, in the queue's words."""

    kind: str
    message: str
    cause: str = ""
    remedy: str = ""


class CancelNote(QDashDocument):
    """Who asked for the job's cancel, when, and when it was seen."""

    mode: str | None
    reason: str
    requested_by: str | None
    requested_at: AwareDatetime | None
    seen_at: AwareDatetime | None


class JobNote(QDashDocument):
    """``note.qdash_queue`` of an execution."""

    job_id: int
    version: int
    attempt: int
    max_attempts: int
    executor_id: str | None
    submitted_by: str | None
    submitted_at: AwareDatetime
    parameters: dict[str, JsonValue]
    note: dict[str, JsonValue]
    failure: FailureNote | None
    cancel: CancelNote | None


class ExecutionNote(QDashDocument):
    """The part of an execution's note that the mirror owns; ``flow_run_id`` gives QDash its Cancel button.

    ``stage_results`` is the result of each stage by its name. A job without stages leaves the field alone.
    """

    flow_run_id: str | None
    stage_results: dict[str, JsonValue]
    qdash_queue: JobNote

    @model_serializer(mode="wrap")
    def _without_stages(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = serialize(self)
        if not fields["stage_results"]:
            del fields["stage_results"]
        return fields


class ExecutionHistory(QDashDocument):
    """``execution_history``: unique by project and execution id."""

    project_id: str
    user_id: str
    username: str
    name: str
    execution_id: str
    calib_data_path: str
    note: ExecutionNote
    status: JobState
    tags: list[str]
    chip_id: str
    start_at: AwareDatetime | None
    end_at: AwareDatetime | None
    elapsed_time: FiniteFloat | None = Field(ge=0, le=LONGEST_ELAPSED_SECONDS)
    message: str
    system_info: SystemInfo


class RawDataNote(QDashDocument):
    """What is in a raw-data file, or why there is no such file."""

    path: str
    problem: str
    name: str
    dtype: str
    shape: list[int]
    unit: str


class TaskNote(QDashDocument):
    """``note.qdash_queue`` of a task result."""

    job_id: int
    version: int
    attempt: int
    repetition: int
    status: TaskStatus
    failure: FailureNote | None
    hardware_seconds: FiniteFloat | None
    refused_output_parameters: dict[str, JsonValue]
    figures_not_rendered: dict[str, str]
    raw_data: list[RawDataNote]
    note: dict[str, JsonValue]


class TaskResultNote(QDashDocument):
    """The part of a task result's note that the mirror owns."""

    qdash_queue: TaskNote


class TaskResultHistory(QDashDocument):
    """``task_result_history``: unique by project and task id."""

    project_id: str
    user_id: str
    username: str
    task_id: str
    name: str
    upstream_id: str
    status: TaskStatus
    message: str
    stack_trace: str = Field(max_length=LONGEST_STACK_TRACE)
    input_parameters: dict[str, InputParameterDocument]
    output_parameters: dict[str, ParameterDocument]
    output_parameter_names: list[str]
    run_parameters: dict[str, RunParameterDocument]
    quality_metrics: dict[str, FiniteFloat]
    note: TaskResultNote
    figure_path: list[str]
    json_figure_path: list[str]
    raw_data_path: list[str]
    start_at: AwareDatetime | None
    end_at: AwareDatetime | None
    elapsed_time: FiniteFloat | None = Field(ge=0, le=LONGEST_ELAPSED_SECONDS)
    task_type: Literal["qubit", "coupling", "global", "system"]
    system_info: SystemInfo
    qid: str
    execution_id: str
    tags: list[str]
    chip_id: str


class ExecutionCounter(QDashDocument):
    """``execution_counter``: a row for the day lets QDash's date picker reach the day's results."""

    project_id: str
    date: str = Field(pattern=r"^\d{8}$")
    user_id: str
    username: str
    chip_id: str
    index: int
    system_info: SystemInfo


class Tag(QDashDocument):
    """``tag``: what QDash offers as a filter."""

    project_id: str
    user_id: str
    username: str
    name: str


class QubitHistory(QDashDocument):
    """``qubit_history`` and ``coupling_history``: one row for each target and day, unique by these."""

    project_id: str
    user_id: str | None
    username: str
    qid: str
    status: str
    chip_id: str
    data: dict[str, ParameterDocument]
    system_info: SystemInfo
    recorded_date: str = Field(pattern=r"^\d{8}$")
