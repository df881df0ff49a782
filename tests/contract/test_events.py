"""What the event log says, word for word, for each way through a job's life."""

from __future__ import annotations

import uuid

import psycopg
import pytest

from qdash_queue.client.leases import Lease
from qdash_queue.client.records import PlannedTask, TaskRecord
from qdash_queue.domain import CancelMode, Failure, FailureKind, JobState, TaskStatus
from qdash_queue.errors import (
    AlreadyFinalError,
    CancelNotRevocableError,
    IllegalTransitionError,
    LeaseLostError,
)
from tests.support.queue_world import QueueWorld

FAILURE = Failure(kind=FailureKind.BAD_FIT, message="2 of 2 tasks failed")


def _one_task(lease: Lease, status: TaskStatus = TaskStatus.COMPLETED) -> None:
    task_run_id = lease.start_task(PlannedTask(task="CheckRabi", qid="0"))
    kind = FailureKind.NO_SIGNAL if status is TaskStatus.FAILED else None
    lease.record_task(task_run_id, TaskRecord(status=status, failure_kind=kind))


def test_success(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    lease.set_flow_run(uuid.uuid4())
    lease.log_event("flow_started")
    lease.plan_tasks([PlannedTask(task="CheckRabi", qid="0")])
    _one_task(lease)
    lease.log_event("child_exited", {"code": 0})
    assert lease.conclude(JobState.COMPLETED) == JobState.COMPLETED
    assert lease.finish() == JobState.COMPLETED
    assert world.events(claimed.job_id) == [
        "submitted",
        "claimed",
        "flow_run_created",
        "flow_started",
        "task_completed",
        "child_exited",
        "concluded",
        "completed",
    ]
    job = world.job(claimed.job_id)
    assert (job["tasks_total"], job["tasks_done"], job["tasks_failed"]) == (1, 1, 0)
    assert job["finished_at"] >= job["started_at"] >= job["submitted_at"]


def test_failure(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    _one_task(lease, TaskStatus.FAILED)
    assert lease.conclude(JobState.FAILED, FAILURE) == JobState.FAILED
    assert lease.finish() == JobState.FAILED
    assert world.events(claimed.job_id) == ["submitted", "claimed", "task_failed", "concluded", "failed"]
    job = world.job(claimed.job_id)
    assert (job["failure_kind"], job["failure_message"]) == ("bad_fit", "2 of 2 tasks failed")


def test_cancel_while_waiting(world: QueueWorld) -> None:
    job_id = world.submit(world.chip())
    job = world.ana.queue.cancel(job_id, reason="beam time")
    assert job.state is JobState.CANCELLED
    assert (job.cancel_requested, job.cancel_reason, job.cancel_requested_by) == (
        True,
        "beam time",
        world.ana.name,
    )
    assert world.events(job_id) == ["submitted", "cancel_requested", "cancelled"]
    assert job.execution_id is None
    assert world.value("SELECT count(*) FROM calib_private.outbox WHERE job_id = %s", job_id) == 0


def test_cancel_while_running_escalates_and_cannot_be_taken_back(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    queue = world.ana.queue
    assert lease.heartbeat() is None
    assert queue.cancel(claimed.job_id, CancelMode.AFTER_TASK, "soon").state is JobState.RUNNING
    seen = lease.heartbeat()
    assert seen is not None
    assert (seen.cancel_mode, seen.cancel_reason, seen.cancel_requested_by) == (
        "after_task",
        "soon",
        world.ana.name,
    )
    queue.cancel(claimed.job_id, CancelMode.AFTER_TASK, "again")
    job = world.olga.queue.cancel(claimed.job_id, CancelMode.NOW, "at once")
    assert (job.cancel_mode, job.cancel_reason, job.cancel_requested_by) == ("now", "at once", world.ana.name)
    with pytest.raises(CancelNotRevocableError, match="softened"):
        queue.cancel(claimed.job_id, CancelMode.AFTER_TASK)
    with pytest.raises(CancelNotRevocableError, match="taken back"):
        world.ana.database.execute(
            "UPDATE calib.jobs SET cancel_requested = false WHERE job_id = %(job_id)s", job_id=claimed.job_id
        )
    again = lease.heartbeat()
    assert again is not None
    assert again.cancel_mode == "now"
    for event in ("stop_requested", "sigterm", "sigkill", "child_exited", "hook_ran"):
        lease.log_event(event)
    # The person who asked was told that it was taken: no other verdict stands any more.
    assert lease.conclude(JobState.FAILED, FAILURE) == JobState.CANCELLED
    lease.quiesced()
    assert lease.finish() == JobState.CANCELLED
    assert world.events(claimed.job_id) == [
        "submitted",
        "claimed",
        "cancel_requested",
        "cancel_seen",
        "cancel_escalated",
        "stop_requested",
        "sigterm",
        "sigkill",
        "child_exited",
        "hook_ran",
        "concluded",
        "quiesced",
        "cancelled",
    ]
    assert world.job(claimed.job_id)["failure_kind"] is None


def test_cancel_from_prefect(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    lease.cancel_from_prefect("cancelled in Prefect")
    lease.cancel_from_prefect("cancelled in Prefect")
    seen = lease.heartbeat()
    assert seen is not None
    assert (seen.cancel_mode, seen.cancel_reason) == ("now", "cancelled in Prefect")
    job = world.ana.queue.get(claimed.job_id)
    assert (job.cancel_requested, job.cancel_mode, job.cancel_requested_by) == (
        True,
        "now",
        world.machine.name,
    )
    assert lease.conclude(JobState.CANCELLED) == JobState.CANCELLED
    lease.finish()
    assert world.events(claimed.job_id) == [
        "submitted",
        "claimed",
        "cancel_requested",
        "cancel_seen",
        "concluded",
        "cancelled",
    ]


def test_cancel_from_prefect_on_top_of_a_softer_one(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    world.ana.queue.cancel(claimed.job_id, CancelMode.AFTER_TASK, "soon")
    lease.cancel_from_prefect("cancelled in Prefect")
    job = world.ana.queue.get(claimed.job_id)
    assert (job.cancel_mode, job.cancel_reason, job.cancel_requested_by) == ("now", "soon", world.ana.name)
    assert world.events(claimed.job_id)[-2:] == ["cancel_requested", "cancel_escalated"]


def test_cancel_too_late(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    lease.conclude(JobState.COMPLETED)
    lease.finish()
    session = world.session(world.ana, autocommit=True)
    heard: list[tuple[str | None, str | None, str]] = []
    session.add_notice_handler(
        lambda notice: heard.append((notice.severity, notice.sqlstate, notice.message_primary or ""))
    )
    count = session.execute(
        "UPDATE calib.jobs SET cancel_requested = true WHERE job_id = %s", (claimed.job_id,)
    ).rowcount
    assert count == 0
    assert [notice[:2] for notice in heard] == [("WARNING", "CQ011")]
    assert "had already ended (completed) at 20" in heard[0][2]
    with pytest.raises(AlreadyFinalError, match="had already ended"):
        world.ana.queue.cancel(claimed.job_id)
    job = world.job(claimed.job_id)
    assert (job["state"], job["cancel_requested"]) == ("completed", False)
    assert world.events(claimed.job_id)[-3:] == ["completed", "cancel_too_late", "cancel_too_late"]


def test_cancel_behind_a_verdict_is_too_late(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    lease.conclude(JobState.COMPLETED)
    with pytest.raises(AlreadyFinalError, match=r"just ending \(completed\)"):
        world.ana.queue.cancel(claimed.job_id)
    lease.cancel_from_prefect("late")
    assert lease.heartbeat() is None
    assert lease.finish() == JobState.COMPLETED
    job = world.job(claimed.job_id)
    assert (job["cancel_requested"], job["cancel_seen_at"]) == (False, None)
    assert world.events(claimed.job_id)[-4:] == [
        "concluded",
        "cancel_too_late",
        "cancel_too_late",
        "completed",
    ]


def test_one_finished_job_does_not_undo_a_bulk_cancel(world: QueueWorld) -> None:
    chip_id = world.chip()
    claimed, lease = world.running(chip_id)
    lease.conclude(JobState.COMPLETED)
    lease.finish()
    waiting = [world.submit(chip_id) for _ in range(3)]
    session = world.session(world.ana, autocommit=True)
    update = session.execute("UPDATE calib.jobs SET cancel_requested = true WHERE chip_id = %s", (chip_id,))
    assert update.rowcount == 3
    assert {world.job(job_id)["state"] for job_id in waiting} == {"cancelled"}
    assert world.job(claimed.job_id)["state"] == "completed"


def test_expiry(timed: QueueWorld) -> None:
    chip_id = timed.chip()
    executor = timed.ready(chip_id)
    job_id = timed.submit(chip_id, not_after=timed.now().replace(hour=23))
    timed.advance(86400)
    assert executor.claim() is None
    assert executor.claim(job_id=job_id) is None
    assert [(job.job_id, job.outcome) for job in executor.sweep() if job.chip_id == chip_id] == [
        (job_id, JobState.CANCELLED)
    ]
    assert timed.events(job_id) == ["submitted", "expired", "cancelled"]
    job = timed.job(job_id)
    assert (job["cancel_reason"], job["execution_id"]) == ("expired", None)
    origins = timed.rows("SELECT origin FROM calib_private.cancel_requests WHERE job_id = %s", job_id)
    assert origins == [{"origin": "queue"}]


def test_a_session_that_dies_before_its_claim_leaves_nothing_waiting(timed: QueueWorld) -> None:
    chip_id = timed.chip()
    executor = timed.ready(chip_id)
    job_id = timed.submit(chip_id, flow="interactive")
    timed.advance(61)
    assert [job.job_id for job in executor.sweep() if job.chip_id == chip_id] == [job_id]
    assert timed.job(job_id)["state"] == "cancelled"


def test_lost_without_another_attempt(timed: QueueWorld) -> None:
    claimed, lease = timed.running(timed.chip())
    lease.start_task(PlannedTask(task="CheckRabi", qid="0"))
    lease.plan_tasks([PlannedTask(task="CheckT1", qid="0")])
    timed.advance(31)
    timed.ready(claimed.chip_id, "two").sweep()
    assert timed.events(claimed.job_id) == ["submitted", "claimed", "lease_expired", "failed"]
    job = timed.job(claimed.job_id)
    assert (job["state"], job["failure_kind"]) == ("failed", "lost")
    assert [
        (run.task, run.status, run.failure_kind) for run in timed.ana.queue.task_runs(claimed.job_id)
    ] == [
        ("CheckRabi", "failed", "lost"),
        ("CheckT1", "skipped", None),
    ]


def test_lost_with_an_attempt_left(timed: QueueWorld) -> None:
    chip_id = timed.chip()
    first, stale = timed.running(chip_id, flow="repeat", parameters={}, max_attempts=2)
    open_run = stale.start_task(PlannedTask(task="CheckRabi", qid="0"))
    timed.advance(31)
    other = timed.ready(chip_id, "two")
    assert [job.outcome for job in other.sweep() if job.chip_id == chip_id] == [JobState.SCHEDULED]
    second = other.claim()
    assert second is not None
    assert (second.attempt, second.dirty, second.execution_id) == (2, True, first.execution_id)
    assert second.fence > first.fence
    with pytest.raises(LeaseLostError):
        stale.record_task(open_run, TaskRecord(status=TaskStatus.COMPLETED))
    lease = timed.lease(second)
    lease.quiesced()
    _one_task(lease)
    lease.conclude(JobState.COMPLETED)
    lease.finish()
    assert timed.events(first.job_id) == [
        "submitted",
        "claimed",
        "lease_expired",
        "requeued",
        "claimed",
        "quiesced",
        "task_completed",
        "concluded",
        "completed",
    ]
    assert [attempt.outcome for attempt in timed.ana.queue.attempts(first.job_id)] == [
        "requeued",
        "completed",
    ]
    assert [(run.attempt, run.status) for run in timed.ana.queue.task_runs(first.job_id)] == [
        (1, "cancelled"),
        (2, "completed"),
    ]


def test_lost_after_the_verdict_ends_by_the_verdict(timed: QueueWorld) -> None:
    claimed, lease = timed.running(timed.chip(), flow="repeat", parameters={}, max_attempts=3)
    lease.conclude(JobState.FAILED, FAILURE)
    timed.advance(31)
    timed.ready(claimed.chip_id, "two").sweep()
    assert timed.events(claimed.job_id) == ["submitted", "claimed", "concluded", "lease_expired", "failed"]
    assert timed.job(claimed.job_id)["failure_kind"] == "bad_fit"
    # The supervisor that wakes up asks again and hears how it ended.
    assert lease.finish() == JobState.FAILED


def test_lost_while_a_cancel_was_asked(timed: QueueWorld) -> None:
    claimed, _ = timed.running(timed.chip(), flow="repeat", parameters={}, max_attempts=3)
    timed.ana.queue.cancel(claimed.job_id)
    timed.advance(31)
    timed.ready(claimed.chip_id, "two").sweep()
    assert timed.events(claimed.job_id)[2:] == ["cancel_requested", "lease_expired", "cancelled"]


def test_give_back(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip(), flow="repeat", parameters={}, max_attempts=2)
    assert lease.give_back("executor stopped") == JobState.SCHEDULED
    assert world.events(claimed.job_id) == ["submitted", "claimed", "requeued"]
    again = world.ready(claimed.chip_id, "two").claim()
    assert again is not None
    assert (again.job_id, again.attempt, again.dirty) == (claimed.job_id, 2, False)
    assert world.lease(again).give_back("executor stopped") == JobState.FAILED
    job = world.job(claimed.job_id)
    assert (job["failure_kind"], job["failure_message"]) == ("shutdown", "executor stopped")


def test_requeue(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip(), priority=7, tags=["weekly"])
    with pytest.raises(IllegalTransitionError, match="running: only a job that has ended"):
        world.ana.queue.requeue(claimed.job_id)
    lease.conclude(JobState.COMPLETED)
    lease.finish()
    again = world.ana.queue.requeue(claimed.job_id, "once more")
    assert again.job_id > claimed.job_id
    assert (again.priority, again.tags, again.parameters) == (7, ["weekly"], claimed.parameters)
    assert again.note == {"requeue_of": claimed.job_id, "requeue_reason": "once more"}
    assert world.events(again.job_id) == ["submitted"]


def test_events_are_never_changed(world: QueueWorld) -> None:
    job_id = world.submit(world.chip())
    with pytest.raises(psycopg.Error, match="only grows"):
        world.owner.execute("UPDATE calib_private.job_events SET event = 'x' WHERE job_id = %s", (job_id,))
