"""The flow of ordinary jobs: tasks on qubits, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
) -> None:
    """Run ``tasks`` in order on each of ``qids``.

    A qubit's first failure ends that qubit's list; the other qubits go on. Each attempt measures from the
    start.

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
        cal.plan([(task, qid) for qid in qids for task in tasks])
        _run_lists(cal, qids, tasks)
        cal.finish_calibration()
    except BaseException as error:
        if is_cancellation(error):
            cal.cancel_calibration()
        else:
            cal.fail_calibration(str(error))
        raise


def _run_lists(cal: CalibService, qids: Sequence[str], tasks: Sequence[str]) -> None:
    failed: list[TaskFailedError] = []
    for qid in qids:
        try:
            for task in tasks:
                cal.execute_task(task, qid)
        except TaskFailedError as error:
            failed.append(error)
    if failed:
        message = f"{len(failed)} of {len(qids) * len(tasks)} tasks failed; first: {failed[0]}"
        raise CalibrationError(failed[0].failure.model_copy(update={"message": message})) from failed[0]


CALIBRATE = FlowDefinition(
    name="calibrate",
    flow=calibrate,
    description="Runs tasks in order on each qubit; a qubit's first failure ends that qubit's list.",
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
        },
    },
    repeatable=True,
    timeout_seconds=86_400,
)
