"""A cheap flow that records task runs, figures, raw data and parameters, and misbehaves on request.

It leaves evidence that does not come from the database: every touch of the chip and every run of the
cancellation hook is a line in a file, and every result carries the fence of the process that measured it.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psutil
from prefect import flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow

from calibtasks.base import BaseTask, OutputParameter
from executors.flows import FlowDefinition
from executors.job.context import JobContext, current_job
from executors.job.stop import checkpoint, task_border
from executors.service.calib_service import on_flow_cancellation
from qdash_queue.client.records import FigureRecord, PlannedTask, RawDataRecord, TaskRecord
from qdash_queue.domain import (
    CalibrationError,
    Failure,
    FailureKind,
    ParameterModel,
    RunParameterModel,
    TaskStatus,
    TaskType,
)
from qdash_queue.errors import DatabaseUnreachableError

T = TypeVar("T")
EVIDENCE = "QDASH_CHAOS_EVIDENCE"
"""Folder of the evidence."""
POISONED = "poisoned.log"
"""In it: the executors that a drill has killed."""
FENCE_STEP = 1000
"""A parameter's value is the fence, and a thousandth for each task."""
_PATIENCE_SECONDS = 12.0
_LOOPS_A_SECOND = 1e8


class Manner(StrEnum):
    """How a drill behaves in the middle of its second task."""

    WELL = "well"
    FAIL = "fail"
    """Raises a calibration error."""
    DEAF = "deaf"
    """Ignores SIGTERM."""
    TIGHT = "tight"
    """Holds the interpreter's lock."""
    MASKED = "masked"
    """Blocks all signals and holds the interpreter's lock."""
    CRASH = "crash"
    """Ends by SIGSEGV."""
    LEAVE = "leave"
    """Exits without an end of the flow."""
    FAMILY = "family"
    """Waits for a child process."""
    POISON = "poison"
    """Kills its executor."""

    @property
    def may_complete(self) -> bool:
        """Whether a job of this manner can end well."""
        return self in (Manner.WELL, Manner.DEAF, Manner.TIGHT, Manner.MASKED, Manner.FAMILY)


def record_hook(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The cancellation hook's evidence."""
    _record("hooks.log", f"{flow_run.id}\n")


@flow(name="drill", on_cancellation=[on_flow_cancellation, record_hook])
def drill(
    username: str,
    chip_id: str,
    project_id: str,
    tasks: int,
    seconds: float,
    manner: str,
    qid: str,
) -> None:
    """Record ``tasks`` task runs of ``seconds`` each."""
    job = current_job()
    assert job is not None
    planned = [
        PlannedTask(task=f"Drill{number}", qid=qid, task_type=TaskType.QUBIT) for number in range(tasks)
    ]
    if manner == Manner.DEAF:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _retry(lambda: job.lease.plan_tasks(planned))
    for number, task in enumerate(planned):
        task_border()
        task_run_id = _retry(partial(job.lease.start_task, task))
        _measure(job, chip_id, seconds)
        if number == min(1, tasks - 1):
            _misbehave(Manner(manner), seconds)
        _retry(partial(job.lease.record_task, task_run_id, drill_record(job.claimed.fence, number)))


def _measure(job: JobContext, chip_id: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        checkpoint()
        _record(f"touches-{chip_id}.log", f"{time.monotonic():.3f} {job.claimed.fence} {os.getpid()}\n")
        if time.monotonic() > end:
            return
        time.sleep(0.05)


def _misbehave(manner: Manner, seconds: float) -> None:
    match manner:
        case Manner.FAIL:
            raise CalibrationError(Failure(kind=FailureKind.NO_SIGNAL, message="nothing but noise"))
        case Manner.TIGHT:
            _hold_the_lock(4 * seconds)
        case Manner.MASKED:
            with _other_process(4 * seconds):
                signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
                _hold_the_lock(4 * seconds)
        case Manner.CRASH:
            os.kill(os.getpid(), signal.SIGSEGV)
        case Manner.LEAVE:
            os._exit(7)
        case Manner.FAMILY:
            with _other_process(4 * seconds) as other:
                other.wait()
        case Manner.POISON:
            # The forkserver's parent is the executor.
            executor = psutil.Process(os.getppid()).parent()
            assert executor is not None
            _record(POISONED, f"{executor.pid}\n")
            executor.kill()
            time.sleep(60)
        case Manner.WELL | Manner.DEAF:
            return


def _hold_the_lock(seconds: float) -> None:
    """Spend about so long in C, with the interpreter's lock held."""
    sum(itertools.repeat(1, int(seconds * _LOOPS_A_SECOND)))


def _other_process(seconds: float) -> subprocess.Popen[bytes]:
    # Without the site: it needs nothing, and has to start fast.
    return subprocess.Popen([sys.executable, "-S", "-c", f"import time; time.sleep({seconds})"])


def _drill_task(number: int) -> type[BaseTask]:
    output = {f"drill_{number}": OutputParameter(unit="a.u.")}
    return type(f"Drill{number}", (BaseTask,), {"name": f"Drill{number}", "output_parameters": output})


DRILL_TASKS = [_drill_task(number) for number in range(20)]
"""What drills record: an executor completes only tasks that it has registered."""


def drill_record(fence: int, number: int) -> TaskRecord:
    """What a drill's task leaves behind; all of it tells the fence."""
    points = struct.pack("<8d", *range(number, number + 8))
    figure = {"data": [{"type": "scatter", "y": [fence, number]}], "layout": {"title": {"text": f"{number}"}}}
    return TaskRecord(
        status=TaskStatus.COMPLETED,
        hardware_seconds=0.01,
        output_parameters={
            f"drill_{number}": ParameterModel(value=fence + number / FENCE_STEP, error=0.5, unit="a.u.")
        },
        run_parameters={"shots": RunParameterModel(value=1024, value_type="int")},
        quality_metrics={"r2": 0.99},
        figures=[FigureRecord(name="drill", plotly=json.dumps(figure))] if number % 2 == 0 else [],
        raw_data=[RawDataRecord(name="iq", dtype="complex128", shape=(4,), unit="a.u.", data=points)],
        note={"fence": fence, "pid": os.getpid(), "figures": 1 if number % 2 == 0 else 0, "raw_data": 1},
    )


def _retry(write: Callable[[], T]) -> T:
    """``write``, repeated while the database is unreachable, as every verb of a lease allows."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return write()
        except DatabaseUnreachableError:
            if time.monotonic() > end:
                raise
            checkpoint()
            time.sleep(0.2)


def _record(name: str, line: str) -> None:
    folder = os.environ.get(EVIDENCE)
    if not folder:
        return
    descriptor = os.open(Path(folder) / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


DRILL = FlowDefinition(
    name="drill",
    flow=drill,
    description="Records task runs without an instrument, and misbehaves on request.",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["tasks", "seconds", "manner", "qid"],
        "properties": {
            "tasks": {"type": "integer", "minimum": 1, "maximum": 20},
            "seconds": {"type": "number", "minimum": 0, "maximum": 60},
            "manner": {"type": "string", "enum": [manner.value for manner in Manner]},
            "qid": {"type": "string", "format": "qid"},
        },
    },
    repeatable=True,
    timeout_seconds=60,
)
