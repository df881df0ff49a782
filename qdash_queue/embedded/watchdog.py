"""Runs one server and ends it with its owner: a program of its own, with the standard library only.

It stops the server when the owner closes the watchdog's standard input (a killed owner does too), or on
SIGTERM. A parent-death signal in its place would end the server with the *thread* that started it, without
time to stop in order; it is only used for the server of a watchdog that is killed itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path

PR_SET_PDEATHSIG = 1


def _die_with_watchdog(signal_number: int) -> Callable[[], None]:
    """What the server's process does before exec: ask for a signal at the watchdog's death."""
    libc = ctypes.CDLL(None)
    watchdog = os.getpid()

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal_number)
        if os.getppid() != watchdog:
            os._exit(1)

    return ask


def _end(server: subprocess.Popen[bytes], stop_signal: int, grace_seconds: float) -> None:
    """Ask the server to stop and wait; what is left of its process group afterwards is killed."""
    server.send_signal(stop_signal)
    try:
        server.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        sys.stderr.write(f"watchdog: no end {grace_seconds:g} s after signal {stop_signal}, killed\n")


class Event(Enum):
    """Why the watchdog stops waiting."""

    SERVER_ENDED = "server_ended"
    STOP_REQUESTED = "stop_requested"
    OWNER_GONE = "owner_gone"


def _wait(server: subprocess.Popen[bytes], wakeup: int, *, owner: int | None) -> Event:
    """Wait until the server has ended or must be stopped."""
    watched = [wakeup] if owner is None else [wakeup, owner]
    while True:
        readable, _, _ = select.select(watched, [], [])
        if wakeup in readable and signal.SIGTERM in os.read(wakeup, 64):
            return Event.STOP_REQUESTED
        if owner in readable and not os.read(owner, 64):
            return Event.OWNER_GONE
        if server.poll() is not None:
            return Event.SERVER_ENDED


def main() -> int:
    """Run the server described by the JSON object in the first argument; the exit status is the server's."""
    spec = json.loads(sys.argv[1])
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pid_file = Path(spec["pid_file"])
    pid_file.write_text(str(os.getpid()))
    try:
        server = subprocess.Popen(
            spec["argv"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            restore_signals=True,
            preexec_fn=_die_with_watchdog(spec["stop_signal"]),  # noqa: PLW1509 (one thread only)
            **spec["run_as"],
        )
        try:
            event = _wait(server, reading, owner=None if spec["detached"] else sys.stdin.fileno())
            if event is not Event.SERVER_ENDED:
                _end(server, spec["stop_signal"], spec["grace_seconds"])
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()
        if event is Event.OWNER_GONE and spec["temporary"]:
            shutil.rmtree(pid_file.parent, ignore_errors=True)
        return server.returncode if server.returncode >= 0 else 128 - server.returncode
    except OSError as error:
        sys.stderr.write(f"watchdog: {error}\n")
        return 127
    finally:
        pid_file.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
