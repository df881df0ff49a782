"""Errors as one sentence, with an exit status for each kind."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import typer
from typer.core import TyperGroup

from qdash_queue.cli.escapes import printable
from qdash_queue.errors import QdashQueueError
from qdash_queue.extras import MissingExtraError

EXIT_REFUSED = 3
"""The request was refused: wrong usage, no right, unknown name, too late."""
EXIT_UNREACHABLE = 4
"""A needed server is unreachable, not configured or without the schema; or an extra is not installed."""
EXIT_INTERRUPTED = 130


class RefusedError(QdashQueueError):
    """The command line itself refuses, before it calls a server."""

    def __init__(self, message: str, *, column: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.column = column
        self.hint = hint


@dataclass(frozen=True)
class Refusal:
    """An error as a person or a program reads it; ``code`` is a SQLSTATE or a short word."""

    message: str
    code: str
    column: str = ""
    hint: str = ""
    detail: str = ""

    @property
    def exit_status(self) -> int:
        """See the constants of this module."""
        return EXIT_UNREACHABLE if self.code == "unreachable" else EXIT_REFUSED

    def as_words(self) -> str:
        """One sentence on one line, with the hint."""
        sentence = " ".join(self.message.split())
        return printable(f"{sentence} ({' '.join(self.hint.split()).rstrip('.')})" if self.hint else sentence)

    def as_json(self) -> str:
        """One JSON object on one line."""
        return printable(json.dumps({"error": asdict(self)}, ensure_ascii=False))


class ErrorReportingGroup(TyperGroup):
    """The root of all commands: what a user can cause ends in a :class:`Refusal`, never in a traceback."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - Typer's signature
        windows_expand_args: bool = True,  # noqa: FBT001, FBT002 - Typer's signature
        **extra: Any,
    ) -> Any:
        """Run a command and leave with its exit status."""
        given = sys.argv[1:] if args is None else list(args)

        def run() -> Any:
            return super(ErrorReportingGroup, self).main(
                given,
                prog_name,
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )

        if not standalone_mode:
            return run()
        sys.exit(_status(run, as_json="--json" in given))


def _status(run: Callable[[], Any], *, as_json: bool) -> int:
    try:
        result = run()
    except typer.Abort:
        return EXIT_INTERRUPTED
    except Exception as error:
        refusal = refusal_of(error)
        if refusal is None:
            raise
        if isinstance(error, OSError) and not error.filename:
            # What could not be written would be tried, and reported, once more as Python ends.
            with contextlib.suppress(OSError):
                sys.stdout.close()
        typer.echo(refusal.as_json() if as_json else refusal.as_words(), err=True)
        return refusal.exit_status
    return result if isinstance(result, int) else 0


def refusal_of(error: Exception) -> Refusal | None:
    """The error in words; None for one that no user can cause."""
    if isinstance(error, typer.TyperException):
        return _bad_words(error)
    if isinstance(error, RefusedError):
        return Refusal(str(error), "usage", error.column, error.hint)
    if isinstance(error, MissingExtraError):
        return Refusal(str(error), "unreachable")
    return _of_queue(error) or _of_servers(error) or _of_libraries(error)


def _bad_words(error: typer.TyperException) -> Refusal:
    context = getattr(error, "ctx", None)
    hint = f"{context.command_path} --help shows the usage" if context is not None else ""
    parameter = getattr(error, "param", None)
    return Refusal(error.format_message(), "usage", getattr(parameter, "name", None) or "", hint)


def _of_queue(error: Exception) -> Refusal | None:
    from qdash_queue.errors import (  # noqa: PLC0415 - only a failure needs it
        DatabaseUnreachableError,
        QueueError,
        SchemaMissingError,
    )

    if isinstance(error, QueueError):
        return Refusal(str(error), error.code, error.column, error.hint, error.detail)
    if isinstance(error, DatabaseUnreachableError):
        return Refusal(str(error), "unreachable", "", "qdash-queue doctor reports what is missing")
    if isinstance(error, SchemaMissingError):
        return Refusal(str(error), "unreachable")
    return None


def _of_servers(error: Exception) -> Refusal | None:
    from qdash_queue.embedded.process import EmbeddedServerError  # noqa: PLC0415 - only a failure needs it
    from qdash_queue.migrate import MigrationError  # noqa: PLC0415

    if isinstance(error, EmbeddedServerError | MigrationError):
        return Refusal(str(error), "unreachable")
    if "qdash_queue.mirror" not in sys.modules:
        return None
    from qdash_queue.mirror import MongoUnreachableError, NothingToMirrorError  # noqa: PLC0415 - needs an extra

    if isinstance(error, MongoUnreachableError):
        return Refusal(str(error), "unreachable")
    return Refusal(str(error), "CQ001") if isinstance(error, NothingToMirrorError) else None


def _of_libraries(error: Exception) -> Refusal | None:
    import psycopg  # noqa: PLC0415 - only a failure needs it
    import sqlalchemy.exc  # noqa: PLC0415

    from qdash_queue.settings import SettingsError  # noqa: PLC0415

    if isinstance(error, sqlalchemy.exc.DBAPIError) and isinstance(error.orig, psycopg.Error):
        error = error.orig
    if isinstance(error, psycopg.Error):
        words = error.diag.message_primary or str(error).partition("\n")[0]
        return Refusal(f"PostgreSQL refused: {words}", error.sqlstate or "database")
    if isinstance(error, OSError) and error.strerror:
        where = error.filename or "the answer could not be written"
        return Refusal(f"{where}: {error.strerror}", "file")
    if isinstance(error, SettingsError):
        return Refusal(str(error), "settings", error.variable)
    return None
