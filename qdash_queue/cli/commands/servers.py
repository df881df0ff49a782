"""Commands about servers: start embedded ones, migrate a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from qdash_queue.cli.context import Json, Session

if TYPE_CHECKING:
    from pydantic import JsonValue

CHECK_SECONDS = 1.0


def up(context: typer.Context, *, json: Json = False) -> None:
    """Start the embedded servers, migrate, and run until Ctrl-C.

    Data are kept in QDASH_QUEUE_STATE_PATH. A server that the settings name is used instead of an embedded
    one. If an embedded server dies, the command ends with status 4.
    """
    from qdash_queue.cli import embedded_servers as embedded  # noqa: PLC0415 - slow to load
    from qdash_queue.embedded.servers import EmbeddedServers, Kind  # noqa: PLC0415
    from qdash_queue.migrate import upgrade  # noqa: PLC0415
    from qdash_queue.stopping import StopSign, stopped_by_signals  # noqa: PLC0415

    session = Session.of(context, as_json=json)
    settings = session.settings
    kinds = embedded.wanted_kinds(settings)
    stop = StopSign()
    typer.echo(f"starting: {', '.join(sorted(kinds)) or 'nothing, all servers are configured'} ...", err=True)
    # From now on, so that a signal while servers start does not leave them half way.
    with (
        stopped_by_signals(stop),
        EmbeddedServers(settings.state_path / "servers", kinds=kinds) as servers,
    ):
        if Kind.POSTGRES in kinds:
            embedded.make_database(servers.postgres.url, embedded.DATABASE)
        environment = embedded.environment_of(settings, servers, kinds)
        url = environment["QDASH_QUEUE_DATABASE_URL"]
        revision = upgrade(url)
        psql = embedded.psql_line(servers, url) if Kind.POSTGRES in kinds else f"psql '{url}'"
        document: dict[str, JsonValue] = {**environment, "psql": psql, "revision": revision}
        lines = [*embedded.exports(environment).splitlines(), psql]
        session.answer(document, lambda views: views.say_lines(lines))
        typer.echo("qdash-queue setup --chip SIM16 makes the logins and a simulated chip", err=True)
        typer.echo(f"at revision {revision}; Ctrl-C stops the servers, the data stay", err=True)
        while not stop.wait(CHECK_SECONDS):
            servers.check()


def migrate(context: typer.Context, *, json: Json = False) -> None:
    """Migrate the database to the schema of this version; may be repeated."""
    from qdash_queue.migrate import current, upgrade  # noqa: PLC0415 - slow to load

    session = Session.of(context, as_json=json)
    url = session.settings.database_url
    before = current(url)
    after = upgrade(url)
    words = f"the database is at revision {after}" + (", unchanged" if before == after else "")
    session.answer({"before": before, "after": after}, lambda views: views.say(words))
