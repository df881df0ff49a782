"""Why and how soon a running job has to stop: one integer shared by the supervisor and its child.

The supervisor writes it before it sends any signal, so the child knows the reason whatever the way in which
the stop reaches it (``SIGTERM``, a Prefect timeout, an ``asyncio`` cancellation). Nothing here imports
Prefect, a database or an instrument: tasks, backends, engine and flows may all read it.
"""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum
from multiprocessing.context import BaseContext
from typing import Protocol

_AT_ONCE = 1 << 8

PREFECT_CANCEL = "cancelled in Prefect"
"""The reason of a cancel that came through Prefect."""


class StopReason(IntEnum):
    """Why a job has to stop."""

    NONE = 0
    CANCEL = 1
    DEADLINE = 2
    SHUTDOWN = 3
    LEASE_LOST = 4

    @property
    def words(self) -> str:
        """The reason for people and for the event log."""
        return _WORDS[self]


_WORDS = {
    StopReason.NONE: "not stopped",
    StopReason.CANCEL: "cancel",
    StopReason.DEADLINE: "deadline",
    StopReason.SHUTDOWN: "shutdown",
    StopReason.LEASE_LOST: "lease lost",
}


class Stopped(BaseException):
    """Raised at a safe point once this job has to stop.

    A ``BaseException``, so that a task's ``except Exception`` cannot swallow it.
    """

    def __init__(self, reason: StopReason) -> None:
        super().__init__(f"stopped: {reason.words}")
        self.reason = reason


class _Cell(Protocol):
    value: int


class LeaseClock:
    """Until when the lease surely holds, by the machine's monotonic clock; shared by supervisor and child."""

    def __init__(self, cell: ctypes.c_double) -> None:
        self._cell = cell

    @classmethod
    def shared(cls, context: BaseContext) -> LeaseClock:
        """A clock in memory shared with the children started from ``context``; no lease yet."""
        return cls(context.RawValue(ctypes.c_double, math.inf))

    def extend(self, until: float) -> None:
        """Say that the lease holds until this instant of ``time.monotonic()``."""
        self._cell.value = until

    @property
    def remaining(self) -> float:
        """Seconds that are left; negative once another executor may have the lease."""
        return self._cell.value - time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether another executor may have the lease."""
        return self.remaining <= 0


class StopFlag:
    """The stop request of one job; readable and writable from supervisor and child without a lock.

    Reason and urgency sit in one machine word, so a reader can never see one without the other. Held to a
    lease, it asks by itself once that is over: a process that was frozen reads this before it is told.
    """

    def __init__(self, cell: _Cell | None = None) -> None:
        self._cell: _Cell = ctypes.c_int(0) if cell is None else cell
        self._lease: LeaseClock | None = None

    @classmethod
    def shared(cls, context: BaseContext) -> StopFlag:
        """A flag in memory shared with the children started from ``context``."""
        return cls(context.RawValue(ctypes.c_int, 0))

    def hold_to(self, lease: LeaseClock) -> None:
        """Stop at once when ``lease`` is over."""
        self._lease = lease

    @property
    def reason(self) -> StopReason:
        """Why the job has to stop; ``StopReason.NONE`` while it has not."""
        return StopReason(self._cell.value & ~_AT_ONCE)

    @property
    def at_once(self) -> bool:
        """Whether to stop in the middle of a task rather than at the next task border."""
        return bool(self._cell.value & _AT_ONCE)

    def request_after_task(self, reason: StopReason) -> None:
        """Ask for a stop at the next task border; an earlier request stands."""
        if self._cell.value == 0:
            self._cell.value = reason.value

    def request_now(self, reason: StopReason) -> None:
        """Ask for a stop at the next checkpoint; the reason first given stands, unless the lease is gone."""
        standing = self.reason
        if standing is StopReason.NONE or reason is StopReason.LEASE_LOST:
            standing = reason
        self._cell.value = standing.value | _AT_ONCE

    def raise_if_at_once(self) -> None:
        """Raise :class:`Stopped` if the job must stop in the middle of a task."""
        self._check_lease()
        if self.at_once:
            raise Stopped(self.reason)

    def raise_if_requested(self) -> None:
        """Raise :class:`Stopped` if the job must stop, however soon. For task borders."""
        self._check_lease()
        if self.reason is not StopReason.NONE:
            raise Stopped(self.reason)

    def _check_lease(self) -> None:
        if self._lease is not None and self._lease.is_over:
            self.request_now(StopReason.LEASE_LOST)


_current: ContextVar[StopFlag | None] = ContextVar("qdash_queue_stop_flag", default=None)


@contextmanager
def use_stop_flag(flag: StopFlag) -> Iterator[StopFlag]:
    """Make ``flag`` the one that :func:`checkpoint` and :func:`task_border` read inside the block."""
    token = _current.set(flag)
    try:
        yield flag
    finally:
        _current.reset(token)


def stop_reason() -> StopReason:
    """Why the present job has to stop; ``StopReason.NONE`` if it has not, or outside a job."""
    flag = _current.get()
    return StopReason.NONE if flag is None else flag.reason


def checkpoint() -> None:
    """Stop here if the job was told to stop at once. For long measuring loops; costs about a microsecond.

    Reads a context variable: a plain ``threading.Thread`` sees it only if it is run in a copied context
    (``contextvars.copy_context().run``), as Prefect's task runners do.

    Raises:
        Stopped: a stop at once was requested.
    """
    flag = _current.get()
    if flag is not None:
        flag.raise_if_at_once()


def task_border() -> None:
    """Stop here, between two tasks, if the job was told to stop at all.

    Raises:
        Stopped: a stop was requested, at once or after the running task.
    """
    flag = _current.get()
    if flag is not None:
        flag.raise_if_requested()


def is_cancellation(_error: BaseException) -> bool:
    """Whether the job ends because it was cancelled.

    Decided by the reason that the supervisor wrote, never by the exception's class: time limits and the
    shutdown of the executor reach a flow's body as ``CancelledError`` and ``TerminationSignal`` too.
    """
    return stop_reason() is StopReason.CANCEL
