"""Pruning goes in small batches, beside everybody else, and costs little where there is nothing to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qdash_queue.client.records import PlannedTask
from qdash_queue.client.retention import Pruned
from qdash_queue.domain import JobState
from tests.contract.retention_world import KEPT, PARTS, RECORD, RetentionWorld
from tests.support.queue_world import Connection, Row
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.slow

# ------------------------------------------------------------------ batches


def test_batches_are_bounded(aging: RetentionWorld) -> None:
    chip_id = aging.world.chip()
    for _ in range(5):
        aging.measured(chip_id)
    aging.mirror()
    aging.keep(figures=KEPT, raw_data=2 * KEPT, jobs=3 * KEPT)
    aging.wait(2 * KEPT)
    # Two task runs with two figures each in every job; those of one run go together.
    assert [aging.retention.prune(4).figures for _ in range(4)] == [4, 4, 4, 4]
    assert aging.retention.run() == Pruned(figures=4)
    aging.wait(timedelta(seconds=1))
    assert [aging.retention.prune(4).raw_data for _ in range(4)] == [4, 4, 2, 0]
    aging.wait(KEPT)
    assert [aging.retention.prune(2).jobs for _ in range(4)] == [2, 2, 1, 0]


# ------------------------------------------------------------------ past what must stay


def _hold(aging: RetentionWorld, job_ids: Sequence[int], *, held: bool = True) -> None:
    """Prefect has yet to see how these jobs ended."""
    aging.world.owner.execute(
        "UPDATE calib_private.attempts SET prefect_synced = %s WHERE job_id = ANY (%s)",
        (not held, list(job_ids)),
    )


def test_any_number_of_old_jobs_that_must_stay_holds_up_no_other(aging: RetentionWorld) -> None:
    *stay, goes = aging.grown(aging.world.chip(), [timedelta(hours=n) for n in range(10_102, 100, -1)])
    _hold(aging, stay)
    for part in PARTS[::-1]:
        aging.keep(**{part: timedelta(hours=100)})
        batch = aging.retention.prune()
        assert batch
        assert batch == aging.retention.run() + batch
        assert aging.parts(goes)[part if part != "events" else "job_events"] == 0
    assert aging.world.value("SELECT count(*) FROM calib.jobs") == len(stay)


@pytest.fixture
def small_windows(aging: RetentionWorld) -> RetentionWorld:
    """A look takes three rows, so a call thirty."""
    aging.world.owner.execute(
        "CREATE OR REPLACE FUNCTION calib_private.prune_window() RETURNS integer LANGUAGE sql AS 'SELECT 3'"
    )
    return aging


@pytest.mark.parametrize("part", PARTS)
def test_the_next_call_looks_on_where_the_last_one_ended(small_windows: RetentionWorld, part: str) -> None:
    aging = small_windows
    job_ids = aging.grown(aging.world.chip(), [timedelta(hours=n) for n in range(200, 100, -1)])
    aging.keep(**{part: timedelta(hours=1)})
    there = "job_events" if part == "events" else part
    _hold(aging, job_ids[:98])
    assert [bool(aging.retention.prune(1)) for _ in range(7)] == [False] * 3 + [True] * 2 + [False] * 2
    assert [aging.parts(job_id)[there] for job_id in job_ids[98:]] == [0, 0]
    # The oldest one has its turn again, wherever the last look ended; and the others after it.
    _hold(aging, job_ids[:1], held=False)
    assert any(aging.retention.prune(1) for _ in range(4))
    _hold(aging, job_ids[1:98], held=False)
    for _ in range(120):
        aging.retention.prune(1)
    assert not any(aging.parts(job_id)[there] for job_id in job_ids)


def test_a_call_goes_once_around(small_windows: RetentionWorld) -> None:
    """However few rows there are, none of them is looked at twice for nothing, and none is left out."""
    aging = small_windows
    job_ids = aging.grown(aging.world.chip(), [timedelta(hours=n) for n in range(20, 10, -1)])
    aging.keep(jobs=timedelta(hours=1))
    _hold(aging, job_ids[:9])
    assert aging.retention.run() == Pruned(jobs=1)
    for job_id in job_ids[:9]:
        _hold(aging, [job_id], held=False)
        assert aging.retention.run() == Pruned(jobs=1)


def test_a_position_that_another_prune_has_moved_is_not_waited_for(small_windows: RetentionWorld) -> None:
    aging = small_windows
    _hold(aging, aging.grown(aging.world.chip(), [timedelta(hours=n) for n in range(100, 2, -1)]))
    aging.keep(jobs=timedelta(hours=1))
    first = aging.world.session(aging.world.person("root"))
    second = _impatient(aging.world.session(aging.world.person("root"), autocommit=True))
    for session in (first, second):
        session.execute("SELECT * FROM calib.prune()")
    first.commit()


# ------------------------------------------------------------------ beside others


@pytest.fixture
def pruning(aging: RetentionWorld) -> Iterator[RetentionWorld]:
    """A queue in which an uncommitted prune has removed a job and parts of another."""
    old, half = aging.measured(aging.world.chip()), aging.measured(aging.world.chip())
    aging.mirror()
    aging.keep(jobs=KEPT, events=KEPT / 2, figures=KEPT / 2, raw_data=KEPT / 2)
    aging.world.owner.execute(
        "UPDATE calib_private.jobs SET finished_at = finished_at - %s WHERE job_id = %s", (KEPT, old)
    )
    aging.wait(KEPT * 0.6)
    session = aging.world.session(aging.world.person("root"))
    row = session.execute("SELECT * FROM calib.prune()").fetchone()
    assert row is not None
    assert (row["jobs"], row["figures"], row["raw_data"], row["executors"]) == (1, 4, 2, 0)
    assert row["events"] > 5
    yield aging
    session.rollback()
    assert aging.parts(half)["figures"] == 4


def _impatient(session: Connection) -> Connection:
    session.execute("SET lock_timeout = '300ms'")
    return session


def test_an_uncommitted_prune_stops_no_verb(pruning: RetentionWorld) -> None:
    world, chip_id = pruning.world, pruning.world.chip()
    world.owner.execute(f"ALTER ROLE {world.machine.name} SET lock_timeout = '300ms'".encode())
    world.owner.execute(f"ALTER ROLE {world.ana.name} SET lock_timeout = '300ms'".encode())
    world.machine.database.close()
    world.ana.database.close()
    waiting = world.submit(chip_id)
    world.ana.queue.cancel(waiting)
    claimed, lease = world.running(chip_id)
    lease.heartbeat()
    lease.record_task(lease.start_task(PlannedTask(task="CheckRabi", qid="0")), RECORD)
    lease.conclude(JobState.COMPLETED)
    assert lease.finish() == JobState.COMPLETED
    assert world.ready(chip_id).claim() is None
    assert world.ready(chip_id).sweep() == []
    assert len(world.ana.queue.list()) == 4
    world.ana.queue.requeue(claimed.job_id)


def test_a_bulk_cancel_goes_past_a_job_that_is_being_pruned(pruning: RetentionWorld) -> None:
    world = pruning.world
    chip_id = world.rows("SELECT chip_id FROM calib.jobs ORDER BY job_id")[0]["chip_id"]
    waiting = world.submit(chip_id)
    client = _impatient(world.session(world.olga, autocommit=True))
    # The old job and the waiting one; the old one is there until the prune commits.
    asked = client.execute("UPDATE calib.jobs SET cancel_requested = true WHERE chip_id = %s", (chip_id,))
    assert asked.rowcount == 1
    assert world.job(waiting)["state"] == "cancelled"


def test_a_bulk_cancel_goes_past_a_job_that_was_pruned_meanwhile(aging: RetentionWorld) -> None:
    world, chip_id = aging.world, aging.world.chip()
    old = aging.measured(chip_id)
    aging.mirror()
    aging.keep(jobs=KEPT)
    aging.wait(2 * KEPT)
    waiting = world.submit(chip_id)
    holder, client = world.session(world.ana), world.session(world.olga, autocommit=True)
    warnings: list[str | None] = []
    client.add_notice_handler(lambda notice: warnings.append(notice.message_primary))
    client.execute(f"SET statement_timeout = '{PATIENCE:g}s'".encode())
    holder.execute("UPDATE calib.jobs SET priority = 1 WHERE job_id = %s", (waiting,))
    cancel = "UPDATE calib.jobs SET cancel_requested = true WHERE chip_id = %s"
    with ThreadPoolExecutor(1) as pool:
        # It waits at the newest job; the old one comes last, and is gone by then.
        asked = pool.submit(client.execute, cancel, (chip_id,))
        world.wait_until_blocked(world.olga)
        assert aging.retention.run() == Pruned(jobs=1)
        holder.commit()
        assert asked.result(timeout=PATIENCE).rowcount == 1
    assert warnings == [f"job {old} was not cancelled: it had already ended and was pruned"]
    assert world.job(waiting)["state"] == "cancelled"


def test_a_mark_that_waited_for_a_prune_finds_no_job(aging: RetentionWorld) -> None:
    world = aging.world
    old = aging.measured(world.chip())
    aging.mirror()
    aging.keep(jobs=KEPT)
    aging.wait(2 * KEPT)
    pruner = world.session(world.person("root"))
    pruner.execute("SELECT calib.prune()")
    admin = world.session(world.person("marker", "calib_admin"), autocommit=True)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lambda: admin.execute("SELECT calib.mark(%s) AS marked", (old,)).fetchone())
        world.wait_until_blocked(world.person("marker"))
        pruner.commit()
        assert asked.result(timeout=PATIENCE) == {"marked": False}


def test_marks_of_all_jobs_go_past_one_that_was_pruned_meanwhile(aging: RetentionWorld) -> None:
    world, chip_id = aging.world, aging.world.chip()
    first, old, last = (aging.measured(chip_id) for _ in range(3))
    aging.mirror()
    world.rows("SELECT calib.mark(%s), calib.mark(%s)", first, last)
    aging.keep(jobs=KEPT)
    aging.wait(2 * KEPT)
    mirror = world.session()
    mirror.execute("SELECT calib.mark(%s)", (first,))
    admin = world.session(world.person("marker", "calib_admin"), autocommit=True)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lambda: admin.execute("SELECT calib.mark_all() AS jobs").fetchone())
        world.wait_until_blocked(world.person("marker"))
        assert aging.retention.run() == Pruned(jobs=1)
        mirror.commit()
        assert asked.result(timeout=PATIENCE) == {"jobs": 2}
    assert aging.parts(old)["jobs"] == 0


def test_a_prune_passes_by_what_another_session_holds(aging: RetentionWorld) -> None:
    chip_id = aging.world.chip()
    held, free = aging.measured(chip_id), aging.measured(chip_id)
    aging.mirror()
    aging.keep(jobs=KEPT)
    aging.wait(2 * KEPT)
    mirror = aging.world.session(aging.world.person("root"))
    mirror.execute("SELECT calib.mark(%s)", (held,))
    session = _impatient(aging.world.session(aging.world.person("root"), autocommit=True))
    row = session.execute("SELECT * FROM calib.prune()").fetchone()
    assert row is not None
    assert row["jobs"] == 1
    mirror.commit()
    assert not aging.retention.run()
    assert (aging.parts(held)["jobs"], aging.parts(free)["jobs"]) == (1, 0)


def test_two_pruners_share_the_work(aging: RetentionWorld) -> None:
    chip_id = aging.world.chip()
    for _ in range(4):
        aging.measured(chip_id)
    aging.mirror()
    aging.keep(jobs=KEPT)
    aging.wait(2 * KEPT)
    first = aging.world.session(aging.world.person("root"))
    second = _impatient(aging.world.session(aging.world.person("root")))
    for session in (first, second):
        row = session.execute("SELECT * FROM calib.prune(2)").fetchone()
        assert row is not None
        assert row["jobs"] == 2
    first.commit()
    second.commit()
    assert aging.world.value("SELECT count(*) FROM calib.jobs") == 0


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_prune_from_an_old_snapshot_is_refused(aging: RetentionWorld, level: str) -> None:
    session = aging.world.session(aging.world.person("root"))
    session.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
    with pytest.raises(psycopg.Error, match=f"expected a transaction of read committed, got {level.lower()}"):
        session.execute("SELECT calib.prune()")


def test_a_prune_left_open_is_ended_by_the_server(aging: RetentionWorld) -> None:
    session = aging.world.session(aging.world.person("root"))
    session.execute("SELECT calib.prune()")
    row: Row | None = session.execute("SHOW idle_in_transaction_session_timeout").fetchone()
    assert row is not None
    assert row["idle_in_transaction_session_timeout"] == "10s"


# ------------------------------------------------------------------ whatever the ages and hindrances

HOURS = st.integers(1, 9)
JOBS = st.lists(st.tuples(HOURS, st.sampled_from(["", "", "", "mark", "figure", "prefect"])), max_size=8)
POLICY = st.fixed_dictionaries({part: st.none() | HOURS for part in PARTS})
HINDRANCES = {
    "mark": "SELECT calib.mark(%s)",
    "figure": "UPDATE calib_private.figures SET png = NULL WHERE task_run_id IN"
    " (SELECT task_run_id FROM calib_private.task_runs WHERE job_id = %s)",
    "prefect": "UPDATE calib_private.attempts SET prefect_synced = false WHERE job_id = %s",
}
TABLES = {"jobs": "jobs", "job_events": "events", "figures": "figures", "raw_data": "raw_data"}


@given(jobs=JOBS, policy=POLICY, limit=st.integers(1, 3))
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_exactly_what_is_old_and_settled_goes(
    aging: RetentionWorld, jobs: list[tuple[int, str]], policy: dict[str, int | None], limit: int
) -> None:
    world = aging.world
    world.owner.execute("DELETE FROM calib_private.jobs")
    chip_id = world.chip()
    job_ids = aging.grown(chip_id, [timedelta(hours=age) for age, _ in jobs])
    for job_id, (_, hindrance) in zip(job_ids, jobs, strict=True):
        if hindrance:
            world.owner.execute(HINDRANCES[hindrance].encode(), (job_id,))
    aging.keep(**{part: None if hours is None else timedelta(hours=hours) for part, hours in policy.items()})
    for _ in range(4 * len(jobs) + 1):
        batch = aging.retention.prune(limit)
        assert max(batch.jobs, batch.events / 2, batch.figures, batch.raw_data) <= limit
    assert not batch

    def stays(age: int, hindrance: str, part: str) -> bool:
        kept = [hours for name in ("jobs", part) if (hours := policy[name]) is not None]
        return bool(hindrance) or all(age <= hours for hours in kept)

    for view, part in TABLES.items():
        found = {row["job_id"] for row in world.rows(f"SELECT job_id FROM calib.{view}")}
        expected = {
            job_id
            for job_id, (age, hindrance) in zip(job_ids, jobs, strict=True)
            if stays(age, hindrance, part)
        }
        assert found == expected, view


# ------------------------------------------------------------------ what it costs

GROWING = [
    *("jobs", "attempts", "job_events", "task_runs", "sweeps", "stages", "figures", "raw_data"),
    *("cancel_requests", "executors"),
]
IDLE_BUFFERS = 100
BUFFERS_PER_JOB = 100


def _cost(aging: RetentionWorld, limit: int) -> tuple[int, dict[str, int]]:
    """How many buffers a prune touches, and where it reads a whole table."""
    scans = (
        "SELECT relname, seq_scan FROM pg_stat_xact_all_tables WHERE schemaname = 'calib_private'"
        " AND relname = ANY (%s)"
    )
    for _ in range(6):  # reads the catalogue, and makes the plans that are kept from then on
        aging.world.rows("SELECT calib.prune(1)")
    with aging.world.owner.transaction():
        before = {row["relname"]: row["seq_scan"] for row in aging.world.rows(scans, GROWING)}
        explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM calib.prune(%s)"
        plan = aging.world.value(explain, limit)[0]["Plan"]
        after = {row["relname"]: row["seq_scan"] for row in aging.world.rows(scans, GROWING)}
    read = {name: count - before.get(name, 0) for name, count in after.items()}
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], read


@pytest.fixture(params=["without-statistics", "analyzed"])
def grown(aging: RetentionWorld, request: pytest.FixtureRequest) -> RetentionWorld:
    """5,000 finished jobs, one an hour."""
    aging.grown(aging.world.chip(), [timedelta(hours=n) for n in range(1, 5001)])
    if request.param == "analyzed":
        aging.world.owner.execute("VACUUM ANALYZE")
    return aging


def test_looking_for_nothing_reads_little(grown: RetentionWorld) -> None:
    grown.keep(**dict.fromkeys(PARTS, timedelta(hours=5000)))
    buffers, scans = _cost(grown, 200)
    assert buffers <= IDLE_BUFFERS
    assert not any(scans.values()), scans


@pytest.mark.parametrize("part", PARTS)
def test_a_batch_reads_no_table_as_a_whole(grown: RetentionWorld, part: str) -> None:
    grown.keep(**{part: timedelta(hours=2500)})
    buffers, scans = _cost(grown, 20)
    assert buffers <= 20 * BUFFERS_PER_JOB
    assert not any(scans.values()), scans
    grown.retention.prune(10_000)
    assert grown.world.value("SELECT count(*) FROM calib.jobs") == (2500 if part == "jobs" else 5000)
