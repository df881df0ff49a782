"""Proves from PostgreSQL alone that nothing was lost, doubled or ended wrongly; knows only the contract.

Every check is one query whose rows are violations in words. A check trusts no other part of the queue: the
event log is replayed by itself, and what the flows measured names the fence of the process that measured it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

Connection = psycopg.Connection[tuple[object, ...]]

LEGAL = {
    (None, "scheduled"): "submitted",
    ("scheduled", "running"): "claimed",
    ("scheduled", "cancelled"): "cancelled",
    ("running", "scheduled"): "requeued",
    ("running", "completed"): "completed",
    ("running", "failed"): "failed",
    ("running", "cancelled"): "cancelled",
}
TERMINAL = ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken: which check found it, and what."""

    check: str
    words: str

    def __str__(self) -> str:
        return f"{self.check}: {self.words}"


CHECKS = Path(__file__).with_name("checks.sql")


def read_checks() -> dict[str, str]:
    """Every query of the file by its name."""
    parts = CHECKS.read_text().split("\n-- check: ")[1:]
    return dict(part.split("\n", maxsplit=1) for part in parts)


def audit(connection: Connection) -> list[Violation]:
    """Everything that PostgreSQL alone can prove, as a role that may read all."""
    found = [
        Violation(name, str(words))
        for name, query in read_checks().items()
        for (words,) in connection.execute(query.encode())
    ]
    return found + replay(connection)


def replay(connection: Connection) -> list[Violation]:
    """Walk each job's events from nothing to its end, and compare with the row."""
    check = "the event log tells the state"
    states: dict[int, str | None] = {}
    found = []
    rows = connection.execute(
        "SELECT job_id, event, old_state, new_state FROM calib.job_events"
        " WHERE new_state IS NOT NULL ORDER BY event_id"
    )
    for job_id, event, old_state, new_state in rows:
        number = int(str(job_id))
        before = states.get(number)
        if old_state != before:
            found.append(
                Violation(check, f"job {number}: event {event} starts from {old_state}, the job was {before}")
            )
        if LEGAL.get((_word(old_state), str(new_state))) != event:
            found.append(
                Violation(check, f"job {number}: event {event} cannot lead from {old_state} to {new_state}")
            )
        states[number] = str(new_state)
    for job_id, state in connection.execute("SELECT job_id, state FROM calib.jobs ORDER BY job_id"):
        told = states.pop(int(str(job_id)), None)
        if told != state:
            found.append(Violation(check, f"job {job_id} is {state}, its events say {told}"))
    found += [Violation(check, f"job {number} has events and no row") for number in states]
    return found


def audit_clients(
    connection: Connection, accepted: Mapping[str, int], unanswered: Iterable[str]
) -> list[Violation]:
    """Every job that was accepted is there once, under its number."""
    check = "what was accepted is there"
    there: dict[str, list[int]] = {}
    for ticket, job_id in connection.execute("SELECT note ->> 'ticket', job_id FROM calib.jobs"):
        there.setdefault(str(ticket), []).append(int(str(job_id)))
    found = [
        Violation(check, f"ticket {ticket} was accepted as job {job_id}, there is {there.get(ticket)}")
        for ticket, job_id in accepted.items()
        if there.get(ticket) != [job_id]
    ]
    known = set(accepted) | set(unanswered)
    return found + [
        Violation(check, f"job {jobs} was submitted by no client")
        for ticket, jobs in there.items()
        if ticket not in known
    ]


def _word(value: object) -> str | None:
    return None if value is None else str(value)
