"""Connections that are cut, servers that are gone, schemas that are missing: survived, or told by name."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from qdash_queue.client.database import Database
from qdash_queue.client.queue import Queue
from qdash_queue.client.records import PlannedTask
from qdash_queue.domain import CancelMode, JobState
from qdash_queue.embedded.postgres import PostgresServer
from qdash_queue.embedded.process import Durability
from qdash_queue.errors import (
    DatabaseBusyError,
    DatabaseUnreachableError,
    NotPermittedError,
    SchemaMissingError,
    StatementRefusedError,
)
from tests.support.databases import CalibDatabase
from tests.support.queue_world import PARAMETERS, PROJECT, Person, QueueWorld
from tests.support.waiting import until

pytestmark = pytest.mark.slow


def cut(world: QueueWorld, person: Person) -> int:
    """End all sessions of a person, as a restart of the server or a firewall would; how many there were."""
    ended = world.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", person.name
    )
    left = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s"
    until(lambda: not world.value(left, person.name), "the sessions to end")
    return len(ended)


def test_every_client_verb_survives_a_cut_connection(world: QueueWorld) -> None:
    chip_id = world.chip()
    queue = world.olga.queue
    queue.chips()
    assert cut(world, world.olga) >= 1
    # The insert may not run twice, so it must not meet the dead connection at all.
    job = queue.submit(PROJECT, chip_id, PARAMETERS)
    cut(world, world.olga)
    assert queue.get(job.job_id) == job.model_copy(update={"waiting_for": "no executor is alive"})
    cut(world, world.olga)
    assert queue.pause_chip(chip_id, "beam time").paused
    cut(world, world.olga)
    assert queue.cancel(job.job_id, CancelMode.NOW).state is JobState.CANCELLED
    cut(world, world.olga)
    assert queue.requeue(job.job_id).state is JobState.SCHEDULED
    stored = world.value("SELECT count(*) FROM calib.jobs WHERE chip_id = %s", chip_id)
    assert stored == 2


def test_every_executor_verb_survives_a_cut_connection(world: QueueWorld) -> None:
    chip_id = world.chip()
    world.submit(chip_id)
    executor = world.ready(chip_id)
    assert cut(world, world.machine) >= 1
    claimed = executor.claim()
    assert claimed is not None
    lease = world.lease(claimed)
    cut(world, world.machine)
    lease.heartbeat()
    cut(world, world.machine)
    lease.start_task(PlannedTask(task="CheckRabi", qid="0"))
    cut(world, world.machine)
    lease.log_event("flow_started")
    cut(world, world.machine)
    assert lease.conclude(JobState.COMPLETED) == JobState.COMPLETED
    cut(world, world.machine)
    assert lease.finish() == JobState.COMPLETED


def test_a_connection_cut_under_way_is_retried_when_the_verb_may_be_repeated(world: QueueWorld) -> None:
    """The first try dies in the middle of its statement, the second one answers."""
    world.owner.execute(
        "CREATE TABLE calib.told (n int); GRANT SELECT, INSERT ON calib.told TO calib_submitter;"
        "CREATE SEQUENCE calib.tries; GRANT USAGE ON SEQUENCE calib.tries TO calib_submitter;"
    )
    suicide = (
        "SELECT nextval('calib.tries') AS try, CASE WHEN currval('calib.tries') = 1"
        " THEN pg_terminate_backend(pg_backend_pid()) END"
    )
    try:
        assert world.ana.database.rows(suicide)[0]["try"] == 2
        world.owner.execute("ALTER SEQUENCE calib.tries RESTART")
        with pytest.raises(DatabaseUnreachableError, match="PostgreSQL does not answer"):
            world.ana.database.rows_once(suicide)
    finally:
        world.owner.execute("DROP TABLE calib.told; DROP SEQUENCE calib.tries")


def test_every_error_of_a_session_that_is_ended_is_one_of_ours(world: QueueWorld) -> None:
    """Sessions are ended in a loop beside calls in a loop: at checkout, in a statement, while connecting."""
    database = Database(world.ana.url)
    done = threading.Event()
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"

    def end_sessions() -> None:
        while not done.is_set():
            world.rows(end, world.ana.name)

    errors: list[Exception] = []
    with ThreadPoolExecutor() as pool:
        ending = pool.submit(end_sessions)
        for _ in range(600):
            try:
                database.rows("SELECT 1")
            except Exception as error:  # noqa: BLE001 - of which kind is what this is about
                errors.append(error)
        done.set()
        ending.result()
    database.close()
    assert errors, "no session was ended in time"
    assert [error for error in errors if not isinstance(error, DatabaseUnreachableError)] == []


def test_what_postgresql_refuses_in_other_words_is_ours_too(world: QueueWorld) -> None:
    with pytest.raises(StatementRefusedError, match="PostgreSQL refused: syntax error") as refused:
        world.ana.database.rows("SELEKT 1")
    assert refused.value.code == "42601"


def test_a_connection_that_falls_silent_is_given_up(world: QueueWorld) -> None:
    """The kernel ends it in seconds, be it idle or in the middle of a statement."""
    expected = {
        "keepalives_idle": "5",
        "keepalives_interval": "2",
        "keepalives_count": "3",
        "tcp_user_timeout": "10000",
    }
    database = Database(world.ana.url)
    with database.connection() as pooled, database.raw_connection() as own:
        for connection in (pooled, own):
            assert connection.info.get_parameters().items() >= expected.items()
    database.close()


def test_a_pool_without_a_free_connection_is_busy(world: QueueWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(world.ana.url, pool_size=1)
    monkeypatch.setattr(database._engine.pool, "_timeout", 0.1)
    with ExitStack() as stack:
        for _ in range(6):  # One, and five above.
            stack.enter_context(database.connection())
        with pytest.raises(DatabaseBusyError, match="limit"):
            database.rows("SELECT 1")
    database.close()


def test_a_transaction_that_idled_for_too_long_is_told_in_words(world: QueueWorld) -> None:
    """As the queue's own bound ends it; only shorter."""

    def idle() -> None:
        with world.ana.database.raw_connection() as connection, connection.transaction():
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = '50ms'")
            alive = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
            until(lambda: world.value(alive, connection.info.backend_pid) == 0)
            connection.execute("SELECT 1")

    with pytest.raises(DatabaseUnreachableError, match="its transaction was idle for too long"):
        idle()


def test_a_statement_that_ran_out_of_time_is_no_lost_connection(world: QueueWorld) -> None:
    """It may be asked again, but by a caller that can wait."""
    database = Database(world.ana.url)
    world.owner.execute(f"ALTER ROLE {world.ana.name} SET statement_timeout = '1s'".encode())
    try:
        before = database.value("SELECT pg_backend_pid()")
        with pytest.raises(DatabaseBusyError, match="cannot do it now: canceling statement due to"):
            database.rows("SELECT pg_sleep(3600)")
        assert database.value("SELECT pg_backend_pid()") == before
    finally:
        world.owner.execute(f"ALTER ROLE {world.ana.name} RESET statement_timeout".encode())
        database.close()


@pytest.mark.parametrize(
    "trouble",
    ["lock_not_available", "deadlock_detected", "disk_full", "read_only_sql_transaction", "io_error"],
)
def test_what_passes_is_told_from_what_is_refused(world: QueueWorld, trouble: str) -> None:
    with pytest.raises(DatabaseBusyError, match="PostgreSQL cannot do it now: not now"):
        world.ana.database.execute(f"DO $$ BEGIN RAISE 'not now' USING ERRCODE = '{trouble}'; END $$")


def test_a_view_that_grew_under_a_prepared_statement_is_read_again(world: QueueWorld) -> None:
    world.owner.execute(
        "CREATE VIEW calib.grown AS SELECT 1 AS old; GRANT SELECT ON calib.grown TO calib_submitter"
    )
    database = Database(world.ana.url, pool_size=1)
    try:
        for _ in range(10):  # More often than psycopg needs to prepare it.
            assert dict(database.rows_once("SELECT * FROM calib.grown")[0]) == {"old": 1}
        world.owner.execute("CREATE OR REPLACE VIEW calib.grown AS SELECT 1 AS old, 2 AS new")
        assert dict(database.rows_once("SELECT * FROM calib.grown")[0]) == {"old": 1, "new": 2}
    finally:
        database.close()
        world.owner.execute("DROP VIEW calib.grown")


@pytest.fixture
def reachable_folder() -> Iterator[Path]:
    """A folder that the server's own account may pass through to, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="qdq-away-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_server_that_is_gone_is_told_and_found_again(reachable_folder: Path) -> None:
    server = PostgresServer(reachable_folder / "server", durability=Durability.FAST)
    with server:
        database = Database(server.url)
        assert database.value("SELECT 1 AS one") == 1
    with pytest.raises(DatabaseUnreachableError, match="PostgreSQL does not answer"):
        database.rows("SELECT 1")
    with pytest.raises(DatabaseUnreachableError):
        Queue(database).submit("demo", "CHIP1", {})
    with pytest.raises(DatabaseUnreachableError), database.raw_connection():
        pass
    with server:
        assert database.value("SELECT 1 AS one") == 1
        database.close()


def test_a_database_without_the_queue_is_told(empty_database: CalibDatabase) -> None:
    database = Database(empty_database.url)
    with pytest.raises(SchemaMissingError, match="run qdash-queue migrate against this database"):
        Queue(database).chips()
    with pytest.raises(SchemaMissingError):
        Queue(database).pause_chip("CHIP1", "x")
    database.close()


def test_a_login_without_roles_is_told(world: QueueWorld) -> None:
    with pytest.raises(NotPermittedError, match="permission denied for schema calib") as refused:
        world.person("nobody").queue.chips()
    assert "ask an administrator" in refused.value.hint


@pytest.mark.parametrize(
    "url", ["postgresql://bob:s3cret@db:54x2/q", "host=db user=bob password=s3cret", "s3cret"]
)
def test_a_url_that_cannot_be_read_keeps_its_password(url: str) -> None:
    with pytest.raises(DatabaseUnreachableError, match="not a database URL: expected one such as") as refused:
        Database(url)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("url", ["", "mysql://x/y", "postgresql://postgres@127.0.0.1:1/x", "nonsense"])
def test_a_wrong_url_is_told(url: str) -> None:
    with pytest.raises(DatabaseUnreachableError):
        Database(url).rows("SELECT 1")
