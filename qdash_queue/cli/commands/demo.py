"""The command that shows the whole line at work, on servers and a simulated chip of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qdash_queue.cli.context import Json, Session
from qdash_queue.cli.error_messages import EXIT_INTERRUPTED, Refusal, RefusedError, refusal_of
from qdash_queue.extras import require_extras


def demo(
    context: typer.Context,
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything up at the end.")] = False,
    stop: Annotated[
        Path | None,
        typer.Option(help="Stop what an earlier --keep left up in this folder.", show_default=False),
    ] = None,
    output: Annotated[Path, typer.Option(help="Where the figures are kept.")] = Path("demo-output"),
    json: Json = False,
) -> None:
    """Run two jobs on a simulated chip, from nothing. Exit status: 0 all that it claims was seen, else 1."""
    require_extras("the demo", "executor", "mirror", "embedded")
    from qdash_queue.cli.demo.report import NotSeenError, Story  # noqa: PLC0415
    from qdash_queue.cli.demo.run import play, stop_kept  # noqa: PLC0415 - slow to load

    session = Session.of(context, as_json=json)
    if stop is not None:
        stopped = stop_kept(stop)
        session.done(
            f"stopped {', '.join(stopped) or 'nothing'} and removed {stop}", stopped=", ".join(stopped)
        )
        return
    story = Story(on_stderr=json)
    try:
        summary = play(story, output, keep=keep)
    except RefusedError:
        raise
    except KeyboardInterrupt as interrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from interrupt
    except Exception as error:
        refusal = refusal_of(error)
        if refusal is None and not isinstance(error, NotSeenError):
            raise
        words = refusal.as_words() if refusal else str(error)
        failure = Refusal(f"the demo failed: {words}", refusal.code if refusal else "not_seen")
        typer.echo(failure.as_json() if json else failure.as_words(), err=True)
        raise typer.Exit(1) from error
    session.answer(summary, lambda _views: None)
