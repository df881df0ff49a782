"""Executors and other programs as real processes: their environment, their start, what came from them."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from qdash_queue.client.database import Database
from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
TAG = "QDASH_TEST_PROCESS"
"""The variable by which all processes that one start brought forth are found."""


@dataclass
class StartedProcess:
    """One start of a program."""

    process: subprocess.Popen[bytes]
    tag: str
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        return self.process.wait(PATIENCE)

    def family(self) -> list[psutil.Process]:
        """Every living process that came from it, wherever it is in the process tree, itself included."""
        return [process for process in psutil.process_iter() if tag_of(process) == self.tag]


def start(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, *, cwd: Path = ROOT, name: str = ""
) -> StartedProcess:
    """Start a program in a session of its own; its output goes to a log in the folder."""
    tag = f"{name}-{uuid.uuid4().hex[:8]}"
    log = folder / f"{tag}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            env={**environment, TAG: tag},
            cwd=cwd,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return StartedProcess(process, tag, log)


def tag_of(process: psutil.Process) -> str | None:
    """The tag of the start that a living process came from."""
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else process.environ().get(TAG)
    except (psutil.Error, OSError):
        return None


def ready_executors(owner: Database) -> set[int]:
    """The processes of executors that are ready."""
    rows = owner.rows("SELECT pid FROM calib_private.executors WHERE condition = 'ready'")
    return {row["pid"] for row in rows}


def prefect_home(folder: Path) -> dict[str, str]:
    """The variables that keep Prefect's own files of a process in the folder."""
    return {
        "PREFECT_HOME": str(folder / "prefect-home"),
        "PREFECT_PROFILES_PATH": str(folder / "profiles.toml"),
    }


def executor_environment(
    *,
    database_url: str,
    prefect_api_url: str,
    prefect_environment: Mapping[str, str],
    state_path: Path,
    code: Sequence[Path] = (ROOT,),
    lease_seconds: float = 6,
    heartbeat_seconds: float = 1,
) -> dict[str, str]:
    """The variables of an executor with a short lease that polls often."""
    return {
        **os.environ,
        **prefect_environment,
        "PYTHONPATH": os.pathsep.join(map(str, code)),
        "QDASH_QUEUE_DATABASE_URL": database_url,
        "QDASH_QUEUE_PREFECT_API_URL": prefect_api_url,
        "QDASH_QUEUE_STATE_PATH": str(state_path),
        "QDASH_QUEUE_LEASE_SECONDS": f"{lease_seconds}",
        "QDASH_QUEUE_HEARTBEAT_SECONDS": f"{heartbeat_seconds}",
        "QDASH_QUEUE_POLL_SECONDS": "0.2",
        "QDASH_QUEUE_TERM_GRACE_SECONDS": "1",
    }
