"""Many clients at once: a chip runs one job at a time, and every job is claimed exactly once."""

from __future__ import annotations

import itertools
import random
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
import pytest

from qdash_queue.client.leases import Lease
from qdash_queue.domain import Failure, FailureKind, JobState
from qdash_queue.errors import LeaseLostError
from tests.support.queue_world import PROJECT, QueueWorld, insert
from tests.support.waiting import PATIENCE

CHIPS = 20
JOBS_PER_CHIP = 8
CLIENTS = 40

CLAIM = "SELECT job_id FROM calib.claim(%s, %s, %s, 30, NULL)"
ANY_WAITS = "SELECT EXISTS (SELECT FROM calib.jobs WHERE state = 'scheduled')"


class Chips:
    """Who is on which chip right now, as the clients themselves see it."""

    def __init__(self, chip_ids: list[str]) -> None:
        self.busy = {chip_id: threading.Lock() for chip_id in chip_ids}
        self.claimed: list[int] = []
        self.double: list[int] = []

    def work(self, world: QueueWorld, number: int, chip_ids: list[str]) -> None:
        """Claims and finishes on all chips in an order of its own until no job waits anywhere."""
        chance = random.Random(number)
        with psycopg.connect(world.machine.url, autocommit=True) as session:
            while session.execute(ANY_WAITS).fetchone() == (True,):
                chip_id = chance.choice(chip_ids)
                claim = uuid.uuid4()
                row = session.execute(CLAIM, (chip_id, f"{chip_id}/{number}", claim)).fetchone()
                if row is None:
                    continue
                job_id = int(row[0])
                alone = self.busy[chip_id].acquire(blocking=False)
                (self.claimed if alone else self.double).append(job_id)
                session.execute("SELECT calib.conclude(%s, %s, 'completed')", (job_id, claim))
                if alone:
                    self.busy[chip_id].release()
                session.execute("SELECT calib.finish(%s, %s)", (job_id, claim))


def test_every_job_is_claimed_once_and_no_chip_twice_at_a_time(own_world: QueueWorld) -> None:
    chip_ids = [own_world.chip() for _ in range(CHIPS)]
    session = own_world.session(own_world.ana)
    with session.cursor().copy("COPY calib.jobs (project_id, chip_id, flow, parameters) FROM STDIN") as copy:
        for chip_id, _ in itertools.product(chip_ids, range(JOBS_PER_CHIP)):
            copy.write_row((PROJECT, chip_id, "repeat", "{}"))
    session.commit()
    for chip_id, number in itertools.product(chip_ids, range(CLIENTS)):
        own_world.owner.execute(
            "INSERT INTO calib_private.executors (executor_id, chip_id, role_name, host, pid, version,"
            " started_at,"
            " last_seen_at) VALUES (%s, %s, %s, 'here', 1, '1', now(), now())",
            (f"{chip_id}/{number}", chip_id, own_world.machine.name),
        )
    chips = Chips(chip_ids)
    with ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(chips.work, own_world, number, chip_ids) for number in range(CLIENTS)]:
            done.result(timeout=PATIENCE)
    assert chips.double == []
    assert sorted(chips.claimed) == sorted(
        row["job_id"] for row in own_world.rows("SELECT job_id FROM calib_private.jobs")
    )
    states = own_world.rows("SELECT state, count(*) FROM calib.jobs GROUP BY state")
    assert states == [{"state": "completed", "count": CHIPS * JOBS_PER_CHIP}]
    overlaps = own_world.rows(
        "SELECT a.job_id, b.job_id AS other FROM calib_private.attempts a JOIN calib_private.jobs"
        " i USING (job_id),"
        " calib_private.attempts b JOIN calib_private.jobs k USING (job_id)"
        " WHERE i.chip_id = k.chip_id AND a.job_id < b.job_id"
        "   AND tstzrange(a.started_at, a.ended_at) && tstzrange(b.started_at, b.ended_at)"
    )
    assert overlaps == []
    ids = own_world.rows(
        "SELECT count(DISTINCT execution_id) AS distinct,"
        " count(*) FILTER (WHERE execution_id ~ '^[0-9]{8}-q[0-9]{3,}$') AS formed FROM calib.jobs"
    )
    assert ids == [{"distinct": CHIPS * JOBS_PER_CHIP, "formed": CHIPS * JOBS_PER_CHIP}]


def test_the_index_alone_refuses_a_second_running_job(world: QueueWorld) -> None:
    claimed, _ = world.running(world.chip())
    other = world.submit(claimed.chip_id)
    world.owner.execute("SET session_replication_role = replica")
    try:
        with pytest.raises(psycopg.errors.UniqueViolation, match="jobs_one_running_per_chip"):
            world.owner.execute(
                "UPDATE calib_private.jobs SET state = 'running', fence = 99, started_at = now() WHERE"
                " job_id = %s",
                (other,),
            )
    finally:
        world.owner.execute("SET session_replication_role = origin")


def test_a_crowd_submitting_one_dedup_key_makes_one_job(world: QueueWorld) -> None:
    chip_id = world.chip()
    ana = world.ana

    def submit(_: int) -> str | None:
        with world.session(ana, autocommit=True) as session:
            try:
                insert(session, project_id=PROJECT, chip_id=chip_id, flow="repeat", dedup_key="one")
            except psycopg.Error as error:
                return error.sqlstate
            return "stored"

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(submit, range(10)))
    assert sorted(answers, key=str) == ["CQ004"] * 9 + ["stored"]


def test_claims_and_sweeps_of_many_executors_do_not_deadlock(world: QueueWorld) -> None:
    """Short leases that run out under way, cancels of waiting jobs, all at once."""
    chip_ids = [world.chip() for _ in range(3)]
    jobs = [
        world.submit(chip_id, flow="repeat", parameters={}, max_attempts=10)
        for chip_id, _ in itertools.product(chip_ids, range(10))
    ]
    for chip_id, name in itertools.product(chip_ids, "abcdef"):
        world.ready(chip_id, name)
    olga = world.olga

    def execute(name: str) -> None:
        chance = random.Random(name)
        with world.session(world.machine, autocommit=True) as session:
            for _ in range(60):
                chip_id = chance.choice(chip_ids)
                claim = uuid.uuid4()
                row = session.execute(
                    "SELECT job_id FROM calib.claim(%s, %s, %s, 0.1, NULL)",
                    (chip_id, f"{chip_id}/{name}", claim),
                ).fetchone()
                session.execute("SELECT calib.sweep()")
                if row is not None and chance.random() < 0.7:
                    lease = Lease(world.machine.database, row["job_id"], claim)
                    with suppress(LeaseLostError):
                        lease.heartbeat(0.1)
                        lease.conclude(JobState.FAILED, Failure(kind=FailureKind.BAD_FIT, message=""))
                        lease.finish()

    def cancel() -> None:
        with world.session(olga, autocommit=True) as session:
            for job_id in random.Random(1).sample(jobs, 15):
                session.execute("UPDATE calib.jobs SET cancel_requested = true WHERE job_id = %s", (job_id,))

    with ThreadPoolExecutor(7) as pool:
        for done in [*(pool.submit(execute, name) for name in "abcdef"), pool.submit(cancel)]:
            done.result(timeout=PATIENCE)
    running = world.rows("SELECT job_id FROM calib.jobs WHERE state = %s", JobState.RUNNING.value)
    leased = world.rows("SELECT job_id FROM calib_private.leases WHERE job_id IS NOT NULL")
    assert sorted(row["job_id"] for row in running) == sorted(row["job_id"] for row in leased)
