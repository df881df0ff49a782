"""Bring a database to the queue's schema, or away from it: Alembic, the SQL in files beside the revisions."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.pool import NullPool

from qdash_queue.database import sqlalchemy_url
from qdash_queue.errors import DatabaseAwayError, is_connection_loss

VERSION_SCHEMA = "calib_private"
VERSION_TABLE = "alembic_version"
# Any number that other programs' locks in the same database are unlikely to use.
MIGRATION_LOCK = 5_127_040_919
_IN_USE = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
_BREATH_SECONDS = 0.2
LOCK_SECONDS = 3
"""How long a migration tries to get a table that somebody else uses."""
LOCK_WAIT_MILLISECONDS = 500
"""How long it waits for it each time: less than PostgreSQL lets pass before it looks for a deadlock, so that
it is the migration that steps back from one, and not whoever reads meanwhile."""


class MigrationError(Exception):
    """A migration was refused or failed, in one sentence; nothing of the failed revision is left."""


class TableInUseError(MigrationError):
    """Somebody else used a table for too long; nothing was changed."""

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
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    if newest is None:
        raise MigrationError(f"expected revisions in {script_location()}, found none")
    return newest


def current(database_url: str) -> str | None:
    """The database's revision; None if the queue's schema is not there.

    Raises:
        DatabaseAwayError: the server does not answer, or the URL is no URL of PostgreSQL.
    """
    with _connection(database_url) as connection:
        table = sa.inspect(connection).has_table(VERSION_TABLE, schema=VERSION_SCHEMA)
        if not table:
            return None
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "version_table_schema": VERSION_SCHEMA}
        )
        return context.get_current_revision()


def schema_version(database_url: str) -> int | None:
    """The version of the public contract, as the database itself tells any reader; None if there is none.

    Raises:
        DatabaseAwayError: the server does not answer, or the URL is no URL of PostgreSQL.
    """
    with _connection(database_url) as connection:
        there = connection.scalar(sa.text("SELECT to_regproc('calib.schema_version') IS NOT NULL"))
        version = connection.scalar(sa.text("SELECT calib.schema_version()")) if there else None
        return None if version is None else int(version)


def upgrade(database_url: str, revision: str = "head") -> str:
    """Bring the database up to the revision, one transaction for each; at the revision already, do nothing.

    Needs a superuser, or a role with CREATEROLE that may create schemas and extensions in the database.

    Returns:
        The revision that the database has now.

    Raises:
        MigrationError: the revision is unknown, or its SQL failed.
        DatabaseAwayError: the server does not answer, or the URL is no URL of PostgreSQL.
    """
    _persistently(database_url, lambda config: command.upgrade(config, revision))
    return current(database_url) or ""


def downgrade(database_url: str, revision: str) -> None:
    """Take the database back to the revision, or to nothing by `base`.

    The data that only the newer revision knows are lost. Roles and extensions, the whole server's, stay.

    Raises:
        MigrationError: the revision is unknown, or its SQL failed.
        DatabaseAwayError: the server does not answer, or the URL is no URL of PostgreSQL.
    """
    _persistently(database_url, lambda config: command.downgrade(config, revision))


def _persistently(database_url: str, migrate: Callable[[Config], None]) -> None:
    """Migrate, again and again for a while if somebody uses a table."""
    give_up_at = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            with _connection(database_url) as connection, _in_words():
                migrate(_config(connection))
        except TableInUseError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(_BREATH_SECONDS)  # Whoever queued up behind the migration goes first.
        else:
            return


def run_sql_file(connection: sa.Connection, file: Path) -> None:
    """Run a file of SQL statements as it stands (a % is a %), in the connection's transaction.

    Raises:
        MigrationError: naming the file and the line.
    """
    text = file.read_text(encoding="utf-8")
    raw = connection.connection.driver_connection
    if not isinstance(raw, psycopg.Connection):
        raise MigrationError(f"expected a psycopg connection, got {type(raw).__name__}")
    try:
        with raw.cursor() as cursor:
            cursor.execute(text.encode())
    except psycopg.Error as error:
        if is_connection_loss(error):
            raise DatabaseAwayError(f"PostgreSQL went away during {file.name}") from error
        if isinstance(error, _IN_USE):
            raise TableInUseError(file.name) from error
        raise MigrationError(_located(error, file, text)) from error


def run_sql_folder(connection: sa.Connection, folder: Path) -> None:
    """Run the folder's SQL files in the order of their names; see `run_sql_file`.

    Raises:
        MigrationError: naming the file and the line, or the folder if it holds none.
    """
    files = sorted(folder.glob("*.sql"))
    if not files:
        raise MigrationError(f"expected SQL files in {folder}, found none")
    for file in files:
        run_sql_file(connection, file)


def restore_functions(connection: sa.Connection, folder: Path, files: Mapping[str, str]) -> None:
    """Define functions again as an earlier revision's SQL files define them.

    Args:
        connection: in whose transaction it is done.
        folder: the earlier revision's SQL files.
        files: a function's name with its schema, and the file that defines it, once.

    Raises:
        MigrationError: a file does not define the function exactly once.
    """
    for name, file in files.items():
        text = (folder / file).read_text(encoding="utf-8")
        definition = rf"^CREATE (?:OR REPLACE )?(FUNCTION {re.escape(name)}\(.*?\$\$;)$"
        found = re.findall(definition, text, re.DOTALL | re.MULTILINE)
        if len(found) != 1:
            raise MigrationError(f"expected one definition of {name} in {file}, found {len(found)}")
        connection.exec_driver_sql(f"CREATE OR REPLACE {found[0]}".replace("%", "%%"))


def _located(error: psycopg.Error, file: Path, text: str) -> str:
    position = error.diag.statement_position
    line = f", line {text.count(chr(10), 0, int(position)) + 1}" if position else ""
    context = f" ({error.diag.context.splitlines()[0]})" if error.diag.context else ""
    return f"{file.name}{line}: {error.diag.message_primary or error}{context}"


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
            raise DatabaseAwayError(f"PostgreSQL does not answer: {str(error.orig).strip()}") from error
        raise


@contextmanager
def _in_words() -> Iterator[None]:
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
