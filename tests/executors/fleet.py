"""Executors as processes, on a chip of the test's own, and what a test asks about them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from pydantic import JsonValue

from qdash_queue.client.database import Database
from qdash_queue.client.models import Job
from qdash_queue.client.queue import Queue
from tests.executors.relay import Relay
from tests.support.waiting import PATIENCE, until

ROOT = Path(__file__).parents[2]
PLUGIN = Path(__file__).parent / "plugin"
TAG = "QDASH_TEST_EXECUTOR"
PROJECT = "lab"


@dataclass
class ExecutorProcess:
    """One executor process."""

    process: subprocess.Popen[bytes]
    log: Path
    tag: str

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def leave(self) -> int:
        """Wait for its end; the exit code."""
        return self.process.wait(PATIENCE)

    def family(self) -> list[psutil.Process]:
        """Every living process that it started, wherever it hangs by now, and itself."""
        return [process for process in psutil.process_iter() if self._is_of_family(process)]

    def _is_of_family(self, process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(TAG) == self.tag
        except psutil.Error:
            return False


@dataclass
class Fleet:
    """The executors of one chip."""

    chip_id: str
    queue: Queue
    owner: Database
    executor_url: str
    relay: Relay
    folder: Path
    prefect_environment: dict[str, str]
    prefect: SyncPrefectClient
    code: tuple[Path, ...] = (ROOT, PLUGIN)
    module: str = "executors"
    lease_seconds: float = 6
    heartbeat_seconds: float = 1
    members: list[ExecutorProcess] = field(default_factory=list)

    # ------------------------------------------------------------------ executors

    @property
    def state_path(self) -> Path:
        return self.folder / "state"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **self.prefect_environment,
            "PYTHONPATH": os.pathsep.join(map(str, self.code)),
            "QDASH_QUEUE_DATABASE_URL": self.executor_url,
            "QDASH_QUEUE_PREFECT_API_URL": f"http://127.0.0.1:{self.relay.port}/api",
            "QDASH_QUEUE_STATE_PATH": str(self.state_path),
            "QDASH_QUEUE_LEASE_SECONDS": f"{self.lease_seconds}",
            "QDASH_QUEUE_HEARTBEAT_SECONDS": f"{self.heartbeat_seconds}",
            "QDASH_QUEUE_POLL_SECONDS": "0.2",
            "QDASH_QUEUE_TERM_GRACE_SECONDS": "1",
        }

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``qdash-executor`` to its end."""
        return subprocess.run(
            [sys.executable, "-m", self.module, *arguments],
            env=self.environment,
            cwd=self.code[0],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def need(self, count: int) -> list[ExecutorProcess]:
        """So many living executors, started where there are fewer, all of them ready."""
        self.replace_dead(count)
        until(self._all_are_ready, "executors to be ready")
        return self.members[:count]

    def alone(self, **environment: str) -> ExecutorProcess:
        """The only living executor, started with other settings than the rest."""
        self.close()
        self.replace_dead(0)
        self.members.append(self.start(**environment))
        return self.need(1)[0]

    def replace_dead(self, count: int) -> None:
        """What a service manager does: start where there are fewer than so many, without waiting."""
        self.members = [executor for executor in self.members if executor.process.poll() is None]
        while len(self.members) < count:
            self.members.append(self.start())

    def _all_are_ready(self) -> bool:
        for executor in self.members:
            assert executor.process.poll() is None, executor.log.read_text()
        return self._ready() >= {executor.pid for executor in self.members}

    def start(self, **environment: str) -> ExecutorProcess:
        """One more executor; does not wait until it is ready."""
        tag = uuid.uuid4().hex
        log = self.folder / f"{tag}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", self.module, "--chip", self.chip_id],
                env={**self.environment, **environment, TAG: tag},
                cwd=self.code[0],  # Python looks there before all.
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return ExecutorProcess(process, log, tag)

    def _ready(self) -> set[int]:
        # A row says "ready" for a moment when it is made; no executor is ready in its first second.
        rows = self.owner.rows(
            "SELECT pid FROM calib_private.executors"
            " WHERE condition = 'ready' AND last_seen_at > started_at + interval '1 s'"
        )
        return {row["pid"] for row in rows}

    def settle(self) -> None:
        """Let a job pass, so that the instrument is idle and Prefect's events come in."""
        self.prefect_state(self.ended(self.submit("noop")).job_id)

    def holder(self, job_id: int) -> ExecutorProcess:
        """The executor that runs the job."""
        executor_id = self.queue.get(job_id).executor_id or ""
        return next(executor for executor in self.members if f":{executor.pid}:" in executor_id)

    def close(self) -> None:
        for executor in self.members:
            if executor.process.poll() is None:
                executor.signal(signal.SIGCONT)
                executor.signal(signal.SIGTERM)
        for executor in self.members:
            try:
                executor.leave()
            except subprocess.TimeoutExpired:
                executor.process.kill()
                executor.leave()

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


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
