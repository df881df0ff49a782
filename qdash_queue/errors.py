"""The exceptions of the queue: one for each answer of the database, so that callers never read SQLSTATEs."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SHOWN_CHARACTERS = 60
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


class QdashQueueError(Exception):
    """The root of all exceptions of this distribution."""


class QueueError(QdashQueueError):
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
    """A cancel cannot be revoked or weakened."""

    code = "CQ012"


class LeaseLostError(QueueError):
    """The lease is not known: another executor may drive the chip. Stop the instrument at once."""

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
    """PostgreSQL refused a statement for a reason of its own, not the queue's; ``code`` is its SQLSTATE."""


class DatabaseUnreachableError(QdashQueueError):
    """PostgreSQL does not answer."""


class DatabaseBusyError(DatabaseUnreachableError):
    """PostgreSQL answers, but cannot do it now: nothing was done, and the statement may be repeated."""


class StatementOutdatedError(DatabaseBusyError):
    """A migration changed what a prepared statement returns: this connection will not run it again."""


class SchemaMissingError(QdashQueueError):
    """The schema is not installed in the database, or is an older one."""
