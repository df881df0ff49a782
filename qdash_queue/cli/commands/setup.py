"""The command that creates in an empty database all that a chip needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qdash_queue.cli.context import Json, Session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import BaseModel, JsonValue

    from qdash_queue.cli.chip_setup import Item, Plan
    from qdash_queue.settings import Settings


def setup(
    context: typer.Context,
    *,
    chip: Annotated[str, typer.Option(help="Chip to create.", show_default=False)],
    backend: Annotated[
        Literal["fake", "qubex"], typer.Option(help="Backend; cannot be changed later.")
    ] = "fake",
    topology: Annotated[
        str | None,
        typer.Option(help="Topology; square-lattice-mux-16 by default if simulated.", show_default=False),
    ] = None,
    project: Annotated[str, typer.Option(help="Project to create.")] = "demo",
    member: Annotated[str, typer.Option(help="Login that may submit to the project.")] = "alice",
    admin: Annotated[str, typer.Option(help="Login that administers the queue.")] = "queue_admin",
    mirror: Annotated[str, typer.Option(help="Login of the mirror.")] = "mirror",
    json: Json = False,
) -> None:
    """Migrate, create logins, a project and a chip, and print the commands to run next.

    Needs a superuser, or a login with CREATEROLE that may create schemas and extensions in the database.
    Existing objects and passwords are unchanged.
    """
    from qdash_queue.cli.chip_setup import Plan, install  # noqa: PLC0415 - slow to load
    from qdash_queue.migrate import upgrade  # noqa: PLC0415

    session = Session.of(context, as_json=json)
    url = session.settings.database_url
    revision = upgrade(url)
    plan = Plan(chip, backend, topology, project, member, admin, mirror)
    items = install(url, plan)
    commands = _commands(session.settings, plan, items)
    following: list[JsonValue] = [*commands]
    document: dict[str, JsonValue | Sequence[BaseModel]] = {
        "revision": revision,
        "items": items,
        "next": following,
    }
    lines = [
        f"the schema is at revision {revision}",
        *_lines(items),
        "",
        "run next, one terminal each:",
        *commands,
    ]
    session.answer(document, lambda views: views.say_lines(lines))


def _lines(items: Sequence[Item]) -> Iterator[str]:
    for item in items:
        yield f"{'created' if item.made else 'exists '}  {item.kind} {item.name}" + (
            f"  {item.url}" if item.url else ""
        )
    if any(item.made and item.url for item in items):
        yield "the passwords are not shown again: keep these URLs"


def _commands(settings: Settings, plan: Plan, items: Sequence[Item]) -> list[str]:
    from qdash_queue.cli.embedded_servers import exports  # noqa: PLC0415 - slow to load

    urls = {item.name: item.url for item in items if item.url}

    def run(login: str, command: str, **variables: str) -> str:
        named = {"DATABASE_URL": urls[login] or "", **variables}
        given = exports({f"QDASH_QUEUE_{name}": value for name, value in named.items()})
        return " ".join(line.removeprefix("export ") for line in given.splitlines()) + f" {command}"

    return [
        run(
            plan.executor,
            f"qdash-executor --chip {plan.chip_id}",
            PREFECT_API_URL=settings.prefect_api_url or "http://PREFECT:4200/api",
        ),
        run(
            plan.mirror,
            "qdash-queue mirror run",
            MONGO_URL=settings.mongo_url or "mongodb://MONGO:27017",
            DATA_PATH=str(settings.data_path),
        ),
        run(plan.member, f"qdash-queue submit {plan.project_id} {plan.chip_id} --qids 0,1 --tasks CheckRabi"),
    ]
