"""Attempts that ended through no fault of their jobs, and flow runs of chips without an executor."""

from __future__ import annotations

import uuid

import pytest

from qdash_queue.client.leases import Executor, Lease
from qdash_queue.domain import Failure, FailureKind, JobState
from qdash_queue.errors import BadValueError, LeaseLostError
from tests.support.queue_world import QueueWorld

DEATH = Failure(kind=FailureKind.INTERNAL, message="the job's process was killed by SIGSEGV")


def test_a_death_is_repeated_while_attempts_remain(world: QueueWorld) -> None:
    chip_id = world.chip()
    claimed, lease = world.running(chip_id, flow="repeat", parameters={}, max_attempts=2)
    assert lease.try_again(DEATH) is JobState.SCHEDULED
    again = world.ready(chip_id).claim()
    assert again is not None
    assert (again.job_id, again.attempt) == (claimed.job_id, 2)
    assert world.lease(again).try_again(DEATH) is JobState.FAILED
    job = world.job(claimed.job_id)
    assert (job["state"], job["failure_kind"], job["failure_message"]) == (
        "failed",
        "internal",
        DEATH.message,
    )
    reasons = world.rows(
        "SELECT outcome, failure_kind, failure_message FROM calib.attempts"
        " WHERE job_id = %s ORDER BY attempt",
        claimed.job_id,
    )
    assert [tuple(row.values()) for row in reasons] == [
        ("requeued", "internal", DEATH.message),
        ("failed", "internal", DEATH.message),
    ]


def test_a_death_of_what_may_not_be_repeated_fails(world: QueueWorld) -> None:
    _, lease = world.running(world.chip())
    assert lease.try_again(DEATH) is JobState.FAILED


def test_a_cancel_wins_over_a_death(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip(), flow="repeat", parameters={}, max_attempts=2)
    world.ana.queue.cancel(claimed.job_id)
    assert lease.try_again(DEATH) is JobState.CANCELLED


def test_a_verdict_stands_after_a_death(world: QueueWorld) -> None:
    _, lease = world.running(world.chip(), flow="repeat", parameters={}, max_attempts=2)
    lease.conclude(JobState.COMPLETED)
    assert lease.try_again(DEATH) is JobState.COMPLETED


def test_only_the_claim_gives_another_attempt(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip(), flow="repeat", parameters={}, max_attempts=2)
    with pytest.raises(LeaseLostError):
        Lease(lease.database, claimed.job_id, uuid.uuid4()).try_again(DEATH)
    with pytest.raises(BadValueError, match="closed list"):
        lease.database.execute(
            "SELECT calib.try_again(%(job_id)s, %(claim)s, 'bored', '')",
            job_id=claimed.job_id,
            claim=claimed.claim,
        )
    assert world.job(claimed.job_id)["state"] == "running"


@pytest.fixture
def stranger(world: QueueWorld) -> Executor:
    """An executor of another chip and another role."""
    person = world.person("stranger", "calib_executor")
    chip_id = world.chip()
    world.admin.allow_executor(person.name, chip_id)
    executor = Executor(person.database, chip_id, "fake", "1.0")
    executor.register()
    return executor


def test_flow_runs_are_looked_after_by_strangers_only_where_nobody_serves(
    world: QueueWorld, stranger: Executor
) -> None:
    chip_id = world.chip()
    claimed, lease = world.running(chip_id)
    lease.set_flow_run(uuid.uuid4())
    lease.conclude(JobState.COMPLETED)
    lease.finish()
    assert chip_id not in stranger.chips_to_reconcile()
    assert stranger.unsynced_flow_runs() == []
    stranger.flow_run_synced(claimed.job_id, claimed.attempt)
    synced = "SELECT prefect_synced FROM calib.attempts WHERE job_id = %s"
    assert not world.value(synced, claimed.job_id), "its own executor lives"
    world.executor(chip_id).stopped()
    assert {chip_id, stranger.chip_id} <= set(stranger.chips_to_reconcile())
    assert [run.job_id for run in stranger.unsynced_flow_runs()] == [claimed.job_id]
    stranger.flow_run_synced(claimed.job_id, claimed.attempt)
    assert world.value(synced, claimed.job_id)
    assert stranger.unsynced_flow_runs() == []


def _left_behind(world: QueueWorld, chip_id: str) -> int:
    """A job that has ended and whose flow run is not closed."""
    claimed, lease = world.running(chip_id)
    lease.set_flow_run(uuid.uuid4())
    lease.conclude(JobState.COMPLETED)
    lease.finish()
    return claimed.job_id


def test_flow_runs_that_cannot_be_synced_keep_no_other_from_its_turn(world: QueueWorld) -> None:
    """Twenty are checked; of the chip and of chips without an executor, there is one more than these."""
    chip_id, left = world.chip(), world.chip()
    for _ in range(20):
        _left_behind(world, chip_id)
    wanted = {_left_behind(world, chip_id), _left_behind(world, left)}
    world.executor(left).stopped()
    for _ in range(200):
        looked_at = world.executor(chip_id).unsynced_flow_runs()
        assert len(looked_at) == 20
        wanted -= {run.job_id for run in looked_at}
    assert not wanted
