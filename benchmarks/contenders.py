"""The queues that are compared, in plain SQL and through their Python interfaces, one connection a session.

A job of ours is checked against the flow's schema and the chip's catalogue as it comes in, numbered as it is
claimed, and leaves an attempt, events and a mark for the mirror; a peer's leaves what the peer keeps. Prefect
is in none of them: the queue alone is compared.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from typing import Any, ClassVar, TypeVar

import asyncpg
import psycopg
from pgqueuer import PgQueuer
from pgqueuer.models import Job as PgqueuerJob
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.queries import Queries
from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Job as ProcrastinateJob
from procrastinate.jobs import Status
from psycopg.types.json import Jsonb
from pydantic import JsonValue

from benchmarks.conditions import migrate_and_grant
from executors.supervisor.listener import Listener
from qdash_queue.client.admin import Admin
from qdash_queue.client.database import Database
from qdash_queue.client.leases import Executor, Lease
from qdash_queue.client.queue import Queue
from qdash_queue.domain import JobState
from qdash_queue.requests import JobRequest
from qdash_queue.stopping import Wakeup

T = TypeVar("T")
FLOW = "calibrate"
PARAMETERS: dict[str, JsonValue] = {"qids": ["0", "1"], "tasks": ["CheckRabi", "CreateHPIPulse", "CheckT1"]}
PAYLOAD = json.dumps(PARAMETERS)
MANY_CHIPS = 200
IDLE_POLL_SECONDS = (1.0, 5.0)
HOUSEKEEPING_SECONDS = 5.0
"""The last two as the executor has them."""


@dataclass(frozen=True)
class Taken:
    """A claimed job and what its queue needs to finish it."""

    chip: str
    handle: Any


def chip_name(number: int) -> str:
    return f"CHIP{number}"


class Session(ABC):
    """A client and a worker on one connection."""

    @abstractmethod
    async def enqueue(self, chip: str) -> None: ...

    @abstractmethod
    async def enqueue_many(self, chips: Sequence[str]) -> None: ...

    @abstractmethod
    async def take(self, chip: str, number: int = 0) -> Taken | None:
        """A job; of that chip in ours, of any chip that is free in a peer."""

    @abstractmethod
    async def finish(self, taken: Taken) -> None: ...


class Contender(ABC):
    """One queue in a database of its own; with `locked` no two jobs of a chip run at once."""

    name: ClassVar[str]
    speaks: ClassVar[str]
    """SQL or Python: figures of one are never set beside those of the other."""
    clear: ClassVar[str]
    """Ends whatever waits, and what a killed worker held."""

    def __init__(self, url: str, *, locked: bool = True) -> None:
        self.url = url
        self.locked = locked

    @abstractmethod
    async def install(self) -> None:
        """Make the schema and, where there are any, the chips."""

    @abstractmethod
    def session(self, *, at_once: bool = False) -> Any:
        """An asynchronous context with a `Session`; several of them work at once."""

    @abstractmethod
    def serve(self, claims: Connection) -> None:
        """Work as the package's worker does, telling the instant of each claim, until killed."""


class Ours(Contender):
    """Plain SQL, as clients and executors may use it."""

    name = "qdash-queue, SQL"
    speaks = "SQL"
    clear = (
        "UPDATE calib_private.leases SET expires_at = now() - interval '1 second' WHERE job_id IS NOT NULL;"
        "SELECT calib.sweep();"
        "UPDATE calib.jobs SET cancel_requested = true WHERE state = 'scheduled'"
    )

    async def install(self) -> None:
        from executors.flows import (  # Heavy: not for the workers.
            catalogue_flows,
            catalogue_tasks,
            load_flows,
        )

        flows, tasks = catalogue_flows(load_flows().values()), catalogue_tasks()
        migrate_and_grant(self.url)
        database = Database(self.url)
        admin = Admin(database)
        admin.add_project("bench")
        admin.grant_member("bench", "postgres", "bench", "operator")
        for chip in map(chip_name, range(MANY_CHIPS)):
            admin.add_chip(chip, "fake", "linear-2")
            admin.allow_executor("postgres", chip)
            for number in range(2):
                self.executor(database, chip, number).register()
            self.executor(database, chip).register_catalogue(flows, tasks)
        # As alive as executors are that sleep between two jobs; each insert would warn otherwise.
        database.execute("UPDATE calib_private.executors SET last_seen_at = now() + interval '1 day'")
        database.close()

    @staticmethod
    def executor(database: Database, chip: str, number: int = 0) -> Executor:
        return Executor(database, chip, "fake", "benchmark", executor_id=f"{chip}/{number}")

    @asynccontextmanager
    async def session(self, *, at_once: bool = False) -> AsyncIterator[Session]:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            yield SqlSession(connection)

    def serve(self, claims: Connection) -> None:
        database = Database(self.url)
        executor, wakeup = self.executor(database, chip_name(0)), Wakeup()
        housekeeping_at = 0.0
        with Listener(database, f"calib_{chip_name(0)}", wakeup):
            while True:
                claimed = executor.claim()
                if claimed is not None:
                    claims.send(time.monotonic())
                    Lease(database, claimed.job_id, claimed.claim).end(JobState.COMPLETED)
                    continue
                executor.sweep()
                if time.monotonic() >= housekeeping_at:
                    housekeeping_at = time.monotonic() + HOUSEKEEPING_SECONDS
                    executor.seen()
                    executor.unsynced_flow_runs()
                wait([wakeup.fileno()], timeout=random.uniform(*IDLE_POLL_SECONDS))  # noqa: S311 - spreads the polls
                wakeup.clear()


class SqlSession(Session):
    def __init__(self, connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
        self._connection = connection

    async def enqueue(self, chip: str) -> None:
        await self._connection.execute(
            "INSERT INTO calib.jobs (project_id, chip_id, flow, parameters) VALUES ('bench', %s, %s, %s)"
            " RETURNING job_id",
            (chip, FLOW, PAYLOAD),
        )

    async def enqueue_many(self, chips: Sequence[str]) -> None:
        await self._submit_many([{"chip_id": chip} for chip in chips])

    async def enqueue_different(self, chips: Sequence[str]) -> None:
        """As enqueue_many, but no row equals another."""
        await self._submit_many([{"chip_id": chip, "note": {"n": n}} for n, chip in enumerate(chips)])

    async def _submit_many(self, jobs: Sequence[dict[str, Any]]) -> None:
        common = {"project_id": "bench", "flow": FLOW, "parameters": PARAMETERS}
        await self._connection.execute(
            "SELECT calib.submit_many(%s)", (Jsonb([common | job for job in jobs]),)
        )

    async def insert_many(self, chips: Sequence[str]) -> None:
        await self._connection.execute(
            "INSERT INTO calib.jobs (project_id, chip_id, flow, parameters)"
            " SELECT 'bench', chip, %s, %s FROM unnest(%s::text[]) chip",
            (FLOW, PAYLOAD, list(chips)),
        )

    async def copy_many(self, chips: Sequence[str]) -> None:
        async with self._connection.cursor().copy(
            "COPY calib.jobs (project_id, chip_id, flow, parameters) FROM STDIN"
        ) as copy:
            for chip in chips:
                await copy.write_row(("bench", chip, FLOW, PAYLOAD))

    async def take(self, chip: str, number: int = 0) -> Taken | None:
        claim = uuid.uuid4()
        cursor = await self._connection.execute(
            "SELECT * FROM calib.claim(%s, %s, %s, 30, NULL)", (chip, f"{chip}/{number}", claim)
        )
        row = await cursor.fetchone()
        return None if row is None else Taken(chip, (row[0], claim))

    async def finish(self, taken: Taken) -> None:
        await self._connection.execute("SELECT calib.end_job(%s, %s, 'completed')", taken.handle)


class OursPython(Ours):
    """The verbs of the package, models and all."""

    name = "qdash-queue, Python"
    speaks = "Python"

    @asynccontextmanager
    async def session(self, *, at_once: bool = False) -> AsyncIterator[Session]:
        database = Database(self.url)
        yield VerbSession(database, at_once=at_once)
        database.close()


class VerbSession(Session):
    """The verbs block: several sessions at once need a thread each."""

    def __init__(self, database: Database, *, at_once: bool) -> None:
        self._database, self._at_once = database, at_once
        self._queue = Queue(database)

    async def _said(self, verb: Callable[[], T]) -> T:
        return await asyncio.to_thread(verb) if self._at_once else verb()

    async def enqueue(self, chip: str) -> None:
        await self._said(lambda: self._queue.submit("bench", chip, PARAMETERS))

    async def enqueue_many(self, chips: Sequence[str]) -> None:
        requests = [JobRequest(project_id="bench", chip_id=chip, parameters=PARAMETERS) for chip in chips]
        await self._said(lambda: self._queue.submit_many(requests))

    async def take(self, chip: str, number: int = 0) -> Taken | None:
        claimed = await self._said(Ours.executor(self._database, chip, number).claim)
        return None if claimed is None else Taken(chip, (claimed.job_id, claimed.claim))

    async def finish(self, taken: Taken) -> None:
        lease = Lease(self._database, *taken.handle)
        await self._said(lambda: lease.end(JobState.COMPLETED))


class Procrastinate(Contender):
    name = "procrastinate, Python"
    speaks = "Python"
    clear = "DELETE FROM procrastinate_jobs"

    @asynccontextmanager
    async def _open(self, connections: int = 1) -> AsyncIterator[App]:
        connector = PsycopgConnector(conninfo=self.url, min_size=1, max_size=connections)
        app = App(connector=connector)
        async with app.open_async():
            yield app

    async def install(self) -> None:
        async with self._open() as app:
            await app.schema_manager.apply_schema_async()

    @asynccontextmanager
    async def session(self, *, at_once: bool = False) -> AsyncIterator[Session]:
        async with self._open() as app:
            worker_id = await app.job_manager.register_worker()
            yield ProcrastinateSession(app, worker_id, locked=self.locked)

    def serve(self, claims: Connection) -> None:
        async def work() -> None:
            async with self._open(connections=4) as app:

                @app.task(name=FLOW)
                async def calibrate(**_: Any) -> None:
                    claims.send(time.monotonic())

                await app.run_worker_async(concurrency=1, install_signal_handlers=False)

        asyncio.run(work())


class ProcrastinateSession(Session):
    def __init__(self, app: App, worker_id: int, *, locked: bool) -> None:
        self._jobs, self._worker_id, self._locked = app.job_manager, worker_id, locked

    def _job(self, chip: str) -> ProcrastinateJob:
        return ProcrastinateJob(
            queue="default",
            lock=chip if self._locked else None,
            queueing_lock=None,
            task_name=FLOW,
            task_kwargs=dict(PARAMETERS),
        )

    async def enqueue(self, chip: str) -> None:
        await self._jobs.defer_job_async(self._job(chip))

    async def enqueue_many(self, chips: Sequence[str]) -> None:
        await self._jobs.batch_defer_jobs_async([self._job(chip) for chip in chips])

    async def take(self, chip: str, number: int = 0) -> Taken | None:
        job = await self._jobs.fetch_job(queues=None, worker_id=self._worker_id)
        return None if job is None else Taken(job.lock or "", job)

    async def finish(self, taken: Taken) -> None:
        await self._jobs.finish_job(taken.handle, Status.SUCCEEDED, delete_job=False)


class ProcrastinateSql(Procrastinate):
    """The functions that its Python package calls."""

    name = "procrastinate, SQL"
    speaks = "SQL"

    @asynccontextmanager
    async def session(self, *, at_once: bool = False) -> AsyncIterator[Session]:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            cursor = await connection.execute("SELECT procrastinate_register_worker_v1()")
            row = await cursor.fetchone()
            assert row is not None
            yield ProcrastinateSqlSession(connection, row[0], locked=self.locked)


class ProcrastinateSqlSession(Session):
    def __init__(
        self, connection: psycopg.AsyncConnection[tuple[Any, ...]], worker_id: int, *, locked: bool
    ) -> None:
        self._connection, self._worker_id, self._locked = connection, worker_id, locked

    async def enqueue(self, chip: str) -> None:
        await self.enqueue_many([chip])

    async def enqueue_many(self, chips: Sequence[str]) -> None:
        await self._connection.execute(
            "SELECT procrastinate_defer_jobs_v1(array_agg(ROW('default', %s, 0, lock, NULL, %s, NULL)"
            "::procrastinate_job_to_defer_v1)) FROM unnest(%s::text[]) lock",
            (FLOW, PAYLOAD, [chip if self._locked else None for chip in chips]),
        )

    async def take(self, chip: str, number: int = 0) -> Taken | None:
        cursor = await self._connection.execute(
            "SELECT id, lock, args FROM procrastinate_fetch_job_v2(NULL, %s)", (self._worker_id,)
        )
        row = await cursor.fetchone()
        return None if row is None or row[0] is None else Taken(row[1] or "", row[0])

    async def finish(self, taken: Taken) -> None:
        await self._connection.execute(
            "SELECT procrastinate_finish_job_v1(%s, 'succeeded', false)", (taken.handle,)
        )


class Pgqueuer(Contender):
    name = "pgqueuer, Python"
    speaks = "Python"
    clear = "DELETE FROM pgqueuer"

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.url)
        try:
            yield connection
        finally:
            await connection.close()

    async def install(self) -> None:
        async with self._connect() as connection:
            await Queries.from_asyncpg_connection(connection).install()

    @asynccontextmanager
    async def session(self, *, at_once: bool = False) -> AsyncIterator[Session]:
        async with self._connect() as connection:
            yield PgqueuerSession(Queries.from_asyncpg_connection(connection), locked=self.locked)

    def serve(self, claims: Connection) -> None:
        async def work() -> None:
            async with self._connect() as connection:
                worker = PgQueuer.from_asyncpg_connection(connection)

                @worker.entrypoint(FLOW)
                async def calibrate(_: PgqueuerJob) -> None:
                    claims.send(time.monotonic())

                await worker.run()

        asyncio.run(work())


class PgqueuerSession(Session):
    """One job at a time: a batch of ten would hold nine chips for nothing."""

    def __init__(self, queries: Queries, *, locked: bool) -> None:
        self._queries, self._locked, self._id = queries, locked, uuid.uuid4()
        names = map(chip_name, range(MANY_CHIPS)) if locked else [FLOW]
        self._entrypoints: Any = {name: EntrypointExecutionParameter(int(locked)) for name in names}

    async def enqueue(self, chip: str) -> None:
        await self._queries.enqueue(chip if self._locked else FLOW, PAYLOAD.encode())

    async def enqueue_many(self, chips: Sequence[str]) -> None:
        names = [chip if self._locked else FLOW for chip in chips]
        await self._queries.enqueue(names, [PAYLOAD.encode()] * len(chips), [0] * len(chips))

    async def take(self, chip: str, number: int = 0) -> Taken | None:
        jobs = await self._queries.dequeue(1, self._entrypoints, self._id, None, timedelta(seconds=30))  # type: ignore[arg-type]
        return Taken(jobs[0].entrypoint, jobs[0]) if jobs else None

    async def finish(self, taken: Taken) -> None:
        await self._queries.log_jobs([(taken.handle, "successful", None)])


CONTENDERS: tuple[type[Contender], ...] = (Ours, OursPython, ProcrastinateSql, Procrastinate, Pgqueuer)
