"""How a process makes sure that it does not outlive the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from multiprocessing.connection import Connection

from executors.stop import StopFlag, StopReason

_PR_SET_PDEATHSIG = 1
_LOOK_SECONDS = 0.5
_GRACE_SECONDS = 3.0


class LeaseClock:
    """Until when the lease surely holds, by the machine's monotonic clock; shared by supervisor and child."""

    def __init__(self, cell: ctypes.c_double) -> None:
        self._cell = cell

    def extend(self, until: float) -> None:
        """Say that the lease holds until this instant of ``time.monotonic()``."""
        self._cell.value = until

    @property
    def remaining(self) -> float:
        """Seconds that are left; negative once the lease may be somebody else's."""
        return self._cell.value - time.monotonic()


def die_with_parent(signal_number: signal.Signals) -> None:
    """Let the kernel send ``signal_number`` to this process when its parent dies; works with the GIL held.

    Raises:
        OSError: the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def lead_own_group() -> None:
    """Lead a process group, so that a kill takes grandchildren along and Ctrl-C at a terminal passes by."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def guard_against_loss(pipe: Connection, stop: StopFlag, lease: LeaseClock) -> None:
    """Watch the pipe and the lease on a thread: end this process when either ends.

    The pipe ends when the supervisor dies; then the job is asked to stop, and killed three seconds later. A
    lease that was not extended (the supervisor hangs) kills at once: the chip may belong to another process.
    """
    threading.Thread(target=_watch, args=(pipe, stop, lease), name="guard", daemon=True).start()


def _watch(pipe: Connection, stop: StopFlag, lease: LeaseClock) -> None:
    while lease.remaining > 0:
        if _has_ended(pipe, min(_LOOK_SECONDS, max(lease.remaining, 0.0))):
            stop.request_now(StopReason.SHUTDOWN)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(_GRACE_SECONDS)
            break
    else:
        stop.request_now(StopReason.LEASE_LOST)
    os.killpg(0, signal.SIGKILL)


def _has_ended(pipe: Connection, seconds: float) -> bool:
    try:
        if pipe.poll(seconds):
            pipe.recv()
    except (EOFError, OSError):
        return True
    return False
