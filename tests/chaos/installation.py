"""The servers, chips and processes of one run, and a service manager that restarts what has died."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil
import psycopg

from qdash_queue import migrate
from qdash_queue.cli.inputs import DESIGN_QUBITS, design_values
from qdash_queue.client.database import Database
from qdash_queue.client.parameters import Parameters
from qdash_queue.embedded.postgres import PostgresServer, system_bin
from qdash_queue.embedded.prefect_server import PrefectServer
from qdash_queue.mirror.connection import connect_mongo, open_qdash
from qdash_queue.mirror.qdash_setup import ChipPlan, QDashSetup
from tests.chaos.disk import Disk
from tests.chaos.flows import EVIDENCE, POISONED
from tests.support.databases import CalibDatabase
from tests.support.executor_world import (
    ROOT,
    StartedProcess,
    executor_environment,
    prefect_home,
    ready_executors,
    start,
)
from tests.support.killable_servers import FailingMongo
from tests.support.queue_world import FULL_CHIP, PROJECT, open_queue_world

PLUGIN = Path(__file__).parent / "plugin"
CLOCK = "QDASH_CHAOS_CLOCK"
"""Names the file by which a process' clock is set; the plugin's sitecustomize reads it."""
USER = "alice"
QUBITS = DESIGN_QUBITS
LEASE_SECONDS = 5.0
EXIT_UNREACHABLE = 4
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Size:
    """How much there is of everything.

    Attributes:
        chips: each with two executors.
        executors: for each chip.
    """

    chips: int = 3
    executors: int = 2

    @property
    def chip_ids(self) -> list[str]:
        """The chips' names."""
        return [f"SIM-{number}" for number in range(self.chips)]


@dataclass
class Start(StartedProcess):
    """One start of a process whose clock can be set."""

    clock: Path
    was_hit: bool = False

    @property
    def has_logged(self) -> bool:
        return self.log.stat().st_size > 0

    def set_clock(self, seconds: float) -> None:
        """Let the clock of all its processes be wrong by so much from now on."""
        with self.clock.open("r+b") as file:
            file.write(struct.pack("<d", seconds))


@dataclass
class Service:
    """A process that is started again when it has ended."""

    name: str
    command: list[str]
    environment: dict[str, str]
    folder: Path
    starts: list[Start] = field(default_factory=list)

    @property
    def present(self) -> Start:
        """The last start."""
        return self.starts[-1]

    def start(self) -> None:
        """Start it once more."""
        clock = self.folder / f"{self.name}-{len(self.starts)}.clock"
        clock.write_bytes(struct.pack("<d", 0.0))
        started = start(self.command, {**self.environment, CLOCK: str(clock)}, self.folder, name=self.name)
        self.starts.append(Start(started.process, started.tag, started.log, clock))


class ServiceManager:
    """Restarts processes that have ended, as systemd would; repairs nothing else."""

    def __init__(self, services: list[Service]) -> None:
        self.services = services
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="manager", daemon=True)

    def __enter__(self) -> Self:
        for service in self.services:
            service.start()
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop_restarts()
        for service in self.services:
            for process in service.present.family():
                with suppress(psutil.Error):
                    process.kill()
            service.present.process.wait()

    def stop_restarts(self) -> None:
        """Restart nothing from now on."""
        self._stopping.set()
        self._thread.join()

    def stop_all(self, seconds: float) -> list[str]:
        """Send SIGTERM to all; the names of those that do not end in time."""
        self.stop_restarts()
        for service in self.services:
            if service.present.is_alive:
                # One that is still starting ends by the signal itself.
                service.present.was_hit = service.present.was_hit or not service.present.has_logged
                service.present.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + seconds
        still_running = []
        for service in self.services:
            try:
                service.present.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                still_running.append(service.name)
        return still_running

    def unexpected_ends(self, poisoned: set[int]) -> list[str]:
        """Starts that ended without a fault of this run, except where a server was unreachable at the start.

        ``poisoned`` are executors that were killed by their own jobs.
        """
        return [
            f"{start.tag} ended with status {start.process.returncode}: {_last_line(start.log)}"
            for service in self.services
            for start in service.starts
            if start.process.returncode not in (None, 0, EXIT_UNREACHABLE)
            and not (start.was_hit or start.process.pid in poisoned)
        ]

    def _watch(self) -> None:
        while not self._stopping.wait(_POLL_SECONDS):
            for service in self.services:
                if not service.present.is_alive:
                    service.start()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "(empty)"


@dataclass
class Installation:
    """Everything of one run; made by :func:`set_up`."""

    size: Size
    folder: Path
    postgres: PostgresServer
    mongo: FailingMongo
    prefect: PrefectServer
    disk: Disk
    database: CalibDatabase
    submitter_url: str = ""
    operator_url: str = ""
    executor_url: str = ""
    mirror_url: str = ""

    @property
    def data_path(self) -> Path:
        """The mirror's files."""
        return self.disk.data_path

    @property
    def evidence(self) -> Path:
        """The flows' evidence."""
        return self.folder / "evidence"

    def poisoned(self) -> set[int]:
        """Executors that were killed by their own jobs."""
        path = self.evidence / POISONED
        return {int(line) for line in path.read_text().split()} if path.exists() else set()

    def executor_services(self) -> list[Service]:
        """Two executors for each chip."""
        environment = {**self._environment(self.executor_url), EVIDENCE: str(self.evidence)}
        return [
            Service(
                f"{chip_id}-{letter}",
                [sys.executable, "-m", "executors", "--chip", chip_id],
                environment,
                self.folder / "logs",
            )
            for chip_id in self.size.chip_ids
            for letter in "abcdefgh"[: self.size.executors]
        ]

    def mirror_service(self) -> Service:
        """The mirror."""
        command = [sys.executable, "-m", "qdash_queue.cli", "mirror", "run"]
        return Service("mirror", command, self._environment(self.mirror_url), self.folder / "logs")

    def _environment(self, database_url: str) -> dict[str, str]:
        return executor_environment(
            database_url=database_url,
            prefect_api_url=self.prefect.url,
            prefect_environment=self.prefect.client_environment | prefect_home(self.folder),
            state_path=self.folder / "state",
            code=(ROOT, PLUGIN),
            lease_seconds=LEASE_SECONDS,
        ) | {"QDASH_QUEUE_MONGO_URL": self.mongo.url, "QDASH_QUEUE_DATA_PATH": str(self.data_path)}

    def wait_until_ready(self, seconds: float) -> None:
        """Wait until every chip has all its executors, warm."""
        deadline = time.monotonic() + seconds
        wanted = self.size.chips * self.size.executors
        with closing(Database(self.database.overseer.url)) as owner:
            while (ready := len(ready_executors(owner))) < wanted:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{ready} of {wanted} executors were ready in {seconds:g} s")
                time.sleep(0.1)


@contextmanager
def set_up(size: Size) -> Iterator[Installation]:
    """Servers with durable storage, a migrated queue with chips, and a QDash that knows them."""
    major = os.environ.get("PG")
    # The account that PostgreSQL runs as has to pass through this folder.
    folder = Path(tempfile.mkdtemp(prefix="qdq-chaos-"))
    folder.chmod(0o755)
    for name in ("evidence", "logs"):
        (folder / name).mkdir()
    postgres = PostgresServer(folder / "postgres", programs=system_bin(int(major)) if major else None)
    mongo, prefect = FailingMongo(folder / "mongo"), PrefectServer(folder / "prefect")
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        disk = Disk.make(folder / "disk")
        stack.callback(disk.remove)
        for server in (postgres, mongo, prefect):
            stack.callback(server.stop)
        with ThreadPoolExecutor() as pool:
            for started in [pool.submit(server.start) for server in (postgres, mongo, prefect)]:
                started.result()
        installation = Installation(
            size, folder, postgres, mongo, prefect, disk, CalibDatabase(postgres, "calib")
        )
        _set_up_queue(installation)
        _set_up_qdash(installation)
        yield installation


def _set_up_queue(installation: Installation) -> None:
    with psycopg.connect(installation.postgres.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE calib")
    migrate.upgrade(installation.database.url)
    with open_queue_world(installation.database) as world:
        installation.submitter_url = world.person(USER, "calib_submitter", access="submitter").url
        installation.operator_url = world.person("olga", "calib_operator", access="operator").url
        installation.executor_url = world.machine.url
        installation.mirror_url = world.person("mirror", "calib_mirror").url
        for chip_id in installation.size.chip_ids:
            world.add_chip(chip_id)
            Parameters(world.database, chip_id).import_values(design_values(), "design values")


def _set_up_qdash(installation: Installation) -> None:
    client = connect_mongo(installation.mongo.url)
    setup = QDashSetup(open_qdash(client, "qdash"))
    setup.make_indexes()
    for username in (USER, "olga"):
        setup.make_user(username)
    setup.make_project(PROJECT, USER)
    for chip_id in installation.size.chip_ids:
        qids = [str(number) for number in range(QUBITS)]
        setup.make_chip(
            PROJECT, USER, ChipPlan(chip_id=chip_id, topology_id=FULL_CHIP, qids=qids, edges=[("0", "1")])
        )
    client.close()
