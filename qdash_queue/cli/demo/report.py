"""How the demo tells what it does, and refuses to tell what it did not see."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self, TypeVar

import psycopg
from rich.text import Text

from qdash_queue.cli.views import Views, make_console
from qdash_queue.errors import QdashQueueError

Found = TypeVar("Found")
Connection = psycopg.Connection[tuple[object, ...]]
POLL_SECONDS = 0.05
RULE_WIDTH = 90


class DemoFailedError(QdashQueueError):
    """Something that the demo claims did not happen."""


class DemoReport:
    """Tells the demo step by step.

    Args:
        on_stderr: leave standard output to the program that reads it.
    """

    def __init__(self, *, on_stderr: bool = False) -> None:
        self.console = make_console(stderr=on_stderr)
        self.views = Views(self.console)
        self._begun = time.monotonic()
        self._step = 0

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._begun

    def step(self, title: str) -> None:
        """Begin the next step."""
        self._step += 1
        self.console.print()
        heading = f"{self._step}. {title}"
        rule = "─" * max(3, RULE_WIDTH - len(heading))
        self.console.print(Text.assemble((heading, "bold cyan"), f" {rule} {self.seconds:.0f} s"))

    def say(self, words: str) -> None:
        """Tell something."""
        self.console.print(words, soft_wrap=True)

    def check(self, condition: bool, words: str) -> None:  # noqa: FBT001 - reads as a sentence
        """Go on only if it is so.

        Raises:
            DemoFailedError: it is not; ``words`` say what was expected and what was found.
        """
        if not condition:
            raise DemoFailedError(words)

    def wait_for(self, look: Callable[[], Found | None], what: str, seconds: float = 120.0) -> Found:
        """Look again and again until there is something to see.

        Raises:
            DemoFailedError: the time is over.
        """
        deadline = time.monotonic() + seconds
        while (seen := look()) is None:
            self.check(time.monotonic() < deadline, f"expected {what} within {seconds:.0f} s, got none")
            time.sleep(POLL_SECONDS)
        return seen

    @contextmanager
    def psql(self, who: str, url: str) -> Iterator[Psql]:
        """Plain SQL of one login role, shown as its terminal would."""
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            yield Psql(self, who, connection)


@dataclass(frozen=True)
class DatabaseMessage:
    """An error, a warning or a notice as the database said it."""

    severity: str
    code: str
    message: str
    detail: str
    hint: str

    @classmethod
    def of(cls, diagnostic: psycopg.errors.Diagnostic) -> Self:
        """The words, taken at once: psycopg forgets those of a notice when its handler returns."""
        return cls(
            severity=diagnostic.severity_nonlocalized or diagnostic.severity or "",
            code=diagnostic.sqlstate or "",
            message=diagnostic.message_primary or "",
            detail=diagnostic.message_detail or "",
            hint=diagnostic.message_hint or "",
        )


class Psql:
    """A terminal of one database role: what is typed and what the database answers."""

    def __init__(
        self, report: DemoReport, role: str, connection: psycopg.Connection[tuple[object, ...]]
    ) -> None:
        self._report = report
        self._role = role
        self._connection = connection
        self.notices: list[DatabaseMessage] = []
        connection.add_notice_handler(lambda notice: self.notices.append(DatabaseMessage.of(notice)))

    def run(self, statement: str) -> tuple[Sequence[tuple[object, ...]], str]:
        """Run a statement and show it with its answer.

        Returns:
            The rows, and the command's tag such as ``UPDATE 1``.

        Raises:
            psycopg.Error: the refusal, after it was shown.
        """
        self.notices.clear()
        prompt = Text(f"{self._role}=> ", style="bold green")
        self._report.console.print(Text.assemble(prompt, statement), soft_wrap=True)
        try:
            cursor = self._connection.execute(statement.encode())
        except psycopg.Error as error:
            self._show(DatabaseMessage.of(error.diag))
            raise
        for notice in self.notices:
            self._show(notice)
        rows = cursor.fetchall() if cursor.description else []
        if cursor.description:
            self._line(" | ".join(column.name for column in cursor.description), "bold")
            for row in rows:
                self._line(" | ".join(str(value) for value in row))
        tag = cursor.statusmessage or ""
        self._line(tag, "dim")
        return rows, tag

    def refused(self, statement: str) -> DatabaseMessage:
        """Run a statement that the database must refuse.

        Raises:
            DemoFailedError: it was accepted.
        """
        try:
            self.run(statement)
        except psycopg.Error as error:
            return DatabaseMessage.of(error.diag)
        raise DemoFailedError(f"expected the database to refuse, it accepted: {statement}")

    def _show(self, words: DatabaseMessage) -> None:
        style = "red" if words.severity == "ERROR" else "yellow"
        self._line(f"{words.severity}:  {words.code}: {words.message}", style)
        for name, more in (("DETAIL", words.detail), ("HINT", words.hint)):
            if more:
                self._line(f"{name}:  {more}", style)

    def _line(self, words: str, style: str = "") -> None:
        self._report.console.print(Text(f"  {words}", style=style), soft_wrap=True)
