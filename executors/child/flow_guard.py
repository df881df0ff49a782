"""Wraps a flow's body: reports when it starts, and turns its end into the attempt's verdict."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from executors.job.context import JobContext
from executors.job.failures import deadline_failure, flow_failure
from executors.job.messages import BodyEnded, BodyStarted, Report
from executors.job.persistence import persistently
from executors.job.stop import StopReason
from executors.prefect import runtime
from executors.prefect.runtime import FlowBody
from executors.prefect.verdict import give_verdict
from qdash_queue.domain import Failure, JobState
from qdash_queue.errors import DatabaseUnreachableError, LeaseLostError

logger = logging.getLogger(__name__)


class FlowGuard:
    """Wraps the body of one job's flow.

    A verdict is written to the database first, so that it outlives all processes, and reported to the
    supervisor, which writes it in case the database was unreachable just then. That the flow completed is
    reported alone: the supervisor ends the job by it, in one transaction. Prefect gets the state that agrees
    with the verdict: ``Cancelled`` for a cancel and ``TimedOut`` for a deadline, where Prefect alone would
    record ``Crashed``.
    """

    def __init__(self, context: JobContext, pipe: Connection) -> None:
        self._context = context
        self._pipe = pipe
        self.started = False

    def __call__(self, body: FlowBody) -> FlowBody:
        """The body to run instead of ``body``."""

        def guarded(*arguments: Any, **named: Any) -> Any:
            try:
                self._start()
                self._context.stop.raise_if_requested()
                result = body(*arguments, **named)
            except BaseException as error:
                state = self._end_by(error)
                if state is None:
                    raise
                return state
            return self._end_well(result)

        return guarded

    def _start(self) -> None:
        # The hooks run for a flow that has started: both or neither of these may happen.
        with _sigterm_deferred():
            self.started = True
            self._tell(BodyStarted())
            # The connection of a warm child may have died while it waited, and no restart may fail a job.
            persistently(lambda: self._context.lease.log_event("flow_started", {"pid": os.getpid()}))

    def _end_well(self, result: Any) -> Any:
        _ignore_sigterm()
        standing = self._conclude(JobState.COMPLETED, None)
        return self._cancelled() if standing is JobState.CANCELLED else result

    def _end_by(self, error: BaseException) -> Any:
        """The state to return instead of raising ``error``; ``None``: let it go on."""
        _ignore_sigterm()
        reason = self._context.stop.reason
        if reason is StopReason.CANCEL:
            self._conclude(JobState.CANCELLED, None)
            return self._cancelled()
        if reason is StopReason.DEADLINE:
            failure = deadline_failure(self._context.claimed.timeout_seconds)
            standing = self._conclude(JobState.FAILED, failure)
            is_cancelled = standing is JobState.CANCELLED
            return self._cancelled() if is_cancelled else runtime.timed_out_state(failure.message)
        if reason is not StopReason.NONE or isinstance(error, runtime.INTERRUPTIONS):
            # The executor shuts down, or a signal came from outside: the supervisor knows which, and decides.
            self._tell(BodyEnded(None, None))
            return None
        standing = self._conclude(JobState.FAILED, flow_failure(error))
        return self._cancelled() if standing is JobState.CANCELLED else None

    def _cancelled(self) -> Any:
        return runtime.cancelled_state("Cancelled on request")

    def _conclude(self, state: JobState, failure: Failure | None) -> JobState:
        standing = state
        try:
            standing = give_verdict(self._context.lease, state, failure, leaves_completed=True)
        except DatabaseUnreachableError:
            logger.warning("the database is unreachable: the supervisor will record verdict %s", state.value)
        except LeaseLostError as error:
            logger.warning("the verdict %s came too late: %s", state.value, error)
        self._tell(BodyEnded(standing, failure))
        return standing

    def _tell(self, report: Report) -> None:
        try:
            self._pipe.send(report)
        except OSError as error:
            logger.warning("the supervisor is gone: %s", error)


@contextmanager
def _sigterm_deferred() -> Iterator[None]:
    received: list[int] = []
    handler = signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
        if received:
            signal.raise_signal(signal.SIGTERM)


def _ignore_sigterm() -> None:
    # The body is over: a late SIGTERM must not cut the verdict in two. SIGKILL remains.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
