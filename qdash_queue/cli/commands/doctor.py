"""The command that reports problems and how to fix them."""

from __future__ import annotations

import typer

from qdash_queue.cli.context import Json, Session


def doctor(context: typer.Context, *, json: Json = False) -> None:
    """Report problems and how to fix them. Exit status: 0 no problem, else 1."""
    from qdash_queue.cli.doctor.findings import Level  # noqa: PLC0415 - slow to load
    from qdash_queue.cli.doctor.postgres import examine  # noqa: PLC0415

    session = Session.of(context, as_json=json)
    found = examine(session.settings)
    session.answer(found, lambda views: views.findings(found))
    if any(finding.level is Level.PROBLEM for finding in found):
        raise typer.Exit(1)
