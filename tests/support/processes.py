"""Which processes came from this test session, wherever they hang in the process tree, and their end.

They bear a mark in their environment. Run as a program, by `tag_session`, this module ends them as soon as
the process that runs the tests is dead, however it died. It is a process of its own, and watches that process
as a whole: a parent-death signal would come when the thread that started a process ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

TAG = "QDASH_TEST_SESSION"
_LEAVE_SECONDS = 10.0
_PAUSE_SECONDS = 0.05


def tag_session() -> None:
    """Mark every process that is started from now on, and have the marked ones ended after this one's death.

    The mark is inherited by all that they start; what is forked and runs no program of its own lacks it.
    """
    environment = {name: value for name, value in os.environ.items() if name != TAG}
    os.environ[TAG] = uuid.uuid4().hex
    subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(os.getpid()), os.environ[TAG]],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ).returncode = 0  # It outlives this process; without a status its object would complain.


def left_over(seconds: float, mark: str = "") -> list[int]:
    """The marked processes that are still alive when the time is over; empty as soon as there is none.

    Args:
        seconds: how long they are given.
        mark: the variable that they bear, with its value; by default this session's tag.
    """
    deadline = time.monotonic() + seconds
    while True:
        alive = bearing(mark or f"{TAG}={os.environ[TAG]}")
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(_PAUSE_SECONDS)


def bearing(mark: str) -> list[int]:
    """The living processes, except this one, that were started with a variable of this value."""
    return [pid for pid in _others() if mark.encode() in _read(pid, "environ").split(b"\0")]


def end(pids: list[int]) -> None:
    """Kill them."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def describe(pid: int) -> str:
    """Number and command line."""
    return f"{pid}: {_read(pid, 'cmdline').decode(errors='replace').replace(chr(0), ' ')[:200]}"


def _others() -> list[int]:
    numbers = (int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit())
    return [pid for pid in numbers if pid != os.getpid()]


def _read(pid: int, file: str) -> bytes:
    """A file about the process; empty if it is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/{file}").read_bytes()
    except OSError:
        return b""


def main() -> None:
    """Wait for the death of the process named first, then end all that bear the tag named second."""
    owner, tag = int(sys.argv[1]), sys.argv[2]
    with contextlib.suppress(ProcessLookupError):
        watched = os.pidfd_open(owner)
        # Its number may have gone to another one by now.
        if os.getppid() == owner:
            select.select([watched], [], [])
    # Servers see by themselves that their owner is gone, stop in order and remove their folders.
    seconds = _LEAVE_SECONDS
    while alive := left_over(seconds, f"{TAG}={tag}"):
        end(alive)
        seconds = _PAUSE_SECONDS


if __name__ == "__main__":
    main()
