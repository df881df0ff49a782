"""The command that says why a job waits."""

from __future__ import annotations

import typer

from qdash_queue.cli.commands.jobs import JobId
from qdash_queue.cli.context import Json, Session


def why(context: typer.Context, job_id: JobId, *, json: Json = False) -> None:
    """Say why a job waits, and when that is over at the latest."""
    session = Session.of(context, as_json=json)
    reason = session.queue.why(job_id)
    until = f" (at the latest at {reason.clears_at:%Y-%m-%d %H:%M:%S %Z})" if reason.clears_at else ""
    words = reason.sentence if reason.kind == "not_waiting" else f"job {job_id} waits: {reason.sentence}"
    session.answer(reason, lambda views: views.say(f"{words}{until}"))
