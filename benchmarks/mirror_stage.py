"""What the mirror's benchmarks stand on: PostgreSQL that flushes each commit, mongod, jobs driven by hand."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psutil
import psycopg

from qdash_queue import migrate
from qdash_queue.client.admin import Admin
from qdash_queue.client.database import Database
from qdash_queue.embedded.postgres import PostgresServer
from qdash_queue.mirror.artifacts.layout import Layout
from qdash_queue.mirror.connection import connect_mongo, open_qdash
from qdash_queue.mirror.write.prerequisites import QDashDatabase
from tests.chaos.servers import KeptMongo
from tests.mirror.world import CHIP, PROJECT, USER, QueueWorld, make_chip, set_up_qdash
from tests.support.databases import CalibDatabase

QUBITS = 16


@dataclass
class MirrorStage:
    """The servers, a queue with one chip whose jobs are driven by hand, and a QDash that has the chip too."""

    folder: Path
    calib: CalibDatabase
    mongo: KeptMongo
    world: QueueWorld
    qdash: QDashDatabase
    mirror_url: str

    @property
    def layout(self) -> Layout:
        """Where the mirror writes files."""
        return Layout(base=self.folder / "calib_data", base_in_qdash=PurePosixPath("/app/calib_data"))

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
        """On what the figures are taken."""
        load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
        mongo = self.qdash.client.server_info()["version"]
        row = self.world.database.row("SELECT version() AS version, current_setting('fsync') AS fsync")
        return (
            f"{platform.machine()}, {os.cpu_count()} cores, load {load}, Python {platform.python_version()}\n"
            f"{row['version'].split(' on ')[0] if row else '?'}, fsync {row['fsync'] if row else '?'};"
            f" mongod {mongo}, journal on; files in {self.folder.parent}"
        )


@contextmanager
def mirror_stage() -> Iterator[MirrorStage]:
    """Everything up and empty; stopped and removed afterwards, by SIGTERM too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qdq-mirror-")))
        folder.chmod(0o755)
        postgres = stack.enter_context(PostgresServer())
        mongo = KeptMongo(folder / "mongo")
        stack.callback(mongo.stop)
        mongo.start()
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE calib")
        calib = CalibDatabase(postgres, "calib")
        migrate.upgrade(calib.url)
        owner = Database(calib.overseer.url)
        stack.callback(owner.close)
        Admin(owner).add_project(PROJECT)
        Admin(owner).grant_member(PROJECT, "calib_operator", USER, "operator")
        client = connect_mongo(mongo.url)
        stack.callback(client.close)
        qdash = open_qdash(client, "qdash")
        set_up_qdash(qdash, CHIP)
        world = make_chip(owner, CHIP)
        yield MirrorStage(folder, calib, mongo, world, qdash, calib.login("calib_mirror").url)
