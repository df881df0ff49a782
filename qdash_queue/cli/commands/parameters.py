"""Commands about calibrated values."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, cast

import typer

from qdash_queue.cli.context import Json, Session
from qdash_queue.cli.error_messages import RefusedError
from qdash_queue.cli.inputs import DESIGN_QUBITS, design_values, json_object, zoned

if TYPE_CHECKING:
    from qdash_queue.client.models import Chip
    from qdash_queue.client.parameters import ParameterValues

ChipId = Annotated[str, typer.Argument(help="The chip.", show_default=False)]
Qid = Annotated[
    str, typer.Argument(help='A qubit such as "0" or a coupling such as "0-1".', show_default=False)
]
Name = Annotated[str, typer.Argument(help="The parameter, such as qubit_frequency.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Reason, kept in the history.", show_default=False)]
Force = Annotated[
    bool, typer.Option("--force", help="Keep a value that is not what its name stands for; needs --reason.")
]

parameters = typer.Typer(help="Calibrated values: show, import, set, revert, history.")


@parameters.command("show")
def show(
    context: typer.Context,
    chip_id: ChipId,
    *,
    qids: Annotated[list[str] | None, typer.Option(help="Only of these: 0,1; may be repeated.")] = None,
    as_of: Annotated[datetime | None, typer.Option(help="Values at this instant, local time.")] = None,
    json: Json = False,
) -> None:
    """Show the current values, or those at an instant."""
    session = Session.of(context, as_json=json)
    wanted = [word.strip() for value in qids or [] for word in value.split(",")] or None
    at = zoned(as_of)
    values = session.parameters(chip_id)
    found = values.current(wanted) if at is None else values.as_of(at)
    if at is not None and wanted is not None:
        found = [value for value in found if value.qid in wanted]
    session.answer(found, lambda views: views.parameters(found))


@parameters.command("history")
def history(context: typer.Context, chip_id: ChipId, qid: Qid, name: Name, *, json: Json = False) -> None:
    """Show all versions of one value, newest first."""
    session = Session.of(context, as_json=json)
    found = session.parameters(chip_id).history(qid, name)
    session.answer(found, lambda views: views.parameters(found))


@parameters.command("import")
def import_values(
    context: typer.Context,
    chip_id: ChipId,
    file: Annotated[
        str | None,
        typer.Argument(
            help='A JSON file: {"0": {"qubit_frequency": {"value": 4.2, "unit": "GHz"}}}.', show_default=False
        ),
    ] = None,
    *,
    design: Annotated[
        bool, typer.Option("--design", help="The design values of a simulated chip of 16 qubits, no file.")
    ] = False,
    reason: Annotated[
        str | None,
        typer.Option(help="Reason, kept in the history; optional with --design.", show_default=False),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Import the values of a file, all or none; or, with --design, those of a simulated chip."""
    if design == (file is not None):
        raise typer.BadParameter(f"expected a file or --design, got {'both' if design else 'neither'}")
    if reason is None and (force or not design):
        raise typer.BadParameter("expected a reason, got nothing", param_hint="--reason")
    session = Session.of(context, as_json=json)
    if design:
        _expect_simulated(session.queue.chip(chip_id))
        values = design_values()
    else:
        # What stands under each qubit, the database checks, and says in words what is wrong with it.
        values = cast("ParameterValues", json_object(f"@{file}", "file"))
    why = "design values" if reason is None else reason
    count = session.parameters(chip_id).import_values(values, why, force=force)
    session.done(f"{count} values imported into chip {chip_id}", chip_id=chip_id, count=count)


@parameters.command("set", context_settings={"ignore_unknown_options": True})
def set_value(
    context: typer.Context,
    chip_id: ChipId,
    qid: Qid,
    name: Name,
    value: Annotated[float, typer.Argument(help="The value.", show_default=False)],
    *,
    unit: Annotated[str, typer.Option(help="Its unit.", show_default=False)],
    error: Annotated[float, typer.Option(help="One standard deviation, in the same unit.")] = 0.0,
    reason: Reason,
    force: Force = False,
    json: Json = False,
) -> None:
    """Set one value by hand."""
    session = Session.of(context, as_json=json)
    session.parameters(chip_id).set(qid, name, value, unit=unit, reason=reason, error=error, force=force)
    _show_newest(session, chip_id, qid, name)


@parameters.command("revert")
def revert(
    context: typer.Context,
    chip_id: ChipId,
    qid: Qid,
    name: Name,
    *,
    as_of: Annotated[datetime, typer.Option(help="Instant of the value, local time.", show_default=False)],
    reason: Reason,
    json: Json = False,
) -> None:
    """Restore the value of an instant."""
    session = Session.of(context, as_json=json)
    at = zoned(as_of) or as_of
    session.parameters(chip_id).revert(qid, name, at, reason)
    _show_newest(session, chip_id, qid, name)


def _expect_simulated(chip: Chip) -> None:
    if chip.backend != "fake" or chip.n_qubits != DESIGN_QUBITS:
        raise RefusedError(
            f"--design: expected a simulated chip of {DESIGN_QUBITS} qubits, got {chip.chip_id},"
            f" backend {chip.backend}, {chip.n_qubits} qubits",
            column="design",
        )


def _show_newest(session: Session, chip_id: str, qid: str, name: str) -> None:
    newest = session.parameters(chip_id).history(qid, name)[0]
    session.answer(newest, lambda views: views.parameters([newest]))
