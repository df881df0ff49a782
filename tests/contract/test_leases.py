"""Who holds a lease, and what proves it: the claim, which only the attempt's executor knows."""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from qdash_queue.client.database import Database, ResultRow
from qdash_queue.client.leases import Executor, Lease
from qdash_queue.client.models import ClaimedJob
from qdash_queue.client.records import StageRecord, SweepTask
from qdash_queue.domain import Failure, FailureKind, JobState
from qdash_queue.errors import BadValueError, DatabaseUnreachableError, LeaseLostError
from tests.contract.test_results import RABI, RECORD
from tests.support.queue_world import QueueWorld

DEATH = Failure(kind=FailureKind.INTERNAL, message="the job's process was killed by SIGSEGV")
STAGE = StageRecord(name="look", step="OneQubitCheck", status="running")

Verb = Callable[[Lease, uuid.UUID], object]
VERBS: dict[str, Verb] = {
    "heartbeat": lambda lease, _: lease.heartbeat(),
    "cancel_from_prefect": lambda lease, _: lease.cancel_from_prefect("x"),
    "set_flow_run": lambda lease, _: lease.set_flow_run(uuid.uuid4()),
    "log_event": lambda lease, _: lease.log_event("sigterm"),
    "quiesced": lambda lease, _: lease.quiesced(),
    "quiesce_failed": lambda lease, _: lease.quiesce_failed("x"),
    "plan_tasks": lambda lease, _: lease.plan_tasks([RABI]),
    "start_sweep": lambda lease, _: lease.start_sweep([SweepTask(task="CheckT1", qid="0")]),
    "record_stage": lambda lease, _: lease.record_stage(0, STAGE),
    "record_task": lambda lease, run: lease.record_task(run, RECORD),
    "conclude": lambda lease, _: lease.conclude(JobState.COMPLETED),
    "end": lambda lease, _: lease.end(JobState.COMPLETED),
    "finish": lambda lease, _: lease.finish(),
    "give_back": lambda lease, _: lease.give_back("x"),
    "try_again": lambda lease, _: lease.try_again(DEATH),
}
EVERY_VERB = pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)


@EVERY_VERB
def test_a_lost_lease_is_refused_and_leaves_no_trace(timed: QueueWorld, verb: Verb) -> None:
    chip_id = timed.chip()
    claimed, stale = timed.running(chip_id, flow="repeat", parameters={}, max_attempts=2)
    run = stale.start_task(RABI)
    timed.advance(31)
    other = timed.ready(chip_id, "two")
    other.sweep()
    for _ in range(2):  # while the job waits, and while another attempt runs
        _expect_refusal(timed, claimed, lambda: verb(stale, run))
        other.claim()


@EVERY_VERB
def test_nothing_that_others_can_read_opens_a_lease(world: QueueWorld, verb: Verb) -> None:
    """A second executor of the same role; after a failover it may have the same job under the same fence."""
    claimed, lease = world.running(world.chip())
    run = lease.start_task(RABI)
    stranger = Lease(world.machine.database, claimed.job_id, uuid.uuid4())
    _expect_refusal(world, claimed, lambda: verb(stranger, run))
    verb(lease, run) if verb is not VERBS["finish"] else lease.heartbeat()


def _expect_refusal(world: QueueWorld, claimed: ClaimedJob, act: Callable[[], object]) -> None:
    before = _traces(world, claimed.job_id)
    with pytest.raises(LeaseLostError, match=f"the lease on job {claimed.job_id} is not known") as refused:
        act()
    assert _traces(world, claimed.job_id) == before
    assert str(claimed.claim) not in "".join(traceback.format_exception(refused.value))


def _traces(world: QueueWorld, job_id: int) -> object:
    tables = ("job_events", "task_runs", "sweeps", "stages", "attempts", "outbox", "cancel_requests")
    counts = [
        world.value(f"SELECT count(*) FROM calib_private.{table} WHERE job_id = {job_id}") for table in tables
    ]
    return (
        counts,
        world.job(job_id),
        world.rows("SELECT * FROM calib_private.leases"),
        world.rows("SELECT * FROM calib.chips"),
    )


def test_a_claim_opens_its_own_job_only(world: QueueWorld) -> None:
    chip_id = world.chip()
    _, lease = world.running(chip_id)
    other, _ = world.running(world.chip())
    with pytest.raises(LeaseLostError):
        Lease(world.machine.database, other.job_id, lease.claim).heartbeat()


class LossyDatabase(Database):
    """Does as it is told, and may lose the answer."""

    loses = False

    def rows(self, statement: str, /, **parameters: Any) -> Sequence[ResultRow]:
        answer = super().rows(statement, **parameters)
        if self.loses:
            raise DatabaseUnreachableError("the answer was lost")
        return answer


def test_a_claim_whose_answer_was_lost_is_given_again_with_a_full_lease(timed: QueueWorld) -> None:
    chip_id = timed.chip()
    job_id = timed.submit(chip_id)
    timed.ready(chip_id)
    database = LossyDatabase(timed.machine.url)
    executor = Executor(database, chip_id, "fake", "1.0", executor_id=f"{chip_id}/one")
    database.loses = True
    with pytest.raises(DatabaseUnreachableError):
        executor.claim()
    database.loses = False
    timed.advance(20)
    claimed = executor.claim(30.0)
    assert claimed is not None
    assert (claimed.job_id, claimed.attempt) == (job_id, 1)
    left = timed.value(
        "SELECT extract(epoch FROM expires_at - calib_private.now()) FROM calib_private.leases"
        " WHERE chip_id = %s",
        chip_id,
    )
    assert left == 30
    assert executor.claim() is None, "another claim"
    assert timed.ready(chip_id).claim() is None, "another claim of the same executor id"
    timed.lease(claimed).heartbeat()
    database.close()


def test_a_claim_is_a_number(world: QueueWorld) -> None:
    chip_id = world.chip()
    world.ready(chip_id)
    with pytest.raises(BadValueError, match="claim: expected a random uuid, got nothing"):
        world.machine.database.rows(f"SELECT calib.claim('{chip_id}', '{chip_id}/one', NULL::uuid, 30, NULL)")


@pytest.mark.parametrize("verb", [VERBS["give_back"], VERBS["try_again"]])
def test_what_gives_a_job_back_may_be_said_twice(world: QueueWorld, verb: Verb) -> None:
    chip_id = world.chip()
    claimed, lease = world.running(chip_id, flow="repeat", parameters={}, max_attempts=2)
    for _ in range(2):
        assert verb(lease, uuid.uuid4()) is JobState.SCHEDULED
    assert world.events(claimed.job_id) == ["submitted", "claimed", "requeued"]
    again = world.ready(chip_id).claim()
    assert again is not None
    with pytest.raises(LeaseLostError):
        verb(lease, uuid.uuid4())
    for _ in range(2):
        assert verb(world.lease(again), uuid.uuid4()) is JobState.FAILED


def test_no_view_shows_a_claim(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    lease.record_task(lease.start_task(RABI), RECORD)
    lease.conclude(JobState.COMPLETED)
    views = world.rows("SELECT viewname FROM pg_views WHERE schemaname = 'calib'")
    shown = [
        view["viewname"]
        for view in views
        if world.value(
            f"SELECT count(*) FROM calib.{view['viewname']} v WHERE v::text LIKE %s", f"%{claimed.claim}%"
        )
    ]
    assert shown == []
    assert len(views) > 10
    assert str(claimed.claim) not in f"{claimed!r} {claimed.model_dump_json()}"
