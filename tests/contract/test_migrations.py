"""Migrations of a database that is in use, and of several databases of one server."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psycopg
import pytest

from qdash_queue import migrate
from qdash_queue.embedded.postgres import PostgresServer, system_bin
from qdash_queue.embedded.process import Durability
from qdash_queue.models import PlannedTask
from qdash_queue.values import JobState
from tests.contract.lab import Lab, open_lab
from tests.contract.test_results import RECORD
from tests.databases import CalibDatabase, Cluster
from tests.waiting import PATIENCE, until

ROLES = {
    "calib_owner",
    "calib_reader",
    "calib_submitter",
    "calib_operator",
    "calib_executor",
    "calib_mirror",
    "calib_admin",
}


def _use(lab: Lab) -> None:
    """One job through to its end, one waiting, one running."""
    claimed, lease = lab.running(lab.chip())
    lease.record_task(lease.start_task(PlannedTask(task="CheckRabi", qid="0")), RECORD)
    lease.conclude(JobState.COMPLETED)
    lease.finish()
    lab.submit(claimed.chip_id)
    lab.running(lab.chip())
    lab.olga.queue.pause_chip(claimed.chip_id, "beam time")


def test_a_used_database_goes_down_and_up_again(database: CalibDatabase) -> None:
    with open_lab(database) as lab:
        _use(lab)
    migrate.downgrade(database.url, "base")
    with psycopg.connect(database.url) as connection:
        left = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace IN (SELECT oid FROM pg_namespace WHERE"
            " nspname LIKE 'calib%')"
            " AND relkind IN ('r', 'v', 'S') AND relname NOT LIKE 'alembic%'"
        ).fetchall()
        types = connection.execute(
            "SELECT typname FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace"
            " WHERE nspname IN ('calib', 'calib_private') AND typname NOT LIKE '%alembic%'"
        ).fetchall()
        roles = connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'calib%'").fetchall()
    assert (left, types) == ([], [])
    assert {row[0] for row in roles} >= ROLES
    migrate.upgrade(database.url)
    with open_lab(database) as lab:
        _use(lab)


def test_another_database_of_the_server_is_untouched(
    database: CalibDatabase, postgres_server: Cluster
) -> None:
    with postgres_server.database() as other, open_lab(other) as lab:
        migrate.downgrade(database.url, "base")
        _use(lab)


def _migrated_at_once(databases: list[CalibDatabase]) -> None:
    code = "import sys; from qdash_queue import migrate; print(migrate.upgrade(sys.argv[1]))"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, each.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for each in databases
    ]
    answers = [process.communicate(timeout=PATIENCE) for process in running]
    assert [out.strip() for out, _ in answers] == [migrate.head()] * len(databases), answers
    for each in databases:
        with open_lab(each) as lab:
            lab.submit(lab.chip())


def test_databases_of_one_server_are_migrated_at_the_same_moment(postgres_server: Cluster) -> None:
    with ExitStack() as stack:
        fresh = [stack.enter_context(postgres_server.database(template="template1")) for _ in range(3)]
        _migrated_at_once(fresh)


def test_they_race_for_the_roles_of_a_new_server(contained: bool) -> None:
    """Roles and their memberships are shared by the whole server."""
    if contained:
        pytest.skip("a server of its own is started by the embedded way only")
    major = os.environ.get("PG")
    programs = system_bin(int(major)) if major else None
    with PostgresServer(programs=programs, durability=Durability.FAST) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            for name in ("one", "two", "three"):
                connection.execute(f"CREATE DATABASE {name}".encode())
        for script in ("owner.sql", "0001/00_bootstrap.sql"):
            _second_waits_for_first(server, (migrate.script_location() / "sql" / script).read_bytes())
        _migrated_at_once([CalibDatabase(server, name) for name in ("one", "two", "three")])


def _second_waits_for_first(server: PostgresServer, script: bytes) -> None:
    """The second database's run meets what the first one's has made and not committed yet."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'two' AND wait_event_type = 'Lock'"
    with (
        psycopg.connect(server.url, autocommit=True) as watcher,
        psycopg.connect(server.url_of("one")) as first,
        psycopg.connect(server.url_of("two")) as second,
        ThreadPoolExecutor(1) as pool,
    ):
        first.execute(script)
        done = pool.submit(second.execute, script)
        until(lambda: watcher.execute(waiting).fetchone() != (0,), "the second migration to wait")
        first.commit()
        done.result(timeout=PATIENCE)
        second.commit()
