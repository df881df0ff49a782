"""The verdict and the end of a job in one transaction."""

from __future__ import annotations

import pytest

from qdash_queue.domain import CancelMode, Failure, FailureKind, JobState
from qdash_queue.errors import LeaseLostError
from tests.support.queue_world import QueueWorld


def test_a_completed_job_ends_in_one_transaction(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    assert lease.end(JobState.COMPLETED) is JobState.COMPLETED
    assert world.events(claimed.job_id) == ["submitted", "claimed", "concluded", "completed"]
    written = world.rows(
        "SELECT e.event, e.xmin::text = j.xmin::text AS together FROM calib_private.job_events e"
        " JOIN calib_private.jobs j USING (job_id) WHERE j.job_id = %s"
        " AND e.event IN ('concluded', 'completed')",
        claimed.job_id,
    )
    assert [row["together"] for row in written] == [True, True]
    (attempt,) = world.ana.queue.attempts(claimed.job_id)
    assert (attempt.verdict, attempt.outcome) == ("completed", "completed")
    mark = world.rows("SELECT version FROM calib_private.outbox WHERE job_id = %s", claimed.job_id)
    assert mark, "the mirror has nothing to look at"


def test_its_answer_is_given_again(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    for _ in range(2):
        assert lease.end(JobState.COMPLETED) is JobState.COMPLETED
    assert lease.finish() is JobState.COMPLETED
    assert world.events(claimed.job_id).count("completed") == 1


@pytest.mark.parametrize("mode", CancelMode)
def test_a_cancel_before_the_verdict_wins_and_the_job_goes_on(world: QueueWorld, mode: CancelMode) -> None:
    """The instrument is not idle yet: the chip stays taken until finish()."""
    claimed, lease = world.running(world.chip())
    world.ana.queue.cancel(claimed.job_id, mode)
    assert lease.end(JobState.COMPLETED) is JobState.CANCELLED
    job = world.job(claimed.job_id)
    assert (job["state"], job["cancel_seen_at"] is not None) == ("running", True)
    lease.quiesced()
    assert lease.finish() is JobState.CANCELLED
    assert world.job(claimed.job_id)["state"] == "cancelled"


def test_an_earlier_verdict_stands(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    failure = Failure(kind=FailureKind.BAD_FIT, message="no fit")
    assert lease.end(JobState.FAILED, failure) is JobState.FAILED
    assert lease.end(JobState.COMPLETED) is JobState.FAILED
    assert world.job(claimed.job_id)["state"] == "running"
    assert lease.finish() is JobState.FAILED
    assert world.job(claimed.job_id)["failure_message"] == "no fit"


def test_a_former_holder_ends_nothing(timed: QueueWorld) -> None:
    claimed, lease = timed.running(timed.chip(), flow="repeat", parameters={}, max_attempts=2)
    lease.give_back("executor stopped")
    again = timed.ready(claimed.chip_id).claim()
    assert again is not None
    with pytest.raises(LeaseLostError):
        lease.end(JobState.COMPLETED)
    assert timed.job(claimed.job_id)["state"] == "running"
