"""Commands about chips, what may be asked for on them, and who serves them."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from qdash_queue.cli.context import Json, Session

ChipId = Annotated[str, typer.Argument(help="The chip.", show_default=False)]

chips = typer.Typer(help="Chips: list them, add, change and retire one.", invoke_without_command=True)
executors = typer.Typer(
    help="Executors: list them, allow a role to serve a chip or not.", invoke_without_command=True
)


@chips.callback()
def list_chips(context: typer.Context, *, json: Json = False) -> None:
    """List the chips."""
    if context.invoked_subcommand is None:
        session = Session.of(context, as_json=json)
        found = session.queue.chips()
        session.answer(found, lambda views: views.chips(found))


@chips.command("add")
def add_chip(
    context: typer.Context,
    chip_id: ChipId,
    *,
    backend: Annotated[
        Literal["fake", "qubex"], typer.Option(help="What drives it, for ever.", show_default=False)
    ],
    topology: Annotated[
        str, typer.Option(help="Such as square-lattice-mux-16 or linear-4, for ever.", show_default=False)
    ],
    json: Json = False,
) -> None:
    """Make a chip with its qubits and couplings."""
    session = Session.of(context, as_json=json)
    session.admin.add_chip(chip_id, backend, topology)
    chip = session.queue.chip(chip_id)
    session.answer(chip, lambda views: views.chips([chip]))


@chips.command("set")
def set_chip(
    context: typer.Context,
    chip_id: ChipId,
    *,
    max_waiting: Annotated[int, typer.Option(help="How many jobs may wait for it.", show_default=False)],
    json: Json = False,
) -> None:
    """Change how many jobs may wait for a chip."""
    session = Session.of(context, as_json=json)
    session.admin.set_chip(chip_id, max_waiting)
    chip = session.queue.chip(chip_id)
    session.answer(chip, lambda views: views.chips([chip]))


@chips.command("retire")
def retire_chip(context: typer.Context, chip_id: ChipId, *, json: Json = False) -> None:
    """Let nothing be asked of a chip any more: waiting jobs are cancelled, everything can still be read."""
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
    reason: Annotated[str, typer.Option(help="Why; waiting jobs show it.", show_default=False)],
    json: Json = False,
) -> None:
    """Let no further job start on a chip; the running one goes on."""
    session = Session.of(context, as_json=json)
    chip = session.queue.pause_chip(chip_id, reason)
    session.answer(chip, lambda views: views.say(f"chip {chip_id} is paused: {reason}"))


def resume(context: typer.Context, chip_id: ChipId, *, json: Json = False) -> None:
    """Let jobs start again on a chip."""
    session = Session.of(context, as_json=json)
    chip = session.queue.resume_chip(chip_id)
    session.answer(chip, lambda views: views.say(f"chip {chip_id} takes jobs again"))


def tasks(context: typer.Context, chip_id: ChipId, *, json: Json = False) -> None:
    """List the tasks that may be asked for on a chip."""
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
    role_name: Annotated[str, typer.Argument(help="A role of the database.", show_default=False)],
    chip_id: ChipId,
    *,
    json: Json = False,
) -> None:
    """Let a database role serve a chip."""
    session = Session.of(context, as_json=json)
    session.admin.allow_executor(role_name, chip_id)
    session.done(f"{role_name} may serve chip {chip_id}", role_name=role_name, chip_id=chip_id)


@executors.command("disallow")
def disallow_executor(
    context: typer.Context,
    role_name: Annotated[
        str, typer.Argument(help="A role of the database; of a dropped one its number.", show_default=False)
    ],
    chip_id: ChipId,
    *,
    json: Json = False,
) -> None:
    """Let a database role serve a chip no more; a job that it runs there loses its lease."""
    session = Session.of(context, as_json=json)
    session.admin.disallow_executor(role_name, chip_id)
    session.done(f"{role_name} may not serve chip {chip_id}", role_name=role_name, chip_id=chip_id)
