"""Why an attempt has to stop: a cancel by the database or by Prefect, the deadline, a shutdown."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from executors.job.lease_keeper import LeaseKeeper
from executors.job.stop import StopReason
from executors.prefect.client import PrefectLink
from executors.supervisor.stop_escalation import StopRequest
from qdash_queue.client.database import Database
from qdash_queue.client.leases import Executor
from qdash_queue.client.models import CancelRequest
from qdash_queue.domain import CancelMode
from qdash_queue.stopping import StopSign


@dataclass
class StopRequests:
    """Collects the stop requests of one attempt; the first reason stands, and may only become more urgent.

    Attributes:
        keeper: of the attempt's lease.
        link: to Prefect, which watches the attempt's flow run.
        stopping: set when the executor is told to stop.
        timeout_seconds: the job's time limit, for the event log.
        deadline: when that is over (monotonic).
        stop: the request that stands.
    """

    keeper: LeaseKeeper
    link: PrefectLink
    stopping: StopSign
    timeout_seconds: float
    deadline: float
    stop: StopRequest | None = field(default=None, init=False)
    _has_told_prefect_cancel: bool = field(default=False, init=False)

    @property
    def is_at_once(self) -> bool:
        """Whether the attempt has to stop without waiting for the end of a task."""
        return self.stop is not None and self.stop.at_once

    @property
    def reason(self) -> StopReason:
        """The reason for the verdict: a cancel goes before all others."""
        if self.keeper.cancel is not None:
            return StopReason.CANCEL
        if self.stop is not None:
            return self.stop.reason
        return StopReason.SHUTDOWN if self.stopping.is_set() else StopReason.NONE

    def check(self) -> None:
        """Take in what the database, Prefect, the clock and the operator say.

        Raises:
            LeaseLostError: the lease is lost, or its end is near.
        """
        self.keeper.require()
        if self.link.was_cancelled() and not self._has_told_prefect_cancel:
            self._has_told_prefect_cancel = True
            self.keeper.cancel_from_prefect()
        if (cancel := self.keeper.cancel) is not None:
            words = f"{cancel.cancel_requested_by}: {cancel.cancel_reason}".removesuffix(": ")
            self._add(StopRequest(StopReason.CANCEL, cancel.cancel_mode is CancelMode.NOW, words))
        if time.monotonic() > self.deadline:
            words = f"{self.timeout_seconds:g} s are over"
            self._add(StopRequest(StopReason.DEADLINE, at_once=True, detail=words))
        if self.stopping.is_set():
            self._add(StopRequest(StopReason.SHUTDOWN, at_once=True, detail="the executor was told to stop"))

    def store_prefect_cancel(self) -> None:
        """Have the row say that it is cancelled, unless a verdict stands.

        Raises:
            LeaseLostError: the lease is lost, or its end is near.
        """
        self._has_told_prefect_cancel = True
        self.keeper.cancel_from_prefect()
        self.keeper.settle()

    def _add(self, stop: StopRequest) -> None:
        standing = self.stop
        if standing is not None and (standing.at_once or not stop.at_once):
            return
        if standing is not None:
            stop = StopRequest(standing.reason, at_once=True, detail=stop.detail)
        self.stop = stop
        mode = CancelMode.NOW if stop.at_once else CancelMode.AFTER_TASK
        self.keeper.log_before(
            "stop_requested", {"reason": stop.reason.words, "mode": mode.value, "by": stop.detail}
        )


def has_news(database: Database, executor: Executor, job_id: int, known: CancelRequest | None) -> bool:
    """Whether the row has a cancel that is not known, or another holder: then the lease is lost."""
    row = database.row(
        "SELECT cancel_mode, executor_id FROM calib.jobs WHERE job_id = %(job_id)s", job_id=job_id
    )
    if row is None or row["executor_id"] != executor.executor_id:
        return True
    mode = row["cancel_mode"]
    return mode is not None and (known is None or known.cancel_mode != mode)
