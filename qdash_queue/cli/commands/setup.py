"""The command that makes, in an empty database, all that a chip needs."""

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
    chip: Annotated[str, typer.Option(help="The chip to make.", show_default=False)],
    backend: Annotated[Literal["fake", "qubex"], typer.Option(help="What drives it, for ever.")] = "fake",
    topology: Annotated[
        str | None,
        typer.Option(help="Of a simulated chip square-lattice-mux-16 if left out.", show_default=False),
    ] = None,
    project: Annotated[str, typer.Option(help="The project to make.")] = "demo",
    member: Annotated[str, typer.Option(help="A login that may submit to it.")] = "alice",
    admin: Annotated[str, typer.Option(help="A login that may administer the queue.")] = "queue_admin",
    mirror: Annotated[str, typer.Option(help="The login of the mirror.")] = "mirror",
    json: Json = False,
) -> None:
    """Migrate, and make logins, project, chip and what belongs to them; say what to run next.

    Needs a superuser, or a login with CREATEROLE that may make schemas and extensions in the database. What
    is there already stays as it is, passwords too.
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
    lines = [f"the schema is at revision {revision}", *_lines(items), "", "next, each on its own:", *commands]
    session.answer(document, lambda views: views.say_lines(lines))


def _lines(items: Sequence[Item]) -> Iterator[str]:
    for item in items:
        yield f"{'made' if item.made else 'there'}  {item.kind} {item.name}" + (
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
