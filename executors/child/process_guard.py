"""How a job's processes are sure not to outlive the supervisor that started them, nor the lease."""

from __future__ import annotations

import ctypes
import os
import select
import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection

from executors.job.stop import LeaseClock, StopFlag, StopReason

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LOOK_SECONDS = 0.25
_GRACE_SECONDS = 3.0


def die_with_parent(signal_number: signal.Signals) -> None:
    """Let the kernel send ``signal_number`` to this process when its parent dies; works with the GIL held.

    Raises:
        OSError: the kernel refused.
    """
    _prctl(_PR_SET_PDEATHSIG, int(signal_number))


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own, so that none stays behind as a zombie.

    Raises:
        OSError: the kernel refused.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def lead_own_group() -> None:
    """Lead a process group, so that a kill takes grandchildren along and Ctrl-C at a terminal passes by."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def post_guard(pipe: Connection, stop: StopFlag, lease: LeaseClock) -> None:
    """Fork a guard into the calling process's group; it ends the whole group, itself included.

    A process and not a thread: the job may hold the interpreter's lock in C, mask its signals, or die and
    leave processes of its own behind. To be called by the group's leader while it has one thread.

    The guard kills the group as soon as its leader is dead; when the lease was not extended in time (the
    supervisor hangs), because the chip may belong to another process; and when the supervisor has died,
    which ends the pipe: then the job is first asked to stop, for three seconds or as long as the lease holds.

    Raises:
        OSError: no process could be made.
    """
    leader = os.getpid()
    watched = os.pidfd_open(leader)
    if os.fork() == 0:
        try:
            _Guard(leader, watched, pipe, stop, lease).watch()
        finally:
            os.killpg(0, signal.SIGKILL)
    os.close(watched)


@dataclass
class _Guard:
    leader: int
    watched: int
    pipe: Connection
    stop: StopFlag
    lease: LeaseClock

    def watch(self) -> None:
        """Return when the group has to end."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # The job is told to stop through its group.
        poller = select.poll()
        poller.register(self.watched, select.POLLIN)
        poller.register(self.pipe, select.POLLRDHUP)
        while not self.lease.is_over:
            events = dict(poller.poll(_milliseconds(self.lease.remaining)))
            if self.watched in events:
                return
            if events:
                self._ask_to_stop(poller)
                return
        self.stop.request_now(StopReason.LEASE_LOST)

    def _ask_to_stop(self, poller: select.poll) -> None:
        self.stop.request_now(StopReason.SHUTDOWN)
        os.kill(self.leader, signal.SIGTERM)
        poller.unregister(self.pipe)
        poller.poll(1000 * min(_GRACE_SECONDS, max(self.lease.remaining, 0.0)))


def _milliseconds(remaining: float) -> float:
    return 1000 * min(_LOOK_SECONDS, max(remaining, 0.0))
