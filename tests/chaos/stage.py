"""The servers, the chips and the processes of one run, and the steward who starts again what has died."""

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
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil
import psycopg

from executors.backends.simchip.device import design_parameters
from qdash_queue import migrate
from qdash_queue.client.admin import Admin
from qdash_queue.client.database import Database
from qdash_queue.client.parameters import Parameters
from qdash_queue.embedded.postgres import PostgresServer, system_bin
from qdash_queue.mirror.connection import connect_mongo, open_qdash
from qdash_queue.mirror.qdash_setup import ChipPlan, QDashSetup
from tests.chaos.disk import Disk
from tests.chaos.flows import POISONED, WITNESS
from tests.chaos.servers import KeptMongo, KeptPrefect
from tests.support.databases import CalibDatabase

ROOT = Path(__file__).parents[2]
PLUGIN = Path(__file__).parent / "plugin"
TAG = "QDASH_CHAOS_PROCESS"
CLOCK = "QDASH_CHAOS_CLOCK"
"""Names the file by which a process' clock is set; the plugin's sitecustomize reads it."""
PROJECT = "lab"
USER = "alice"
TOPOLOGY = "square-lattice-mux-16"
QUBITS = 16
LEASE_SECONDS = 5.0
EXIT_AWAY = 4
_LOOK_SECONDS = 0.2


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
class Start:
    """One start of a process."""

    process: subprocess.Popen[bytes]
    tag: str
    log: Path
    clock: Path
    is_injured: bool = False

    @property
    def has_spoken(self) -> bool:
        return self.log.stat().st_size > 0

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def set_clock(self, seconds: float) -> None:
        """Let the clock of all its processes be wrong by so much from now on."""
        with self.clock.open("r+b") as file:
            file.write(struct.pack("<d", seconds))

    def family(self) -> list[psutil.Process]:
        """Every living process that came from it, wherever it hangs by now, itself included."""
        return [process for process in psutil.process_iter() if self._is_of_family(process)]

    def _is_of_family(self, process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(TAG) == self.tag
        except (psutil.Error, OSError):
            return False


@dataclass
class Slot:
    """A process that shall live: it is started again when it has died."""

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
        tag = f"{self.name}-{uuid.uuid4().hex[:8]}"
        log, clock = self.folder / f"{tag}.log", self.folder / f"{tag}.clock"
        clock.write_bytes(struct.pack("<d", 0.0))
        with log.open("wb") as file:
            process = subprocess.Popen(
                self.command,
                env={**self.environment, TAG: tag, CLOCK: str(clock)},
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.starts.append(Start(process, tag, log, clock))


class Steward:
    """Starts dead processes again, as a service manager would; repairs nothing else."""

    def __init__(self, slots: list[Slot]) -> None:
        self.slots = slots
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="steward", daemon=True)

    def __enter__(self) -> Self:
        for slot in self.slots:
            slot.start()
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.dismiss()
        for slot in self.slots:
            for process in slot.present.family():
                with suppress(psutil.Error):
                    process.kill()
            slot.present.process.wait()

    def dismiss(self) -> None:
        """Start nothing again from now on."""
        self._leaving.set()
        self._thread.join()

    def stop_all(self, seconds: float) -> list[str]:
        """Ask all to leave; the names of those that did not."""
        self.dismiss()
        for slot in self.slots:
            if slot.present.is_alive:
                # One that has not come up yet ends by the signal itself.
                slot.present.is_injured = slot.present.is_injured or not slot.present.has_spoken
                slot.present.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + seconds
        stubborn = []
        for slot in self.slots:
            try:
                slot.present.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                stubborn.append(slot.name)
        return stubborn

    def fallen(self, poisoned: set[int]) -> list[str]:
        """Starts that ended though nobody hurt them, except those that found a server away at their start.

        ``poisoned`` are processes that were killed by their own jobs.
        """
        return [
            f"{start.tag} ended with status {start.process.returncode}: {_last_line(start.log)}"
            for slot in self.slots
            for start in slot.starts
            if start.process.returncode not in (None, 0, EXIT_AWAY)
            and not (start.is_injured or start.process.pid in poisoned)
        ]

    def _watch(self) -> None:
        while not self._leaving.wait(_LOOK_SECONDS):
            for slot in self.slots:
                if not slot.present.is_alive:
                    slot.start()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "(said nothing)"


@dataclass
class Stage:
    """Everything of one run; made by :func:`set_up`."""

    size: Size
    folder: Path
    postgres: PostgresServer
    mongo: KeptMongo
    prefect: KeptPrefect
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
    def witness(self) -> Path:
        """The flows' evidence."""
        return self.folder / "witness"

    def poisoned(self) -> set[int]:
        """Executors that were killed by their own jobs."""
        path = self.witness / POISONED
        return {int(line) for line in path.read_text().split()} if path.exists() else set()

    def executor_slots(self) -> list[Slot]:
        """Two executors for each chip."""
        environment = {**self._environment(self.executor_url), WITNESS: str(self.witness)}
        return [
            Slot(
                f"{chip_id}-{letter}",
                [sys.executable, "-m", "executors", "--chip", chip_id],
                environment,
                self.folder / "logs",
            )
            for chip_id in self.size.chip_ids
            for letter in "abcdefgh"[: self.size.executors]
        ]

    def mirror_slot(self) -> Slot:
        """The mirror."""
        command = [sys.executable, "-m", "qdash_queue.cli", "mirror", "run"]
        return Slot("mirror", command, self._environment(self.mirror_url), self.folder / "logs")

    def _environment(self, database_url: str) -> dict[str, str]:
        return {
            **os.environ,
            **self.prefect.client_environment,
            "PREFECT_HOME": str(self.folder / "prefect-home"),
            "PREFECT_PROFILES_PATH": str(self.folder / "profiles.toml"),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(PLUGIN)]),
            "QDASH_QUEUE_DATABASE_URL": database_url,
            "QDASH_QUEUE_PREFECT_API_URL": self.prefect.url,
            "QDASH_QUEUE_MONGO_URL": self.mongo.url,
            "QDASH_QUEUE_DATA_PATH": str(self.data_path),
            "QDASH_QUEUE_STATE_PATH": str(self.folder / "state"),
            "QDASH_QUEUE_LEASE_SECONDS": str(LEASE_SECONDS),
            "QDASH_QUEUE_HEARTBEAT_SECONDS": "1",
            "QDASH_QUEUE_POLL_SECONDS": "0.2",
            "QDASH_QUEUE_TERM_GRACE_SECONDS": "1",
        }

    def wait_until_ready(self, seconds: float) -> None:
        """Wait until every chip has all its executors, warm."""
        deadline = time.monotonic() + seconds
        wanted = self.size.chips * self.size.executors
        with psycopg.connect(self.database.overseer.url, autocommit=True) as connection:
            while True:
                row = connection.execute(
                    "SELECT count(*) FROM calib.executors"
                    " WHERE condition = 'ready' AND last_seen_at > started_at"
                ).fetchone()
                if row is not None and row[0] >= wanted:
                    return
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{row} of {wanted} executors were ready in {seconds:g} s")
                time.sleep(0.1)


@contextmanager
def set_up(size: Size) -> Iterator[Stage]:
    """Servers with durable storage, a migrated queue with chips, and a QDash that knows them."""
    major = os.environ.get("PG")
    # The account that PostgreSQL runs as has to pass through this folder.
    folder = Path(tempfile.mkdtemp(prefix="qdq-chaos-"))
    folder.chmod(0o755)
    for name in ("witness", "logs"):
        (folder / name).mkdir()
    postgres = PostgresServer(folder / "postgres", programs=system_bin(int(major)) if major else None)
    mongo, prefect = KeptMongo(folder / "mongo"), KeptPrefect(folder / "prefect")
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        disk = Disk.make(folder / "disk")
        stack.callback(disk.remove)
        for server in (postgres, mongo, prefect):
            stack.callback(server.stop)
        with ThreadPoolExecutor() as pool:
            for started in [pool.submit(server.start) for server in (postgres, mongo, prefect)]:
                started.result()
        stage = Stage(size, folder, postgres, mongo, prefect, disk, CalibDatabase(postgres, "calib"))
        _furnish_queue(stage)
        _furnish_qdash(stage)
        yield stage


def _furnish_queue(stage: Stage) -> None:
    with psycopg.connect(stage.postgres.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE calib")
    database = stage.database
    migrate.upgrade(database.url)
    submitter, operator = database.login("calib_submitter"), database.login("calib_operator")
    executor, mirror = database.login("calib_executor"), database.login("calib_mirror")
    stage.submitter_url, stage.operator_url = submitter.url, operator.url
    stage.executor_url, stage.mirror_url = executor.url, mirror.url
    owner = Database(database.overseer.url)
    admin = Admin(owner)
    admin.add_project(PROJECT)
    admin.grant_member(PROJECT, submitter.name, USER, "submitter")
    admin.grant_member(PROJECT, operator.name, "olga", "operator")
    for chip_id in stage.size.chip_ids:
        admin.add_chip(chip_id, "fake", TOPOLOGY)
        admin.allow_executor(executor.name, chip_id)
        design = {
            qid: {
                name: value.model_dump(mode="json", include={"value", "error", "unit"})
                for name, value in named.items()
            }
            for qid, named in design_parameters(chip_id, QUBITS).items()
        }
        Parameters(owner, chip_id).import_values(design, "design values")
    owner.close()


def _furnish_qdash(stage: Stage) -> None:
    client = connect_mongo(stage.mongo.url)
    setup = QDashSetup(open_qdash(client, "qdash"))
    setup.make_indexes()
    for username in (USER, "olga"):
        setup.make_user(username)
    setup.make_project(PROJECT, USER)
    for chip_id in stage.size.chip_ids:
        qids = [str(number) for number in range(QUBITS)]
        setup.make_chip(
            PROJECT, USER, ChipPlan(chip_id=chip_id, topology_id=TOPOLOGY, qids=qids, edges=[("0", "1")])
        )
    client.close()
