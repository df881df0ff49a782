"""One exception for each thing the database may answer, so that callers never read SQLSTATEs."""

from __future__ import annotations

import re
from collections.abc import Iterable

import psycopg

_SHOWN_CHARACTERS = 60
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


class QueueError(Exception):
    """The queue refused a request.

    ``code`` is the SQLSTATE (class ``CQ``), ``column`` the wrong column, ``hint`` what to do about it.
    """

    code: str = ""

    def __init__(
        self, message: str, *, column: str = "", hint: str = "", detail: str = "", constraint: str = ""
    ) -> None:
        super().__init__(message)
        self.column = column
        self.hint = hint
        self.detail = detail
        self.constraint = constraint


class UnknownNameError(QueueError):
    """A chip, flow, task, qubit, project, job or role that does not exist."""

    code = "CQ001"


def unknown_chip(chip_id: str, known: Iterable[str]) -> UnknownNameError:
    """The refusal of a chip that is not among the known ones."""
    words = f"unknown chip {shown(chip_id)}: expected one of {', '.join(known) or '(no chip yet)'}"
    return UnknownNameError(words, column="chip_id")


def shown(text: str) -> str:
    r"""A text in quotation marks, on one line and short enough for a sentence, as the database has it.

    >>> shown("SIM\n17")
    '"SIM?17"'
    """
    cut = _CONTROL.sub("?", text[:_SHOWN_CHARACTERS])
    return f'"{cut}..."' if len(text) > _SHOWN_CHARACTERS else f'"{cut}"'


class BadParametersError(QueueError):
    """The flow's schema refuses the parameters."""

    code = "CQ002"


class NotPermittedError(QueueError):
    """The database role has no right to do this."""

    code = "CQ003"


class DuplicateJobError(QueueError):
    """A job with the same ``dedup_key`` has not ended yet."""

    code = "CQ004"


class SystemColumnError(QueueError):
    """A column that only the queue sets was given."""

    code = "CQ005"


class BadValueError(QueueError):
    """A value has the wrong form or lies outside its range."""

    code = "CQ007"


class IllegalTransitionError(QueueError):
    """The state does not allow this."""

    code = "CQ010"


class AlreadyFinalError(QueueError):
    """The job had ended before the request arrived; in SQL a warning."""

    code = "CQ011"


class CancelNotRevocableError(QueueError):
    """A cancel cannot be taken back or softened."""

    code = "CQ012"


class LeaseLostError(QueueError):
    """The database does not know the lease: others may drive the chip. Stop the instrument at once."""

    code = "CQ020"


class ExecutorRefusedError(QueueError):
    """An executor of the wrong kind, or one that may not serve this chip."""

    code = "CQ021"


class CatalogueRefusedError(QueueError):
    """A flow or task that the database cannot check or cancel."""

    code = "CQ022"


class BacklogFullError(QueueError):
    """The chip has as many waiting jobs as it takes."""

    code = "CQ030"


class TooLargeError(QueueError):
    """Parameters, figure or raw data past their limit."""

    code = "CQ040"


class StatementRefusedError(QueueError):
    """PostgreSQL refused a statement in words that are not the queue's; ``code`` is its SQLSTATE."""


class DatabaseUnreachableError(Exception):
    """PostgreSQL does not answer."""


class DatabaseBusyError(DatabaseUnreachableError):
    """PostgreSQL answers, but cannot do it now: nothing was done, and the same may be asked again."""


class StatementOutdatedError(DatabaseBusyError):
    """A migration changed what a prepared statement returns: this connection will not run it again."""


class SchemaMissingError(Exception):
    """The database answers but holds no queue, or an older one."""


_BY_CODE: dict[str, type[QueueError]] = {
    error.code: error
    for error in (
        UnknownNameError,
        BadParametersError,
        NotPermittedError,
        DuplicateJobError,
        SystemColumnError,
        BadValueError,
        IllegalTransitionError,
        AlreadyFinalError,
        CancelNotRevocableError,
        LeaseLostError,
        ExecutorRefusedError,
        CatalogueRefusedError,
        BacklogFullError,
        TooLargeError,
    )
}


def translated(error: psycopg.Error) -> Exception:
    """The queue's own exception for a database error."""
    diagnostic = error.diag
    message = diagnostic.message_primary or str(error)
    if kind := _BY_CODE.get(error.sqlstate or ""):
        return kind(
            message,
            column=diagnostic.column_name or "",
            hint=diagnostic.message_hint or "",
            detail=diagnostic.message_detail or "",
            constraint=diagnostic.constraint_name or "",
        )
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return NotPermittedError(
            message, hint="Your database role lacks this right; ask an administrator for a calib_* role."
        )
    missing = (
        psycopg.errors.UndefinedTable,
        psycopg.errors.UndefinedFunction,
        psycopg.errors.InvalidSchemaName,
    )
    if isinstance(error, missing):
        return SchemaMissingError(f"{message}: run qdash-queue migrate against this database")
    if isinstance(error, (psycopg.errors.DataError, psycopg.errors.StatementTooComplex)):
        return BadValueError(message)
    if (trouble := _trouble(error, message)) is not None:
        return trouble
    refused = StatementRefusedError(f"PostgreSQL refused: {message}")
    refused.code = error.sqlstate or ""
    return refused


# A statement that was ended or ran out of time, a lock that was not to be had, a deadlock, no room, a standby
# that is read-only, a disk in trouble.
_NOT_NOW = ("57014", "55P03", "40", "53", "25006", "58")


def _trouble(error: psycopg.Error, message: str) -> DatabaseUnreachableError | None:
    """What passes, and is no answer to what was asked."""
    if error.diag.source_function == "RevalidateCachedQuery":
        return StatementOutdatedError(f"PostgreSQL cannot do it now: {message}")
    if isinstance(error, psycopg.errors.IdleInTransactionSessionTimeout):
        return DatabaseUnreachableError(
            "PostgreSQL ended this session: its transaction was idle for too long, and nothing of it is kept;"
            " commit sooner (10 seconds are allowed after a change that may hold up a running job)"
        )
    if is_connection_loss(error):
        return DatabaseUnreachableError(f"PostgreSQL does not answer: {message}")
    if (error.sqlstate or "").startswith(_NOT_NOW):
        return DatabaseBusyError(f"PostgreSQL cannot do it now: {message}")
    return None


# Ends of a session; the rest of class 57, such as a statement that ran out of time, leaves it alive.
_SESSION_ENDED = ("57P01", "57P02", "57P03", "57P04", "57P05", "25P03")


def is_connection_loss(error: psycopg.Error) -> bool:
    """Whether the connection is gone, as opposed to a statement that failed on a living one."""
    code = error.sqlstate
    if code is None:
        return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    return code.startswith("08") or code in _SESSION_ENDED
