"""The keeper of one server process: run as a program of its own, with the standard library only.

It starts the server and ends it when its owner lets go of the guard's standard input (which also happens
when the owner is killed), or on SIGTERM. A server tied to its owner by the parent-death signal alone would
end with the *thread* that started it, and would get no time to stop in order. A server whose guard is killed
still ends, by that signal.
"""

from __future__ import annotations

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


def _die_with_guard(signal_number: int) -> Callable[[], None]:
    """What the server's process does before it becomes the server: ask for a signal at the guard's death."""
    libc = ctypes.CDLL(None)
    guard = os.getpid()

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal_number)
        if os.getppid() != guard:
            os._exit(1)

    return ask


def _end(server: subprocess.Popen[bytes], stop_signal: int, grace_seconds: float) -> None:
    """Ask the server to stop; past the grace kill its whole process group."""
    server.send_signal(stop_signal)
    try:
        server.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        sys.stderr.write(f"guard: no end {grace_seconds:g} s after signal {stop_signal}, killed\n")


def _sweep(server: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left in the server's process group."""
    try:
        os.killpg(server.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        server.wait()


class Wish(Enum):
    """Why the guard stops waiting."""

    NONE = "the server ended by itself"
    ASKED = "the owner asked for the end"
    ORPHANED = "the owner is gone"


def _wait(server: subprocess.Popen[bytes], wakeup: int, *, owner: int | None) -> Wish:
    """Wait until the server has ended or is to be ended."""
    watched = [wakeup] if owner is None else [wakeup, owner]
    while True:
        readable, _, _ = select.select(watched, [], [])
        if wakeup in readable and signal.SIGTERM in os.read(wakeup, 64):
            return Wish.ASKED
        if owner in readable and not os.read(owner, 64):
            return Wish.ORPHANED
        if server.poll() is not None:
            return Wish.NONE


def main() -> int:
    """Keep the server described by the JSON object in the first argument; the exit status is the server's."""
    order = json.loads(sys.argv[1])
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pid_file = Path(order["pid_file"])
    pid_file.write_text(str(os.getpid()))
    try:
        server = subprocess.Popen(
            order["argv"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            restore_signals=True,
            preexec_fn=_die_with_guard(order["stop_signal"]),  # noqa: PLW1509 (one thread only)
            **({"user": order["uid"], "group": order["gid"], "extra_groups": []} if order["uid"] else {}),
        )
        wish = Wish.NONE
        try:
            wish = _wait(server, reading, owner=None if order["detached"] else sys.stdin.fileno())
            if wish is not Wish.NONE:
                _end(server, order["stop_signal"], order["grace_seconds"])
        finally:
            _sweep(server)
        if wish is Wish.ORPHANED and order["temporary"]:
            shutil.rmtree(pid_file.parent, ignore_errors=True)
        return server.returncode if server.returncode >= 0 else 128 - server.returncode
    except OSError as error:
        sys.stderr.write(f"guard: {error}\n")
        return 127
    finally:
        pid_file.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
