"""Attempts that ended through no fault of their jobs, and flow runs of chips that nobody serves."""

from __future__ import annotations

import uuid

import pytest

from qdash_queue.client.leases import Executor, Lease
from qdash_queue.domain import Failure, FailureKind, JobState
from qdash_queue.errors import BadValueError, LeaseLostError
from tests.contract.lab import Lab

DEATH = Failure(kind=FailureKind.INTERNAL, message="the job's process was killed by SIGSEGV")


def test_a_death_is_repeated_while_attempts_remain(lab: Lab) -> None:
    chip_id = lab.chip()
    claimed, lease = lab.running(chip_id, flow="repeat", parameters={}, max_attempts=2)
    assert lease.try_again(DEATH) is JobState.SCHEDULED
    again = lab.ready(chip_id).claim()
    assert again is not None
    assert (again.job_id, again.attempt) == (claimed.job_id, 2)
    assert lab.lease(again).try_again(DEATH) is JobState.FAILED
    job = lab.job(claimed.job_id)
    assert (job["state"], job["failure_kind"], job["failure_message"]) == (
        "failed",
        "internal",
        DEATH.message,
    )
    reasons = lab.rows(
        "SELECT outcome, failure_kind, failure_message FROM calib.attempts"
        " WHERE job_id = %s ORDER BY attempt",
        claimed.job_id,
    )
    assert [tuple(row.values()) for row in reasons] == [
        ("requeued", "internal", DEATH.message),
        ("failed", "internal", DEATH.message),
    ]


def test_a_death_of_what_may_not_be_repeated_fails(lab: Lab) -> None:
    _, lease = lab.running(lab.chip())
    assert lease.try_again(DEATH) is JobState.FAILED


def test_a_cancel_wins_over_a_death(lab: Lab) -> None:
    claimed, lease = lab.running(lab.chip(), flow="repeat", parameters={}, max_attempts=2)
    lab.ana.queue.cancel(claimed.job_id)
    assert lease.try_again(DEATH) is JobState.CANCELLED


def test_a_verdict_stands_after_a_death(lab: Lab) -> None:
    _, lease = lab.running(lab.chip(), flow="repeat", parameters={}, max_attempts=2)
    lease.conclude(JobState.COMPLETED)
    assert lease.try_again(DEATH) is JobState.COMPLETED


def test_only_the_claim_gives_another_attempt(lab: Lab) -> None:
    claimed, lease = lab.running(lab.chip(), flow="repeat", parameters={}, max_attempts=2)
    with pytest.raises(LeaseLostError):
        Lease(lease.database, claimed.job_id, uuid.uuid4()).try_again(DEATH)
    with pytest.raises(BadValueError, match="closed list"):
        lease.database.execute(
            "SELECT calib.try_again(:job_id, :claim, 'bored', '')", job_id=claimed.job_id, claim=claimed.claim
        )
    assert lab.job(claimed.job_id)["state"] == "running"


@pytest.fixture
def stranger(lab: Lab) -> Executor:
    """An executor of another chip and another role."""
    person = lab.person("stranger", "calib_executor")
    chip_id = lab.chip()
    lab.admin.allow_executor(person.name, chip_id)
    executor = Executor(person.database, chip_id, "fake", "1.0")
    executor.register()
    return executor


def test_flow_runs_are_looked_after_by_strangers_only_where_nobody_serves(
    lab: Lab, stranger: Executor
) -> None:
    chip_id = lab.chip()
    claimed, lease = lab.running(chip_id)
    lease.set_flow_run(uuid.uuid4())
    lease.conclude(JobState.COMPLETED)
    lease.finish()
    assert chip_id not in stranger.chips_to_reconcile()
    assert stranger.unsynced_flow_runs() == []
    stranger.flow_run_synced(claimed.job_id, claimed.attempt)
    synced = "SELECT prefect_synced FROM calib.attempts WHERE job_id = %s"
    assert not lab.value(synced, claimed.job_id), "its own executor lives"
    lab.executor(chip_id).stopped()
    assert {chip_id, stranger.chip_id} <= set(stranger.chips_to_reconcile())
    assert [run.job_id for run in stranger.unsynced_flow_runs()] == [claimed.job_id]
    stranger.flow_run_synced(claimed.job_id, claimed.attempt)
    assert lab.value(synced, claimed.job_id)
    assert stranger.unsynced_flow_runs() == []


def _left_behind(lab: Lab, chip_id: str) -> int:
    """A job that has ended and whose flow run nobody has brought into line."""
    claimed, lease = lab.running(chip_id)
    lease.set_flow_run(uuid.uuid4())
    lease.conclude(JobState.COMPLETED)
    lease.finish()
    return claimed.job_id


def test_flow_runs_that_cannot_be_synced_keep_no_other_from_its_turn(lab: Lab) -> None:
    """Twenty are looked at; of the chip and of chips that nobody serves, there is one more than these."""
    chip_id, left = lab.chip(), lab.chip()
    for _ in range(20):
        _left_behind(lab, chip_id)
    wanted = {_left_behind(lab, chip_id), _left_behind(lab, left)}
    lab.executor(left).stopped()
    for _ in range(200):
        looked_at = lab.executor(chip_id).unsynced_flow_runs()
        assert len(looked_at) == 20
        wanted -= {run.job_id for run in looked_at}
    assert not wanted
