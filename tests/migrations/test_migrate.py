"""Up, down, up again; by a role without all rights; at the same time; failures in words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from qdash_queue import migrate
from qdash_queue.database import sqlalchemy_url
from qdash_queue.errors import DatabaseAwayError
from tests.databases import CalibDatabase

SCHEMA_DUMP = """
SELECT n.nspname || '.' || c.relname || ' ' || c.relkind::text FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname IN ('calib', 'calib_private') AND c.relname <> 'alembic_version'
   AND c.relname <> 'alembic_version_pkc'
UNION ALL
SELECT p.oid::regprocedure::text || ' ' || md5(p.prosrc) FROM pg_proc p
  JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ('calib', 'calib_private')
ORDER BY 1
"""


def _schema(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(SCHEMA_DUMP).fetchall()


def test_up_down_and_up_again(empty_database: CalibDatabase) -> None:
    url = empty_database.url
    assert migrate.current(url) is None
    assert migrate.schema_version(url) is None
    assert migrate.upgrade(url) == migrate.head()
    assert migrate.schema_version(url) is not None
    first = _schema(url)
    assert first
    migrate.downgrade(url, "base")
    assert migrate.current(url) is None
    assert _schema(url) == []
    migrate.upgrade(url)
    assert _schema(url) == first


@pytest.mark.parametrize(("before", "after"), [("0001", "0002"), ("0002", "0003"), ("0003", "0004")])
def test_each_revision_goes_down_to_the_one_before(
    empty_database: CalibDatabase, before: str, after: str
) -> None:
    url = empty_database.url
    migrate.upgrade(url, before)
    schema = _schema(url)
    migrate.upgrade(url, after)
    assert _schema(url) != schema
    migrate.downgrade(url, before)
    assert _schema(url) == schema


def test_up_twice_does_nothing(database: CalibDatabase) -> None:
    before = _schema(database.url)
    assert migrate.upgrade(database.url) == migrate.head()
    assert _schema(database.url) == before


def test_everything_belongs_to_the_owner(database: CalibDatabase) -> None:
    with database.connect() as connection:
        strangers = connection.execute(
            "SELECT c.relname, c.relowner::regrole FROM pg_class c"
            " WHERE c.relnamespace IN ('calib'::regnamespace, 'calib_private'::regnamespace)"
            "   AND c.relowner <> 'calib_owner'::regrole"
        ).fetchall()
    assert strangers == []


def test_a_role_that_is_no_superuser_can_migrate(empty_database: CalibDatabase) -> None:
    migrator = empty_database.login()
    with empty_database.connect() as connection:
        connection.execute(f"ALTER ROLE {migrator.name} CREATEROLE".encode())
        connection.execute(f"ALTER DATABASE {empty_database.name} OWNER TO {migrator.name}".encode())
        # The roles were made by the superuser, who must hand them on, as in a managed database.
        for role in ("owner", "reader", "submitter", "operator", "executor", "mirror", "admin"):
            connection.execute(f"GRANT calib_{role} TO {migrator.name} WITH ADMIN OPTION".encode())
    assert migrate.upgrade(migrator.url) == migrate.head()
    migrate.downgrade(migrator.url, "base")
    assert _schema(migrator.url) == []


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


def test_a_table_that_stays_in_use_is_not_waited_for(database: CalibDatabase) -> None:
    """Behind a migration that waits for a lock, heartbeats would wait too."""
    migrate.downgrade(database.url, "0002")  # Which goes down by changing tables.
    before = _schema(database.url)
    with psycopg.connect(database.url) as reader:
        reader.execute("SELECT count(*) FROM calib.jobs")
        with pytest.raises(migrate.MigrationError, match="a transaction that stays open"):
            migrate.downgrade(database.url, "base")
    assert _schema(database.url) == before


def test_unknown_revision_is_told(database: CalibDatabase) -> None:
    with pytest.raises(migrate.MigrationError, match="9999"):
        migrate.upgrade(database.url, "9999")


def test_silent_server_is_told() -> None:
    with pytest.raises(DatabaseAwayError):
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
    with engine.connect() as connection, pytest.raises(migrate.MigrationError, match="found none"):
        migrate.run_sql_folder(connection, tmp_path / "nothing")
    engine.dispose()
