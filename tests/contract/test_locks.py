"""What one session leaves open never stops another one's running job; and what happens when two meet."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg
import pytest

from qdash_queue.client.leases import Lease
from qdash_queue.client.models import ClaimedJob
from qdash_queue.domain import Failure, FailureKind, JobState
from qdash_queue.errors import DuplicateJobError
from tests.contract.meeting import (
    ask_cancel,
    be_impatient,
    cancel,
    full_life,
    in_thread,
    open_transaction,
)
from tests.support.queue_world import PROJECT, Connection, QueueWorld, insert
from tests.support.waiting import PATIENCE


@pytest.fixture(scope="module", autouse=True)
def impatient(world: QueueWorld) -> None:
    be_impatient(world)


def test_an_uncommitted_cancel_does_not_block_the_job(world: QueueWorld) -> None:
    claimed, _ = world.running(world.chip())
    with open_transaction(world.session(world.olga)) as client:
        assert client.execute(*cancel(claimed.job_id)).rowcount == 1
        full_life(world, claimed)
    assert world.job(claimed.job_id)["cancel_requested"] is False


def test_an_uncommitted_cancel_does_not_block_prefects(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    with open_transaction(world.session(world.olga)) as client:
        client.execute(*cancel(claimed.job_id))
        lease.cancel_from_prefect("cancelled in Prefect")
        assert lease.heartbeat() is not None
        assert lease.conclude(JobState.CANCELLED) == JobState.CANCELLED
        assert lease.finish() == JobState.CANCELLED


def test_an_uncommitted_escalation_does_not_block_the_job(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    world.ana.database.execute(
        "UPDATE calib.jobs SET cancel_requested = true, cancel_mode = 'after_task' WHERE job_id = %(job_id)s",
        job_id=claimed.job_id,
    )
    with open_transaction(world.session(world.olga)) as client:
        client.execute("UPDATE calib.jobs SET cancel_mode = 'now' WHERE job_id = %s", (claimed.job_id,))
        seen = lease.heartbeat()
        assert seen is not None
        assert seen.cancel_mode == "after_task"
        full_life(world, claimed, JobState.CANCELLED)


@pytest.mark.parametrize(
    "change",
    ["cancel_requested = true", "priority = 50"],
)
def test_an_uncommitted_change_of_a_waiting_job_is_passed_by(world: QueueWorld, change: str) -> None:
    chip_id = world.chip()
    held, free = world.submit(chip_id), world.submit(chip_id)
    executor = world.ready(chip_id)
    with open_transaction(world.session(world.olga)) as client:
        client.execute(f"UPDATE calib.jobs SET {change} WHERE job_id = %s".encode(), (held,))
        claimed = executor.claim()
        assert claimed is not None
        assert claimed.job_id == free
        full_life(world, claimed)
        assert executor.claim() is None
        executor.sweep()
    claimed = executor.claim()
    assert claimed is not None
    assert claimed.job_id == held


def test_an_expired_job_is_ended_beside_an_uncommitted_cancel(world: QueueWorld) -> None:
    """Asked for while the job still ran, it locks the cancel and not the job."""
    claimed, lease = world.running(world.chip(), flow="repeat", parameters={}, max_attempts=3)
    with open_transaction(world.session(world.olga)) as client:
        client.execute(*cancel(claimed.job_id))
        lease.give_back("executor stopped")
        world.owner.execute(
            "UPDATE calib_private.jobs SET not_after = now() WHERE job_id = %s", (claimed.job_id,)
        )
        assert (claimed.job_id, "cancelled") in [
            (j.job_id, j.outcome) for j in world.ready(world.chip()).sweep()
        ]
    job = world.job(claimed.job_id)
    assert (job["state"], job["cancel_requested"], job["cancel_reason"]) == ("cancelled", True, "expired")
    assert job["cancel_requested_by"] == "calib_owner"


@pytest.mark.parametrize("strength", ["UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE"])
def test_rows_of_the_view_cannot_be_locked(world: QueueWorld, strength: str) -> None:
    claimed, _ = world.running(world.chip())
    with (
        open_transaction(world.session(world.olga)) as client,
        pytest.raises(psycopg.errors.FeatureNotSupported),
    ):
        client.execute(
            f"SELECT * FROM calib.jobs WHERE job_id = %s FOR {strength}".encode(), (claimed.job_id,)
        )
    full_life(world, claimed)


def test_an_uncommitted_insert_does_not_block_the_chip(world: QueueWorld) -> None:
    chip_id = world.chip()
    first = world.submit(chip_id)
    with open_transaction(world.session(world.ana)) as client:
        insert(client, project_id=PROJECT, chip_id=chip_id, flow="repeat", dedup_key="nightly")
        claimed = world.ready(chip_id).claim()
        assert claimed is not None
        assert claimed.job_id == first
        world.olga.queue.pause_chip(chip_id, "beam time")
        world.olga.queue.resume_chip(chip_id)
        full_life(world, claimed)


def test_a_dedup_key_waits_for_the_transaction_that_holds_it(world: QueueWorld) -> None:
    chip_id = world.chip()
    holder = world.session(world.ana)
    held = insert(holder, project_id=PROJECT, chip_id=chip_id, flow="repeat", dedup_key="nightly")
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(
            world.submit, chip_id, world.ben, flow="repeat", parameters={}, dedup_key="nightly"
        )
        world.wait_until_blocked(world.ben)
        holder.commit()
        with pytest.raises(DuplicateJobError, match=f"taken by job {held['job_id']}, which has not ended"):
            again.result(timeout=PATIENCE)


def test_a_dedup_key_is_free_when_its_holder_gives_up(world: QueueWorld) -> None:
    chip_id = world.chip()
    holder = world.session(world.ana)
    insert(holder, project_id=PROJECT, chip_id=chip_id, flow="repeat", dedup_key="weekly")
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(
            world.submit, chip_id, world.ben, flow="repeat", parameters={}, dedup_key="weekly"
        )
        world.wait_until_blocked(world.ben)
        holder.rollback()
        assert world.job(again.result(timeout=PATIENCE))["state"] == "scheduled"


# ------------------------------------------------------------------ meeting a claim


def _claim_uncommitted(world: QueueWorld, chip_id: str) -> tuple[Connection, ClaimedJob]:
    world.ready(chip_id)
    session = world.session(world.machine)
    claim = uuid.uuid4()
    row = session.execute(
        "SELECT * FROM calib.claim(%s, %s, %s, 30, NULL)", (chip_id, f"{chip_id}/one", claim)
    ).fetchone()
    assert row is not None
    return session, ClaimedJob.model_validate({**row, "claim": claim})


def test_a_cancel_that_waited_for_the_claim_leaves_no_lock_on_the_running_job(world: QueueWorld) -> None:
    chip_id = world.chip()
    job_id = world.submit(chip_id)
    executor, claimed = _claim_uncommitted(world, chip_id)
    client = world.session(world.olga)
    asked = in_thread(partial(ask_cancel, client, job_id))
    world.wait_until_blocked(world.olga)
    executor.commit()
    assert asked.result(timeout=PATIENCE) == 1
    # The client's transaction is still open.
    full_life(world, claimed)
    client.commit()
    job = world.job(job_id)
    assert (job["state"], job["cancel_requested"], job["cancel_seen_at"]) == ("completed", True, None)


def test_a_cancel_that_waited_for_a_failed_claim_ends_the_job(world: QueueWorld) -> None:
    chip_id = world.chip()
    job_id = world.submit(chip_id)
    executor, _ = _claim_uncommitted(world, chip_id)
    client = world.session(world.olga, autocommit=True)
    asked = in_thread(partial(ask_cancel, client, job_id))
    world.wait_until_blocked(world.olga)
    executor.rollback()
    assert asked.result(timeout=PATIENCE) == 1
    assert world.job(job_id)["state"] == "cancelled"


def test_a_change_of_priority_that_waited_for_the_claim_changes_and_holds_nothing(
    world: QueueWorld,
) -> None:
    chip_id = world.chip()
    job_id = world.submit(chip_id)
    executor, claimed = _claim_uncommitted(world, chip_id)
    client = world.session(world.olga)
    asked = in_thread(
        lambda: client.execute("UPDATE calib.jobs SET priority = 5 WHERE job_id = %s", (job_id,)).rowcount
    )
    world.wait_until_blocked(world.olga)
    executor.commit()
    assert asked.result(timeout=PATIENCE) == 0
    full_life(world, claimed)


def test_a_cancel_that_crosses_a_requeue_is_not_forgotten(world: QueueWorld) -> None:
    chip_id = world.chip()
    claimed, lease = world.running(chip_id, flow="repeat", parameters={}, max_attempts=3)
    client = world.session(world.olga)
    client.execute(*cancel(claimed.job_id))
    assert lease.give_back("executor stopped") == JobState.SCHEDULED
    client.commit()
    world.olga.queue.pause_chip(chip_id, "beam time")
    assert (claimed.job_id, "cancelled") in [(j.job_id, j.outcome) for j in world.ready(chip_id).sweep()]
    assert world.job(claimed.job_id)["state"] == "cancelled"


def test_a_cancel_that_crosses_a_requeue_is_seen_by_the_next_claim(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip(), flow="repeat", parameters={}, max_attempts=3)
    client = world.session(world.olga)
    client.execute(*cancel(claimed.job_id))
    lease.give_back("executor stopped")
    client.commit()
    assert world.ready(claimed.chip_id).claim() is None
    assert world.job(claimed.job_id)["state"] == "cancelled"


# ------------------------------------------------------------------ meeting a pause

PAUSE = "SELECT calib.pause_chip(%s, 'beam time')"


def test_a_pause_returns_once_a_claim_that_came_before_it_shows(world: QueueWorld) -> None:
    chip_id = world.chip()
    job_id = world.submit(chip_id)
    executor, claimed = _claim_uncommitted(world, chip_id)
    operator = world.session(world.olga, autocommit=True)
    paused = in_thread(partial(operator.execute, PAUSE, (chip_id,)))
    world.wait_until_blocked(world.olga)
    executor.commit()
    paused.result(timeout=PATIENCE)
    chip = world.rows("SELECT paused, running_job_id FROM calib.chips WHERE chip_id = %s", chip_id)
    assert chip == [{"paused": True, "running_job_id": job_id}]
    full_life(world, claimed)


def test_nothing_is_claimed_beside_an_uncommitted_pause(world: QueueWorld) -> None:
    claimed, _ = world.running(world.chip())
    waiting = world.submit(claimed.chip_id)
    executor = world.ready(claimed.chip_id)
    with open_transaction(world.session(world.olga)) as operator:
        operator.execute(PAUSE, (claimed.chip_id,))
        full_life(world, claimed)
        assert executor.claim() is None
        assert executor.claim(job_id=waiting) is None
    taken = executor.claim()
    assert taken is not None
    assert taken.job_id == waiting


def test_a_claim_and_a_pause_under_the_lease_do_not_wait_for_each_other(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    world.submit(claimed.chip_id)
    other = world.ready(claimed.chip_id, "two")
    holder = world.session(world.machine)
    holder.execute("SELECT calib.quiesce_failed(%s, %s, 'stuck')", (claimed.job_id, claimed.claim))
    assert other.claim() is None
    holder.commit()
    lease.conclude(JobState.FAILED, Failure(kind=FailureKind.INSTRUMENT, message="stuck"))
    lease.finish()
    assert other.claim() is None
    world.olga.queue.resume_chip(claimed.chip_id)
    assert other.claim() is not None


# ------------------------------------------------------------------ meeting a finish


def test_a_cancel_that_waited_behind_nothing_meets_the_finish(world: QueueWorld) -> None:
    """Asked and uncommitted while the job completes: never seen, and the job stays completed."""
    claimed, lease = world.running(world.chip())
    client = world.session(world.olga)
    client.execute(*cancel(claimed.job_id))
    lease.conclude(JobState.COMPLETED)
    assert lease.finish() == JobState.COMPLETED
    client.commit()
    job = world.job(claimed.job_id)
    assert (job["state"], job["cancel_requested"], job["cancel_seen_at"]) == ("completed", True, None)


def test_cancels_and_finishes_in_a_race_end_each_job_once(world: QueueWorld) -> None:
    chip_id = world.chip()
    executor = world.ready(chip_id)
    outcomes = set()
    client = world.session(world.olga, autocommit=True)
    for _ in range(30):
        job_id = world.submit(chip_id)
        claimed = executor.claim()
        assert claimed is not None
        lease = world.lease(claimed)
        asked = in_thread(partial(ask_cancel, client, job_id))
        seen = lease.heartbeat()
        standing = lease.conclude(JobState.CANCELLED if seen else JobState.COMPLETED)
        assert lease.finish() == standing
        count = asked.result(timeout=PATIENCE)
        job = world.job(job_id)
        outcomes.add((job["state"], count))
        assert world.events(job_id).count(job["state"]) == 1
        assert (job["state"] == "cancelled") == (job["cancel_seen_at"] is not None)
        assert job["cancel_requested"] == (count == 1)
    assert outcomes <= {("completed", 0), ("completed", 1), ("cancelled", 1)}


# ------------------------------------------------------------------ meeting a verb of the holder


def test_a_paused_heartbeat_is_not_needed_to_sweep_another_chip(world: QueueWorld) -> None:
    """A lease locked by a verb of its holder is passed by, not waited for."""
    claimed, _ = world.running(world.chip())
    holder = world.session(world.machine)
    holder.execute("SELECT calib.log_event(%s, %s, 'sigterm')", (claimed.job_id, claimed.claim))
    assert world.ready(world.chip()).sweep() == []
    holder.rollback()


def test_the_lease_is_not_needed_for_asking(world: QueueWorld) -> None:
    """The other way round: an executor's open transaction never makes a client wait."""
    claimed, _ = world.running(world.chip())
    holder = world.session(world.machine)
    holder.execute("SELECT * FROM calib.heartbeat(%s, %s)", (claimed.job_id, claimed.claim))
    client = world.session(world.olga, autocommit=True)
    client.execute("SET lock_timeout = '300ms'")
    assert client.execute(*cancel(claimed.job_id)).rowcount == 1
    insert(client, project_id=PROJECT, chip_id=claimed.chip_id, flow="repeat")
    holder.commit()
    lease = Lease(world.machine.database, claimed.job_id, claimed.claim)
    assert lease.heartbeat() is not None
