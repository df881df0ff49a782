"""How a child is stopped: the reason, then SIGTERM, then SIGKILL; each step once, each an event."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from executors.job.stop import StopReason
from executors.supervisor.child_pool import Child
from qdash_queue.client.models import JsonObject

LogBefore = Callable[[str, JsonObject], None]
"""Writes an event before the action that it announces."""


@dataclass(frozen=True, slots=True)
class StopRequest:
    """Why a job has to stop, how soon, and who says so."""

    reason: StopReason
    at_once: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Graces:
    """How long a child is waited for, in seconds.

    Attributes:
        term: from SIGTERM to SIGKILL.
        leave: from the end of the flow's body to SIGKILL; meanwhile the last logs go to Prefect.
    """

    term: float = 3.0
    leave: float = 4.0


class StopEscalation:
    """The steps taken against one child."""

    def __init__(self, child: Child, graces: Graces, log_before: LogBefore) -> None:
        self._child = child
        self._graces = graces
        self._log_before = log_before
        self._terminated_at: float | None = None
        self._ended_at: float | None = None
        self._is_killed = False

    def request(self, stop: StopRequest) -> None:
        """Tell the child why it has to stop; only a stop at once is followed by signals."""
        if not stop.at_once:
            self._child.stop.request_after_task(stop.reason)
            return
        if self._terminated_at is None:
            self._log_before("sigterm", {"reason": stop.reason.words})
            self._child.stop.request_now(stop.reason)
            self._child.kill(signal.SIGTERM)
            self._terminated_at = time.monotonic()

    def body_ended(self) -> None:
        """The flow's body is over; from now on the process is only waited for."""
        if self._ended_at is None:
            self._ended_at = time.monotonic()

    def kill_if_overdue(self) -> None:
        """Kill a child that did not end in time."""
        if not self._is_killed and self.seconds_left() <= 0:
            self._is_killed = True
            why = "did not exit after its end" if self._ended_at is not None else "did not react to SIGTERM"
            self._log_before("sigkill", {"reason": why})
            self._child.kill(signal.SIGKILL)

    def seconds_left(self) -> float:
        """Until the next step."""
        now = time.monotonic()
        if self._ended_at is not None:
            return self._ended_at + self._graces.leave - now
        if self._terminated_at is not None:
            return self._terminated_at + self._graces.term - now
        return float("inf")
