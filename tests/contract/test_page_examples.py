"""docs/sql.md shows every verb that people call, and each of its examples runs as it stands."""

from __future__ import annotations

import re

import psycopg
import pytest

from tests.contract.catalogue import PAGE
from tests.contract.test_grants import FUNCTIONS
from tests.support.databases import CalibDatabase
from tests.support.queue_world import (
    CALIBRATE,
    FULL_CHIP,
    INTERACTIVE,
    REPEAT,
    TASKS,
    QueueWorld,
    open_queue_world,
)

EXAMPLES = re.findall(r"```sql\n(.+?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
STATEMENTS = [s for block in EXAMPLES for s in re.split(r";[^\n]*\n", block) if s.strip()]
OF_PEOPLE = {"reader", "submitter", "operator", "admin"}
VERSIONS = {"schema_version", "oldest_served_version"}
CHIP = "SIM16"


def catalogue_of(world: QueueWorld) -> None:
    world.add_chip(CHIP, FULL_CHIP)
    world.executor(CHIP, "registrar").register_catalogue([CALIBRATE, REPEAT, INTERACTIVE], TASKS)


def test_the_examples_run_in_their_order(database: CalibDatabase) -> None:
    """By an administrator who is operator of the project; job 42 has ended."""
    with open_queue_world(database) as world:
        catalogue_of(world)
        world.owner.execute("SELECT setval('calib_private.jobs_job_id_seq', 41)")
        world.ana.queue.cancel(world.submit(CHIP))
        database.roles += ["sim16_executor", "alice"]
        world.owner.execute("CREATE ROLE sim16_executor LOGIN IN ROLE calib_executor")
        page = world.person("page", "calib_admin", access="operator")
        world.owner.execute(f"ALTER ROLE {page.name} CREATEROLE".encode())
        world.owner.execute(f"GRANT calib_submitter TO {page.name} WITH ADMIN OPTION".encode())
        with psycopg.connect(page.url, autocommit=True) as session:
            for statement in STATEMENTS:
                try:
                    # The values of an hour ago: here they are younger.
                    session.execute(statement.replace("interval '1 hour'", "interval '0'").encode())
                except psycopg.Error as error:
                    pytest.fail(f"{statement.strip()}\n{error}")
                if "CREATE ROLE alice" in statement:
                    # Since PostgreSQL 16 who makes a role may grant it, but not take it.
                    option = " WITH SET TRUE" if session.info.server_version >= 160_000 else ""
                    world.owner.execute(f"GRANT alice TO {page.name}{option}".encode())


def test_every_verb_that_people_call_is_shown() -> None:
    verbs = {name for name, groups in FUNCTIONS.items() if groups & OF_PEOPLE} - VERSIONS
    # Those of the table of questions are run by test_reads.
    questions = re.findall(r"^\|.*SELECT .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    shown = set(re.findall(r"calib\.(\w+)\(", " ".join([*EXAMPLES, *questions])))
    assert verbs - shown == set()
