"""Writes what a task measured to the rows of its job, under the job's lease."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from pydantic import JsonValue

from calibtasks.base import BaseTask
from executors.engine.measured import Measured
from executors.job.persistence import persistently
from qdash_queue.client.leases import Lease
from qdash_queue.client.models import FigureRecord, PlannedTask, RawDataRecord, TaskRecord
from qdash_queue.domain import Failure, ParameterModel, RunParameterModel, TaskStatus


@dataclass(frozen=True, slots=True)
class TaskRecorder:
    """Writes task runs; every write is one transaction and refused once the lease is gone.

    Attributes:
        lease: of the job.
        persist_output_parameters: whether what passes becomes the chip's parameters.
    """

    lease: Lease
    persist_output_parameters: bool

    def start(self, task: BaseTask, qid: str, repetition: int, upstream_id: UUID | None) -> UUID:
        """Mark the task as running; its task run's id."""
        planned = PlannedTask(task=task.name, qid=qid, task_type=task.task_type, repetition=repetition)
        settings = _plain(task.run_parameters)
        return persistently(
            lambda: self.lease.start_task(planned, upstream_id=upstream_id, run_parameters=settings)
        )

    def completed(self, task_id: UUID, measured: Measured, outputs: Mapping[str, ParameterModel]) -> None:
        """Record a task that passed, with its outputs as parameters in force."""
        record = self._record(TaskStatus.COMPLETED, measured, outputs)
        persistently(lambda: self.lease.record_task(task_id, record))

    def failed(self, task_id: UUID, measured: Measured, failure: Failure, trace: str) -> None:
        """Record a task that failed: what was measured is kept and changes no parameter."""
        given = measured.result.output_parameters if measured.result is not None else {}
        refused = {name: _storable(value) for name, value in given.items()}
        update = {
            "message": failure.message,
            "failure_kind": failure.kind,
            "cause": failure.cause,
            "remedy": failure.remedy,
            "stack_trace": trace,
        }
        record = self._record(TaskStatus.FAILED, measured, refused).model_copy(update=update)
        persistently(lambda: self.lease.record_task(task_id, record))

    def cancelled(self, task_id: UUID, measured: Measured, message: str) -> None:
        """Record a task that was stopped before it had a result."""
        self.lease.record_task(
            task_id,
            TaskRecord(
                status=TaskStatus.CANCELLED, message=message, hardware_seconds=measured.hardware_seconds
            ),
        )

    def _record(
        self, status: TaskStatus, measured: Measured, outputs: Mapping[str, ParameterModel]
    ) -> TaskRecord:
        return TaskRecord(
            status=status,
            hardware_seconds=measured.hardware_seconds,
            input_parameters=dict(measured.input_parameters),
            run_parameters=_plain(measured.run_parameters),
            output_parameters=dict(outputs),
            quality_metrics=_quality(measured),
            note=_note(measured),
            figures=_figures(measured),
            raw_data=_raw_data(measured),
            persist_output_parameters=self.persist_output_parameters,
        )


def stamped(value: ParameterModel, execution_id: str, task_id: str) -> ParameterModel:
    """A value with where and when it comes from."""
    origin = {"execution_id": execution_id, "task_id": task_id, "calibrated_at": datetime.now(UTC)}
    return value.model_copy(update=origin)


def _plain(settings: Mapping[str, RunParameterModel]) -> dict[str, RunParameterModel]:
    """The run parameters in QDash's shape, without the fields of the task's declaration only."""
    known = set(RunParameterModel.model_fields)
    return {
        name: RunParameterModel.model_construct(**setting.model_dump(include=known))
        for name, setting in settings.items()
    }


def _storable(value: ParameterModel) -> ParameterModel:
    """A refused value as JSON can hold it: NaN and infinities become null, named in the description."""
    odd = [
        f"{name} was {number}"
        for name, number in (("value", value.value), ("error", value.error))
        if number is not None and not math.isfinite(number)
    ]
    if not odd:
        return value
    described = [value.description] if value.description else []
    update: dict[str, object] = {"description": "; ".join([*described, *odd])}
    if value.value is not None and not math.isfinite(value.value):
        update["value"] = None
    if not math.isfinite(value.error):
        update["error"] = 0.0
    return value.model_copy(update=update)


def _quality(measured: Measured) -> dict[str, float]:
    if measured.result is None:
        return {}
    metrics = dict(measured.result.quality_metrics)
    if measured.result.r2 is not None:
        metrics["r2"] = measured.result.r2
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}


def _note(measured: Measured) -> dict[str, JsonValue]:
    """Qubex's own fit results, kept beside the task's."""
    found = measured.run_result.library_values if measured.run_result is not None else {}
    values: dict[str, JsonValue] = {
        name: float(value) for name, value in found.items() if math.isfinite(value)
    }
    return {"library_values": values} if values else {}


def _figures(measured: Measured) -> list[FigureRecord]:
    if measured.result is None:
        return []
    return [FigureRecord(name=figure.name, plotly=figure.plotly) for figure in measured.result.figures]


def _raw_data(measured: Measured) -> list[RawDataRecord]:
    if measured.run_result is None:
        return []
    return [RawDataRecord(**vars(raw)) for raw in measured.run_result.data.to_raw()]
