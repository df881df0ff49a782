"""Access to PostgreSQL: psycopg 3 on the connections of SQLAlchemy's pool, typed errors, reconnects."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, TypeVar, cast

import psycopg
import sqlalchemy as sa
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import ExecStatus
from psycopg.rows import dict_row
from psycopg.types.array import ListBinaryDumper
from pydantic import BaseModel
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from qdash_queue.client.sqlstates import is_connection_loss, translated
from qdash_queue.errors import (
    BadValueError,
    DatabaseBusyError,
    DatabaseUnreachableError,
    StatementOutdatedError,
)

Model = TypeVar("Model", bound=BaseModel)
ResultRow = dict[str, Any]
Driver = psycopg.Connection[tuple[Any, ...]]

LONG_IDLE_SECONDS = 1.0

# A server or a network that falls silent ends the connection in about ten seconds, also within a statement.
_TIMEOUTS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


def sqlalchemy_url(url: str) -> sa.URL:
    """The URL with psycopg 3 as its driver, whichever of the usual spellings came in.

    Raises:
        DatabaseUnreachableError: there is no URL, or it is not one of PostgreSQL.
    """
    if not url:
        raise DatabaseUnreachableError(
            "no database is configured: set QDASH_QUEUE_DATABASE_URL to postgresql://user@host/name"
        )
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # Without the URL and the library's message, which may hold the password.
        raise DatabaseUnreachableError(
            "this is not a database URL: expected one such as postgresql://user@host:5432/name,"
            " with a number as its port and special characters of the password percent-encoded"
        ) from None
    if parsed.drivername.partition("+")[0] not in ("postgresql", "postgres"):
        raise DatabaseUnreachableError(f"expected a PostgreSQL URL, got one of {parsed.drivername!r}")
    return parsed.set(drivername="postgresql+psycopg")


class ByteArrays(list[bytes]):
    """Byte strings for a ``bytea[]``, sent as they are: as text they take five times the time."""


class _IntDumper(Dumper):
    """Without a type, as texts are sent: the database takes the one of the argument, or says why not."""

    def dump(self, obj: int) -> Buffer:
        return b"%d" % obj


class Database:
    """A small pool of connections to one database.

    Statements are psycopg's: ``%(name)s`` stands for the parameter of that name, and beside parameters ``%%``
    for a percent sign.

    A broken connection is replaced silently: a statement is tried once more when it is marked as
    repeatable, because only its author knows that running it twice does no harm.
    """

    def __init__(self, url: str, *, pool_size: int = 3, application_name: str = "qdash-queue") -> None:
        self.url = sqlalchemy_url(url)
        self._engine = sa.create_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=5,
            isolation_level="AUTOCOMMIT",
            connect_args={"application_name": application_name, **_TIMEOUTS},
        )
        sa.event.listen(self._engine, "connect", _adapt)
        sa.event.listen(self._engine, "checkin", _note_idle_since)
        sa.event.listen(self._engine, "checkout", _refuse_cut_connection)

    def rows(self, statement: str, /, **parameters: Any) -> Sequence[ResultRow]:
        """All rows of one statement; it is repeated once when the connection was cut.

        Give only statements here that may run twice: reads, and verbs that are idempotent.
        """
        try:
            return self.rows_once(statement, **parameters)
        except DatabaseBusyError:
            raise  # An immediate repeat would fail the same way.
        except DatabaseUnreachableError:
            self._engine.dispose()
            return self.rows_once(statement, **parameters)

    def rows_once(self, statement: str, /, **parameters: Any) -> Sequence[ResultRow]:
        """All rows of one statement that must not run twice."""
        try:
            return self._rows(statement, parameters)
        except StatementOutdatedError:
            # A migration changed what a prepared statement returns. It was not run, and this connection would
            # never run it again.
            self._engine.dispose()
            return self._rows(statement, parameters)

    def _rows(self, statement: str, parameters: Mapping[str, Any]) -> Sequence[ResultRow]:
        with self.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(statement.encode(), parameters or None)
            found = cursor.pgresult is not None and cursor.pgresult.status == ExecStatus.TUPLES_OK
            return cursor.fetchall() if found else []

    def row(self, statement: str, /, **parameters: Any) -> ResultRow | None:
        """The first row, or none."""
        found = self.rows(statement, **parameters)
        return found[0] if found else None

    def value(self, statement: str, /, **parameters: Any) -> Any:
        """The single value of a statement that always gives one."""
        return next(iter(self.rows(statement, **parameters)[0].values()))

    def models(self, model: type[Model], statement: str, /, **parameters: Any) -> list[Model]:
        """All rows as ``model``."""
        return [model.model_validate(row) for row in self.rows(statement, **parameters)]

    def execute(self, statement: str, /, **parameters: Any) -> None:
        """Run an idempotent statement for its effect."""
        self.rows(statement, **parameters)

    @contextmanager
    def connection(self) -> Iterator[Driver]:
        """A pooled connection in autocommit; database errors become the queue's own exceptions."""
        pooled: PoolProxiedConnection | None = None
        try:
            pooled = self._engine.raw_connection()
            yield cast("Driver", pooled.driver_connection)
        except psycopg.Error as error:
            if pooled is not None and is_connection_loss(error):
                pooled.invalidate(error)
            raise translated(error) from error
        except sa.exc.SQLAlchemyError as error:
            raise _as_queue_error(error) from error
        except UnicodeEncodeError as error:
            raise BadValueError("expected text, got half of a surrogate pair") from error
        finally:
            if pooled is not None:
                pooled.close()

    @contextmanager
    def raw_connection(self) -> Iterator[Driver]:
        """A psycopg connection of its own, in autocommit, for LISTEN and the like.

        Raises:
            DatabaseUnreachableError: PostgreSQL does not answer.
        """
        try:
            with closing(psycopg.connect(self.conninfo, autocommit=True, **_TIMEOUTS)) as connection:
                yield connection
        except psycopg.Error as error:
            raise translated(error) from error

    @property
    def conninfo(self) -> str:
        """The same target as libpq writes it."""
        return self.url.set(drivername="postgresql").render_as_string(hide_password=False)

    def close(self) -> None:
        """Close all connections; the next statement opens new ones."""
        self._engine.dispose()


def _as_queue_error(error: sa.exc.SQLAlchemyError) -> Exception:
    """The queue's own exception for what the pool raises."""
    if isinstance(error, sa.exc.DBAPIError) and isinstance(error.orig, psycopg.Error):
        return translated(error.orig)
    if isinstance(error, sa.exc.TimeoutError):
        return DatabaseBusyError(f"PostgreSQL cannot do it now: {error}")
    # The pool says "this connection is closed" when the second connection that it tried was cut as well.
    return DatabaseUnreachableError(f"PostgreSQL does not answer: {error}")


def _note_idle_since(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info["idle_since"] = time.monotonic()


def _refuse_cut_connection(connection: Driver, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Let the pool replace a connection that was cut while it lay idle.

    It must not cost a verb that may not be repeated. The end of a connection makes its socket readable, which
    costs nothing to see; only after a longer idle time, in which a firewall may have dropped it silently,
    does the server have to answer a query.
    """
    rested = time.monotonic() - record.info.get("idle_since", time.monotonic())
    try:
        if rested > LONG_IDLE_SECONDS or _is_readable(connection):
            connection.execute("SELECT 1")
    except (psycopg.Error, OSError) as error:
        raise sa.exc.DisconnectionError from error


def _is_readable(connection: Driver) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _adapt(connection: Driver, _record: object) -> None:
    connection.adapters.register_dumper(ByteArrays, ListBinaryDumper)
    connection.adapters.register_dumper(int, _IntDumper)
