"""Writes what a task measured to the rows of its job, under the job's lease."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from pydantic import JsonValue

from calibtasks.dataset import MeasuredArray
from calibtasks.task import Task
from executors.engine.measured import Measured
from executors.job.persistence import persistently
from qdash_queue.client.leases import EndedSweep, Lease, StartedSweep
from qdash_queue.client.records import FigureRecord, RawDataRecord, SweepTask, TaskRecord
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

    def start(self, task: Task, targets: Sequence[Measured]) -> StartedSweep:
        """Mark the task as running on all targets of a sweep, in one transaction."""
        tasks = [
            SweepTask(
                task=task.name,
                qid=measured.turn.qid,
                task_type=task.task_type,
                repetition=measured.turn.repetition,
                upstream_id=measured.turn.upstream_id,
                input_parameters=dict(measured.input_parameters),
                run_parameters=_plain(measured.run_parameters),
            )
            for measured in targets
        ]
        return persistently(lambda: self.lease.start_sweep(tasks))

    def ended(self, sweep: EndedSweep) -> None:
        """End a sweep."""
        persistently(lambda: self.lease.end_sweep(sweep))

    def completed(
        self, measured: Measured, outputs: Mapping[str, ParameterModel], sweep: EndedSweep | None
    ) -> None:
        """Record a task that passed, with its outputs as parameters in force; ``sweep`` ends with it."""
        record = self._record(TaskStatus.COMPLETED, measured, outputs)
        persistently(lambda: self.lease.record_task(measured.record, record, sweep))

    def failed(self, measured: Measured, failure: Failure, trace: str, sweep: EndedSweep | None) -> None:
        """Record a task that failed, as ``completed``: what it measured is kept and changes no parameter."""
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
        persistently(lambda: self.lease.record_task(measured.record, record, sweep))

    def stopped(self, sweep: EndedSweep | None, targets: Sequence[Measured], message: str) -> None:
        """Record targets that were stopped before they had a result, and end their sweep if it is open.

        Nothing is repeated while the database is unreachable: a stop must not wait for it.
        """
        if sweep is not None:
            self.lease.end_sweep(sweep)
        for measured in targets:
            record = TaskRecord(
                status=TaskStatus.CANCELLED, message=message, hardware_seconds=measured.hardware_seconds
            )
            self.lease.record_task(measured.record, record)

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
    """The task's note, qubex's fit results, whose the task is, what was measured with it, what it repeats."""
    found = measured.run_result.library_values if measured.run_result is not None else {}
    values: dict[str, JsonValue] = {
        name: float(value) for name, value in found.items() if math.isfinite(value)
    }
    note: dict[str, JsonValue] = dict(measured.result.note) if measured.result is not None else {}
    if values:
        note["library_values"] = values
    if measured.task_source:
        note["task_source"] = measured.task_source
    if measured.measured_with:
        note["measured_with"] = list(measured.measured_with)
    if measured.turn.source_id is not None:
        note["source_task_id"] = str(measured.turn.source_id)
    return note


def _figures(measured: Measured) -> list[FigureRecord]:
    if measured.result is None:
        return []
    return [FigureRecord(name=figure.name, plotly=figure.plotly) for figure in measured.result.figures]


def _raw_data(measured: Measured) -> list[RawDataRecord]:
    """The measured arrays, then the task's files as bytes."""
    measured_arrays = [] if measured.run_result is None else list(measured.run_result.data)
    files = [] if measured.result is None else measured.result.artifacts
    made = [MeasuredArray(file.name, np.frombuffer(file.data, np.uint8), "") for file in files]
    return [RawDataRecord(**vars(array.to_raw())) for array in (*measured_arrays, *made)]
