"""The questions of docs/sql.md: what each may read, as several people, with rows of their own and without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from psycopg.rows import dict_row

from benchmarks import reads
from tests.support.databases import Cluster
from tests.support.queue_world import Connection

FINISHED, WAITING = 30_000, 3_000


@dataclass
class History:
    """A filled database: an overseer's session, and one for each person."""

    owner: Connection
    sessions: dict[str, Connection]


@pytest.fixture(scope="module")
def history(postgres_server: Cluster) -> Iterator[History]:
    with postgres_server.database() as calib:
        roles = {login: calib.login(f"calib_{login.split('_')[0]}") for login in reads.people()}
        with psycopg.connect(calib.overseer.url, autocommit=True, row_factory=dict_row) as owner:
            reads.seed(owner, {login: role.name for login, role in roles.items()}, FINISHED, WAITING)
            sessions = {
                login: psycopg.connect(role.url, autocommit=True, row_factory=dict_row)
                for login, role in roles.items()
            }
            yield History(owner, sessions)
            for session in sessions.values():
                session.close()


def test_the_page_has_the_questions() -> None:
    asked = reads.questions()
    rows = reads.PAGE.read_text(encoding="utf-8").split(reads.TITLE)[1].split("\n## ")[0].count("\n| ") - 1
    assert len(asked) == rows >= 15


@pytest.mark.parametrize("question", reads.questions(), ids=lambda question: question.words)
@pytest.mark.parametrize("login", reads.people())
def test_no_question_reads_more_than_its_pages(
    history: History, login: str, question: reads.Question
) -> None:
    """At a thirtieth of the size, a plan that reads along the history is past it already."""
    assert reads.touched(history.sessions[login], question.statement)[0] <= reads.MOST_BUFFERS
