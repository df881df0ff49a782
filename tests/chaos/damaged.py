"""Copies of a clean history, in the databases and in QDash, that tests damage."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from qdash_queue.mirror import Mirror
from qdash_queue.mirror.write.qdash_lookup import QDashDatabase
from tests.chaos.audit_mirror import audit_mirror
from tests.chaos.auditor import Connection, Violation, audit
from tests.chaos.job_history import JobHistory

Note = Callable[[Iterable[Violation]], None]
"""Remembers what the auditor found."""


@dataclass
class Copy:
    """A copy of the clean history, to be damaged."""

    history: JobHistory
    connection: Connection
    note: Note

    def audit(self) -> list[Violation]:
        """What the auditor finds."""
        violations = audit(self.connection)
        self.note(violations)
        return violations

    def found(self) -> set[str]:
        """The names of the checks that found something; Prefect and the mirror are taken to be up to date."""
        self.history.settle()
        self.connection.execute("DELETE FROM calib_private.outbox")
        return {violation.check for violation in self.audit()}

    def change(self, function: str, before: str, after: str) -> None:
        """Replace a piece of a function of the database, in the one that has it."""
        schema, name = function.split(".")
        rows = self.connection.execute(
            "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = %s::regnamespace"
            " AND proname = %s AND strpos(prosrc, %s) > 0",
            (schema, name, before),
        ).fetchall()
        [(text,)] = rows
        self.connection.execute(str(text).replace(before, after).encode())


@dataclass
class Mirrored:
    """The clean history as QDash shows it, to be damaged."""

    connection: Connection
    qdash: QDashDatabase
    data_path: Path
    mirror: Mirror
    note: Note

    def found(self) -> set[str]:
        """What the auditor finds."""
        violations = audit_mirror(self.connection, self.qdash, self.data_path)
        self.note(violations)
        return {str(violation) for violation in violations}
