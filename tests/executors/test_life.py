"""The life of a job, event by event, with one executor."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.states import Cancelling

from qdash_queue.domain import CancelMode, FailureKind, JobState
from tests.executors.crew import Crew, is_alive
from tests.support.waiting import until

START = ["submitted", "claimed", "flow_run_created", "flow_started"]
CANCEL = ["cancel_requested", "cancel_seen", "stop_requested"]
AFTER_CANCEL = ["concluded", "child_exited", "hook_ran", "quiesced", "cancelled"]


@pytest.fixture(scope="module", autouse=True)
def executor(crew: Crew) -> None:
    crew.need(1)


@pytest.fixture(autouse=True)
def no_child_left(crew: Crew) -> Iterator[None]:
    """Between jobs there are: the executor, multiprocessing's two helpers, one warm spare and its guard."""
    yield
    hand = crew.hands[0]
    until(lambda: len(hand.family()) == 5, "the job's processes to be gone")


def test_completed(crew: Crew) -> None:
    job_id = crew.submit("noop")
    job = crew.ended(job_id)
    assert job.state is JobState.COMPLETED
    assert crew.events(job_id) == [*START, "concluded", "child_exited", "completed"]
    flow_run = crew.flow_run(job_id)
    assert flow_run.id == job.flow_run_id
    assert flow_run.state is not None
    assert flow_run.state.is_completed()
    assert flow_run.deployment_id is not None
    assert set(flow_run.tags) >= {f"chip:{crew.chip_id}", f"job:{job_id}", "attempt:1"}
    assert flow_run.parameters["project_id"] == job.project_id


@pytest.mark.parametrize(
    ("typed", "kind", "message"),
    [
        (True, FailureKind.NO_SIGNAL, "nothing but noise"),
        (False, FailureKind.INTERNAL, "the flow raised ValueError: a fault of the flow"),
    ],
)
def test_failed(crew: Crew, typed: bool, kind: FailureKind, message: str) -> None:
    job_id = crew.submit("failing", {"typed": typed})
    job = crew.ended(job_id)
    assert (job.state, job.failure_kind, job.failure_message) == (JobState.FAILED, kind, message)
    assert crew.events(job_id) == [*START, "concluded", "child_exited", "quiesced", "failed"]
    assert crew.prefect_state(job_id) == "FAILED"


def test_invalid_parameters_close_the_row(crew: Crew) -> None:
    job_id = crew.submit("picky", {"count": "many"})
    job = crew.ended(job_id)
    assert (job.state, job.failure_kind) == (JobState.FAILED, FailureKind.INVALID_REQUEST)
    assert "count" in (job.failure_message or "")
    assert crew.events(job_id) == [*START[:-1], "child_exited", "concluded", "failed"]
    assert crew.prefect_state(job_id) == "FAILED"


@pytest.mark.parametrize(
    ("flow", "words"), [("leave", "ended with exit code 7"), ("crash", "was killed by SIGSEGV")]
)
def test_crash(crew: Crew, flow: str, words: str) -> None:
    job_id = crew.submit(flow, {"code": 7} if flow == "leave" else {})
    job = crew.ended(job_id)
    assert (job.state, job.failure_kind) == (JobState.FAILED, FailureKind.INTERNAL)
    assert job.failure_message == f"the job's process {words}"
    assert crew.events(job_id) == [*START, "child_exited", "concluded", "quiesced", "failed"]
    assert crew.prefect_state(job_id) == "FAILED"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_child_is_killed_from_outside(crew: Crew, number: signal.Signals) -> None:
    job_id = crew.submit("sleep", {"seconds": 3000})
    os.kill(crew.started(job_id), number)
    job = crew.ended(job_id)
    assert (job.state, job.failure_kind) == (JobState.FAILED, FailureKind.INTERNAL)
    assert number.name in (job.failure_message or "")
    assert crew.events(job_id) == [*START, "child_exited", "concluded", "quiesced", "failed"]


def test_cancel_now(crew: Crew, tmp_path: Path) -> None:
    mark = tmp_path / "hooks"
    job_id = crew.submit("sleep", {"seconds": 3000, "mark": str(mark)})
    pid = crew.started(job_id)
    crew.queue.cancel(job_id, CancelMode.NOW, "beam time")
    job = crew.ended(job_id)
    assert (job.state, job.failure_kind, job.cancel_reason) == (JobState.CANCELLED, None, "beam time")
    assert crew.events(job_id) == [*START, *CANCEL, "sigterm", *AFTER_CANCEL]
    assert mark.read_text().split() == [str(job.flow_run_id)], "the hook ran once"
    assert not is_alive(pid)
    assert crew.prefect_state(job_id) == "CANCELLED"


def test_cancel_after_task(crew: Crew) -> None:
    job_id = crew.submit("steps", {"count": 100, "seconds": 0.3})
    crew.started(job_id)
    crew.queue.cancel(job_id, CancelMode.AFTER_TASK)
    assert crew.ended(job_id).state is JobState.CANCELLED
    assert crew.events(job_id) == [*START, *CANCEL, *AFTER_CANCEL]
    assert crew.prefect_state(job_id) == "CANCELLED"


def test_cancel_after_task_becomes_now(crew: Crew) -> None:
    job_id = crew.submit("sleep", {"seconds": 3000})
    crew.started(job_id)
    crew.queue.cancel(job_id, CancelMode.AFTER_TASK)
    crew.logged(job_id, "stop_requested")
    crew.queue.cancel(job_id, CancelMode.NOW)
    assert crew.ended(job_id).state is JobState.CANCELLED
    escalation = ["cancel_escalated", "stop_requested", "sigterm"]
    assert crew.events(job_id) == [*START, *CANCEL, *escalation, *AFTER_CANCEL]


def test_cancel_of_a_flow_that_cannot_hear(crew: Crew) -> None:
    job_id = crew.submit("tight", {"seconds": 3000})
    pid = crew.started(job_id)
    crew.queue.cancel(job_id, CancelMode.NOW)
    assert crew.ended(job_id).state is JobState.CANCELLED
    ladder = ["sigterm", "sigkill", "child_exited", "concluded", "hook_ran", "quiesced", "cancelled"]
    assert crew.events(job_id) == [*START, *CANCEL, *ladder]
    assert not is_alive(pid)
    assert crew.prefect_state(job_id) == "CANCELLED"


def test_cancel_takes_grandchildren_along(crew: Crew, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    job_id = crew.submit("family", {"seconds": 30000, "pid_file": str(pid_file)})
    crew.started(job_id)
    until(lambda: pid_file.exists() and pid_file.read_text() != "", "the grandchild")
    pid = int(pid_file.read_text())
    crew.queue.cancel(job_id, CancelMode.NOW)
    assert crew.ended(job_id).state is JobState.CANCELLED
    assert not is_alive(pid)


def test_cancel_through_prefect(crew: Crew) -> None:
    job_id = crew.submit("sleep", {"seconds": 3000})
    crew.started(job_id)
    flow_run_id = crew.queue.get(job_id).flow_run_id
    assert flow_run_id is not None
    crew.prefect.set_flow_run_state(flow_run_id, Cancelling())
    job = crew.ended(job_id)
    assert (job.state, job.cancel_mode, job.cancel_reason) == (
        JobState.CANCELLED,
        CancelMode.NOW,
        "cancelled in Prefect",
    )
    assert crew.events(job_id) == [*START, *CANCEL, "sigterm", *AFTER_CANCEL]
    assert crew.prefect_state(job_id) == "CANCELLED"


def test_cancel_that_the_database_saw_before_the_executor(crew: Crew, tmp_path: Path) -> None:
    mark = tmp_path / "hooks"
    job_id = crew.submit("overtaken", {"mark": str(mark)})
    job = crew.ended(job_id)
    assert (job.state, job.failure_kind) == (JobState.CANCELLED, None)
    assert mark.read_text().split() == [str(job.flow_run_id)], "the hook ran once"
    assert crew.events(job_id).count("hook_ran") == 1
    assert crew.prefect_state(job_id) == "CANCELLED"


def test_deadline(crew: Crew) -> None:
    job_id = crew.submit("sleep", {"seconds": 3000}, timeout_seconds=8)
    job = crew.ended(job_id)
    assert (job.state, job.failure_kind) == (JobState.FAILED, FailureKind.TIMEOUT)
    stop = ["stop_requested", "sigterm", "concluded", "child_exited", "quiesced", "failed"]
    assert crew.events(job_id) == [*START, *stop]
    state = crew.flow_run(job_id).state
    assert state is not None
    assert state.name == "TimedOut"


def test_deadline_of_a_flow_that_ignores_sigterm(crew: Crew) -> None:
    job_id = crew.submit("deaf", {"seconds": 3000}, timeout_seconds=8)
    job = crew.ended(job_id)
    assert (job.state, job.failure_kind) == (JobState.FAILED, FailureKind.TIMEOUT)
    stop = ["stop_requested", "sigterm", "sigkill", "child_exited", "concluded", "quiesced", "failed"]
    assert crew.events(job_id) == [*START, *stop]
    assert crew.prefect_state(job_id) == "FAILED"
