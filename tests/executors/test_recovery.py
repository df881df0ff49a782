"""What is left behind when processes die: poisoned jobs, orphaned process groups, flow runs without a job."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from prefect.states import Pending, Running

from executors.prefect.flow_runs import FlowRunRequest
from qdash_queue.client.admin import Admin
from qdash_queue.client.database import Database
from qdash_queue.client.leases import Executor, Lease
from qdash_queue.domain import FailureKind, JobState
from tests.executors.fleet import Fleet, is_alive
from tests.executors.flows import NOOP, noop
from tests.support.queue_world import FULL_CHIP, PROJECT
from tests.support.waiting import until

ATTEMPT = ["claimed", "flow_run_created", "flow_started", "child_exited"]


def test_a_job_that_kills_its_process_fails_after_its_attempts(fleet: Fleet) -> None:
    fleet.need(1)
    fleet.settle()
    job_id = fleet.submit("poison", max_attempts=3)
    job = fleet.ended(job_id)
    assert (job.state, job.failure_kind, job.attempt) == (JobState.FAILED, FailureKind.INTERNAL, 3)
    assert job.failure_message == "the job's process was killed by SIGSEGV"
    again = [*ATTEMPT, "quiesced", "requeued"]
    assert fleet.events(job_id) == ["submitted", *again, *again, *ATTEMPT, "concluded", "quiesced", "failed"]
    reasons = [(a.outcome, a.failure_kind, a.failure_message) for a in fleet.queue.attempts(job_id)]
    words = (FailureKind.INTERNAL, job.failure_message)
    assert reasons == [("requeued", *words), ("requeued", *words), ("failed", *words)]
    assert [fleet.prefect_state(job_id, attempt) for attempt in (1, 2, 3)] == ["CRASHED", "CRASHED", "FAILED"]


@pytest.mark.slow
def test_a_job_that_kills_its_executor_fails_after_its_attempts(fleet: Fleet) -> None:
    fleet.need(2)
    fleet.settle()
    job_id = fleet.submit("plague", max_attempts=2)

    def is_over(attempt: int) -> bool:
        fleet.replace_dead(1)
        return any(each.attempt == attempt and each.outcome for each in fleet.queue.attempts(job_id))

    for attempt in (1, 2):
        until(partial(is_over, attempt), f"attempt {attempt} of the poisoned job to end")
    job = fleet.queue.get(job_id)
    assert (job.state, job.failure_kind, job.attempt) == (JobState.FAILED, FailureKind.LOST, 2)
    assert "its lease ran out" in (job.failure_message or "")
    fleet.need(1)
    assert fleet.ended(fleet.submit("noop")).state is JobState.COMPLETED


@pytest.fixture
def stuck(fleet: Fleet, tmp_path: Path) -> tuple[int, int, int]:
    """A job that masks all signals and holds the interpreter's lock; its process, and that one's own."""
    fleet.need(1)
    return _stuck(fleet, tmp_path)


def _stuck(fleet: Fleet, tmp_path: Path) -> tuple[int, int, int]:
    fleet.settle()
    pid_file = tmp_path / "pid"
    job_id = fleet.submit("stuck_family", {"seconds": 3000, "pid_file": str(pid_file)})
    child = fleet.started(job_id)
    until(lambda: pid_file.exists() and pid_file.read_text() != "", "the grandchild")
    other = int(pid_file.read_text())
    until(lambda: psutil.Process(child).cpu_times().user > 0.5, "the child to be stuck")
    return job_id, child, other


def _lease_holds(fleet: Fleet, job_id: int) -> bool:
    rows = fleet.owner.rows(
        "SELECT expires_at > now() AS holds FROM calib_private.leases WHERE job_id = %(id)s", id=job_id
    )
    return bool(rows and rows[0]["holds"])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_stuck_group_ends_before_its_lease(
    fleet: Fleet, stuck: tuple[int, int, int], number: signal.Signals
) -> None:
    job_id, child, other = stuck
    executor = fleet.holder(job_id)
    executor.signal(number)
    until(lambda: not is_alive(child) and not is_alive(other), "the whole group to end")
    assert _lease_holds(fleet, job_id), "the group was dead while the lease still held"
    executor.signal(signal.SIGKILL)
    executor.wait()
    until(lambda: not executor.family(), "all processes of the killed executor to end")
    fleet.need(1)
    assert fleet.ended(job_id).failure_kind is FailureKind.LOST


def test_a_group_ends_with_its_leader_though_the_executor_is_frozen(fleet: Fleet, tmp_path: Path) -> None:
    executor = fleet.alone(QDASH_QUEUE_LEASE_SECONDS="3000")  # So that the lease's end is not what ends it.
    job_id, child, other = _stuck(fleet, tmp_path)
    executor.signal(signal.SIGSTOP)
    os.kill(child, signal.SIGKILL)
    until(lambda: not is_alive(other), "the rest of the group to end")
    assert _lease_holds(fleet, job_id)
    executor.signal(signal.SIGCONT)
    assert fleet.ended(job_id).state is JobState.FAILED
    executor.signal(signal.SIGTERM)
    assert executor.wait() == 0


def test_flow_runs_of_a_chip_without_executors_are_closed_by_others(fleet: Fleet) -> None:
    fleet.need(1)
    chip_id = f"GONE-{time.monotonic_ns()}"
    admin = Admin(fleet.owner)
    admin.add_chip(chip_id, "fake", FULL_CHIP)
    # Not the fleet's role: it has no right of its own on this chip.
    admin.allow_executor(fleet.owner.rows("SELECT current_user::text AS me")[0]["me"], chip_id)
    noted, unnoted = _leave_for_ever(fleet, chip_id)

    def state_of(run: UUID) -> str:
        state = fleet.prefect.read_flow_run(run).state
        assert state is not None
        return state.type.value

    until(lambda: state_of(noted) == "COMPLETED", "the flow run on the row to be closed")
    until(lambda: state_of(unnoted) == "COMPLETED", "the flow run without a job to be closed")
    left = "SELECT FROM calib.attempts a JOIN calib.jobs j USING (job_id) WHERE j.chip_id = %(chip_id)s"
    until(lambda: not fleet.owner.rows(f"{left} AND NOT a.prefect_synced", chip_id=chip_id), "a note of it")


def _leave_for_ever(fleet: Fleet, chip_id: str) -> tuple[UUID, UUID]:
    """Run a job in the test itself, tell Prefect nothing of its end, and leave."""
    database = Database(fleet.owner.conninfo)
    executor = Executor(database, chip_id, "fake", "0")
    executor.register()
    executor.register_catalogue([NOOP.entry()], [])
    job = fleet.queue.submit(PROJECT, chip_id, {}, flow="noop")
    claimed = executor.claim(60.0)
    assert claimed is not None
    assert claimed.job_id == job.job_id
    lease = Lease(database, claimed.job_id, claimed.claim)
    tags = FlowRunRequest.of(claimed, executor.executor_id).tags
    noted = fleet.prefect.create_flow_run(noop, parameters={}, state=Running(), tags=tags).id
    unnoted = fleet.prefect.create_flow_run(noop, parameters={}, state=Pending(), tags=tags).id
    lease.set_flow_run(noted)
    lease.conclude(JobState.COMPLETED)
    lease.finish()
    executor.stopped()
    database.close()
    return noted, unnoted
