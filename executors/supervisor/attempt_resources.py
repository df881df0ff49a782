"""What an attempt works with: the executor's resources, and the record of the attempt itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Self, TypeVar

from executors.flows import FlowDefinition
from executors.job.lease_keeper import LeaseKeeper, LeaseTimes
from executors.job.messages import Message
from executors.prefect.client import PrefectLink
from executors.supervisor.child_pool import Child, ChildPool
from executors.supervisor.scratch import ScratchFolders
from executors.supervisor.stop_escalation import Graces
from executors.supervisor.stop_requests import StopRequests, has_news
from qdash_queue.client.database import Database
from qdash_queue.client.leases import Executor, Lease
from qdash_queue.client.models import ClaimedJob
from qdash_queue.errors import DatabaseUnreachableError, LeaseLostError
from qdash_queue.stopping import StopSign, Wakeup

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
POLL_SECONDS = 0.25
"""Longest sleep between two checks for a stop."""


@dataclass(frozen=True)
class AttemptResources:
    """The executor's resources, which outlive its attempts.

    Attributes:
        database: the connection pool of the supervisor.
        executor: the verbs of the executor itself.
        link: to Prefect.
        children: warm child processes.
        wakeup: ends a wait early.
        flows: the offered flows, by name.
        times: how the lease is kept.
        graces: how long a child is waited for when it is stopped.
        cleanup_seconds: longest time of a process that runs hooks or makes the instrument idle.
        scratch: folders for the jobs.
        stopping: set when the executor is told to stop.
    """

    database: Database
    executor: Executor
    link: PrefectLink
    children: ChildPool
    wakeup: Wakeup
    flows: dict[str, FlowDefinition]
    times: LeaseTimes
    graces: Graces
    cleanup_seconds: float
    scratch: ScratchFolders
    stopping: StopSign


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt at a job: what was claimed, and by which means it is run.

    Attributes:
        claimed: the job as it was claimed.
        resources: of the executor.
        lease: the fenced verbs of this attempt.
        scratch: a folder of this attempt alone.
        keeper: renews the lease and writes the events.
        stops: why the attempt has to stop, if it has to.
    """

    claimed: ClaimedJob
    resources: AttemptResources
    lease: Lease
    scratch: Path
    keeper: LeaseKeeper
    stops: StopRequests

    @classmethod
    def of(cls, claimed: ClaimedJob, resources: AttemptResources, claimed_at: float, scratch: Path) -> Self:
        """The record of a job that was claimed at ``claimed_at`` (monotonic)."""
        lease = Lease(resources.database, claimed.job_id, claimed.claim)
        keeper = LeaseKeeper(
            lease,
            resources.times,
            claimed_at,
            is_due=lambda known: has_news(resources.database, resources.executor, claimed.job_id, known),
            changed=resources.wakeup.set,
        )
        limit = claimed.timeout_seconds
        stops = StopRequests(keeper, resources.link, resources.stopping, limit, claimed_at + limit)
        return cls(claimed, resources, lease, scratch, keeper, stops)

    def wait(self, seconds: float, *others: Connection | int) -> None:
        """Sleep until something happens, ``seconds`` at most, and check for a cancel then."""
        wakeup = self.resources.wakeup
        wait([wakeup.fileno(), *others], timeout=max(0.0, min(seconds, POLL_SECONDS)))
        wakeup.clear()
        self.keeper.hurry()

    def persist(self, write: Callable[[], _T]) -> _T:
        """Call ``write`` after all events so far, and again while the database is unreachable.

        Raises:
            LeaseLostError: the lease is lost, or its end came near.
        """
        while True:
            self.keeper.settle()
            try:
                return write()
            except LeaseLostError as error:
                raise self.keeper.judge(error) from error
            except DatabaseUnreachableError as error:
                logger.warning("job %s waits for the database: %s", self.claimed.job_id, error)
                time.sleep(POLL_SECONDS)

    @contextmanager
    def child(self, message: Message) -> Iterator[Child]:
        """A child that works on ``message`` in the block, and is dead after it; then its exit code is known.

        Raises:
            ChildError: no child could be started.
        """
        child = self.resources.children.take()
        try:
            self.keeper.bind(child.lease_clock, self.resources.times.margin / 2)
            child.send(message)
            yield child
        finally:
            child.reap()
            self.resources.children.refill()
