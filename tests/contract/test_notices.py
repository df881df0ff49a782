"""Notices are hints: with the server's queue of notices full, jobs are taken, cancelled and run as before."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from qdash_queue.embedded.postgres import PostgresServer
from qdash_queue.embedded.process import Durability
from tests.contract.meeting import full_life
from tests.support.databases import Cluster
from tests.support.queue_world import QueueWorld, open_queue_world


@pytest.fixture(scope="module")
def crowded() -> Iterator[QueueWorld]:
    """A server of its own, whose queue of notices is as small as PostgreSQL permits."""
    server = PostgresServer(durability=Durability.FAST)
    server.settings["max_notify_queue_pages"] = "64"
    with server, Cluster.prepare(server).database() as database, open_queue_world(database) as world:
        yield world


def usage(world: QueueWorld) -> float:
    return float(world.value("SELECT pg_notification_queue_usage() AS usage"))


def fill(world: QueueWorld) -> None:
    """Until PostgreSQL refuses one."""
    for _ in range(1000):
        world.owner.execute("SELECT pg_notify('somewhere', repeat('x', 7900))")


@pytest.fixture
def full(crowded: QueueWorld) -> Iterator[QueueWorld]:
    """The queue of notices is full, because one listener reads none: its transaction is open."""
    listener = crowded.session(autocommit=True)
    listener.execute("LISTEN somewhere")
    listener.execute("BEGIN")
    listener.execute("SELECT 1")
    with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="too many notifications"):
        fill(crowded)
    yield crowded
    listener.execute("COMMIT")


def test_jobs_are_submitted_cancelled_and_run_without_notices(full: QueueWorld) -> None:
    assert usage(full) > 0.9
    chip_id = full.chip()
    executor = full.ready(chip_id)  # free, so that a submitted job would wake it
    full.ana.queue.cancel(full.submit(chip_id))
    claimed, lease = full.running(chip_id, flow="repeat", parameters={}, max_attempts=2)
    full.ana.queue.cancel(claimed.job_id)
    assert lease.heartbeat() is not None
    assert lease.give_back("executor stopped") == "cancelled"
    full.olga.queue.pause_chip(chip_id, "beam time")
    full.olga.queue.resume_chip(chip_id)
    again = full.submit(chip_id)
    full_life(full, full.claim(executor, again)[0])
    full.person("mirror", "calib_mirror").database.execute("SELECT calib.announce_jobs()")


def test_with_room_notices_are_sent(crowded: QueueWorld) -> None:
    chip_id = crowded.chip()
    crowded.ready(chip_id)
    with psycopg.connect(crowded.calib.overseer.url, autocommit=True) as listener:
        listener.execute(f'LISTEN "calib_{chip_id}"'.encode())
        crowded.submit(chip_id)
        assert [notice.payload for notice in listener.notifies(timeout=30, stop_after=1)] == ["job"]
