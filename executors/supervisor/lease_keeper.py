"""Keeps one lease: renews it, learns of cancels, writes the job's events, and never holds up the supervisor.

The supervisor must act in time even when the database hangs. So everything it says to the database while a
child runs goes through one thread, in order, and the supervisor reads only what the thread has learned.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from executors.job.stop import PREFECT_CANCEL, LeaseClock
from executors.job.wakeup import Wakeup
from qdash_queue.client.leases import Lease
from qdash_queue.client.models import CancelRequest, JsonObject
from qdash_queue.errors import DatabaseUnreachableError, LeaseLostError

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 0.25
_MOMENT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How a lease is kept, in seconds.

    Attributes:
        lease: how long it lasts without being renewed.
        heartbeat: between two renewals.
        poll: between two looks for a cancel.
        margin: before its end, from when on the instrument is not touched any more.
    """

    lease: float
    heartbeat: float
    poll: float
    margin: float


class LeaseLapsedError(LeaseLostError):
    """The lease could not be renewed in time: others may take it, and the database has not been asked."""


class LeaseKeeper:
    """The thread that speaks to the database for one running job; a context manager."""

    def __init__(
        self, lease: Lease, times: LeaseTimes, wakeup: Wakeup, look: Callable[[], bool], claimed_at: float
    ) -> None:
        """Keep ``lease``, which was taken at ``claimed_at`` (monotonic).

        ``look`` reads, without writing, whether the next heartbeat would tell something new.
        """
        self._lease = lease
        self._times = times
        self._wakeup = wakeup
        self._look = look
        self._valid_until = claimed_at + times.lease
        self._clock: LeaseClock | None = None
        self._cancel: CancelRequest | None = None
        self._lost: LeaseLostError | None = None
        self._writes: deque[Callable[[], None]] = deque()
        self._condition = threading.Condition()
        self._is_idle = True
        self._is_hurried = False
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Renew the lease no more; what was said until now is still written."""
        with self._condition:
            self._is_closing = True
            self._condition.notify_all()
        self._thread.join(self._times.heartbeat)

    # ------------------------------------------------------------------ asked by the supervisor

    @property
    def cancel(self) -> CancelRequest | None:
        """The cancel that was asked for; the database knows that it was seen."""
        return self._cancel

    def require(self) -> None:
        """Make sure that the chip is still ours.

        Raises:
            LeaseLapsedError: it will not be for long enough to stop the child in order.
            LeaseLostError: the database says that it is not.
        """
        if self._lost is not None:
            raise self._lost
        if time.monotonic() > self._valid_until - self._times.margin:
            raise LeaseLapsedError(
                f"the lease could not be renewed for {self._times.lease - self._times.margin:g} s"
            )

    def bind(self, clock: LeaseClock) -> None:
        """Tell a child through ``clock`` how long it may go on without hearing more."""
        self._clock = clock
        self._extend(self._valid_until)

    def log(self, event: str, detail: JsonObject) -> None:
        """Write an event after all that was said before."""
        self.say(lambda: self._lease.log_event(event, detail))

    def say(self, write: Callable[[], None]) -> None:
        """Do ``write`` on the thread, after all that was said before; again if the database was away."""
        with self._condition:
            self._writes.append(write)
            self._condition.notify_all()

    def cancel_from_prefect(self) -> None:
        """Store on the thread that Prefect took a cancel, and see it; too late where a verdict stands."""
        self.say(lambda: self._lease.cancel_from_prefect(PREFECT_CANCEL))
        self.say(self._beat)

    def hurry(self) -> None:
        """Look for a cancel now rather than at the next poll."""
        with self._condition:
            self._is_hurried = True
            self._condition.notify_all()

    def tell(self, event: str, detail: JsonObject) -> None:
        """Write an event before the deed that it announces, if the database lets us within a moment."""
        self.log(event, detail)
        until = time.monotonic() + _MOMENT_SECONDS
        with self._condition:
            while self._writes and time.monotonic() < until:
                self._condition.wait(until - time.monotonic())

    def settle(self) -> None:
        """Wait until all that was said is written.

        Raises:
            LeaseLostError: the lease is lost, or its end came near while waiting.
        """
        with self._condition:
            while self._writes or not self._is_idle:
                self.require()
                self._condition.wait(_RETRY_SECONDS)
        self.require()

    # ------------------------------------------------------------------ on the thread

    def _run(self) -> None:
        beat_at = time.monotonic() + self._times.heartbeat
        while not self._is_over():
            try:
                self._write_all()
                if time.monotonic() >= beat_at or self._look():
                    self._beat()
                    beat_at = time.monotonic() + self._times.heartbeat
                self._rest(min(self._times.poll, max(0.0, beat_at - time.monotonic())))
            except LeaseLostError as error:
                self._lost = error
                self._extend(-math.inf)  # The child's guard ends it, whatever holds up the supervisor.
                self._wakeup.set()
                return
            except DatabaseUnreachableError as error:
                logger.warning("the database is away: %s", error)
                time.sleep(_RETRY_SECONDS)
            except Exception:  # Whatever it is, the lease is renewed as long as that can be.
                logger.exception("the database refused to renew the lease")
                time.sleep(_RETRY_SECONDS)

    def _is_over(self) -> bool:
        with self._condition:
            return self._is_closing and (not self._writes or time.monotonic() > self._valid_until)

    def _write_all(self) -> None:
        while True:
            with self._condition:
                self._is_idle = not self._writes
                if self._is_idle:
                    self._condition.notify_all()
                    return
                write = self._writes[0]
            try:
                write()
            except (LeaseLostError, DatabaseUnreachableError):
                raise
            except Exception:  # A refused event must not end the thread that keeps the lease.
                logger.exception("the database refused what was said to it about the job")
            with self._condition:
                self._writes.popleft()

    def _beat(self) -> None:
        sent_at = time.monotonic()
        cancel = self._lease.heartbeat(self._times.lease)
        self._extend(sent_at + self._times.lease)
        if cancel is not None and cancel != self._cancel:
            self._cancel = cancel
            self._wakeup.set()

    def _extend(self, until: float) -> None:
        self._valid_until = until
        if self._clock is not None:
            self._clock.extend(until - self._times.margin / 2)

    def _rest(self, seconds: float) -> None:
        with self._condition:
            if not (self._writes or self._is_closing or self._is_hurried):
                self._condition.wait(seconds)
            self._is_hurried = False
