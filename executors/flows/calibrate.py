"""The flow of ordinary jobs: tasks on qubits, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from prefect import flow

from executors.flows.definition import FlowDefinition
from executors.job.failures import TaskFailedError
from executors.service import CalibService, is_cancellation, on_flow_cancellation
from qdash_queue.domain import CalibrationError


@flow(name="calibrate", on_cancellation=[on_flow_cancellation])
def calibrate(
    username: str,
    chip_id: str,
    project_id: str,
    qids: list[str],
    tasks: list[str],
    run_parameters: dict[str, dict[str, Any]] | None = None,
    flow_name: str | None = None,
    tags: list[str] | None = None,
    mode: Literal["serial", "simultaneous"] = "serial",
) -> None:
    """Run ``tasks`` in order on each of ``qids``: qubit by qubit, or task by task on all of them.

    A qubit's first failure ends that qubit's list; the other qubits go on. A task is run once more before a
    later one that needs its value, when a parameter that the value was measured with has moved since. Each
    attempt measures from the start.

    Raises:
        CalibrationError: at the end, if any task failed; with the kind of the first failure and the counts.
    """
    cal = CalibService(
        username,
        chip_id,
        qids,
        project_id=project_id,
        flow_name=flow_name,
        tags=tags,
        default_run_parameters=run_parameters,
    )
    try:
        batches = [qids] if mode == "simultaneous" else [[qid] for qid in qids]
        cal.plan([(task, qid) for batch in batches for task in tasks for qid in batch])
        _run_all(cal, batches, tasks)
        cal.finish_calibration()
    except BaseException as error:
        if is_cancellation(error):
            cal.cancel_calibration()
        else:
            cal.fail_calibration(str(error))
        raise


def _run_all(cal: CalibService, batches: Sequence[Sequence[str]], tasks: Sequence[str]) -> None:
    failed: list[TaskFailedError] = []
    repeated = 0
    for qids in batches:
        run = _Batch(cal, list(qids), tasks)
        run.all()
        failed += run.failed
        repeated += len(run.repeated)
    if failed:
        count = sum(map(len, batches)) * len(tasks) + repeated
        message = f"{len(failed)} of {count} tasks failed; first: {failed[0]}"
        raise CalibrationError(failed[0].failure.model_copy(update={"message": message})) from failed[0]


@dataclass
class _Batch:
    """Qubits that go through the list of tasks together.

    Attributes:
        qids: those that have not failed.
        failed: the failures of the others.
        repeated: tasks that had to run again, with their qubits.
    """

    cal: CalibService
    qids: list[str]
    tasks: Sequence[str]
    failed: list[TaskFailedError] = field(default_factory=list)
    repeated: set[tuple[str, str]] = field(default_factory=set)

    def all(self) -> None:
        """Run every task on the qubits that have not failed before it."""
        for position, task in enumerate(self.tasks):
            self._repeat_before(task, self.tasks[:position])
            self._run(task, self.qids)

    def _repeat_before(self, task: str, earlier: Sequence[str]) -> None:
        """Run those earlier tasks again, once, of which ``task`` needs a value that is suspect by now."""
        for name in dict.fromkeys(earlier):
            again = [
                qid
                for qid in self.qids
                if (name, qid) not in self.repeated and name in self.cal.to_repeat(task, qid, earlier)
            ]
            self.repeated |= {(name, qid) for qid in again}
            self._run(name, again)

    def _run(self, task: str, qids: Sequence[str]) -> None:
        results = self.cal.execute_tasks(task, qids)
        failed = {qid: result for qid, result in results.items() if isinstance(result, TaskFailedError)}
        self.failed += failed.values()
        self.qids = [qid for qid in self.qids if qid not in failed]


CALIBRATE = FlowDefinition(
    name="calibrate",
    flow=calibrate,
    description="Runs tasks in order on one qubit or on many at once; a qubit's first failure ends its list.",
    schema={
        "type": "object",
        "required": ["qids", "tasks"],
        "additionalProperties": False,
        "properties": {
            "qids": {
                "description": "Qubits, each once.",
                "type": "array",
                "items": {"type": "string", "format": "qid"},
                "minItems": 1,
                "maxItems": 4096,
                "uniqueItems": True,
            },
            "tasks": {
                "description": "Tasks in order; a task may be repeated.",
                "type": "array",
                "items": {"type": "string", "format": "task"},
                "minItems": 1,
                "maxItems": 100,
            },
            "run_parameters": {
                "description": "Settings of the measurements: {task: {name: value}}.",
                "anyOf": [{"type": "object", "format": "run_parameters"}, {"type": "null"}],
            },
            "flow_name": {
                "description": "A display name.",
                "anyOf": [{"type": "string", "minLength": 1, "maxLength": 200}, {"type": "null"}],
            },
            "tags": {
                "description": "Words to find the job by.",
                "anyOf": [
                    {
                        "type": "array",
                        "items": {"type": "string", "minLength": 1, "maxLength": 100},
                        "maxItems": 32,
                    },
                    {"type": "null"},
                ],
            },
            "mode": {
                "description": "serial: all tasks on one qubit, then on the next; simultaneous: each task on"
                " all qubits, those that do not disturb each other measured together.",
                "enum": ["serial", "simultaneous"],
                "default": "serial",
            },
        },
    },
    repeatable=True,
    timeout_seconds=86_400,
)
