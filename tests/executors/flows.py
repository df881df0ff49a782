"""Flows that behave badly in one way each; offered by the entry points of the distribution in ``plugin``."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from prefect import flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from pydantic import JsonValue

from executors.backends.simchip.instrument import InstrumentState
from executors.flows import FlowDefinition
from executors.job.context import current_job
from executors.job.stop import checkpoint, task_border
from executors.service.calib_service import on_flow_cancellation
from qdash_queue.client.records import PlannedTask, TaskRecord
from qdash_queue.domain import CalibrationError, Failure, FailureKind, ParameterModel, TaskStatus

_SECONDS: dict[str, JsonValue] = {"type": "number", "minimum": 0}
_TEXT: dict[str, JsonValue] = {"type": "string"}


def leave_mark(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """A hook that can be counted: one line in the file that the job names."""
    mark = (flow_run.parameters or {}).get("mark", "")
    if mark:
        with Path(mark).open("a", encoding="utf-8") as file:
            file.write(f"{flow_run.id}\n")


@flow(name="noop", on_cancellation=[on_flow_cancellation])
def noop(username: str, chip_id: str, project_id: str) -> None:
    """Do nothing."""


def _sleep(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.02)


@flow(name="sleep", on_cancellation=[on_flow_cancellation, leave_mark])
def sleep(username: str, chip_id: str, project_id: str, seconds: float, mark: str = "") -> None:
    """Wait in Python."""
    _sleep(seconds)


@flow(name="patient", on_cancellation=[on_flow_cancellation, leave_mark])
def patient(username: str, chip_id: str, project_id: str, seconds: float, mark: str = "") -> None:
    """Wait in Python, but only at the first attempt; may be repeated."""
    job = current_job()
    assert job is not None
    if job.claimed.attempt == 1:
        _sleep(seconds)


@flow(name="held", on_cancellation=[on_flow_cancellation, leave_mark])
def held(username: str, chip_id: str, project_id: str, gate: str, end: str, mark: str) -> None:
    """Wait until the file ``gate`` is there, then end."""
    while not Path(gate).exists():
        time.sleep(0.01)
    if end == "fail":
        raise ValueError("a fault of the flow")
    if end == "die":
        os._exit(9)


@flow(name="steps", on_cancellation=[on_flow_cancellation])
def steps(username: str, chip_id: str, project_id: str, count: int, seconds: float) -> None:
    """Wait in steps, with a border between them."""
    for _ in range(count):
        task_border()
        _sleep(seconds)


@flow(name="walk", on_cancellation=[on_flow_cancellation, leave_mark])
def walk(username: str, chip_id: str, project_id: str, count: int, seconds: float, mark: str = "") -> None:
    """Record so many task runs, each of so many seconds, with a border between them."""
    job = current_job()
    assert job is not None
    planned = [PlannedTask(task="CheckRabi", qid="0", repetition=number) for number in range(count)]
    job.lease.plan_tasks(planned)
    for task in planned:
        task_border()
        task_run_id = job.lease.start_task(task)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            checkpoint()
            time.sleep(0.01)
        output = {"rabi_frequency": ParameterModel(value=12.5, error=0.5, unit="MHz")}
        job.lease.record_task(task_run_id, TaskRecord(status=TaskStatus.COMPLETED, output_parameters=output))


@flow(name="overtaken", on_cancellation=[on_flow_cancellation, leave_mark])
def overtaken(username: str, chip_id: str, project_id: str, mark: str) -> None:
    """End well at the very moment at which the database sees a cancel, before the supervisor hears of it."""
    job = current_job()
    assert job is not None
    job.lease.cancel_from_prefect("at the last moment")
    assert job.lease.heartbeat(6.0) is not None


@flow(name="tight", on_cancellation=[on_flow_cancellation])
def tight(username: str, chip_id: str, project_id: str, seconds: float) -> None:
    """Spend the time in C, with the interpreter's lock held."""
    sum(itertools.repeat(1, int(seconds * 2e8)))


@flow(name="deaf", on_cancellation=[on_flow_cancellation])
def deaf(username: str, chip_id: str, project_id: str, seconds: float) -> None:
    """Ignore SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _sleep(seconds)


@flow(name="leave", on_cancellation=[on_flow_cancellation])
def leave(username: str, chip_id: str, project_id: str, code: int) -> None:
    """End the process in the middle."""
    os._exit(code)


@flow(name="crash", on_cancellation=[on_flow_cancellation])
def crash(username: str, chip_id: str, project_id: str) -> None:
    """Die of a signal."""
    os.kill(os.getpid(), signal.SIGSEGV)
    _sleep(60)


@flow(name="poison", on_cancellation=[on_flow_cancellation])
def poison(username: str, chip_id: str, project_id: str) -> None:
    """Die of a signal, each time."""
    os.kill(os.getpid(), signal.SIGSEGV)
    _sleep(60)


@flow(name="plague", on_cancellation=[on_flow_cancellation])
def plague(username: str, chip_id: str, project_id: str) -> None:
    """Kill the executor, each time."""
    # The forkserver's parent is the executor.
    executor = psutil.Process(os.getppid()).parent()
    assert executor is not None
    executor.kill()
    _sleep(60)


@flow(name="failing", on_cancellation=[on_flow_cancellation])
def failing(username: str, chip_id: str, project_id: str, typed: bool) -> None:
    """Raise a typed failure, or any exception."""
    if typed:
        raise CalibrationError(Failure(kind=FailureKind.NO_SIGNAL, message="nothing but noise"))
    raise ValueError("a fault of the flow")


@flow(name="picky", on_cancellation=[on_flow_cancellation])
def picky(username: str, chip_id: str, project_id: str, count: int) -> None:
    """Take a number, where the schema lets any text through."""


@flow(name="family", on_cancellation=[on_flow_cancellation])
def family(username: str, chip_id: str, project_id: str, seconds: float, pid_file: str) -> None:
    """Start a process of its own and wait for it."""
    with subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"]) as process:
        Path(pid_file).write_text(str(process.pid), encoding="ascii")
        process.wait()


@flow(name="stuck_family", on_cancellation=[on_flow_cancellation])
def stuck_family(username: str, chip_id: str, project_id: str, seconds: float, pid_file: str) -> None:
    """Start a process of its own, mask all signals, and hold the interpreter's lock in C."""
    with subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"]) as process:
        Path(pid_file).write_text(str(process.pid), encoding="ascii")
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        sum(itertools.repeat(1, int(seconds * 2e8)))


@flow(name="busy", on_cancellation=[on_flow_cancellation])
def busy(username: str, chip_id: str, project_id: str, seconds: float, then: str) -> None:
    """Keep the simulated instrument measuring, then go on, fail or die in the middle of it."""
    job = current_job()
    assert job is not None
    with InstrumentState.of(chip_id, job.instrument_dir).measuring():
        _sleep(seconds)
        if then == "fail":
            raise ValueError("in the middle of a measurement")
        if then == "die":
            os._exit(9)


def _define(
    body: Flow[..., Any],
    *,
    repeatable: bool = False,
    optional: tuple[str, ...] = (),
    **kinds: dict[str, JsonValue],
) -> FlowDefinition:
    return FlowDefinition(
        name=body.name,
        flow=body,
        description=(body.fn.__doc__ or "").strip(),
        schema={
            "type": "object",
            "additionalProperties": False,
            "required": [name for name in kinds if name not in optional],
            "properties": dict(kinds),
        },
        repeatable=repeatable,
        timeout_seconds=3600,
    )


NOOP = _define(noop)
SLEEP = _define(sleep, optional=("mark",), seconds=_SECONDS, mark=_TEXT)
PATIENT = _define(patient, repeatable=True, optional=("mark",), seconds=_SECONDS, mark=_TEXT)
HELD = _define(held, gate=_TEXT, end=_TEXT, mark=_TEXT)
STEPS = _define(steps, count={"type": "integer"}, seconds=_SECONDS)
WALK = _define(walk, optional=("mark",), count={"type": "integer"}, seconds=_SECONDS, mark=_TEXT)
OVERTAKEN = _define(overtaken, mark=_TEXT)
TIGHT = _define(tight, seconds=_SECONDS)
DEAF = _define(deaf, seconds=_SECONDS)
LEAVE = _define(leave, code={"type": "integer"})
CRASH = _define(crash)
FAILING = _define(failing, typed={"type": "boolean"})
BUSY = _define(busy, seconds=_SECONDS, then=_TEXT)
PICKY = _define(picky, count=_TEXT)
POISON = _define(poison, repeatable=True)
PLAGUE = _define(plague, repeatable=True)
STUCK_FAMILY = _define(stuck_family, seconds=_SECONDS, pid_file=_TEXT)
FAMILY = _define(family, seconds=_SECONDS, pid_file=_TEXT)
