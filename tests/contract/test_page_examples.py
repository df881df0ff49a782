"""docs/sql.md shows every verb that people call, and what it shows runs, from its first line to its last."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest

from qdash_queue.client.parameters import Parameters
from tests.contract.catalogue import PAGE
from tests.contract.test_grants import FUNCTIONS
from tests.support.chip_jobs import CHIP, make_chip
from tests.support.queue_world import PROJECT, QueueWorld

Connection = psycopg.Connection[tuple[object, ...]]

TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```sql\n(.+?)```", TEXT, re.DOTALL)
STATEMENTS = [
    each.strip()
    for block in EXAMPLES
    for each in re.split(r"(?<=;)[ \t]*(?:--[^\n]*)?\n", block)
    if each.strip()
]
OF_PEOPLE = {"reader", "submitter", "operator", "admin"}
VERSIONS = {"schema_version", "oldest_served_version"}
SUBMITTED = 42
"""The job that the page speaks of; its first statement submits it."""


def test_every_verb_that_people_call_is_shown() -> None:
    verbs = {name for name, groups in FUNCTIONS.items() if groups & OF_PEOPLE} - VERSIONS
    # Those of the table of questions are run by test_reads.
    questions = re.findall(r"^\|.*SELECT .*$", TEXT, re.MULTILINE)
    shown = set(re.findall(r"calib\.(\w+)\(", " ".join([*EXAMPLES, *questions])))
    assert verbs - shown == set()


@pytest.fixture
def reader_of_the_page(own_world: QueueWorld) -> Iterator[Connection]:
    """Who may do all that it shows; qubit 0 has a value of two days ago."""
    make_chip(own_world, CHIP)
    Parameters(own_world.olga.database, CHIP).set("0", "t1", 40, unit="μs", reason="design value")
    own_world.owner.execute(
        "UPDATE calib_private.parameter_versions SET valid = tstzrange(now() - interval '2 days', NULL)"
    )
    own_world.owner.execute("SELECT setval('calib_private.jobs_job_id_seq', %s, false)", (SUBMITTED,))
    own_world.calib.login("calib_executor", name="sim16_executor")
    own_world.calib.roles.append("alice")
    login = own_world.calib.login("calib_admin", superuser=True)
    own_world.admin.grant_member(PROJECT, login.name, "admin", "operator")
    with psycopg.connect(login.url, autocommit=True) as connection:
        yield connection


def test_the_examples_run_in_their_order(reader_of_the_page: Connection, own_world: QueueWorld) -> None:
    """Without a warning, and each change of rows finds one."""
    told: list[str] = []
    reader_of_the_page.add_notice_handler(lambda notice: told.append(str(notice.message_primary)))
    for statement in STATEMENTS:
        try:
            done = reader_of_the_page.execute(statement.encode()).statusmessage or ""
        except psycopg.Error as error:
            pytest.fail(f"{statement}\n{error}")
        assert told == [], statement
        assert not re.fullmatch(r"UPDATE 0|INSERT 0 0", done), f"touches no row: {statement}"
    assert own_world.job(SUBMITTED)["state"] == "cancelled"
    assert own_world.value("SELECT count(*) FROM calib.jobs WHERE source_job_id = %s", SUBMITTED) == 1
