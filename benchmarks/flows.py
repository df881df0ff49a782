"""Flows of the benchmarks; offered by the entry points of the distribution in ``plugin``."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

from prefect import flow
from pydantic import JsonValue

from executors.flows import FlowDefinition
from executors.job.context import current_job
from executors.job.persistence import persistently
from executors.job.stop import checkpoint, task_border
from executors.service.calib_service import on_flow_cancellation
from qdash_queue.client.records import PlannedTask, TaskRecord
from qdash_queue.domain import TaskStatus

TOUCH_SECONDS = 0.05


@flow(name="noop", on_cancellation=[on_flow_cancellation])
def noop(username: str, chip_id: str, project_id: str) -> None:
    """Do nothing."""


@flow(name="touch", on_cancellation=[on_flow_cancellation])
def touch(username: str, chip_id: str, project_id: str, tasks: int, seconds: float, evidence: str) -> None:
    """Run so many tasks of so many seconds; each touch of the chip is a line in the file ``evidence``."""
    job = current_job()
    assert job is not None
    planned = [PlannedTask(task="CheckRabi", qid="0", repetition=number) for number in range(tasks)]
    persistently(lambda: job.lease.plan_tasks(planned))
    record = TaskRecord(status=TaskStatus.COMPLETED, note={"pid": os.getpid()})
    for task in planned:
        task_border()
        task_run_id = persistently(partial(job.lease.start_task, task))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            checkpoint()
            with Path(evidence).open("a", encoding="ascii") as file:
                file.write(f"{os.getpid()} {time.time():.3f}\n")
            time.sleep(TOUCH_SECONDS)
        persistently(partial(job.lease.record_task, task_run_id, record))


def _schema(**properties: JsonValue) -> dict[str, JsonValue]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }


NOOP = FlowDefinition("noop", noop, "Does nothing.", _schema())
TOUCH = FlowDefinition(
    "touch",
    touch,
    "Touches the chip.",
    _schema(tasks={"type": "integer"}, seconds={"type": "number"}, evidence={"type": "string"}),
    repeatable=True,
)
