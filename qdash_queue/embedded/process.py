"""A server as a process: started under a watchdog, waited for, stopped, with its log."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from qdash_queue.embedded import watchdog
from qdash_queue.errors import QdashQueueError

POLL_SECONDS = 0.02
LOG_TAIL_LINES = 12


class EmbeddedServerError(QdashQueueError):
    """An embedded server is not installed or did not start: one sentence, then the log's end."""


class PortTakenError(EmbeddedServerError):
    """Another process took the port between its choice and the server's start."""


class Lifetime(StrEnum):
    """How long a server lives."""

    WITH_OWNER = "with_owner"
    """Ends with the process that started it, even if that is killed."""
    DETACHED = "detached"
    """Runs until `stop_detached` is called on its directory."""


class Durability(StrEnum):
    """Whether committed data survive a crash of the machine."""

    SAFE = "safe"
    """A commit is on the disk."""
    FAST = "fast"
    """For tests only: nothing is synced, a crash of the machine may lose or break everything."""


def free_port() -> int:
    """A TCP port of the loopback address that is free at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class ProcessSpec:
    """What to run, under which account, and how to stop it."""

    name: str
    argv: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    stop_signal: signal.Signals = signal.SIGTERM
    grace_seconds: float = 15.0
    lifetime: Lifetime = Lifetime.WITH_OWNER
    run_as: dict[str, Any] = field(default_factory=dict)
    """The account, as arguments of `subprocess.Popen`: user, group, extra_groups; the caller's if empty."""
    temporary: bool = False
    """Whether the watchdog removes the directory if the owner dies without doing so."""

    @property
    def log_file(self) -> Path:
        """Where the server's output goes; appended to."""
        return self.directory / f"{self.name}.log"

    @property
    def pid_file(self) -> Path:
        """Where the watchdog writes its process id while it lives; without links, for `stop_detached`."""
        return self.directory.resolve() / f"{self.name}.pid"


class ServerProcess:
    """One running server under its watchdog.

    Args:
        spec: what to run.

    Raises:
        EmbeddedServerError: from `wait_until`, if the server ends or does not answer in time, and from
            `check`.
    """

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self._log_start = spec.log_file.stat().st_size if spec.log_file.exists() else 0
        instruction = {
            "argv": list(spec.argv),
            "pid_file": str(spec.pid_file),
            "stop_signal": int(spec.stop_signal),
            "grace_seconds": spec.grace_seconds,
            "detached": spec.lifetime is Lifetime.DETACHED,
            "temporary": spec.temporary,
            "run_as": spec.run_as,
        }
        with spec.log_file.open("ab") as log:
            self._watchdog = subprocess.Popen(
                [sys.executable, "-I", "-S", watchdog.__file__, json.dumps(instruction)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(spec.environment),
                cwd=spec.directory,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id of the watchdog; the server is its only child."""
        return self._watchdog.pid

    def is_running(self) -> bool:
        """Whether the server has not ended."""
        return self._watchdog.poll() is None

    def check(self) -> None:
        """Check that the server still runs.

        Raises:
            EmbeddedServerError: if it has ended.
        """
        if not self.is_running():
            raise self._failure(f"ended with status {self._watchdog.returncode}")

    def log_text(self) -> str:
        """What the server has written since this start."""
        with self.spec.log_file.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Poll `ready` until it is true.

        Raises:
            PortTakenError: if the server ended because its port is in use.
            EmbeddedServerError: if it ended for another reason, or did not answer within `seconds`;
                it is stopped then.
        """
        deadline = time.monotonic() + seconds
        while self.is_running():
            if ready():
                return
            if time.monotonic() > deadline:
                self.stop()
                raise self._failure(f"did not answer within {seconds:g} s")
            time.sleep(POLL_SECONDS)
        self.stop()
        raise self._failure(f"ended with status {self._watchdog.returncode} before it answered")

    def stop(self) -> None:
        """Stop the server in order and wait for its end; past the grace it is killed."""
        if self.is_running():
            with contextlib.suppress(ProcessLookupError):
                self._watchdog.terminate()
        try:
            self._watchdog.wait(self.spec.grace_seconds + 10)
        except subprocess.TimeoutExpired:
            self._watchdog.kill()
            self._watchdog.wait()
        # Last, because the watchdog takes the end of this pipe for its owner's death.
        if self._watchdog.stdin is not None:
            self._watchdog.stdin.close()

    def release(self) -> None:
        """Leave a detached server running; this object no longer manages it."""
        if self._watchdog.stdin is not None:
            self._watchdog.stdin.close()
        # The watchdog is not waited for; without a status Popen would warn about it.
        self._watchdog.returncode = 0

    def _failure(self, what: str) -> EmbeddedServerError:
        text = self.log_text()
        tail = "\n".join("  " + line for line in text.splitlines()[-LOG_TAIL_LINES:]) or "  (empty)"
        kind = PortTakenError if "already in use" in text.lower() else EmbeddedServerError
        return kind(f"{self.spec.name} {what}; its log {self.spec.log_file} ends with:\n{tail}")


def stop_detached(directory: Path, *, seconds: float = 30.0) -> list[str]:
    """Stop every server that was left running in the directory, however its path is spelled.

    Returns:
        The names of the servers stopped.

    Raises:
        EmbeddedServerError: if one is still there after `seconds`.
    """
    stopped = []
    for pid_file in sorted(directory.resolve().rglob("*.pid")):
        pid = _watchdog_of(pid_file)
        if pid is None:
            continue
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while _watchdog_of(pid_file) == pid:
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"{pid_file.stem} (process {pid}) did not stop within {seconds:g} s"
                )
            time.sleep(POLL_SECONDS)
        stopped.append(pid_file.stem)
    return stopped


def _watchdog_of(pid_file: Path) -> int | None:
    """The process in the file, if it is still the watchdog that wrote it and not a later process."""
    try:
        pid = int(pid_file.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (OSError, ValueError):
        return None
    # The command line holds the path as JSON spells it.
    return pid if json.dumps(str(pid_file)) in command else None
