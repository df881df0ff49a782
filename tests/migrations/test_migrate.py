"""Up, and up again; by a role without all rights; at the same time; beside readers; failures in words."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from qdash_queue import migrate
from qdash_queue.client.database import sqlalchemy_url
from qdash_queue.errors import DatabaseUnreachableError
from tests.support.databases import CalibDatabase


def _fingerprint(url: str) -> dict[object, object]:
    """What an applied statement changes even where the text is the same: the version of its catalogue row."""
    with psycopg.connect(url) as connection:
        rows: list[Any] = connection.execute(
            "SELECT oid::regprocedure::text, xmin::text FROM pg_proc"
            " WHERE pronamespace IN ('calib'::regnamespace, 'calib_private'::regnamespace)"
            " UNION ALL SELECT ev_class::regclass::text, xmin::text FROM pg_rewrite"
            " WHERE ev_class::regclass::text LIKE 'calib%'"
        ).fetchall()
    return dict(rows)


def test_up_from_nothing(empty_database: CalibDatabase) -> None:
    url = empty_database.url
    assert migrate.current(url) is None
    assert migrate.schema_version(url) is None
    assert migrate.upgrade(url) == migrate.head()
    assert migrate.current(url) == migrate.head()
    assert migrate.schema_version(url) == int(migrate.head())


def test_at_the_newest_revision_nothing_is_replaced_or_waited_for(
    database: CalibDatabase,
) -> None:
    """CREATE OR REPLACE VIEW would wait for the reader, and every other session behind it."""
    before = _fingerprint(database.url)
    with psycopg.connect(database.url) as reader:
        reader.execute("SELECT count(*) FROM calib.jobs")
        assert migrate.upgrade(database.url) == migrate.head()
    assert _fingerprint(database.url) == before


def test_only_the_function_that_differs_is_replaced(database: CalibDatabase) -> None:
    before = _fingerprint(database.url)
    with psycopg.connect(database.url) as connection:
        connection.execute(
            "UPDATE calib_private.schema_statements SET statement = statement || ' '"
            " WHERE statement LIKE '%FUNCTION calib.set_chip(%' AND statement LIKE 'CREATE%'"
        )
    with psycopg.connect(database.url) as reader:
        reader.execute("SELECT count(*) FROM calib.jobs")
        migrate.upgrade(database.url)
    after = _fingerprint(database.url)
    assert {name for name in after if after[name] != before[name]} == {
        "calib.set_chip(text,integer,integer,integer)"
    }


def test_a_view_that_stays_in_use_is_not_waited_for(database: CalibDatabase) -> None:
    """Behind a migration that waits for a lock, heartbeats would wait too."""
    with psycopg.connect(database.url) as connection:
        connection.execute("DELETE FROM calib_private.schema_statements")
    before = _fingerprint(database.url)
    with psycopg.connect(database.url) as reader:
        reader.execute("SELECT count(*) FROM calib.jobs")
        with pytest.raises(migrate.MigrationError, match="a transaction that stays open"):
            migrate.upgrade(database.url)
    assert _fingerprint(database.url) == before
    migrate.upgrade(database.url)
    assert _fingerprint(database.url) != before


def test_everything_belongs_to_the_owner(database: CalibDatabase) -> None:
    with database.connect() as connection:
        strangers = connection.execute(
            "SELECT c.relname, c.relowner::regrole FROM pg_class c"
            " WHERE c.relnamespace IN ('calib'::regnamespace, 'calib_private'::regnamespace)"
            "   AND c.relowner <> 'calib_owner'::regrole"
        ).fetchall()
    assert strangers == []


def test_every_object_is_defined_once() -> None:
    """A reader finds what a function does in one place."""
    text = "".join(
        file.read_text() for file in sorted((migrate.script_location() / "schema").glob("[0-9]*.sql"))
    )
    heads = [line for line in text.splitlines() if line.startswith(("CREATE ", "ALTER TABLE ", "DROP "))]
    assert all(line.startswith("CREATE OR REPLACE ") for line in heads), "applied again where they differ"


def test_lines_of_sql_are_as_short_as_those_of_python() -> None:
    long = [
        f"{file.name}:{number}"
        for file in migrate.script_location().rglob("*.sql")
        if file.name != "snapshot.sql"
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if len(line) > 110
    ]
    assert long == []


def test_the_newest_revision_locks_all_that_it_changes_at_once() -> None:
    """A submission that holds one of the tables and waits for another would be a deadlock with it."""
    text = max((migrate.script_location() / "versions").glob("*.sql")).read_text()
    changed = set(
        re.findall(r"(?:ALTER TABLE|DROP TABLE|UPDATE|INTO|INDEX \w+ ON) calib_private\.(\w+)", text)
    )
    made = set(re.findall(r"CREATE TABLE calib_private\.(\w+)", text))
    locked = set(re.findall(r"calib_private\.(\w+)", text.partition("LOCK TABLE ")[2].partition(";")[0]))
    assert changed - made - locked == set()


def test_a_role_that_is_no_superuser_can_migrate(empty_database: CalibDatabase) -> None:
    migrator = empty_database.login()
    with empty_database.connect() as connection:
        connection.execute(f"ALTER ROLE {migrator.name} CREATEROLE".encode())
        connection.execute(f"ALTER DATABASE {empty_database.name} OWNER TO {migrator.name}".encode())
        # The roles were made by the superuser, who must hand them on, as in a managed database.
        for (role,) in connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'calib%'"):
            connection.execute(f"GRANT {role} TO {migrator.name} WITH ADMIN OPTION".encode())
    assert migrate.upgrade(migrator.url) == migrate.head()


def test_a_role_without_rights_is_told_so(empty_database: CalibDatabase) -> None:
    with pytest.raises(migrate.MigrationError, match=r"calib_owner"):
        migrate.upgrade(empty_database.login().url)
    assert migrate.current(empty_database.url) is None


def test_two_at_once_wait_for_each_other(empty_database: CalibDatabase) -> None:
    code = f"from qdash_queue import migrate; print(migrate.upgrade({empty_database.url!r}))"
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert [process.communicate()[0].strip() for process in both] == [migrate.head()] * 2


def test_a_login_that_holds_the_migration_lock_is_named(database: CalibDatabase) -> None:
    login = database.login()
    with psycopg.connect(login.url, application_name="lunch") as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", [migrate.MIGRATION_LOCK])
        with pytest.raises(migrate.MigrationError, match=rf"login {login.name}, process \d+, 'lunch'"):
            migrate.upgrade(database.url, patience_seconds=0.5)


@pytest.mark.parametrize("revision", ["0003", "9999"])
def test_a_database_of_another_age_is_refused_in_words(database: CalibDatabase, revision: str) -> None:
    with psycopg.connect(database.url) as connection:
        connection.execute("UPDATE calib_private.alembic_version SET version_num = %s", [revision])
    with pytest.raises(migrate.MigrationError, match=rf"at revision {revision}, .* release 0\.3\.0"):
        migrate.upgrade(database.url)


def test_silent_server_is_told() -> None:
    with pytest.raises(DatabaseUnreachableError):
        migrate.current("postgresql://postgres@127.0.0.1:1/nothing")


def test_sql_runs_as_it_stands_and_errors_name_the_line(
    empty_database: CalibDatabase, tmp_path: Path
) -> None:
    good = tmp_path / "good.sql"
    good.write_text("SELECT format('%I %s', 'a', 1);\nSELECT 'x' LIKE '%:x';\n")
    bad = tmp_path / "bad.sql"
    bad.write_text("SELECT 1;\n\nSELEKT 2;\n")
    engine = sa.create_engine(sqlalchemy_url(empty_database.url))
    with engine.connect() as connection:
        migrate.run_sql_file(connection, good)
        with pytest.raises(migrate.MigrationError, match=r"bad\.sql, line 3: syntax error"):
            migrate.run_sql_file(connection, bad)
    engine.dispose()
