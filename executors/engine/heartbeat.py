"""Keeps the lease of a script's job, and turns what happens to the job into its stop request."""

from __future__ import annotations

import ctypes
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from executors.job.failures import deadline_failure
from executors.job.lease_keeper import LeaseKeeper, LeaseTimes
from executors.job.stop import LeaseClock, StopFlag, StopReason
from qdash_queue.client.leases import Lease
from qdash_queue.client.models import CancelRequest
from qdash_queue.domain import CancelMode, JobState
from qdash_queue.errors import LeaseLostError
from qdash_queue.settings import Settings

logger = logging.getLogger(__name__)


class Heartbeat:
    """Renews one lease until it is stopped.

    The session stops at its next checkpoint when the job is cancelled, when its time limit has passed, and
    before the lease can have gone to another while the database does not answer, or its answer hangs.
    Between two cells of a notebook there is no checkpoint: a stop without effect for a grace period ends the
    renewing, so that no session can keep the chip from all others.
    """

    def __init__(self, lease: Lease, stop: StopFlag, settings: Settings, timeout_seconds: float) -> None:
        self._lease = lease
        self._stop = stop
        times = LeaseTimes.of(settings)
        self._times = replace(times, poll=times.heartbeat)
        # Read at each checkpoint: a network that swallows packets holds the thread up for many minutes.
        self._clock = LeaseClock(ctypes.c_double(math.inf))
        self._keeper = LeaseKeeper(
            lease, self._times, time.monotonic(), is_due=self._check, changed=self._pass_on
        )
        self._keeper.bind(self._clock, times.margin)
        stop.hold_to(self._clock)
        self._timeout_seconds = timeout_seconds
        self._deadline = time.monotonic() + timeout_seconds
        self._grace = settings.term_grace_seconds
        self._ignored_since = math.inf
        self._is_at_work = False

    def start(self) -> None:
        """Begin to renew."""
        self._keeper.start()

    def stop(self) -> None:
        """Renew no more; waits until the thread says nothing to the database any longer."""
        self._keeper.close()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Work is done in the block: a stop after the task waits for its end."""
        self._is_at_work = True
        try:
            yield
        finally:
            self._is_at_work = False

    # ------------------------------------------------------------------ on the keeper's thread

    def _check(self, _known: CancelRequest | None) -> bool:
        # Renewed after its session was told that it is lost, a lease would hold the chip for no one.
        if self._clock.is_over or self._stop.reason is StopReason.LEASE_LOST:
            raise LeaseLostError("the lease could not be renewed in time: another job may hold the chip")
        if time.monotonic() > self._deadline:
            self._stop.request_now(StopReason.DEADLINE)
        if self._is_ignored():
            self._give_up()
        return False

    def _pass_on(self) -> None:
        cancel = self._keeper.cancel
        if self._keeper.lost is not None:
            logger.warning("job %d: %s", self._lease.job_id, self._keeper.lost)
            self._stop.request_now(StopReason.LEASE_LOST)
        elif cancel is not None and cancel.cancel_mode is CancelMode.NOW:
            self._stop.request_now(StopReason.CANCEL)
        elif cancel is not None:
            self._stop.request_after_task(StopReason.CANCEL)

    def _is_ignored(self) -> bool:
        """Whether a stop has had no effect for the grace period, with no task that it waits for."""
        if self._stop.reason is StopReason.NONE or (self._is_at_work and not self._stop.at_once):
            self._ignored_since = math.inf
            return False
        self._ignored_since = min(self._ignored_since, time.monotonic())
        return time.monotonic() - self._ignored_since >= self._grace

    def _give_up(self) -> None:
        """Let the lease run out: until then the session still owns all that it does, its end above all."""
        reason = self._stop.reason
        # The end of a job with a cancel is cancelled; without a verdict it would be called lost.
        if reason is StopReason.DEADLINE:
            self._lease.conclude(JobState.FAILED, deadline_failure(self._timeout_seconds))
        logger.warning(
            "job %d was told to stop (%s) and its session does not end: the chip is free to others in %g s",
            self._lease.job_id,
            reason.words,
            self._times.lease,
        )
        self._keeper.stop_renewing()
