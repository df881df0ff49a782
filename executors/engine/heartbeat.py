"""Keeps the lease of a script's job alive, and turns what happens to the job into its stop request."""

from __future__ import annotations

import ctypes
import logging
import math
import threading
import time

from executors.stop import LeaseClock, StopFlag, StopReason
from qdash_queue.errors import LeaseLostError
from qdash_queue.leases import Lease
from qdash_queue.settings import Settings
from qdash_queue.values import CancelMode

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 0.5


class Heartbeat:
    """A thread that renews one lease until it is stopped.

    The session stops at its next checkpoint when somebody cancels the job, when its time limit has passed,
    and before the lease can have gone to another while the database does not answer, or its answer hangs.
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
        self._deadline = time.monotonic() + timeout_seconds
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

    def _run(self) -> None:
        pause = self._interval
        while not self._over.wait(pause):
            if time.monotonic() > self._deadline:
                self._stop.request_now(StopReason.DEADLINE)
            try:
                pause = self._beat()
            except LeaseLostError as error:
                logger.warning("job %d: %s", self._lease.job_id, error)
                self._stop.request_now(StopReason.LEASE_LOST)
                return
            except Exception as error:  # noqa: BLE001 - a thread that dies would lose the lease unsaid
                logger.warning("the lease of job %d could not be renewed: %s", self._lease.job_id, error)
                if self._clock.is_over:
                    self._stop.request_now(StopReason.LEASE_LOST)
                pause = _RETRY_SECONDS

    def _beat(self) -> float:
        sent_at = time.monotonic()
        cancel = self._lease.heartbeat(self._lease_seconds)
        self._extend(sent_at)
        if cancel is not None and cancel.cancel_mode is CancelMode.NOW:
            self._stop.request_now(StopReason.CANCEL)
        elif cancel is not None:
            self._stop.request_after_task(StopReason.CANCEL)
        return self._interval

    def _extend(self, renewed_at: float) -> None:
        # The instrument is let go while the lease is still ours for certain.
        self._clock.extend(renewed_at + self._lease_seconds - self._interval)
