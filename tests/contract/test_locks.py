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
from tests.contract.lab import PROJECT, Connection, Lab, insert
from tests.contract.meeting import (
    ask_cancel,
    be_impatient,
    cancel,
    full_life,
    in_thread,
    open_transaction,
)
from tests.support.waiting import PATIENCE


@pytest.fixture(scope="module", autouse=True)
def impatient(lab: Lab) -> None:
    be_impatient(lab)


def test_an_uncommitted_cancel_does_not_block_the_job(lab: Lab) -> None:
    claimed, _ = lab.running(lab.chip())
    with open_transaction(lab.session(lab.olga)) as client:
        assert client.execute(*cancel(claimed.job_id)).rowcount == 1
        full_life(lab, claimed)
    assert lab.job(claimed.job_id)["cancel_requested"] is False


def test_an_uncommitted_cancel_does_not_block_prefects(lab: Lab) -> None:
    claimed, lease = lab.running(lab.chip())
    with open_transaction(lab.session(lab.olga)) as client:
        client.execute(*cancel(claimed.job_id))
        lease.cancel_from_prefect("cancelled in Prefect")
        assert lease.heartbeat() is not None
        assert lease.conclude(JobState.CANCELLED) == JobState.CANCELLED
        assert lease.finish() == JobState.CANCELLED


def test_an_uncommitted_escalation_does_not_block_the_job(lab: Lab) -> None:
    claimed, lease = lab.running(lab.chip())
    lab.ana.database.execute(
        "UPDATE calib.jobs SET cancel_requested = true, cancel_mode = 'after_task' WHERE job_id = :job_id",
        job_id=claimed.job_id,
    )
    with open_transaction(lab.session(lab.olga)) as client:
        client.execute("UPDATE calib.jobs SET cancel_mode = 'now' WHERE job_id = %s", (claimed.job_id,))
        seen = lease.heartbeat()
        assert seen is not None
        assert seen.cancel_mode == "after_task"
        full_life(lab, claimed, JobState.CANCELLED)


@pytest.mark.parametrize(
    "change",
    ["cancel_requested = true", "priority = 50"],
)
def test_an_uncommitted_change_of_a_waiting_job_is_passed_by(lab: Lab, change: str) -> None:
    chip_id = lab.chip()
    held, free = lab.submit(chip_id), lab.submit(chip_id)
    executor = lab.ready(chip_id)
    with open_transaction(lab.session(lab.olga)) as client:
        client.execute(f"UPDATE calib.jobs SET {change} WHERE job_id = %s".encode(), (held,))
        claimed = executor.claim()
        assert claimed is not None
        assert claimed.job_id == free
        full_life(lab, claimed)
        assert executor.claim() is None
        executor.sweep()
    claimed = executor.claim()
    assert claimed is not None
    assert claimed.job_id == held


def test_an_expired_job_is_ended_beside_an_uncommitted_cancel(lab: Lab) -> None:
    """Asked for while the job still ran, it locks the cancel and not the job."""
    claimed, lease = lab.running(lab.chip(), flow="repeat", parameters={}, max_attempts=3)
    with open_transaction(lab.session(lab.olga)) as client:
        client.execute(*cancel(claimed.job_id))
        lease.give_back("executor stopped")
        lab.owner.execute(
            "UPDATE calib_private.jobs SET not_after = now() WHERE job_id = %s", (claimed.job_id,)
        )
        assert (claimed.job_id, "cancelled") in [(j.job_id, j.outcome) for j in lab.ready(lab.chip()).sweep()]
    job = lab.job(claimed.job_id)
    assert (job["state"], job["cancel_requested"], job["cancel_reason"]) == ("cancelled", True, "expired")
    assert job["cancel_requested_by"] == "calib_owner"


@pytest.mark.parametrize("strength", ["UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE"])
def test_rows_of_the_view_cannot_be_locked(lab: Lab, strength: str) -> None:
    claimed, _ = lab.running(lab.chip())
    with open_transaction(lab.session(lab.olga)) as client, pytest.raises(psycopg.errors.FeatureNotSupported):
        client.execute(
            f"SELECT * FROM calib.jobs WHERE job_id = %s FOR {strength}".encode(), (claimed.job_id,)
        )
    full_life(lab, claimed)


def test_an_uncommitted_insert_does_not_block_the_chip(lab: Lab) -> None:
    chip_id = lab.chip()
    first = lab.submit(chip_id)
    with open_transaction(lab.session(lab.ana)) as client:
        insert(client, project_id=PROJECT, chip_id=chip_id, flow="repeat", dedup_key="nightly")
        claimed = lab.ready(chip_id).claim()
        assert claimed is not None
        assert claimed.job_id == first
        lab.olga.queue.pause_chip(chip_id, "beam time")
        lab.olga.queue.resume_chip(chip_id)
        full_life(lab, claimed)


def test_a_dedup_key_waits_for_the_transaction_that_holds_it(lab: Lab) -> None:
    chip_id = lab.chip()
    holder = lab.session(lab.ana)
    held = insert(holder, project_id=PROJECT, chip_id=chip_id, flow="repeat", dedup_key="nightly")
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(lab.submit, chip_id, lab.ben, flow="repeat", parameters={}, dedup_key="nightly")
        lab.wait_until_blocked(lab.ben)
        holder.commit()
        with pytest.raises(DuplicateJobError, match=f"taken by job {held['job_id']}, which has not ended"):
            again.result(timeout=PATIENCE)


def test_a_dedup_key_is_free_when_its_holder_gives_up(lab: Lab) -> None:
    chip_id = lab.chip()
    holder = lab.session(lab.ana)
    insert(holder, project_id=PROJECT, chip_id=chip_id, flow="repeat", dedup_key="weekly")
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(lab.submit, chip_id, lab.ben, flow="repeat", parameters={}, dedup_key="weekly")
        lab.wait_until_blocked(lab.ben)
        holder.rollback()
        assert lab.job(again.result(timeout=PATIENCE))["state"] == "scheduled"


# ------------------------------------------------------------------ meeting a claim


def _claim_uncommitted(lab: Lab, chip_id: str) -> tuple[Connection, ClaimedJob]:
    lab.ready(chip_id)
    session = lab.session(lab.machine)
    claim = uuid.uuid4()
    row = session.execute(
        "SELECT * FROM calib.claim(%s, %s, %s, 30, NULL)", (chip_id, f"{chip_id}/one", claim)
    ).fetchone()
    assert row is not None
    return session, ClaimedJob.model_validate({**row, "claim": claim})


def test_a_cancel_that_waited_for_the_claim_leaves_no_lock_on_the_running_job(lab: Lab) -> None:
    chip_id = lab.chip()
    job_id = lab.submit(chip_id)
    executor, claimed = _claim_uncommitted(lab, chip_id)
    client = lab.session(lab.olga)
    asked = in_thread(partial(ask_cancel, client, job_id))
    lab.wait_until_blocked(lab.olga)
    executor.commit()
    assert asked.result(timeout=PATIENCE) == 1
    # The client's transaction is still open.
    full_life(lab, claimed)
    client.commit()
    job = lab.job(job_id)
    assert (job["state"], job["cancel_requested"], job["cancel_seen_at"]) == ("completed", True, None)


def test_a_cancel_that_waited_for_a_failed_claim_ends_the_job(lab: Lab) -> None:
    chip_id = lab.chip()
    job_id = lab.submit(chip_id)
    executor, _ = _claim_uncommitted(lab, chip_id)
    client = lab.session(lab.olga, autocommit=True)
    asked = in_thread(partial(ask_cancel, client, job_id))
    lab.wait_until_blocked(lab.olga)
    executor.rollback()
    assert asked.result(timeout=PATIENCE) == 1
    assert lab.job(job_id)["state"] == "cancelled"


def test_a_change_of_priority_that_waited_for_the_claim_is_refused_and_holds_nothing(lab: Lab) -> None:
    chip_id = lab.chip()
    job_id = lab.submit(chip_id)
    executor, claimed = _claim_uncommitted(lab, chip_id)
    client = lab.session(lab.olga)
    asked = in_thread(
        lambda: client.execute("UPDATE calib.jobs SET priority = 5 WHERE job_id = %s", (job_id,)).rowcount
    )
    lab.wait_until_blocked(lab.olga)
    executor.commit()
    with pytest.raises(psycopg.Error, match="does not wait any more"):
        asked.result(timeout=PATIENCE)
    full_life(lab, claimed)


def test_a_cancel_that_crosses_a_requeue_is_not_forgotten(lab: Lab) -> None:
    chip_id = lab.chip()
    claimed, lease = lab.running(chip_id, flow="repeat", parameters={}, max_attempts=3)
    client = lab.session(lab.olga)
    client.execute(*cancel(claimed.job_id))
    assert lease.give_back("executor stopped") == JobState.SCHEDULED
    client.commit()
    lab.olga.queue.pause_chip(chip_id, "beam time")
    assert (claimed.job_id, "cancelled") in [(j.job_id, j.outcome) for j in lab.ready(chip_id).sweep()]
    assert lab.job(claimed.job_id)["state"] == "cancelled"


def test_a_cancel_that_crosses_a_requeue_is_seen_by_the_next_claim(lab: Lab) -> None:
    claimed, lease = lab.running(lab.chip(), flow="repeat", parameters={}, max_attempts=3)
    client = lab.session(lab.olga)
    client.execute(*cancel(claimed.job_id))
    lease.give_back("executor stopped")
    client.commit()
    assert lab.ready(claimed.chip_id).claim() is None
    assert lab.job(claimed.job_id)["state"] == "cancelled"


# ------------------------------------------------------------------ meeting a pause

PAUSE = "SELECT calib.pause_chip(%s, 'beam time')"


def test_a_pause_returns_once_a_claim_that_came_before_it_shows(lab: Lab) -> None:
    chip_id = lab.chip()
    job_id = lab.submit(chip_id)
    executor, claimed = _claim_uncommitted(lab, chip_id)
    operator = lab.session(lab.olga, autocommit=True)
    paused = in_thread(partial(operator.execute, PAUSE, (chip_id,)))
    lab.wait_until_blocked(lab.olga)
    executor.commit()
    paused.result(timeout=PATIENCE)
    chip = lab.rows("SELECT paused, running_job_id FROM calib.chips WHERE chip_id = %s", chip_id)
    assert chip == [{"paused": True, "running_job_id": job_id}]
    full_life(lab, claimed)


def test_nothing_is_claimed_beside_an_uncommitted_pause(lab: Lab) -> None:
    claimed, _ = lab.running(lab.chip())
    waiting = lab.submit(claimed.chip_id)
    executor = lab.ready(claimed.chip_id)
    with open_transaction(lab.session(lab.olga)) as operator:
        operator.execute(PAUSE, (claimed.chip_id,))
        full_life(lab, claimed)
        assert executor.claim() is None
        assert executor.claim(job_id=waiting) is None
    taken = executor.claim()
    assert taken is not None
    assert taken.job_id == waiting


def test_a_claim_and_a_pause_under_the_lease_do_not_wait_for_each_other(lab: Lab) -> None:
    claimed, lease = lab.running(lab.chip())
    lab.submit(claimed.chip_id)
    other = lab.ready(claimed.chip_id, "two")
    holder = lab.session(lab.machine)
    holder.execute("SELECT calib.quiesce_failed(%s, %s, 'stuck')", (claimed.job_id, claimed.claim))
    assert other.claim() is None
    holder.commit()
    lease.conclude(JobState.FAILED, Failure(kind=FailureKind.INSTRUMENT, message="stuck"))
    lease.finish()
    assert other.claim() is None
    lab.olga.queue.resume_chip(claimed.chip_id)
    assert other.claim() is not None


# ------------------------------------------------------------------ meeting a finish


def test_a_cancel_that_waited_behind_nothing_meets_the_finish(lab: Lab) -> None:
    """Asked and uncommitted while the job completes: never seen, and the job stays completed."""
    claimed, lease = lab.running(lab.chip())
    client = lab.session(lab.olga)
    client.execute(*cancel(claimed.job_id))
    lease.conclude(JobState.COMPLETED)
    assert lease.finish() == JobState.COMPLETED
    client.commit()
    job = lab.job(claimed.job_id)
    assert (job["state"], job["cancel_requested"], job["cancel_seen_at"]) == ("completed", True, None)


def test_cancels_and_finishes_in_a_race_end_each_job_once(lab: Lab) -> None:
    chip_id = lab.chip()
    executor = lab.ready(chip_id)
    outcomes = set()
    client = lab.session(lab.olga, autocommit=True)
    for _ in range(30):
        job_id = lab.submit(chip_id)
        claimed = executor.claim()
        assert claimed is not None
        lease = lab.lease(claimed)
        asked = in_thread(partial(ask_cancel, client, job_id))
        seen = lease.heartbeat()
        standing = lease.conclude(JobState.CANCELLED if seen else JobState.COMPLETED)
        assert lease.finish() == standing
        count = asked.result(timeout=PATIENCE)
        job = lab.job(job_id)
        outcomes.add((job["state"], count))
        assert lab.events(job_id).count(job["state"]) == 1
        assert (job["state"] == "cancelled") == (job["cancel_seen_at"] is not None)
        assert job["cancel_requested"] == (count == 1)
    assert outcomes <= {("completed", 0), ("completed", 1), ("cancelled", 1)}


# ------------------------------------------------------------------ meeting a verb of the holder


def test_a_paused_heartbeat_is_not_needed_to_sweep_another_chip(lab: Lab) -> None:
    """A lease locked by a verb of its holder is passed by, not waited for."""
    claimed, _ = lab.running(lab.chip())
    holder = lab.session(lab.machine)
    holder.execute("SELECT calib.log_event(%s, %s, 'sigterm')", (claimed.job_id, claimed.claim))
    assert lab.ready(lab.chip()).sweep() == []
    holder.rollback()


def test_the_lease_is_not_needed_for_asking(lab: Lab) -> None:
    """The other way round: an executor's open transaction never makes a client wait."""
    claimed, _ = lab.running(lab.chip())
    holder = lab.session(lab.machine)
    holder.execute("SELECT * FROM calib.heartbeat(%s, %s)", (claimed.job_id, claimed.claim))
    client = lab.session(lab.olga, autocommit=True)
    client.execute("SET lock_timeout = '300ms'")
    assert client.execute(*cancel(claimed.job_id)).rowcount == 1
    insert(client, project_id=PROJECT, chip_id=claimed.chip_id, flow="repeat")
    holder.commit()
    lease = Lease(lab.machine.database, claimed.job_id, claimed.claim)
    assert lease.heartbeat() is not None
