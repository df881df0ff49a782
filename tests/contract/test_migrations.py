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
from tests.support.databases import CalibDatabase, Cluster
from tests.support.queue_world import open_queue_world
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.slow


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
        with open_queue_world(each) as world:
            world.submit(world.chip())


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
        _second_waits_for_first(server, (migrate.script_location() / "roles.sql").read_bytes())
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
