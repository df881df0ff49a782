"""Mirrors record in PostgreSQL that they are alive, and their condition."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qdash_queue.client.database import Database
from qdash_queue.errors import ExecutorRefusedError
from qdash_queue.mirror import Mirror
from qdash_queue.mirror.heartbeat import MirrorHeartbeat
from qdash_queue.mirror.write.qdash_lookup import QDashDatabase
from tests.mirror.conftest import MirrorMaker
from tests.mirror.running_mirror import running
from tests.support.chip_jobs import ChipJobs
from tests.support.databases import CalibDatabase
from tests.support.killable_servers import FailingMongo, kill
from tests.support.waiting import until

SEEN = "SELECT last_seen_at FROM calib.mirrors"


@pytest.fixture
def reader(database: CalibDatabase) -> Iterator[Database]:
    """A reader."""
    reader = Database(database.login("calib_reader").url)
    yield reader
    reader.close()


def test_a_running_mirror_is_seen_until_it_leaves(world: ChipJobs, mirror: Mirror, reader: Database) -> None:
    assert reader.rows("SELECT * FROM calib.mirrors") == []
    with running(mirror):
        until(lambda: reader.rows("SELECT FROM calib.mirrors WHERE alive AND condition = 'ready'") != [])
    (row,) = reader.rows("SELECT * FROM calib.mirrors")
    assert (row["alive"], row["marks_waiting"], row["dead_letters"]) == (False, 0, 0)
    assert row["stopped_at"] >= row["last_seen_at"] >= row["started_at"]
    world.start(world.submit())
    (row,) = reader.rows("SELECT * FROM calib.mirrors")
    assert row["marks_waiting"] == 1
    assert row["lag_seconds"] > 0
    world.database.execute("UPDATE calib_private.outbox SET dead_at = now()")
    (row,) = reader.rows("SELECT * FROM calib.mirrors")
    assert (row["marks_waiting"], row["lag_seconds"], row["dead_letters"]) == (0, 0, 1)


def test_a_mirror_tells_that_mongodb_is_away(
    world: ChipJobs, own_mongo: FailingMongo, own_qdash: QDashDatabase, make_mirror: MirrorMaker
) -> None:
    def condition() -> str:
        return str(world.database.value("SELECT coalesce(max(condition), '') FROM calib.mirrors WHERE alive"))

    with running(make_mirror(own_mongo.url)):
        until(lambda: condition() == "ready")
        kill(own_mongo)
        until(lambda: condition().startswith("MongoDB does not answer: "))
        own_mongo.start()
        until(lambda: condition() == "ready")


def test_being_seen_is_cheap(database: CalibDatabase, owner: Database) -> None:
    connection = Database(database.login("calib_mirror").url)
    heartbeat = MirrorHeartbeat(connection, every_seconds=3600.0)
    heartbeat.beat()
    assert owner.rows(SEEN) == []
    heartbeat.report()
    first = owner.value(SEEN)
    for _ in range(10):
        heartbeat.report()
        heartbeat.beat()
    assert owner.value(SEEN) == first
    heartbeat.report("MongoDB does not answer")
    assert owner.value(SEEN) > first
    connection.close()


def test_no_other_role_speaks_for_a_mirror(database: CalibDatabase, owner: Database) -> None:
    register = "SELECT calib.register_mirror('m', 'host', 1, '0')"
    mine, other = (Database(database.login("calib_mirror").url) for _ in range(2))
    mine.execute(register)
    mine.execute(register)
    with pytest.raises(ExecutorRefusedError, match="belongs to another role"):
        other.execute(register)
    other.execute("SELECT calib.mirror_seen('m', 'ill')")
    other.execute("SELECT calib.mirror_stopped('m')")
    assert owner.value("SELECT condition FROM calib.mirrors WHERE alive") == "ready"
    for connection in (mine, other):
        connection.close()


def test_old_starts_are_forgotten(database: CalibDatabase, owner: Database) -> None:
    owner.execute("SELECT calib.register_mirror('old', 'host', 1, '0')")
    owner.execute("UPDATE calib_private.mirrors SET last_seen_at = last_seen_at - interval '8 days'")
    owner.execute("SELECT calib.register_mirror('new', 'host', 1, '0')")
    assert [row["mirror_id"] for row in owner.rows("SELECT mirror_id FROM calib.mirrors")] == ["new"]
