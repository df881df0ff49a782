"""What the mirror's benchmarks share: PostgreSQL with durable commits, mongod, jobs without an executor."""

from __future__ import annotations

import json
import os
import platform
import signal
import struct
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psutil
import psycopg

from qdash_queue import migrate
from qdash_queue.client.admin import Admin
from qdash_queue.client.database import Database
from qdash_queue.client.leases import Executor, Lease
from qdash_queue.client.queue import Queue
from qdash_queue.client.records import (
    FigureRecord,
    FlowEntry,
    PlannedTask,
    RawDataRecord,
    TaskEntry,
    TaskRecord,
)
from qdash_queue.domain import JobState, ParameterModel, TaskStatus, TaskType
from qdash_queue.embedded.mongo import MongoServer
from qdash_queue.embedded.postgres import PostgresServer
from qdash_queue.mirror.connection import connect_mongo, open_qdash
from qdash_queue.mirror.documents.layout import Layout
from qdash_queue.mirror.qdash_setup import ChipPlan, QDashSetup
from qdash_queue.mirror.write.qdash_lookup import QDashDatabase

PROJECT, CHIP, USER, QUBITS = "demo", "SIM16", "alice", 16
TASKS = ("CheckRabi", "CreateHPIPulse", "CheckT1", "CheckRamsey")
TIMES = [2.0 * number for number in range(51)]
FIGURE = {
    "data": [
        {
            "type": "scatter",
            "mode": "markers",
            "x": TIMES,
            "y": [2.718 ** (-t / 41.5) + t % 3 / 99 for t in TIMES],
        },
        {"type": "scatter", "mode": "lines", "x": TIMES, "y": [2.718 ** (-t / 41.5) for t in TIMES]},
    ],
    "layout": {"title": {"text": "decay"}, "xaxis": {"title": {"text": "Delay (μs)"}}},
}


def result(task: str) -> TaskRecord:
    """A completed task with one parameter, one figure and one array of raw data."""
    iq = struct.pack("<6d", *range(6))
    return TaskRecord(
        status=TaskStatus.COMPLETED,
        hardware_seconds=1.25,
        output_parameters={f"out_{task.lower()}": ParameterModel(value=41.5, error=0.5, unit="μs")},
        quality_metrics={"r2": 0.98},
        figures=[FigureRecord(name=task, plotly=json.dumps(FIGURE))],
        raw_data=[RawDataRecord(name="iq", dtype="complex128", shape=(3,), unit="a.u.", data=iq)],
    )


@dataclass
class MirrorSetup:
    """The servers, a queue with one chip whose jobs run without an executor, and a QDash."""

    folder: Path
    postgres: PostgresServer
    database: Database
    mongo: MongoServer
    qdash: QDashDatabase

    def __post_init__(self) -> None:
        self.queue = Queue(self.database)
        self.executor = Executor(self.database, CHIP, "fake", "0.0")

    @property
    def mirror_url(self) -> str:
        """The queue's database for the mirror's login."""
        return self.postgres.url_of("calib", "mirror")

    @property
    def layout(self) -> Layout:
        """Where the mirror writes files."""
        return Layout(base=self.folder / "calib_data", base_in_qdash=PurePosixPath("/app/calib_data"))

    def run_job(self, qid: str, tasks: Sequence[str]) -> None:
        """A whole job, by the executor's verbs alone."""
        job = self.queue.submit(PROJECT, CHIP, {"qids": [qid], "tasks": list(tasks)}, tags=["cooldown-7"])
        claimed = self.executor.claim(60.0, job.job_id)
        assert claimed is not None
        lease = Lease(self.database, claimed.job_id, claimed.claim)
        lease.set_flow_run(uuid.uuid4())
        planned = [PlannedTask(task=task, qid=qid) for task in tasks]
        lease.plan_tasks(planned)
        for task in planned:
            lease.record_task(lease.start_task(task), result(task.task))
        lease.conclude(JobState.COMPLETED)
        lease.finish()

    @contextmanager
    def mirror(self) -> Iterator[psutil.Process]:
        """The mirror, as the process that it is in production."""
        environment = os.environ | {
            "QDASH_QUEUE_DATABASE_URL": self.mirror_url,
            "QDASH_QUEUE_MONGO_URL": self.mongo.url,
            "QDASH_QUEUE_MONGO_DATABASE": self.qdash.name,
            "QDASH_QUEUE_DATA_PATH": str(self.layout.base),
        }
        with (
            (self.folder / "mirror.log").open("ab") as log,
            subprocess.Popen(
                [sys.executable, "-m", "qdash_queue.cli", "mirror", "run"], env=environment, stderr=log
            ) as process,
        ):
            try:
                yield psutil.Process(process.pid)
            finally:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()

    def conditions(self) -> str:
        """Under which conditions the figures are taken."""
        load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
        mongo = self.qdash.client.server_info()["version"]
        row = self.database.row("SELECT version() AS version, current_setting('fsync') AS fsync")
        return (
            f"{platform.machine()}, {os.cpu_count()} cores, load {load}, Python {platform.python_version()}\n"
            f"{row['version'].split(' on ')[0] if row else '?'}, fsync {row['fsync'] if row else '?'};"
            f" mongod {mongo}, journal on; files in {self.folder.parent}"
        )


@contextmanager
def mirror_setup() -> Iterator[MirrorSetup]:
    """Everything started and empty; stopped and removed afterwards, by SIGTERM too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qdq-mirror-")))
        folder.chmod(0o755)
        postgres = stack.enter_context(PostgresServer())
        mongo = stack.enter_context(MongoServer(folder / "mongo"))
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE calib")
            migrate.upgrade(postgres.url_of("calib"))
            connection.execute(
                "CREATE ROLE owner LOGIN SUPERUSER IN ROLE calib_admin, calib_executor, calib_mirror;"
                "CREATE ROLE mirror LOGIN IN ROLE calib_mirror"
            )
        database = Database(postgres.url_of("calib", "owner"))
        stack.callback(database.close)
        client = connect_mongo(mongo.url)
        stack.callback(client.close)
        setup = MirrorSetup(folder, postgres, database, mongo, open_qdash(client, "qdash"))
        _make_queue(setup)
        _make_qdash(setup)
        yield setup


def _make_queue(setup: MirrorSetup) -> None:
    admin = Admin(setup.database)
    admin.add_project(PROJECT)
    admin.grant_member(PROJECT, "calib_operator", USER, "operator")
    admin.add_chip(CHIP, "fake", "square-lattice-mux-16")
    admin.allow_executor("calib_executor", CHIP)
    setup.executor.register()
    anything = {"parameters_schema": {"type": "object"}}
    flow = FlowEntry(
        flow="calibrate",
        repeatable=True,
        timeout_seconds=3600,
        on_cancellation=["on_flow_cancellation"],
        **anything,
    )
    tasks = [
        TaskEntry(
            task=task,
            task_type=TaskType.QUBIT,
            input_parameters=[],
            output_parameters=[f"out_{task.lower()}"],
            **anything,
        )
        for task in TASKS
    ]
    setup.executor.register_catalogue([flow], tasks)


def _make_qdash(setup: MirrorSetup) -> None:
    qdash = QDashSetup(setup.qdash)
    qdash.make_indexes()
    qdash.make_user(USER)
    qdash.make_project(PROJECT, USER)
    qids = [str(number) for number in range(QUBITS)]
    plan = ChipPlan(chip_id=CHIP, topology_id="square-lattice-mux-16", qids=qids, edges=[])
    qdash.make_chip(PROJECT, USER, plan)
