"""Commands about chips, their tasks and their executors."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from qdash_queue.cli.context import Json, Session

ChipId = Annotated[str, typer.Argument(help="The chip.", show_default=False)]

chips = typer.Typer(help="List, add, change and retire chips.", invoke_without_command=True)
executors = typer.Typer(
    help="List executors; allow or disallow a role to serve a chip.", invoke_without_command=True
)


@chips.callback()
def list_chips(context: typer.Context, *, json: Json = False) -> None:
    """List the chips."""
    if context.invoked_subcommand is None:
        session = Session.of(context, as_json=json)
        found = session.queue.chips()
        session.answer(found, lambda views: views.chips(found, session.queue.executors()))


@chips.command("add")
def add_chip(
    context: typer.Context,
    chip_id: ChipId,
    *,
    backend: Annotated[
        Literal["fake", "qubex"],
        typer.Option(help="Backend; cannot be changed later.", show_default=False),
    ],
    topology: Annotated[
        str,
        typer.Option(help="square-lattice-mux-16, linear-4, …; cannot be changed later.", show_default=False),
    ],
    json: Json = False,
) -> None:
    """Add a chip with its qubits and couplings."""
    session = Session.of(context, as_json=json)
    session.admin.add_chip(chip_id, backend, topology)
    chip = session.queue.chip(chip_id)
    session.answer(chip, lambda views: views.chips([chip]))


@chips.command("set")
def set_chip(
    context: typer.Context,
    chip_id: ChipId,
    *,
    max_waiting: Annotated[int | None, typer.Option(help="Maximum number of waiting jobs.")] = None,
    max_waiting_per_project: Annotated[
        int | None, typer.Option(help="Maximum number of waiting jobs of one project.")
    ] = None,
    submitter_priority: Annotated[
        int | None, typer.Option(help="Highest priority that a submitter may give.")
    ] = None,
    json: Json = False,
) -> None:
    """Change a chip's limits: how many jobs may wait, and how high a submitter may put its own."""
    session = Session.of(context, as_json=json)
    session.admin.set_chip(
        chip_id,
        max_waiting,
        max_waiting_per_project=max_waiting_per_project,
        submitter_priority=submitter_priority,
    )
    chip = session.queue.chip(chip_id)
    session.answer(chip, lambda views: views.chips([chip]))


@chips.command("retire")
def retire_chip(context: typer.Context, chip_id: ChipId, *, json: Json = False) -> None:
    """Retire a chip: it accepts no jobs, waiting ones are cancelled, all data stay readable."""
    session = Session.of(context, as_json=json)
    cancelled = session.admin.retire_chip(chip_id)
    session.done(
        f"chip {chip_id} is retired; waiting jobs cancelled: {cancelled}",
        chip_id=chip_id,
        cancelled=cancelled,
    )


def pause(
    context: typer.Context,
    chip_id: ChipId,
    *,
    reason: Annotated[str, typer.Option(help="Reason, shown by waiting jobs.", show_default=False)],
    json: Json = False,
) -> None:
    """Stop starting new jobs on a chip; the running job continues."""
    session = Session.of(context, as_json=json)
    chip = session.queue.pause_chip(chip_id, reason)
    session.answer(chip, lambda views: views.say(f"chip {chip_id} is paused: {reason}"))


def resume(context: typer.Context, chip_id: ChipId, *, json: Json = False) -> None:
    """Start jobs on a chip again."""
    session = Session.of(context, as_json=json)
    chip = session.queue.resume_chip(chip_id)
    session.answer(chip, lambda views: views.say(f"chip {chip_id} takes jobs again"))


def tasks(context: typer.Context, chip_id: ChipId, *, json: Json = False) -> None:
    """List the tasks that jobs on a chip can run."""
    session = Session.of(context, as_json=json)
    session.queue.chip(chip_id)
    found = session.queue.tasks(chip_id)
    session.answer(found, lambda views: views.tasks(found))


@executors.callback()
def list_executors(context: typer.Context, *, json: Json = False) -> None:
    """List the executors that have not stopped cleanly."""
    if context.invoked_subcommand is None:
        session = Session.of(context, as_json=json)
        found = session.queue.executors()
        session.answer(found, lambda views: views.executors(found))


@executors.command("allow")
def allow_executor(
    context: typer.Context,
    role_name: Annotated[str, typer.Argument(help="Database role.", show_default=False)],
    chip_id: ChipId,
    *,
    json: Json = False,
) -> None:
    """Permit a database role to serve a chip."""
    session = Session.of(context, as_json=json)
    session.admin.allow_executor(role_name, chip_id)
    session.done(f"{role_name} may serve chip {chip_id}", role_name=role_name, chip_id=chip_id)


@executors.command("disallow")
def disallow_executor(
    context: typer.Context,
    role_name: Annotated[
        str, typer.Argument(help="Database role; for a dropped role, its number.", show_default=False)
    ],
    chip_id: ChipId,
    *,
    json: Json = False,
) -> None:
    """Withdraw a database role's permission to serve a chip; a job that it runs there loses its lease."""
    session = Session.of(context, as_json=json)
    session.admin.disallow_executor(role_name, chip_id)
    session.done(f"{role_name} may not serve chip {chip_id}", role_name=role_name, chip_id=chip_id)
