"""What one run of the command line has at hand; what is slow to load waits until it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Self

import typer

if TYPE_CHECKING:
    from pydantic import JsonValue

    from qdash_queue.cli.json_output import Document
    from qdash_queue.cli.views import Views
    from qdash_queue.client.admin import Admin
    from qdash_queue.client.database import Database
    from qdash_queue.client.parameters import Parameters
    from qdash_queue.client.queue import Queue
    from qdash_queue.client.retention import Retention
    from qdash_queue.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Answer with one JSON document on standard output.")]


class Session:
    """Settings, connections and the way to answer.

    Args:
        database_url: PostgreSQL; empty for what the settings name.
    """

    def __init__(self, database_url: str = "") -> None:
        self._database_url = database_url
        self.as_json = False

    @classmethod
    def of(cls, context: typer.Context, *, as_json: bool) -> Self:
        """The session that the root command opened; connections are closed when the command ends."""
        session = context.find_root().obj
        if not isinstance(session, cls):
            raise TypeError(f"expected a session, got {type(session).__name__}")
        session.as_json = as_json
        context.call_on_close(session.close)
        return session

    @cached_property
    def settings(self) -> Settings:
        """The settings, with the database that the command line names before all."""
        from qdash_queue.settings import read_settings  # noqa: PLC0415 - slow to load, --help needs it not

        settings = read_settings()
        if not self._database_url:
            return settings
        return settings.model_copy(update={"database_url": self._database_url})

    @cached_property
    def database(self) -> Database:
        """The queue's database."""
        from qdash_queue.client.database import Database  # noqa: PLC0415 - slow to load

        return Database(self.settings.database_url)

    @cached_property
    def queue(self) -> Queue:
        """The client's verbs."""
        from qdash_queue.client.queue import Queue  # noqa: PLC0415 - slow to load

        return Queue(self.database)

    @cached_property
    def admin(self) -> Admin:
        """The administrator's verbs."""
        from qdash_queue.client.admin import Admin  # noqa: PLC0415 - slow to load

        return Admin(self.database)

    @cached_property
    def retention(self) -> Retention:
        """The verbs of retention."""
        from qdash_queue.client.retention import Retention  # noqa: PLC0415 - slow to load

        return Retention(self.database)

    @cached_property
    def views(self) -> Views:
        """Tables and words on standard output."""
        from qdash_queue.cli.views import Views  # noqa: PLC0415 - slow to load

        return Views()

    def parameters(self, chip_id: str) -> Parameters:
        """The verbs of one chip's parameters; the chip is there.

        Raises:
            UnknownNameError: it is not.
        """
        from qdash_queue.client.parameters import Parameters  # noqa: PLC0415 - slow to load

        self.queue.chip(chip_id)
        return Parameters(self.database, chip_id)

    def records(self, statement: str, **parameters: str | None) -> list[dict[str, JsonValue]]:
        """The rows of a statement that reads texts and numbers."""
        return [dict(row) for row in self.database.rows(statement, **parameters)]

    def answer(self, document: Document, show: Callable[[Views], None]) -> None:
        """Print the document as JSON where that was asked for, else let ``show`` say it to a person."""
        if self.as_json:
            from qdash_queue.cli.json_output import json_text  # noqa: PLC0415 - slow to load

            typer.echo(json_text(document))
        else:
            show(self.views)

    def done(self, words: str, **facts: str | int | list[JsonValue]) -> None:
        """Answer that something was done: a sentence, or the facts as JSON."""
        self.answer(dict(facts), lambda views: views.say(words))

    def close(self) -> None:
        """Let go of the connections."""
        if "database" in self.__dict__:
            self.database.close()
