"""Commands about retention: show and set the policy, prune."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qdash_queue.cli.amounts import age, moment
from qdash_queue.cli.context import Json, Session
from qdash_queue.cli.error_messages import RefusedError
from qdash_queue.cli.inputs import kept_for

if TYPE_CHECKING:
    from datetime import timedelta

    from qdash_queue.cli.views import Views
    from qdash_queue.client.retention import RetentionPolicy

Age = Annotated[
    str | None,
    typer.Option(
        metavar="AGE", help="Such as 90d, 12h or forever; unchanged if omitted.", show_default=False
    ),
]
PARTS = ("jobs", "events", "figures", "raw_data")

retention = typer.Typer(help="How long finished jobs are kept: show, set, run.")


@retention.command("show")
def show(context: typer.Context, *, json: Json = False) -> None:
    """Show how long jobs and their parts are kept after their end."""
    session = Session.of(context, as_json=json)
    _show(session, session.retention.policy())


@retention.command("set")
def set_policy(
    context: typer.Context,
    *,
    jobs: Age = None,
    events: Age = None,
    figures: Age = None,
    raw_data: Age = None,
    json: Json = False,
) -> None:
    """Change how long jobs, with all their data, or parts of them are kept."""
    given = {"jobs": jobs, "events": events, "figures": figures, "raw_data": raw_data}
    ages = {part: kept_for(text, part) for part, text in given.items() if text is not None}
    if not ages:
        raise RefusedError("expected at least one of --jobs, --events, --figures and --raw-data, got none")
    session = Session.of(context, as_json=json)
    policy: dict[str, timedelta | None] = session.retention.policy().model_dump(include=set(PARTS))
    session.retention.set(**(policy | ages))
    _show(session, session.retention.policy())


@retention.command("run")
def run(context: typer.Context, *, json: Json = False) -> None:
    """Prune what is older than the policy, in small batches; the mirror does the same when it is idle."""
    session = Session.of(context, as_json=json)
    pruned = session.retention.run()
    counts = ", ".join(f"{count} {part.replace('_', ' ')}" for part, count in pruned.model_dump().items())
    session.answer(pruned, lambda views: views.say(f"pruned: {counts}"))


def _show(session: Session, policy: RetentionPolicy) -> None:
    def tell(views: Views) -> None:
        for part in PARTS:
            views.say(f"{part.replace('_', ' '):<10}{age(getattr(policy, part))}")
        views.say(f"set by {policy.set_by}, {moment(policy.set_at)}")

    session.answer(policy, tell)
