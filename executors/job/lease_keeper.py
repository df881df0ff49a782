"""Keeps one lease: renews it, learns of cancels, and writes the job's events, all on one thread.

A supervisor or a session must act in time even when the database hangs. So what is said to the database while
a job runs goes through this thread, in order, and the others read only what the thread has learned.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from executors.job.stop import PREFECT_CANCEL, LeaseClock
from qdash_queue.client.leases import Lease
from qdash_queue.client.models import CancelRequest, JsonObject
from qdash_queue.errors import DatabaseUnreachableError, LeaseLostError
from qdash_queue.settings import Settings

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 0.25
_WRITE_FIRST_SECONDS = 0.5
_POLL_SECONDS = 0.5
_MARGIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How a lease is kept, in seconds.

    Attributes:
        lease: how long it lasts without being renewed.
        heartbeat: between two renewals.
        poll: between two checks for a cancel.
        margin: before its end, from when on the instrument is not used any more.
    """

    lease: float
    heartbeat: float
    poll: float
    margin: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the settings say; two renewals may fail before the margin is reached."""
        third = settings.lease_seconds / 3
        return cls(
            lease=settings.lease_seconds,
            heartbeat=min(settings.heartbeat_seconds, third),
            poll=_POLL_SECONDS,
            margin=min(_MARGIN_SECONDS, third),
        )


class LeaseLapsedError(LeaseLostError):
    """The lease could not be renewed in time, as after a sleep of the process: others may take it."""


class LeaseKeeper:
    """The thread that speaks to the database for one running job; a context manager.

    Args:
        lease: taken at ``claimed_at``.
        times: how it is kept.
        claimed_at: an instant of ``time.monotonic()``.
        is_due: called at each poll with the cancel that is known; whether to renew the lease now.
        changed: called when a cancel was seen or the lease was lost.
    """

    def __init__(
        self,
        lease: Lease,
        times: LeaseTimes,
        claimed_at: float,
        *,
        is_due: Callable[[CancelRequest | None], bool],
        changed: Callable[[], None],
    ) -> None:
        self._lease = lease
        self._times = times
        self._is_due = is_due
        self._changed = changed
        self._valid_until = claimed_at + times.lease
        self._clock: LeaseClock | None = None
        self._clock_margin = 0.0
        self._cancel: CancelRequest | None = None
        self._lost: LeaseLostError | None = None
        self._writes: deque[Callable[[], None]] = deque()
        self._condition = threading.Condition()
        self._renewal = threading.Lock()
        self._is_idle = True
        self._is_hurried = False
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close(self._times.heartbeat)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def close(self, patience: float | None = None) -> None:
        """Renew no more; wait, ``patience`` seconds at most, until the thread has done the pending writes."""
        self.stop_renewing()
        self._thread.join(patience)

    def stop_renewing(self) -> None:
        """Let the lease run out; may be called on the thread."""
        with self._condition:
            self._is_closing = True
            self._condition.notify_all()

    # ------------------------------------------------------------------ called by other threads

    @property
    def cancel(self) -> CancelRequest | None:
        """The requested cancel; the database knows that it was seen."""
        return self._cancel

    @property
    def lost(self) -> LeaseLostError | None:
        """Why the lease is lost, if the thread knows that it is."""
        return self._lost

    def require(self) -> None:
        """Make sure that this process still holds the chip.

        Raises:
            LeaseLapsedError: it will not for long enough to stop the child in order.
            LeaseLostError: the database says that it does not.
        """
        if self._lost is not None:
            raise self._lost
        if time.monotonic() > self._valid_until - self._times.margin:
            raise LeaseLapsedError(
                f"the lease could not be renewed for {self._times.lease - self._times.margin:g} s"
            )

    def judge(self, error: LeaseLostError) -> LeaseLostError:
        """The meaning of the database's refusal: once the lease has run out it tells nothing but that."""
        if self._lost is not None or time.monotonic() <= self._valid_until:
            return self._lost or error
        return LeaseLapsedError(f"the lease had run out before it could be renewed: {error}")

    def bind(self, clock: LeaseClock, margin: float) -> None:
        """From now on ``clock`` runs out ``margin`` seconds before the lease does."""
        self._clock, self._clock_margin = clock, margin
        self._extend(self._valid_until)

    def log(self, event: str, detail: JsonObject) -> None:
        """Write an event after all earlier writes."""
        self._write_later(lambda: self._lease.log_event(event, detail))

    def log_before(self, event: str, detail: JsonObject) -> None:
        """Write an event before the action that it announces, if the database takes it in half a second."""
        self.log(event, detail)
        until = time.monotonic() + _WRITE_FIRST_SECONDS
        with self._condition:
            while self._writes and time.monotonic() < until:
                self._condition.wait(until - time.monotonic())

    def cancel_from_prefect(self) -> None:
        """Store on the thread that Prefect took a cancel, and see it; too late where a verdict stands."""
        self._write_later(lambda: self._lease.cancel_from_prefect(PREFECT_CANCEL))
        self._write_later(self._renew)

    def hurry(self) -> None:
        """Check for a cancel now rather than at the next poll."""
        with self._condition:
            self._is_hurried = True
            self._condition.notify_all()

    @contextmanager
    def last_write(self) -> Iterator[None]:
        """A block without a renewal: beside the last write one would call a lost answer a lost lease.

        Raises:
            LeaseLostError: as :meth:`settle`, which it does first.
        """
        self.settle()
        with self._renewal:
            yield

    def settle(self) -> None:
        """Wait until everything is written.

        Raises:
            LeaseLostError: the lease is lost, or its end came near while waiting.
        """
        with self._condition:
            while self._writes or not self._is_idle:
                self.require()
                self._condition.wait(_RETRY_SECONDS)
        self.require()

    def _write_later(self, write: Callable[[], None]) -> None:
        with self._condition:
            self._writes.append(write)
            self._condition.notify_all()

    # ------------------------------------------------------------------ on the thread

    def _run(self) -> None:
        renew_at = time.monotonic() + self._times.heartbeat
        while not self._is_over():
            try:
                self._write_all()
                is_due = self._is_due(self._cancel) or time.monotonic() >= renew_at
                with self._renewal:
                    if is_due and not self._is_closing:
                        self._renew()
                        renew_at = time.monotonic() + self._times.heartbeat
                self._rest(min(self._times.poll, max(0.0, renew_at - time.monotonic())))
            except LeaseLostError as error:
                self._lost = self.judge(error)
                self._extend(-math.inf)  # The child's guard ends it, even if the supervisor hangs.
                self._changed()
                return
            except DatabaseUnreachableError as error:
                logger.warning("job %s: the database is unreachable: %s", self._lease.job_id, error)
                time.sleep(_RETRY_SECONDS)
            except Exception:  # Whatever it is, the lease is renewed as long as that can be.
                logger.exception("job %s: the lease was not renewed", self._lease.job_id)
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
                logger.exception("job %s: the database refused a write", self._lease.job_id)
            with self._condition:
                self._writes.popleft()

    def _renew(self) -> None:
        sent_at = time.monotonic()
        cancel = self._lease.heartbeat(self._times.lease)
        self._extend(sent_at + self._times.lease)
        if cancel is not None and cancel != self._cancel:
            self._cancel = cancel
            self._changed()

    def _extend(self, until: float) -> None:
        self._valid_until = until
        if self._clock is not None:
            self._clock.extend(until - self._clock_margin)

    def _rest(self, seconds: float) -> None:
        with self._condition:
            if not (self._writes or self._is_closing or self._is_hurried):
                self._condition.wait(seconds)
            self._is_hurried = False
