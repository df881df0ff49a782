"""The root of the command line: every command and where it lives."""

from __future__ import annotations

from typing import Annotated

import typer

from qdash_queue.cli.commands import (
    chips,
    doctor,
    jobs,
    members,
    mirror,
    parameters,
    retention,
    servers,
    setup,
    why,
)
from qdash_queue.cli.commands.demo import demo
from qdash_queue.cli.context import Session
from qdash_queue.cli.error_messages import ErrorReportingGroup
from qdash_queue.cli.request_options import EditCommand, RequestCommand

app = typer.Typer(
    cls=ErrorReportingGroup,
    help="Submit qubit calibrations, watch them, and run the services that they need.",
    epilog="Exit status: 0 done, 3 refused, 4 server unreachable; watch, doctor and demo have their own.",
    # Plain help loads in half the time.
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
)


@app.callback()
def root(
    context: typer.Context,
    *,
    database_url: Annotated[
        str, typer.Option(help="PostgreSQL URL; QDASH_QUEUE_DATABASE_URL by default.", show_default=False)
    ] = "",
) -> None:
    """Open the session that every command uses."""
    context.obj = Session(database_url)
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command(cls=RequestCommand)(jobs.submit)
app.command(cls=EditCommand)(jobs.edit)
for command in (
    servers.up,
    servers.migrate,
    setup.setup,
    doctor.doctor,
    demo,
    jobs.jobs,
    jobs.show,
    jobs.watch,
    jobs.cancel,
    jobs.requeue,
    jobs.rerun,
    jobs.events,
    why.why,
    chips.pause,
    chips.resume,
    chips.tasks,
):
    app.command()(command)


app.add_typer(chips.chips, name="chips")
app.add_typer(chips.executors, name="executors")
app.add_typer(members.projects, name="projects")
app.add_typer(members.members, name="members")
app.add_typer(parameters.parameters, name="parameters")
app.add_typer(mirror.mirror, name="mirror")
app.add_typer(retention.retention, name="retention")
