"""A chip's queue, prepared as ``qdash-queue setup`` does it, and its executors as processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import JsonValue

from benchmarks.conditions import migrate_and_grant, until
from qdash_queue.cli.chip_setup import Plan, install
from qdash_queue.client.database import Database
from qdash_queue.client.models import Job, JobEvent
from qdash_queue.client.queue import Queue
from qdash_queue.embedded.prefect_server import PrefectServer

ROOT = Path(__file__).parents[1]
PLUGIN = Path(__file__).parent / "plugin"
PROJECT, MEMBER = "bench", "alice"


def plan(chip_id: str = "SIM16", topology: str | None = None) -> Plan:
    """A simulated chip with logins for each role."""
    return Plan(chip_id, "fake", topology, PROJECT, member=MEMBER, admin="chip_admin", mirror="mirror")


@dataclass
class ExecutorProcess:
    """One start of an executor."""

    process: subprocess.Popen[bytes]
    log: Path


@dataclass
class Installation:
    """One chip with its executors; `owner` is the superuser who was granted every right."""

    chip_id: str
    folder: Path
    owner: Database
    queue: Queue
    executor_url: str
    environment: Mapping[str, str]
    executors: list[ExecutorProcess] = field(default_factory=list)

    def need(self, count: int, **settings: str) -> list[ExecutorProcess]:
        """So many living executors, all ready; those that are missing are started with these settings."""
        self.executors = [each for each in self.executors if each.process.poll() is None]
        while len(self.executors) < count:
            self.executors.append(self._start(settings))
        until(self._are_ready, "executors to be ready")
        return self.executors

    def _start(self, settings: Mapping[str, str]) -> ExecutorProcess:
        log = self.folder / f"executor-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "executors", "--chip", self.chip_id]
        given = {**self.environment, **settings}
        with log.open("wb") as file:
            process = subprocess.Popen(command, env=given, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
        return ExecutorProcess(process, log)

    def _are_ready(self) -> bool:
        for each in self.executors:
            if each.process.poll() is not None:
                raise SystemExit(f"an executor ended with {each.process.returncode}: {each.log.read_text()}")
        # A row says "ready" for a moment when it is made; no executor is ready in its first second.
        rows = self.owner.rows(
            "SELECT pid FROM calib_private.executors"
            " WHERE condition = 'ready' AND last_seen_at > started_at + interval '1 s'"
        )
        return {row["pid"] for row in rows} >= {each.process.pid for each in self.executors}

    def end(self) -> None:
        """Stop all executors."""
        for each in self.executors:
            each.process.terminate()
        for each in self.executors:
            try:
                each.process.wait(60)
            except subprocess.TimeoutExpired:
                each.process.kill()
                each.process.wait()
        self.executors = []

    def submit(
        self, flow: str, parameters: Mapping[str, JsonValue], not_before: datetime | None = None
    ) -> int:
        return self.queue.submit(PROJECT, self.chip_id, parameters, flow=flow, not_before=not_before).job_id

    def happened(self, job_id: int, event: str, times: int = 1) -> JobEvent:
        """Wait until an event has been logged so many times; the last of them."""

        def found() -> JobEvent | None:
            events = [each for each in self.queue.events(job_id) if each.event == event]
            return events[times - 1] if len(events) >= times else None

        return until(found, f"event {event} of job {job_id}")

    def ended(self, job_id: int) -> Job:
        until(lambda: self.queue.get(job_id).state.is_terminal, f"job {job_id} to end")
        return self.queue.get(job_id)


@contextmanager
def installed(
    folder: Path, database_url: str, prefect: PrefectServer, wanted: Plan | None = None
) -> Iterator[Installation]:
    """A migrated database with project, chip and logins; no executor is started yet."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    migrate_and_grant(database_url)
    wanted = wanted or plan()
    urls = {item.name: item.url for item in install(database_url, wanted) if item.url is not None}
    executor_url = urls[wanted.executor]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("QDASH_QUEUE_")},
        **prefect.client_environment,
        "PREFECT_HOME": str(folder / "prefect"),
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, PLUGIN))),
        "QDASH_QUEUE_DATABASE_URL": executor_url,
        "QDASH_QUEUE_PREFECT_API_URL": prefect.url,
        "QDASH_QUEUE_STATE_PATH": str(folder / "state"),
    }
    owner, queue = Database(database_url), Queue.connect(urls[MEMBER])
    installation = Installation(wanted.chip_id, folder, owner, queue, executor_url, environment)
    try:
        yield installation
    finally:
        installation.end()
        queue.database.close()
        owner.close()
