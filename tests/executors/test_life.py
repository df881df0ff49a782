"""The life of a job, event by event, with one executor."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.states import Cancelling

from qdash_queue.domain import CancelMode, FailureKind, JobState
from tests.executors.fleet import Fleet, is_alive
from tests.support.waiting import until

START = ["submitted", "claimed", "flow_run_created", "flow_started"]
CANCEL = ["cancel_requested", "cancel_seen", "stop_requested"]
AFTER_CANCEL = ["concluded", "child_exited", "hook_ran", "quiesced", "cancelled"]


@pytest.fixture(scope="module", autouse=True)
def executor(fleet: Fleet) -> None:
    fleet.need(1)


@pytest.fixture(autouse=True)
def no_child_left(fleet: Fleet) -> Iterator[None]:
    """Between jobs there are: the executor, multiprocessing's two helpers, one warm spare and its guard."""
    yield
    executor = fleet.members[0]
    until(lambda: len(executor.family()) == 5, "the job's processes to be gone")


def test_completed(fleet: Fleet) -> None:
    job_id = fleet.submit("noop")
    job = fleet.ended(job_id)
    assert job.state is JobState.COMPLETED
    assert fleet.events(job_id) == [*START, "child_exited", "concluded", "completed"]
    flow_run = fleet.flow_run(job_id)
    assert flow_run.id == job.flow_run_id
    assert flow_run.state is not None
    assert flow_run.state.is_completed()
    assert flow_run.deployment_id is not None
    assert set(flow_run.tags) >= {f"chip:{fleet.chip_id}", f"job:{job_id}", "attempt:1"}
    assert flow_run.parameters["project_id"] == job.project_id


@pytest.mark.parametrize(
    ("typed", "kind", "message"),
    [
        (True, FailureKind.NO_SIGNAL, "nothing but noise"),
        (False, FailureKind.INTERNAL, "the flow raised ValueError: a fault of the flow"),
    ],
)
def test_failed(fleet: Fleet, typed: bool, kind: FailureKind, message: str) -> None:
    job_id = fleet.submit("failing", {"typed": typed})
    job = fleet.ended(job_id)
    assert (job.state, job.failure_kind, job.failure_message) == (JobState.FAILED, kind, message)
    assert fleet.events(job_id) == [*START, "concluded", "child_exited", "quiesced", "failed"]
    assert fleet.prefect_state(job_id) == "FAILED"


def test_invalid_parameters_close_the_row(fleet: Fleet) -> None:
    job_id = fleet.submit("picky", {"count": "many"})
    job = fleet.ended(job_id)
    assert (job.state, job.failure_kind) == (JobState.FAILED, FailureKind.INVALID_REQUEST)
    assert "count" in (job.failure_message or "")
    assert fleet.events(job_id) == [*START[:-1], "child_exited", "concluded", "failed"]
    assert fleet.prefect_state(job_id) == "FAILED"


@pytest.mark.parametrize(
    ("flow", "words"), [("leave", "ended with exit code 7"), ("crash", "was killed by SIGSEGV")]
)
def test_crash(fleet: Fleet, flow: str, words: str) -> None:
    job_id = fleet.submit(flow, {"code": 7} if flow == "leave" else {})
    job = fleet.ended(job_id)
    assert (job.state, job.failure_kind) == (JobState.FAILED, FailureKind.INTERNAL)
    assert job.failure_message == f"the job's process {words}"
    assert fleet.events(job_id) == [*START, "child_exited", "concluded", "quiesced", "failed"]
    assert fleet.prefect_state(job_id) == "FAILED"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_child_is_killed_from_outside(fleet: Fleet, number: signal.Signals) -> None:
    job_id = fleet.submit("sleep", {"seconds": 3000})
    os.kill(fleet.started(job_id), number)
    job = fleet.ended(job_id)
    assert (job.state, job.failure_kind) == (JobState.FAILED, FailureKind.INTERNAL)
    assert number.name in (job.failure_message or "")
    assert fleet.events(job_id) == [*START, "child_exited", "concluded", "quiesced", "failed"]


def test_cancel_now(fleet: Fleet, tmp_path: Path) -> None:
    mark = tmp_path / "hooks"
    job_id = fleet.submit("sleep", {"seconds": 3000, "mark": str(mark)})
    pid = fleet.started(job_id)
    fleet.queue.cancel(job_id, CancelMode.NOW, "beam time")
    job = fleet.ended(job_id)
    assert (job.state, job.failure_kind, job.cancel_reason) == (JobState.CANCELLED, None, "beam time")
    assert fleet.events(job_id) == [*START, *CANCEL, "sigterm", *AFTER_CANCEL]
    assert mark.read_text().split() == [str(job.flow_run_id)], "the hook ran once"
    assert not is_alive(pid)
    assert fleet.prefect_state(job_id) == "CANCELLED"


def test_cancel_after_task(fleet: Fleet) -> None:
    job_id = fleet.submit("steps", {"count": 100, "seconds": 0.3})
    fleet.started(job_id)
    fleet.queue.cancel(job_id, CancelMode.AFTER_TASK)
    assert fleet.ended(job_id).state is JobState.CANCELLED
    assert fleet.events(job_id) == [*START, *CANCEL, *AFTER_CANCEL]
    assert fleet.prefect_state(job_id) == "CANCELLED"


def test_cancel_after_task_becomes_now(fleet: Fleet) -> None:
    job_id = fleet.submit("sleep", {"seconds": 3000})
    fleet.started(job_id)
    fleet.queue.cancel(job_id, CancelMode.AFTER_TASK)
    fleet.logged(job_id, "stop_requested")
    fleet.queue.cancel(job_id, CancelMode.NOW)
    assert fleet.ended(job_id).state is JobState.CANCELLED
    escalation = ["cancel_escalated", "stop_requested", "sigterm"]
    assert fleet.events(job_id) == [*START, *CANCEL, *escalation, *AFTER_CANCEL]


def test_cancel_of_a_flow_that_cannot_hear(fleet: Fleet) -> None:
    job_id = fleet.submit("tight", {"seconds": 3000})
    pid = fleet.started(job_id)
    fleet.queue.cancel(job_id, CancelMode.NOW)
    assert fleet.ended(job_id).state is JobState.CANCELLED
    ladder = ["sigterm", "sigkill", "child_exited", "concluded", "hook_ran", "quiesced", "cancelled"]
    assert fleet.events(job_id) == [*START, *CANCEL, *ladder]
    assert not is_alive(pid)
    assert fleet.prefect_state(job_id) == "CANCELLED"


def test_cancel_takes_grandchildren_along(fleet: Fleet, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    job_id = fleet.submit("family", {"seconds": 30000, "pid_file": str(pid_file)})
    fleet.started(job_id)
    until(lambda: pid_file.exists() and pid_file.read_text() != "", "the grandchild")
    pid = int(pid_file.read_text())
    fleet.queue.cancel(job_id, CancelMode.NOW)
    assert fleet.ended(job_id).state is JobState.CANCELLED
    assert not is_alive(pid)


def test_cancel_through_prefect(fleet: Fleet) -> None:
    job_id = fleet.submit("sleep", {"seconds": 3000})
    fleet.started(job_id)
    flow_run_id = fleet.queue.get(job_id).flow_run_id
    assert flow_run_id is not None
    fleet.prefect.set_flow_run_state(flow_run_id, Cancelling())
    job = fleet.ended(job_id)
    assert (job.state, job.cancel_mode, job.cancel_reason) == (
        JobState.CANCELLED,
        CancelMode.NOW,
        "cancelled in Prefect",
    )
    assert fleet.events(job_id) == [*START, *CANCEL, "sigterm", *AFTER_CANCEL]
    assert fleet.prefect_state(job_id) == "CANCELLED"


def test_cancel_that_the_database_saw_before_the_executor(fleet: Fleet, tmp_path: Path) -> None:
    mark = tmp_path / "hooks"
    job_id = fleet.submit("overtaken", {"mark": str(mark)})
    job = fleet.ended(job_id)
    assert (job.state, job.failure_kind) == (JobState.CANCELLED, None)
    assert mark.read_text().split() == [str(job.flow_run_id)], "the hook ran once"
    assert fleet.events(job_id).count("hook_ran") == 1
    assert fleet.prefect_state(job_id) == "CANCELLED"


def test_deadline(fleet: Fleet) -> None:
    job_id = fleet.submit("sleep", {"seconds": 3000}, timeout_seconds=8)
    job = fleet.ended(job_id)
    assert (job.state, job.failure_kind) == (JobState.FAILED, FailureKind.TIMEOUT)
    stop = ["stop_requested", "sigterm", "concluded", "child_exited", "quiesced", "failed"]
    assert fleet.events(job_id) == [*START, *stop]
    state = fleet.flow_run(job_id).state
    assert state is not None
    assert state.name == "TimedOut"


def test_deadline_of_a_flow_that_ignores_sigterm(fleet: Fleet) -> None:
    job_id = fleet.submit("deaf", {"seconds": 3000}, timeout_seconds=8)
    job = fleet.ended(job_id)
    assert (job.state, job.failure_kind) == (JobState.FAILED, FailureKind.TIMEOUT)
    stop = ["stop_requested", "sigterm", "sigkill", "child_exited", "concluded", "quiesced", "failed"]
    assert fleet.events(job_id) == [*START, *stop]
    assert fleet.prefect_state(job_id) == "FAILED"
