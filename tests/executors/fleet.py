"""Executors as processes, on a chip of the test's own, and what a test asks about them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import JsonValue

from qdash_queue.client.database import Database
from qdash_queue.client.models import Job
from qdash_queue.client.queue import Queue
from qdash_queue.embedded.prefect_server import PrefectServer
from tests.executors.relay import Relay
from tests.support.executor_world import (
    ROOT,
    StartedProcess,
    executor_environment,
    prefect_home,
    ready_executors,
    start,
)
from tests.support.queue_world import PROJECT, QueueWorld
from tests.support.waiting import PATIENCE, until

PLUGIN = Path(__file__).parent / "plugin"


@dataclass
class Fleet:
    """The executors of one chip in a queue.

    Attributes:
        queue: of an operator.
        code: the folders in which the executors find their code.
    """

    chip_id: str
    world: QueueWorld
    queue: Queue
    prefect_server: PrefectServer
    relay: Relay
    prefect: SyncPrefectClient
    folder: Path
    code: tuple[Path, ...] = (ROOT, PLUGIN)
    lease_seconds: float = 6
    heartbeat_seconds: float = 1
    members: list[StartedProcess] = field(default_factory=list)

    # ------------------------------------------------------------------ executors

    @property
    def state_path(self) -> Path:
        return self.folder / "state"

    @property
    def owner(self) -> Database:
        """The queue for the overseer."""
        return self.world.database

    @property
    def environment(self) -> dict[str, str]:
        return executor_environment(
            database_url=self.world.machine.url,
            prefect_api_url=f"http://127.0.0.1:{self.relay.port}/api",
            prefect_environment=self.prefect_server.client_environment | prefect_home(self.folder),
            state_path=self.state_path,
            code=self.code,
            lease_seconds=self.lease_seconds,
            heartbeat_seconds=self.heartbeat_seconds,
        )

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``qdash-executor`` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "executors", *arguments],
            env=self.environment,
            cwd=self.code[0],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def need(self, count: int) -> list[StartedProcess]:
        """So many living executors, started where there are fewer, all of them ready."""
        self.replace_dead(count)
        until(self._all_are_ready, "executors to be ready")
        return self.members[:count]

    def alone(self, **environment: str) -> StartedProcess:
        """The only living executor, started with other settings than the rest."""
        self.close()
        self.replace_dead(0)
        self.members.append(self.start(**environment))
        return self.need(1)[0]

    def replace_dead(self, count: int) -> None:
        """What a service manager does: start where there are fewer than so many, without waiting."""
        self.members = [executor for executor in self.members if executor.is_alive]
        while len(self.members) < count:
            self.members.append(self.start())

    def _all_are_ready(self) -> bool:
        for executor in self.members:
            assert executor.is_alive, executor.log.read_text()
        return ready_executors(self.owner) >= {executor.pid for executor in self.members}

    def start(self, *arguments: str, **environment: str) -> StartedProcess:
        """One more executor; does not wait until it is ready."""
        command = [sys.executable, "-m", "executors", "--chip", self.chip_id, *arguments]
        # Python looks in its working folder before all.
        return start(command, {**self.environment, **environment}, self.folder, cwd=self.code[0])

    def settle(self) -> None:
        """Let a job pass, so that the instrument is idle and Prefect's events come in."""
        self.prefect_state(self.ended(self.submit("noop")).job_id)

    def holder(self, job_id: int) -> StartedProcess:
        """The executor that runs the job."""
        executor_id = self.queue.get(job_id).executor_id or ""
        return next(executor for executor in self.members if f":{executor.pid}:" in executor_id)

    def close(self) -> None:
        for executor in self.members:
            if executor.is_alive:
                executor.signal(signal.SIGCONT)
                executor.signal(signal.SIGTERM)
        for executor in self.members:
            try:
                executor.wait()
            except subprocess.TimeoutExpired:
                executor.process.kill()
                executor.wait()

    # ------------------------------------------------------------------ jobs

    def submit(
        self,
        flow: str,
        parameters: Mapping[str, JsonValue] | None = None,
        *,
        timeout_seconds: int | None = None,
        max_attempts: int | None = None,
    ) -> int:
        job = self.queue.submit(
            PROJECT,
            self.chip_id,
            parameters or {},
            flow=flow,
            timeout_seconds=timeout_seconds,
            max_attempts=max_attempts,
        )
        return job.job_id

    def started(self, job_id: int, attempt: int = 1) -> int:
        """Wait for the first line of the flow's body; the child's process."""

        def pid() -> int | None:
            for event in self.queue.events(job_id):
                if event.event == "flow_started" and event.attempt == attempt:
                    found = event.detail["pid"]
                    assert isinstance(found, int)
                    return found
            return None

        return until(pid, f"job {job_id} to start")

    def logged(self, job_id: int, event: str) -> None:
        until(lambda: event in self.events(job_id), f"event {event} of job {job_id}")

    def ended(self, job_id: int) -> Job:
        until(lambda: self.queue.get(job_id).state.is_terminal, f"job {job_id} to end")
        return self.queue.get(job_id)

    def events(self, job_id: int) -> list[str]:
        return [event.event for event in self.queue.events(job_id)]

    def flow_run(self, job_id: int, attempt: int = 1) -> FlowRun:
        """Prefect's flow run of an attempt, once Prefect's state was made equal to the row."""
        synced = until(
            lambda: next(
                (a for a in self.queue.attempts(job_id) if a.attempt == attempt and a.prefect_synced), None
            ),
            f"Prefect to follow job {job_id}",
        )
        return self.prefect.read_flow_run(UUID(str(synced.flow_run_id)))

    def prefect_state(self, job_id: int, attempt: int = 1) -> str:
        state = self.flow_run(job_id, attempt).state
        assert state is not None
        return state.type.value


@contextmanager
def open_relay(server: PrefectServer) -> Iterator[tuple[Relay, SyncPrefectClient]]:
    """A connection to Prefect's server for executors, and a client of its own for the test."""
    relay = Relay(server.port)
    with temporary_settings({PREFECT_API_URL: server.url}), get_client(sync_client=True) as client:
        try:
            yield relay, client
        finally:
            relay.cut()


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
