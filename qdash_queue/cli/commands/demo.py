"""The command that shows the whole system on its own servers and simulated chip."""

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
    keep: Annotated[bool, typer.Option("--keep", help="Keep everything running at the end.")] = False,
    stop: Annotated[
        Path | None,
        typer.Option(help="Stop what an earlier --keep left running in this folder.", show_default=False),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder of the figures.")] = Path("demo-output"),
    json: Json = False,
) -> None:
    """Run two jobs on a simulated chip. Exit status: 0 all steps were verified, else 1."""
    require_extras("the demo", "executor", "mirror", "embedded")
    from qdash_queue.cli.demo.report import DemoFailedError, DemoReport  # noqa: PLC0415
    from qdash_queue.cli.demo.run import run_demo, stop_kept  # noqa: PLC0415 - slow to load

    session = Session.of(context, as_json=json)
    if stop is not None:
        stopped = stop_kept(stop)
        session.done(
            f"stopped {', '.join(stopped) or 'nothing'} and removed {stop}", stopped=", ".join(stopped)
        )
        return
    report = DemoReport(on_stderr=json)
    try:
        summary = run_demo(report, output, keep=keep)
    except RefusedError:
        raise
    except KeyboardInterrupt as interrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from interrupt
    except Exception as error:
        refusal = refusal_of(error)
        if refusal is None and not isinstance(error, DemoFailedError):
            raise
        words = refusal.as_words() if refusal else str(error)
        failure = Refusal(f"the demo failed: {words}", refusal.code if refusal else "not_seen")
        typer.echo(failure.as_json() if json else failure.as_words(), err=True)
        raise typer.Exit(1) from error
    session.answer(summary, lambda _views: None)
