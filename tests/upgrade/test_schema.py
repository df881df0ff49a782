"""The present executor on a schema of another age: it serves it, or says in one sentence why not."""

from __future__ import annotations

import os
import subprocess
import sys

from qdash_queue import migrate
from tests.support.databases import CalibDatabase, LoginRole
from tests.support.executor_world import ROOT
from tests.upgrade.release import CHIP, Release

EXIT_AWAY = 4
EXIT_REFUSED = 3


def _register(executor: LoginRole) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "executors", "register", "--chip", CHIP],
        cwd=ROOT,
        env={**os.environ, "QDASH_QUEUE_DATABASE_URL": executor.url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _say(database: CalibDatabase, version: int, oldest: int) -> None:
    with database.connect() as connection:
        for function, number in (("schema_version", version), ("oldest_served_version", oldest)):
            connection.execute(
                f"CREATE OR REPLACE FUNCTION calib.{function}() RETURNS integer LANGUAGE sql IMMUTABLE"
                f" SET search_path = pg_catalog, pg_temp AS 'SELECT {number}'".encode()
            )


def test_a_schema_that_is_behind_is_refused(release: Release, empty_database: CalibDatabase) -> None:
    release.command(empty_database.url, "migrate")
    refused = _register(empty_database.login("calib_executor"))
    assert refused.returncode == EXIT_AWAY
    assert refused.stderr.startswith("the schema is behind: version ")
    assert refused.stderr.endswith("run qdash-queue migrate as an owner of the database\n")
    assert refused.stderr.count("\n") == 1


def test_a_schema_that_has_left_us_behind_is_refused(database: CalibDatabase) -> None:
    _say(database, version=99, oldest=98)
    refused = _register(database.login("calib_executor"))
    assert refused.returncode == EXIT_AWAY
    assert refused.stderr.startswith("the schema (version 99) serves programs of version 98 and newer")
    assert refused.stderr.count("\n") == 1


def test_a_newer_schema_that_still_serves_us_is_used(database: CalibDatabase) -> None:
    _say(database, version=99, oldest=1)
    refused = _register(database.login("calib_executor"))
    assert refused.returncode == EXIT_REFUSED, refused.stderr
    assert refused.stderr == f'unknown chip "{CHIP}": expected one of (no chip yet)\n'


def test_rights_go_on_belonging_to_the_roles_that_have_them(
    release: Release, empty_database: CalibDatabase
) -> None:
    """A client's own view stays; what was granted to a role that was dropped since does not come back."""
    release.command(empty_database.url, "migrate")
    admin, ann, bob = (empty_database.login(group) for group in ("calib_admin", *["calib_submitter"] * 2))
    release.command(admin.url, "projects", "add", "demo")
    release.command(admin.url, "chips", "add", CHIP, "--backend", "fake", "--topology", "linear-2")
    for login, name in ((ann, "ann"), (bob, "bob")):
        release.command(admin.url, "members", "grant", "demo", login.name, "--username", name)
        release.command(admin.url, "executors", "allow", login.name, CHIP)
    with empty_database.connect() as connection:
        connection.execute("CREATE VIEW own AS SELECT role_name, username FROM calib.memberships")
        connection.execute(f"DROP ROLE {bob.name}".encode())
        assert migrate.upgrade(empty_database.url) == migrate.head()
        connection.execute(f"CREATE ROLE {bob.name} LOGIN IN ROLE calib_submitter".encode())
        rows = connection.execute("SELECT username, role_name FROM own").fetchall()
        allowed = connection.execute("SELECT role_name FROM calib.executor_permissions").fetchall()
    members = {str(username): str(role_name) for username, role_name in rows}
    assert members["ann"] == ann.name
    assert members["bob"].isdigit(), "the number of the role that was dropped"
    assert (ann.name,) in allowed
    assert (bob.name,) not in allowed


def test_no_execution_id_is_given_again(release: Release, empty_database: CalibDatabase) -> None:
    """Each day's count goes on where the release left it, and a day of its own begins at 1."""
    release.command(empty_database.url, "migrate")
    with empty_database.connect() as connection:
        connection.execute(
            "INSERT INTO calib_private.execution_counters VALUES ('2026-03-01', 1234), ('2026-03-02', 7)"
        )
        assert migrate.upgrade(empty_database.url) == migrate.head()
        given = []
        for day in ("2026-03-01", "2026-03-02", "2026-03-03", "2026-03-01"):
            connection.execute(
                "CREATE OR REPLACE FUNCTION calib_private.now() RETURNS timestamptz LANGUAGE sql VOLATILE"
                " SET search_path = pg_catalog, pg_temp"
                f" AS $$ SELECT timestamptz '{day} 12:00+09' $$".encode()
            )
            row = connection.execute("SELECT calib_private.next_execution_id()").fetchone()
            given.append(row and row[0])
    assert given == ["20260301-q1235", "20260302-q009", "20260303-q001", "20260301-q1238"]
