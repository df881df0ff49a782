"""Keeps the lease of a script's job alive, and turns what happens to the job into its stop request."""

from __future__ import annotations

import ctypes
import logging
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from executors.job.stop import LeaseClock, StopFlag, StopReason
from executors.supervisor.verdict import deadline_failure
from qdash_queue.client.leases import Lease
from qdash_queue.domain import CancelMode, JobState
from qdash_queue.errors import LeaseLostError
from qdash_queue.settings import Settings

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 0.5


class Heartbeat:
    """A thread that renews one lease until it is stopped.

    The session stops at its next checkpoint when somebody cancels the job, when its time limit has passed,
    and before the lease can have gone to another while the database does not answer, or its answer hangs.
    Between two cells of a notebook nobody comes to a checkpoint: a stop that is not heeded for a grace ends
    the renewing, so that no session can keep the chip from everybody else.
    """

    def __init__(self, lease: Lease, stop: StopFlag, settings: Settings, timeout_seconds: float) -> None:
        self._lease = lease
        self._stop = stop
        self._lease_seconds = settings.lease_seconds
        self._interval = min(settings.heartbeat_seconds, settings.lease_seconds / 3)
        # Read at each checkpoint: a network that swallows packets holds the thread up for many minutes.
        self._clock = LeaseClock(ctypes.c_double(math.inf))
        self._extend(time.monotonic())
        stop.hold_to(self._clock)
        self._timeout_seconds = timeout_seconds
        self._deadline = time.monotonic() + timeout_seconds
        self._grace = settings.term_grace_seconds
        self._unheeded_since = math.inf
        self._is_at_work = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self) -> None:
        """Renew no more; waits until the thread says nothing to the database any longer."""
        self._over.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Work is done in the block: a stop after the task waits for its end."""
        self._is_at_work = True
        try:
            yield
        finally:
            self._is_at_work = False

    def _run(self) -> None:
        pause = self._interval
        while not self._over.wait(pause):
            try:
                self._look_at_clocks()
                if self._is_unheeded():
                    self._give_up()
                    return
                self._beat()
                pause = self._interval
            except LeaseLostError as error:
                logger.warning("job %d: %s", self._lease.job_id, error)
                self._stop.request_now(StopReason.LEASE_LOST)
                return
            except Exception as error:  # noqa: BLE001 - a thread that dies would lose the lease unsaid
                logger.warning("the lease of job %d could not be kept: %s", self._lease.job_id, error)
                pause = _RETRY_SECONDS

    def _look_at_clocks(self) -> None:
        # Renewed after its session was told that it is lost, a lease would hold the chip for nobody.
        if self._clock.is_over or self._stop.reason is StopReason.LEASE_LOST:
            raise LeaseLostError("the lease could not be renewed in time: another job may hold the chip")
        if time.monotonic() > self._deadline:
            self._stop.request_now(StopReason.DEADLINE)

    def _is_unheeded(self) -> bool:
        """Whether a stop has stood for the grace with nothing that it still waits for."""
        if self._stop.reason is StopReason.NONE or (self._is_at_work and not self._stop.at_once):
            self._unheeded_since = math.inf
            return False
        self._unheeded_since = min(self._unheeded_since, time.monotonic())
        return time.monotonic() - self._unheeded_since >= self._grace

    def _give_up(self) -> None:
        """Let the lease run out: what the session does until then, its end above all, is still its own."""
        reason = self._stop.reason
        # Whoever ends a job with a cancel ends it cancelled; without a verdict it would be called lost.
        if reason is StopReason.DEADLINE:
            self._lease.conclude(JobState.FAILED, deadline_failure(self._timeout_seconds))
        logger.warning(
            "job %d was told to stop (%s) and its session does not end: the chip is free to others in %g s",
            self._lease.job_id,
            reason.words,
            self._lease_seconds,
        )

    def _beat(self) -> None:
        sent_at = time.monotonic()
        cancel = self._lease.heartbeat(self._lease_seconds)
        self._extend(sent_at)
        if cancel is not None and cancel.cancel_mode is CancelMode.NOW:
            self._stop.request_now(StopReason.CANCEL)
        elif cancel is not None:
            self._stop.request_after_task(StopReason.CANCEL)

    def _extend(self, renewed_at: float) -> None:
        # The instrument is let go while the lease is still ours for certain.
        self._clock.extend(renewed_at + self._lease_seconds - self._interval)
