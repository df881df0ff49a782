"""From the errors of psycopg to the exceptions of the queue."""

from __future__ import annotations

import psycopg

from qdash_queue.errors import (
    AlreadyFinalError,
    BacklogFullError,
    BadParametersError,
    BadValueError,
    CancelNotRevocableError,
    CatalogueRefusedError,
    DatabaseBusyError,
    DatabaseUnreachableError,
    DuplicateJobError,
    ExecutorRefusedError,
    IllegalTransitionError,
    LeaseLostError,
    NotPermittedError,
    QueueError,
    SchemaMissingError,
    StatementOutdatedError,
    StatementRefusedError,
    SystemColumnError,
    TooLargeError,
    UnknownNameError,
)

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
    if (temporary := _temporary_error(error, message)) is not None:
        return temporary
    refused = StatementRefusedError(f"PostgreSQL refused: {message}")
    refused.code = error.sqlstate or ""
    return refused


# A statement that was ended or ran out of time, a lock that was not to be had, a deadlock, no room, a standby
# that is read-only, a disk in trouble.
_TEMPORARY = ("57014", "55P03", "40", "53", "25006", "58")


def _temporary_error(error: psycopg.Error, message: str) -> DatabaseUnreachableError | None:
    """A temporary error that is not an answer to the request."""
    if error.diag.source_function == "RevalidateCachedQuery":
        return StatementOutdatedError(f"PostgreSQL cannot do it now: {message}")
    if isinstance(error, psycopg.errors.IdleInTransactionSessionTimeout):
        return DatabaseUnreachableError(
            "PostgreSQL ended this session: its transaction was idle for too long, and nothing of it is kept;"
            " commit sooner (10 seconds are allowed after a change that may hold up a running job)"
        )
    if is_connection_loss(error):
        return DatabaseUnreachableError(f"PostgreSQL does not answer: {message}")
    if (error.sqlstate or "").startswith(_TEMPORARY):
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
