"""QDash's documents, made from the queue's rows: pure functions, no database."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from qdash_queue.client.models import Job, JsonObject, Parameter, Stage, TaskRun
from qdash_queue.domain import TaskStatus, TaskType
from qdash_queue.mirror.documents.bson_values import bson_key, bson_object, bson_value, finite_number
from qdash_queue.mirror.documents.layout import Layout, TaskFiles
from qdash_queue.mirror.documents.models import (
    LONGEST_ELAPSED_SECONDS,
    LONGEST_STACK_TRACE,
    CancelNote,
    ExecutionCounter,
    ExecutionHistory,
    ExecutionNote,
    FailureNote,
    InputParameterDocument,
    JobNote,
    ParameterDocument,
    RawDataNote,
    RunParameterDocument,
    SystemInfo,
    Tag,
    TaskNote,
    TaskResultHistory,
    TaskResultNote,
)

NOT_STARTED = "not started"


def elapsed_seconds(start: datetime | None, end: datetime | None) -> float | None:
    """Seconds from start to end, never negative nor longer than QDash can read; None while unfinished."""
    if start is None or end is None:
        return None
    return min(max((end - start).total_seconds(), 0.0), LONGEST_ELAPSED_SECONDS)


def execution_document(
    job: Job, user_id: str, layout: Layout, stages: Sequence[Stage] = ()
) -> ExecutionHistory:
    """The job as QDash's execution, with the results of its stages.

    Raises:
        ValueError: the job never started, so it has no execution id and nothing to show in QDash.
    """
    if job.execution_id is None:
        raise ValueError(f"job {job.job_id} never started: it has no execution id")
    return ExecutionHistory(
        project_id=job.project_id,
        user_id=user_id,
        username=job.username,
        name=job.flow,
        execution_id=job.execution_id,
        calib_data_path=layout.execution_path(job),
        note=ExecutionNote(
            flow_run_id=str(job.flow_run_id) if job.flow_run_id else None,
            stage_results={bson_key(stage.name): bson_value(stage.result, depth=1) for stage in stages},
            qdash_queue=_job_note(job),
        ),
        status=job.state,
        tags=execution_tags(job),
        chip_id=job.chip_id,
        start_at=job.started_at,
        end_at=job.finished_at,
        elapsed_time=elapsed_seconds(job.started_at, job.finished_at),
        message=job.failure_message or "",
        system_info=SystemInfo(
            created_at=job.submitted_at,
            updated_at=job.finished_at or job.started_at or job.submitted_at,
        ),
    )


def execution_tags(job: Job) -> list[str]:
    """The flow's name, as QDash's engine tags, then the client's tags, each once."""
    return list(dict.fromkeys([job.flow, *job.tags]))


def _job_note(job: Job) -> JobNote:
    failure = None
    if job.failure_kind is not None:
        failure = FailureNote(kind=job.failure_kind, message=job.failure_message or "")
    cancel = None
    if job.cancel_requested:
        cancel = CancelNote(
            mode=job.cancel_mode,
            reason=job.cancel_reason or "",
            requested_by=job.cancel_requested_by,
            requested_at=job.cancel_requested_at,
            seen_at=job.cancel_seen_at,
        )
    return JobNote(
        job_id=job.job_id,
        version=job.version,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        executor_id=job.executor_id,
        submitted_by=job.submitted_by,
        submitted_at=job.submitted_at,
        parameters=bson_object(job.parameters),
        note=bson_object(job.note),
        failure=failure,
        cancel=cancel,
    )


class TaskArtifacts(BaseModel):
    """What a task run's document says about its files."""

    model_config = ConfigDict(frozen=True)

    files: TaskFiles
    figures_not_rendered: dict[str, str] = Field(default_factory=dict)
    raw_data: list[RawDataNote] = Field(default_factory=list)


def task_result_document(
    job: Job, task_run: TaskRun, artifacts: TaskArtifacts, user_id: str, layout: Layout
) -> TaskResultHistory:
    """One task run as QDash's task result.

    Outputs of a task that did not complete were measured but refused: they stand in the note, and
    ``output_parameters`` is empty, with the names kept.
    """
    outputs, refused = _outputs(job, task_run)
    start = task_run.started_at
    # QDash would take a multiplexer's number for the qubit of that number.
    of_mux = task_run.task_type is TaskType.MUX
    status = TaskStatus.CANCELLED if task_run.status is TaskStatus.SKIPPED else task_run.status
    return TaskResultHistory(
        project_id=job.project_id,
        user_id=user_id,
        username=job.username,
        task_id=str(task_run.task_run_id),
        name=task_run.task,
        upstream_id=str(task_run.upstream_id) if task_run.upstream_id else "",
        status=status,
        message=_message(task_run),
        stack_trace=task_run.stack_trace[:LONGEST_STACK_TRACE],
        input_parameters=_inputs(task_run.input_parameters),
        output_parameters=outputs,
        output_parameter_names=[bson_key(name) for name in task_run.output_parameters],
        run_parameters=_run_parameters(task_run.run_parameters),
        quality_metrics=_finite_numbers(task_run.quality_metrics),
        note=TaskResultNote(qdash_queue=_task_note(job, task_run, artifacts, refused)),
        figure_path=[layout.in_qdash(path) for path in artifacts.files.png.values()],
        json_figure_path=[layout.in_qdash(path) for path in artifacts.files.json_figures.values()],
        raw_data_path=[layout.in_qdash(path) for path in artifacts.files.raw_data.values()],
        start_at=start,
        end_at=task_run.ended_at,
        elapsed_time=elapsed_seconds(start, task_run.ended_at),
        task_type=TaskType.GLOBAL if of_mux else task_run.task_type,
        system_info=SystemInfo(
            created_at=start or job.started_at or job.submitted_at,
            updated_at=task_run.ended_at or start or job.started_at or job.submitted_at,
        ),
        qid="" if of_mux else task_run.qid,
        execution_id=job.execution_id or "",
        tags=execution_tags(job),
        chip_id=job.chip_id,
    )


def _message(task_run: TaskRun) -> str:
    match task_run.status:
        case TaskStatus.SKIPPED:
            return NOT_STARTED
        case TaskStatus.COMPLETED if not task_run.message:
            return f"{task_run.task} is completed"
        case _:
            return task_run.message


def _task_note(
    job: Job, task_run: TaskRun, artifacts: TaskArtifacts, refused: dict[str, JsonValue]
) -> TaskNote:
    failure = None
    if task_run.failure_kind is not None:
        failure = FailureNote(
            kind=task_run.failure_kind,
            message=task_run.message,
            cause=task_run.cause,
            remedy=task_run.remedy,
        )
    return TaskNote(
        job_id=job.job_id,
        version=job.version,
        attempt=task_run.attempt,
        repetition=task_run.repetition,
        status=task_run.status,
        failure=failure,
        hardware_seconds=task_run.hardware_seconds,
        refused_output_parameters=refused,
        figures_not_rendered=artifacts.figures_not_rendered,
        raw_data=artifacts.raw_data,
        note=bson_object(task_run.note),
    )


def _outputs(job: Job, task_run: TaskRun) -> tuple[dict[str, ParameterDocument], dict[str, JsonValue]]:
    accepted: dict[str, ParameterDocument] = {}
    refused: dict[str, JsonValue] = {}
    for name, stored in task_run.output_parameters.items():
        # Without a finite number QDash's metric vanishes and hides the older, good one.
        if task_run.status is TaskStatus.COMPLETED and _value_of(stored) is not None:
            accepted[bson_key(name)] = _output(job, task_run, name, stored)
        else:
            refused |= bson_object({name: stored})
    return accepted, refused


def _output(job: Job, task_run: TaskRun, name: str, stored: JsonValue) -> ParameterDocument:
    fields = stored if isinstance(stored, dict) else {}
    value = _value_of(stored)
    if value is None or task_run.ended_at is None:
        raise ValueError(f"{task_run.task} on {task_run.qid}: output {name} has no value or no end")
    return ParameterDocument(
        **_described(name, fields)
        | {
            "value": value,
            "calibrated_at": task_run.ended_at,
            "execution_id": job.execution_id or "",
            "task_id": str(task_run.task_run_id),
        }
    )


def _inputs(stored: JsonObject) -> dict[str, InputParameterDocument]:
    return {bson_key(name): _input(name, fields) for name, fields in stored.items()}


def _input(name: str, stored: JsonValue) -> InputParameterDocument:
    fields = stored if isinstance(stored, dict) else {}
    return InputParameterDocument(
        **_described(name, fields)
        | {
            "value": _value_of(stored),
            "calibrated_at": _date(fields.get("calibrated_at")),
            "execution_id": _text(fields, "execution_id"),
            "task_id": _text(fields, "task_id"),
        }
    )


def _described(name: str, fields: JsonObject) -> dict[str, Any]:
    """What inputs and outputs are described by."""
    return {
        "parameter_name": _text(fields, "parameter_name") or name,
        "qid_role": _text(fields, "qid_role"),
        "value_type": _text(fields, "value_type") or "float",
        "error": float(finite_number(fields.get("error")) or 0.0),
        "unit": _text(fields, "unit"),
        "description": _text(fields, "description"),
    }


def _run_parameters(stored: JsonObject) -> dict[str, RunParameterDocument]:
    documents = {}
    for name, fields in bson_object(stored).items():
        full: JsonObject = fields if isinstance(fields, dict) else {"value": fields}
        documents[name] = RunParameterDocument(
            unit=_text(full, "unit"),
            value_type=_text(full, "value_type") or "float",
            value=full.get("value"),
            description=_text(full, "description"),
        )
    return documents


def _finite_numbers(stored: Mapping[str, float]) -> dict[str, float]:
    numbers = {bson_key(name): finite_number(value) for name, value in stored.items()}
    return {name: float(number) for name, number in numbers.items() if number is not None}


def _value_of(stored: JsonValue) -> float | int | None:
    return finite_number(stored.get("value") if isinstance(stored, dict) else stored)


def _text(fields: JsonObject, key: str) -> str:
    value = fields.get(key)
    return value if isinstance(value, str) else ""


def _date(value: JsonValue) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        date = datetime.fromisoformat(value)
    except ValueError:
        return None
    return date if date.tzinfo is not None else None


def parameter_document(parameter: Parameter) -> ParameterDocument:
    """A parameter version as an entry of QDash's ``qubit.data`` or ``coupling.data``."""
    fields = parameter.as_model().model_dump()
    return ParameterDocument(**fields | {"execution_id": parameter.execution_id or _origin(parameter)})


def _origin(parameter: Parameter) -> str:
    """QDash's form of an execution id for a value that no execution measured; always the same one."""
    prefix = "seed-import" if parameter.source == "import" else "manual-edit"
    words = "|".join(
        (parameter.chip_id, parameter.qid, parameter.name, str(parameter.valid_from.timestamp()))
    )
    return f"{prefix}-{hashlib.sha256(words.encode()).hexdigest()[:8]}"


def counter_document(job: Job, user_id: str, day: str) -> ExecutionCounter:
    """The day's row for QDash's date picker; its index is QDash's own count, which the queue does not use."""
    at = job.started_at or job.submitted_at
    return ExecutionCounter(
        project_id=job.project_id,
        date=day,
        user_id=user_id,
        username=job.username,
        chip_id=job.chip_id,
        index=0,
        system_info=SystemInfo(created_at=at, updated_at=at),
    )


def tag_documents(job: Job, user_id: str) -> list[Tag]:
    """One row for each tag of the job."""
    return [
        Tag(project_id=job.project_id, user_id=user_id, username=job.username, name=name)
        for name in execution_tags(job)
    ]
