"""Commands about the mirror."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from qdash_queue.cli.session import Json, Session

if TYPE_CHECKING:
    from pydantic import JsonValue

    from qdash_queue.cli.views import Views
    from qdash_queue.mirror import Mirror, MirrorLag

mirror = typer.Typer(help="The mirror of the queue in QDash's MongoDB: run, rebuild, lag.")


@mirror.command("run")
def run(context: typer.Context) -> None:
    """Keep QDash equal to the queue until SIGTERM or Ctrl-C; outages are waited out."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    session = Session.of(context, as_json=False)
    with _mirror(session) as mirror:
        mirror.run()


@mirror.command("rebuild")
def rebuild(
    context: typer.Context,
    *,
    job: Annotated[int | None, typer.Option(help="Only this job; everything if left out.")] = None,
    json: Json = False,
) -> None:
    """Write QDash's documents and files again from PostgreSQL."""
    session = Session.of(context, as_json=json)
    with _mirror(session) as mirror:
        report = mirror.rebuild(job)
    words = f"{report.mirrored} jobs and chips are mirrored, {report.figures} figures were rendered"

    def tell(views: Views) -> None:
        views.say(words)
        for subject, reason in report.waiting.items():
            views.say(f"{subject} waits: {reason}")

    session.answer(report, tell)
    if report.waiting:
        raise typer.Exit(1)


@mirror.command("lag")
def lag(context: typer.Context, *, json: Json = False) -> None:
    """Tell what QDash does not show yet, and why."""
    session = Session.of(context, as_json=json)
    with _mirror(session) as mirror:
        found = mirror.lag()
    document: dict[str, JsonValue] = {
        "seconds": found.seconds,
        "mongo_problem": found.mongo_problem,
        "marks": [mark.model_dump(mode="json") for mark in found.marks],
    }
    session.answer(document, lambda views: _tell_lag(found, views))


def _tell_lag(found: MirrorLag, views: Views) -> None:
    if found.mongo_problem:
        views.say(found.mongo_problem)
    if not found.marks:
        views.say("QDash shows everything")
        return
    views.say(f"QDash is {found.seconds:.1f} s behind:")
    records: list[dict[str, JsonValue]] = [
        {
            "subject": f"job {mark.job_id}" if mark.job_id is not None else f"chip {mark.chip_id}",
            "behind": f"{mark.lag_seconds:.1f} s",
            "tries": mark.attempts,
            "why": mark.last_error or "not reached yet",
        }
        for mark in found.marks
    ]
    views.records(records, "")


def _mirror(session: Session) -> Mirror:
    from qdash_queue.mirror import Mirror  # noqa: PLC0415 - needs the extra "mirror"

    return Mirror.from_settings(session.settings)
