"""Commands about the mirror."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from qdash_queue.cli.context import Json, Session
from qdash_queue.extras import require_extras

if TYPE_CHECKING:
    from pydantic import JsonValue

    from qdash_queue.cli.views import Views
    from qdash_queue.mirror import Mirror, MirrorLag
    from qdash_queue.mirror.read.rows import MarkLag

mirror = typer.Typer(help="The mirror of the queue in QDash's MongoDB: run, rebuild, retry, lag.")

_DAY = "%Y-%m-%d"


@mirror.command("run")
def run(context: typer.Context) -> None:
    """Keep QDash up to date until SIGTERM or Ctrl-C; retries during outages."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    session = Session.of(context, as_json=False)
    with _mirror(session) as mirror:
        mirror.run()


@mirror.command("rebuild")
def rebuild(
    context: typer.Context,
    *,
    job: Annotated[int | None, typer.Option(help="Only this job; everything by default.")] = None,
    day: Annotated[
        datetime | None,
        typer.Option(
            formats=[_DAY], help="Only jobs that first started on this day of the queue's time zone."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Rewrite QDash's documents and files from PostgreSQL."""
    if job is not None and day is not None:
        raise typer.BadParameter("expected --job or --day, got both")
    session = Session.of(context, as_json=json)
    with _mirror(session) as mirror:
        report = mirror.rebuild(job, day.date() if day is not None else None)
    words = f"{report.mirrored} jobs and chips are mirrored, {report.figures} figures were rendered"

    def tell(views: Views) -> None:
        views.say(words)
        for subject, reason in report.waiting.items():
            views.say(f"{subject} is pending: {reason}")
        for subject, refusals in report.refused.items():
            for refusal in refusals:
                views.say(f"{subject}: MongoDB rejects {refusal}")

    session.answer(report, tell)
    if report.waiting or report.refused:
        raise typer.Exit(1)


@mirror.command("retry")
def retry(
    context: typer.Context,
    *,
    job: Annotated[int | None, typer.Option(help="Only this job; all pending items by default.")] = None,
    json: Json = False,
) -> None:
    """Retry pending and dead-lettered items now."""
    session = Session.of(context, as_json=json)
    statement = "SELECT calib.retry_marks(CAST(%(job_id)s AS bigint))"
    marks = int(session.database.value(statement, job_id=job))
    session.done(f"items to retry: {marks}", marks=marks)


@mirror.command("lag")
def lag(context: typer.Context, *, json: Json = False) -> None:
    """Show what is not in QDash yet, and why."""
    session = Session.of(context, as_json=json)
    with _mirror(session) as mirror:
        found = mirror.lag()
    document: dict[str, JsonValue] = {
        "seconds": found.seconds,
        "mongo_problem": found.mongo_problem,
        "mirrors": [each.model_dump(mode="json") for each in found.mirrors],
        "marks": [mark.model_dump(mode="json") for mark in found.marks],
        "dead_letters": [mark.model_dump(mode="json") for mark in found.dead_letters],
    }
    session.answer(document, lambda views: _tell_lag(found, views))


def _tell_lag(found: MirrorLag, views: Views) -> None:
    if found.mongo_problem:
        views.say(found.mongo_problem)
    alive = [each for each in found.mirrors if each.alive]
    if not alive:
        views.say("no mirror is alive: start one with qdash-queue mirror run")
    for each in alive:
        if each.condition not in ("ready", found.mongo_problem):
            views.say(f"mirror {each.mirror_id}: {each.condition}")
    if found.marks:
        views.say(f"QDash is {found.seconds:.1f} s behind:")
        views.records([_waiting(mark) for mark in found.marks], "")
    elif not found.dead_letters:
        views.say("QDash is up to date")
    if found.dead_letters:
        views.say("dead letters, which MongoDB rejects; qdash-queue mirror retry retries them:")
        views.records([record for mark in found.dead_letters for record in _refused(mark)], "")


def _waiting(mark: MarkLag) -> dict[str, JsonValue]:
    return {
        "subject": mark.subject,
        "behind": f"{mark.lag_seconds:.1f} s",
        "attempts": mark.attempts,
        "reason": mark.last_error or "not reached yet",
    }


def _refused(mark: MarkLag) -> list[dict[str, JsonValue]]:
    return [
        {"subject": mark.subject, "document": each.document, "reason": each.reason, "remedy": each.remedy}
        for each in mark.refused
    ]


def _mirror(session: Session) -> Mirror:
    require_extras("the mirror", "mirror")
    from qdash_queue.mirror import Mirror  # noqa: PLC0415 - needs the extra "mirror"

    return Mirror.from_settings(session.settings)
