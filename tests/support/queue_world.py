"""The world of tests of the queue: a database, project, people, chips, executors, a clock; no processes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from pydantic import JsonValue

from qdash_queue.client.admin import Admin
from qdash_queue.client.database import Database
from qdash_queue.client.leases import Executor, Lease
from qdash_queue.client.models import ClaimedJob
from qdash_queue.client.queue import Queue
from qdash_queue.client.records import FlowEntry, TaskEntry
from qdash_queue.domain import TaskType
from tests.support.databases import CalibDatabase
from tests.support.waiting import until

Row = dict[str, Any]
Connection = psycopg.Connection[Row]

PROJECT = "demo"
VIEWS_OF_JOBS = (
    "jobs",
    "attempts",
    "job_events",
    "task_runs",
    "sweeps",
    "stages",
    "figures",
    "raw_data",
    "mirror_lag",
)
"""The views whose rows belong to a job."""
FULL_CHIP = "square-lattice-mux-16"
PARAMETERS: dict[str, JsonValue] = {"qids": ["0"], "tasks": ["CheckRabi"]}

CALIBRATE = FlowEntry(
    flow="calibrate",
    parameters_schema={
        "type": "object",
        "required": ["qids", "tasks"],
        "additionalProperties": False,
        "properties": {
            "qids": {
                "type": "array",
                "minItems": 1,
                "uniqueItems": True,
                "items": {"type": "string", "format": "qid"},
            },
            "tasks": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "task"}},
            "run_parameters": {"type": "object", "format": "run_parameters"},
            "label": {"anyOf": [{"type": "string", "maxLength": 20}, {"type": "null"}]},
        },
    },
    repeatable=False,
    timeout_seconds=3600,
    on_cancellation=["on_flow_cancellation"],
)


def open_flow(name: str, *, repeatable: bool, timeout_seconds: int = 3600) -> FlowEntry:
    """A flow that takes any object."""
    return FlowEntry(
        flow=name,
        parameters_schema={"type": "object"},
        repeatable=repeatable,
        timeout_seconds=timeout_seconds,
        on_cancellation=["on_flow_cancellation"],
    )


def qubit_task(name: str, *outputs: str, **settings: JsonValue) -> TaskEntry:
    """A task of one qubit with outputs, and these properties of its settings' schema."""
    return TaskEntry(
        task=name,
        task_type=TaskType.QUBIT,
        parameters_schema={"type": "object", "properties": settings},
        input_parameters=["qubit_frequency"],
        output_parameters=list(outputs),
    )


REPEAT = open_flow("repeat", repeatable=True, timeout_seconds=600)
INTERACTIVE = open_flow("interactive", repeatable=False)
OUTPUTS = ("rabi_frequency", "t1", "t2_star", "hpi_amplitude", "control", "target", "coupling", "none")
TASKS = [
    qubit_task(name, *OUTPUTS, shots={"type": "integer", "minimum": 1})
    for name in ("CheckRabi", "CheckT1", "CreateHPIPulse")
]

# The instant is a row, so that moving it costs an UPDATE and no plan.
STOPPED_CLOCK = """
CREATE TABLE calib_private.test_clock (at timestamptz NOT NULL);
INSERT INTO calib_private.test_clock VALUES ('2026-03-01 12:00:00+09');
ALTER TABLE calib_private.test_clock OWNER TO calib_owner;
CREATE OR REPLACE FUNCTION calib_private.now() RETURNS timestamptz LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$ SELECT at FROM calib_private.test_clock $$;
"""


@dataclass(frozen=True)
class Person:
    """A login role and its connection to the queue."""

    name: str
    url: str
    database: Database

    @property
    def queue(self) -> Queue:
        return Queue(self.database)


@dataclass
class QueueWorld:
    """One migrated database; `owner` is the overseer's connection in autocommit."""

    calib: CalibDatabase
    owner: Connection
    people: dict[str, Person] = field(default_factory=dict)
    _open: ExitStack = field(default_factory=ExitStack)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    # ------------------------------------------------------------------ people

    def person(self, key: str, *groups: str, access: str | None = None) -> Person:
        """The person of that key; made at the first call, as a member of the project if `access` is given."""
        if key not in self.people:
            role = self.calib.login(*groups)
            database = Database(role.url)
            self._open.callback(database.close)
            self.people[key] = Person(role.name, role.url, database)
            if access is not None:
                self.admin.grant_member(PROJECT, role.name, key, access)
        return self.people[key]

    @cached_property
    def database(self) -> Database:
        """The queue for the overseer."""
        database = Database(self.calib.overseer.url)
        self._open.callback(database.close)
        return database

    @property
    def admin(self) -> Admin:
        return Admin(self.person("root", "calib_admin").database)

    @property
    def ana(self) -> Person:
        """A submitter."""
        return self.person("ana", "calib_submitter", access="submitter")

    @property
    def ben(self) -> Person:
        """Another submitter."""
        return self.person("ben", "calib_submitter", access="submitter")

    @property
    def olga(self) -> Person:
        """An operator."""
        return self.person("olga", "calib_operator", access="operator")

    @property
    def machine(self) -> Person:
        """The login of the executors."""
        return self.person("machine", "calib_executor")

    def session(self, person: Person | None = None, *, autocommit: bool = False) -> Connection:
        """A session of its own, closed with the world; the overseer's without a person."""
        url = person.url if person else self.calib.overseer.url
        connection = psycopg.connect(url, autocommit=autocommit, row_factory=dict_row)
        self._open.callback(connection.close)
        return connection

    # ------------------------------------------------------------------ chips and jobs

    def add_chip(self, chip_id: str, topology: str = FULL_CHIP) -> None:
        """A simulated chip that `machine` may serve; nothing can be submitted to it yet."""
        self.admin.add_chip(chip_id, "fake", topology)
        self.admin.allow_executor(self.machine.name, chip_id)

    def chip(self, *, topology: str = "linear-2") -> str:
        """A new chip with a registered catalogue."""
        chip_id = f"CHIP{next(self._numbers)}"
        self.add_chip(chip_id, topology)
        self.executor(chip_id, "registrar").register_catalogue([CALIBRATE, REPEAT, INTERACTIVE], TASKS)
        return chip_id

    def executor(self, chip_id: str, name: str = "one") -> Executor:
        """An executor of the chip, not yet registered."""
        return Executor(self.machine.database, chip_id, "fake", "1.0", executor_id=f"{chip_id}/{name}")

    def ready(self, chip_id: str, name: str = "one") -> Executor:
        """A registered executor of the chip that says it is ready."""
        executor = self.executor(chip_id, name)
        executor.register()
        executor.seen()
        return executor

    def submit(self, chip_id: str, person: Person | None = None, **given: Any) -> int:
        """A job of flow `calibrate`, or of what is given."""
        given.setdefault("parameters", PARAMETERS)
        return (person or self.ana).queue.submit(PROJECT, chip_id, **given).job_id

    def running(self, chip_id: str, **given: Any) -> tuple[ClaimedJob, Lease]:
        """A job that has just been claimed, and its lease."""
        job_id = self.submit(chip_id, **given)
        return self.claim(self.ready(chip_id), job_id)

    def claim(self, executor: Executor, job_id: int) -> tuple[ClaimedJob, Lease]:
        """The job, claimed by the executor, and its lease."""
        claimed = executor.claim(30.0, job_id)
        assert claimed is not None
        return claimed, self.lease(claimed)

    def lease(self, claimed: ClaimedJob) -> Lease:
        return Lease(self.machine.database, claimed.job_id, claimed.claim)

    # ------------------------------------------------------------------ what is stored

    def rows(self, statement: str, /, *parameters: object) -> list[Row]:
        return self.owner.execute(statement.encode(), parameters or None).fetchall()

    def value(self, statement: str, /, *parameters: object) -> Any:
        return next(iter(self.rows(statement, *parameters)[0].values()))

    def job(self, job_id: int) -> Row:
        return self.rows("SELECT * FROM calib.jobs WHERE job_id = %s", job_id)[0]

    def events(self, job_id: int) -> list[str]:
        found = self.rows("SELECT event FROM calib.job_events WHERE job_id = %s ORDER BY event_id", job_id)
        return [row["event"] for row in found]

    def wait_until_blocked(self, person: Person) -> None:
        """Return once a session of the person waits for a lock."""
        waits = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND wait_event_type = 'Lock'"
        until(lambda: self.value(waits, person.name), f"{person.name} to wait for a lock")

    # ------------------------------------------------------------------ time

    def stop_clock(self) -> None:
        """Stop the queue's clock; only `set_clock` and `advance` move it."""
        self.owner.execute(STOPPED_CLOCK)

    def set_clock(self, at: str | datetime) -> None:
        self.owner.execute("UPDATE calib_private.test_clock SET at = %s", (at,))

    def advance(self, seconds: float) -> None:
        self.owner.execute("UPDATE calib_private.test_clock SET at = at + %s", (timedelta(seconds=seconds),))

    def now(self) -> datetime:
        found = self.value("SELECT calib_private.now()")
        assert isinstance(found, datetime)
        return found


@contextmanager
def open_queue_world(calib: CalibDatabase, *, bare: bool = False) -> Iterator[QueueWorld]:
    """A world on a migrated database; with the project, unless it is to stay bare."""
    with psycopg.connect(calib.overseer.url, autocommit=True, row_factory=dict_row) as owner:
        world = QueueWorld(calib, owner)
        with world._open:
            if not bare:
                world.admin.add_project(PROJECT)
            yield world


def insert(session: Connection, **columns: object) -> Row:
    """A plain INSERT into calib.jobs; objects become JSON."""
    given = {
        name: json.dumps(value) if isinstance(value, Mapping) else value for name, value in columns.items()
    }
    statement = sql.SQL("INSERT INTO calib.jobs ({}) VALUES ({}) RETURNING *").format(
        sql.SQL(", ").join(map(sql.Identifier, given)), sql.SQL(", ").join([sql.Placeholder()] * len(given))
    )
    row = session.execute(statement, list(given.values())).fetchone()
    assert row is not None
    return row


DENIED = "42501"


def outcome(session: Connection, statement: str) -> str:
    """`done`, or the SQLSTATE; rolled back in any case."""
    try:
        session.execute(statement.encode())
    except psycopg.Error as error:
        return error.sqlstate or "lost"
    else:
        return "done"
    finally:
        session.rollback()
