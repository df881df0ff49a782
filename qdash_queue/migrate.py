"""Migrate a database to the queue's schema: tables by Alembic, functions and views by SQL files."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.pool import NullPool

from qdash_queue.client.database import sqlalchemy_url
from qdash_queue.client.sqlstates import is_connection_loss
from qdash_queue.errors import DatabaseUnreachableError, QdashQueueError

VERSION_SCHEMA = "calib_private"
VERSION_TABLE = "alembic_version"
OLDEST_REVISION, OLDEST_RELEASE = "0004", "0.3.0"
"""Where an older database has to stand before this release can migrate it."""
# Any number that other programs' locks in the same database are unlikely to use.
MIGRATION_LOCK = 5_127_040_919
_IN_USE = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
_PAUSE_SECONDS = 0.2
_VIEW = re.compile(r"CREATE OR REPLACE VIEW (\S+)")
_LOCK_HOLDER = """
SELECT a.usename, a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.database = (
         SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
   AND (l.classid::bigint << 32) + l.objid::bigint = :key LIMIT 1
"""
LOCK_SECONDS = 10
"""How long a migration tries to get a table that another session uses."""
LOCK_WAIT_MILLISECONDS = 500
"""How long it waits for it each time: less than PostgreSQL lets pass before it looks for a deadlock, so that
it is the migration that steps back from one, and not a session that reads meanwhile."""


class MigrationError(QdashQueueError):
    """A migration was refused or failed, in one sentence; nothing of the failed revision is left."""


class TableInUseError(MigrationError):
    """Another session used a table for too long; nothing was changed."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where}: a transaction that stays open uses a table which the migration changes;"
            " nothing was changed: end it (qdash-queue doctor names it) and migrate again"
        )


def script_location() -> Path:
    """The folder of `env.py`, revisions and SQL: inside the package when installed, else in the tree."""
    package = Path(__file__).parent
    installed = package / "_migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def head() -> str:
    """The revision that this version of the program speaks to."""
    return _revisions()[0].revision


def _revisions() -> Sequence[Script]:
    """From the newest to the oldest."""
    found = list(ScriptDirectory.from_config(_config()).walk_revisions())
    if not found:
        raise MigrationError(f"expected revisions in {script_location()}, found none")
    return found


def current(database_url: str) -> str | None:
    """The database's revision; None if the queue's schema is not there.

    Raises:
        DatabaseUnreachableError: the server does not answer, or the URL is no URL of PostgreSQL.
    """
    with _connection(database_url) as connection:
        return _revision(connection)


def _revision(connection: sa.Connection) -> str | None:
    there = sa.inspect(connection).has_table(VERSION_TABLE, schema=VERSION_SCHEMA)
    options = {"version_table": VERSION_TABLE, "version_table_schema": VERSION_SCHEMA}
    revision = MigrationContext.configure(connection, opts=options).get_current_revision() if there else None
    connection.commit()
    return revision


def schema_version(database_url: str) -> int | None:
    """The version of the public contract, as the database itself tells any reader; None if there is none.

    Raises:
        DatabaseUnreachableError: the server does not answer, or the URL is no URL of PostgreSQL.
    """
    with _connection(database_url) as connection:
        there = connection.scalar(sa.text("SELECT to_regproc('calib.schema_version') IS NOT NULL"))
        version = connection.scalar(sa.text("SELECT calib.schema_version()")) if there else None
        return None if version is None else int(version)


def upgrade(database_url: str, *, patience_seconds: float = 30) -> str:
    """Bring the database to the newest revision, in one transaction; at it already, do and lock nothing.

    Needs a superuser, or a role with CREATEROLE that may create schemas and extensions in the database.

    Args:
        database_url: of the database to migrate.
        patience_seconds: how long another migration of the same database is waited for.

    Returns:
        The revision that the database has now.

    Raises:
        MigrationError: the database is not one that this release can go on from, or the SQL failed.
        DatabaseUnreachableError: the server does not answer, or the URL is no URL of PostgreSQL.
    """
    give_up_at = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            with (
                _connection(database_url) as connection,
                _translated(),
                _exclusive(connection, patience_seconds),
            ):
                command.upgrade(_config(connection), "head")
        except TableInUseError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(_PAUSE_SECONDS)  # What queued up behind the migration goes first.
        else:
            return current(database_url) or ""


@contextmanager
def _exclusive(connection: sa.Connection, patience_seconds: float) -> Iterator[None]:
    """Hold the migration lock; it goes with the connection."""
    give_up_at = time.monotonic() + patience_seconds
    key = {"key": MIGRATION_LOCK}
    while not connection.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), key):
        holder = connection.execute(sa.text(_LOCK_HOLDER), key).one_or_none()
        connection.commit()
        if time.monotonic() > give_up_at:
            raise MigrationError(
                "another session holds the migration lock"
                + (
                    f" (login {holder.usename}, process {holder.pid}, {holder.application_name!r})"
                    if holder
                    else ""
                )
                + "; nothing was changed: wait for it or end it, and migrate again"
            )
        time.sleep(_PAUSE_SECONDS)
    connection.commit()
    _require_known_revision(connection)
    yield


def _require_known_revision(connection: sa.Connection) -> None:
    revision = _revision(connection)
    if revision is None or revision in {each.revision for each in _revisions()}:
        return
    raise MigrationError(
        f"the database is at revision {revision}, from which this release cannot go on: an older one is"
        f" first brought to {OLDEST_REVISION} by release {OLDEST_RELEASE}, a newer one needs a newer program"
    )


def run_sql_file(connection: sa.Connection, file: Path) -> None:
    """Run a file of SQL statements as it stands (a % is a %), in the connection's transaction.

    Raises:
        MigrationError: naming the file and the line.
        TableInUseError: another transaction uses what a statement changes.
    """
    _run_sql(connection, file.read_text(encoding="utf-8"), file)


def _run_sql(connection: sa.Connection, text: str, file: Path, begun: int = 1) -> None:
    raw = connection.connection.driver_connection
    if not isinstance(raw, psycopg.Connection):
        raise MigrationError(f"expected a psycopg connection, got {type(raw).__name__}")
    try:
        with raw.cursor() as cursor:
            cursor.execute(text.encode())
    except psycopg.Error as error:
        if is_connection_loss(error):
            raise DatabaseUnreachableError(f"PostgreSQL became unreachable during {file.name}") from error
        if isinstance(error, _IN_USE):
            raise TableInUseError(file.name) from error
        position = error.diag.statement_position
        # What fails inside a function has a position in that function.
        line = begun + (text.count("\n", 0, int(position)) if position else 0)
        context = f" ({error.diag.context.splitlines()[0]})" if error.diag.context else ""
        raise MigrationError(
            f"{file.name}, line {line}: {error.diag.message_primary or error}{context}"
        ) from error


class SchemaFiles:
    """The SQL files of functions, views and triggers, of which a migration applies what differs.

    A table keeps the statements that the database has, so that a migration of a database that has them all
    takes no lock: CREATE OR REPLACE VIEW would wait for every reader, and others would queue up behind it. A
    revision that drops an object deletes its statements from that table, so that they are applied again.

    Args:
        connection: of the schema's owner; in whose transaction it is done.
        files: in their order. A statement ends with a line that ends with a semicolon outside of $$.
    """

    def __init__(self, connection: sa.Connection, files: Sequence[Path]) -> None:
        self._connection = connection
        self._files = files
        connection.exec_driver_sql(
            "CREATE TABLE IF NOT EXISTS calib_private.schema_statements"
            " (position integer PRIMARY KEY, statement text NOT NULL)"
        )

    def lock_views(self) -> None:
        """Lock the views that will be replaced, before any table is locked.

        A reader locks a view before its tables: held up at a table, it would keep the view from us.

        Raises:
            TableInUseError: another transaction uses one of them.
        """
        views = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'v'"
        there = set(self._connection.scalars(sa.text(views)))
        known = self._known()
        for file in self._files:
            for line, statement in _statements(file):
                view = _VIEW.match(statement)
                if statement not in known and view and view[1] in there:
                    # Changes nothing, and locks the view alone; LOCK TABLE would go on to its tables.
                    _run_sql(self._connection, f"ALTER VIEW {view[1]} OWNER TO calib_owner", file, line)

    def _known(self) -> set[str]:
        return set(self._connection.scalars(sa.text("SELECT statement FROM calib_private.schema_statements")))

    def apply(self, only: str | None = None) -> None:
        """Apply what differs, of one file or of all.

        Raises:
            MigrationError: naming the file and the line.
            TableInUseError: another transaction uses what a statement changes.
        """
        known = self._known()
        # Functions call one another, and no order would suit them all.
        self._connection.exec_driver_sql("SET LOCAL check_function_bodies = off")
        found = [
            (file, *each) for file in self._files for each in _statements(file) if only in {None, file.name}
        ]
        for file, line, statement in found:
            if statement not in known:
                _run_sql(self._connection, statement, file, line)
        if only is None and {statement for *_, statement in found} != known:
            self._connection.exec_driver_sql("DELETE FROM calib_private.schema_statements")
            self._connection.execute(
                sa.text("INSERT INTO calib_private.schema_statements VALUES (:position, :statement)"),
                [{"position": n, "statement": statement} for n, (*_, statement) in enumerate(found)],
            )


def _statements(file: Path) -> Iterator[tuple[int, str]]:
    """Each statement without the comment above it, and the line where it begins."""
    begun, lines = 1, list[str]()
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not lines and (not line or line.startswith("--")):
            continue
        if not lines:
            begun = number
        lines.append(line)
        if line.endswith(";") and "\n".join(lines).count("$$") % 2 == 0:
            yield begun, "\n".join(lines)
            lines = []
    if lines:
        raise MigrationError(f"{file.name}, line {begun}: a statement without its semicolon")


def _config(connection: sa.Connection | None = None) -> Config:
    config = Config()
    # Alembic reads a % in an option as the beginning of an interpolation.
    config.set_main_option("script_location", str(script_location()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _connection(database_url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(
        sqlalchemy_url(database_url),
        poolclass=NullPool,
        connect_args={"application_name": "qdash-queue migrate", "connect_timeout": 5},
    )
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.Error) and is_connection_loss(error.orig):
            raise DatabaseUnreachableError(
                f"PostgreSQL does not answer: {str(error.orig).strip()}"
            ) from error
        raise


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except CommandError as error:
        raise MigrationError(str(error)) from error
    except sa.exc.OperationalError as error:
        if isinstance(error.orig, _IN_USE):
            raise TableInUseError("the migration") from error
        raise
    except sa.exc.ProgrammingError as error:
        # Mostly a role without the rights to make roles, schemas or extensions.
        raise MigrationError(f"the migration was refused: {str(error.orig).strip()}") from error
