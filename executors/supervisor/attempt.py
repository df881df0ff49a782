"""One claimed job, from the claim to the free lease: the verdict first, then the release."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TypeVar

from prefect.client.schemas.objects import FlowRun

from executors.flows import FlowDefinition
from executors.job.messages import (
    BodyEnded,
    BodyStarted,
    DutyDone,
    NotStarted,
    Order,
    Quiesce,
    RunHooks,
    RunJob,
)
from executors.job.stop import StopReason
from executors.prefect.client import PrefectError, PrefectRefusedError, PrefectUnreachableError
from executors.prefect.flow_runs import FlowRunRequest
from executors.prefect.reconcile import find_earlier_cancel
from executors.supervisor import verdict as verdicts
from executors.supervisor.attempt_resources import Bench
from executors.supervisor.child_pool import Child, ChildError
from executors.supervisor.lease_keeper import LeaseKeeper, LeaseLapsedError
from executors.supervisor.stop_escalation import Ladder, StopRequest
from qdash_queue.client.leases import Lease
from qdash_queue.client.models import ClaimedJob
from qdash_queue.client.queue import Queue
from qdash_queue.domain import CancelMode, Failure, JobState
from qdash_queue.errors import DatabaseUnreachableError

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_LOOK_SECONDS = 0.25
_PREFECT_RETRY_SECONDS = 1.0
# A server on SQLite now and then forgets one request behind others, and answers the next at once; a slow one
# gets more time at each try.
_PREFECT_PATIENCE_SECONDS = (3.0, 24.0)
_HARD_MARGIN_SECONDS = 120.0
_START_TRIES = 3


class Attempt:
    """Runs one claimed job. Ends with the job terminal or given back, unless the lease is lost meanwhile."""

    def __init__(self, claimed: ClaimedJob, bench: Bench, claimed_at: float, scratch: Path) -> None:
        self._claimed = claimed
        self._bench = bench
        self._scratch = scratch
        self._lease = Lease(bench.database, claimed.job_id, claimed.claim)
        self._keeper = LeaseKeeper(self._lease, bench.times, bench.wakeup, self._is_news, claimed_at)
        self._deadline = claimed_at + claimed.timeout_seconds
        self._stop: StopRequest | None = None
        self._told_prefect_cancel = False
        self._child: Child | None = None
        self._body_started = False
        self._owed_hooks: FlowRun | None = None  # Of an earlier attempt that was cancelled and has none.
        self._end: BodyEnded | NotStarted | None = None
        self._exit_code = 0

    def run(self) -> None:
        """Run the job to its end; with a lost lease kill the child at once and touch nothing else.

        Raises:
            LeaseLostError: the database does not know the lease.
        """
        with self._keeper:
            try:
                self._live()
            except LeaseLapsedError as error:
                logger.warning("job %s was left to others: %s", self._claimed.job_id, error)
            finally:
                self._bench.link.unwatch()
                if self._child is not None:
                    self._child.bury()
                self._bench.nursery.refill()

    def _live(self) -> None:
        if self._claimed.attempt > 1:
            self._look_at_earlier_attempts()
        if self._claimed.dirty and not self._bring_to_rest() and self._stop is None:
            self._release(None, self._put_off())
            return
        flow_run = self._make_flow_run()
        if flow_run is not None:
            self._run_flow(flow_run)
            self._look_before_verdict()
        state, failure = self._verdict()
        message = failure.message if failure else ""
        if state is JobState.SCHEDULED:
            self._clean_up(flow_run, state)
            self._release(flow_run, self._give_back(failure), message)
            return
        standing = self._persist(lambda: self._lease.conclude(state, failure))
        self._clean_up(flow_run, standing)
        self._end_lease(self._lease.finish)
        self._release(flow_run, standing, message)

    def _is_news(self) -> bool:
        """Whether the row has a cancel that is not known, or another holder: then the lease is lost."""
        row = self._bench.database.row(
            "SELECT cancel_mode, executor_id FROM calib.jobs WHERE job_id = :job_id",
            job_id=self._claimed.job_id,
        )
        if row is None or row["executor_id"] != self._bench.executor.executor_id:
            return True
        mode, known = row["cancel_mode"], self._keeper.cancel
        return mode is not None and (known is None or known.cancel_mode != mode)

    def _look_around(self) -> None:
        """Take in what the database, Prefect, the clock and the operator say; raises LeaseLostError."""
        self._keeper.require()
        if self._is_judged:
            return  # The verdict is given: whatever comes now came too late.
        if self._bench.link.was_cancelled() and not self._told_prefect_cancel:
            self._told_prefect_cancel = True
            self._keeper.cancel_from_prefect()
        if (cancel := self._keeper.cancel) is not None:
            words = f"{cancel.cancel_requested_by}: {cancel.cancel_reason}".removesuffix(": ")
            self._ask(StopRequest(StopReason.CANCEL, cancel.cancel_mode is CancelMode.NOW, words))
        if time.monotonic() > self._deadline:
            words = f"{self._claimed.timeout_seconds:g} s are over"
            self._ask(StopRequest(StopReason.DEADLINE, at_once=True, detail=words))
        if self._bench.stopping.is_set():
            self._ask(StopRequest(StopReason.SHUTDOWN, at_once=True, detail="the executor was told to stop"))

    @property
    def _is_judged(self) -> bool:
        return isinstance(self._end, BodyEnded) and self._end.state is not None

    def _ask(self, stop: StopRequest) -> None:
        standing = self._stop
        if standing is not None and (standing.at_once or not stop.at_once):
            return
        if standing is not None:  # Sooner than asked at first; the first reason stands.
            stop = StopRequest(standing.reason, at_once=True, detail=stop.detail)
        self._stop = stop
        mode = CancelMode.NOW if stop.at_once else CancelMode.AFTER_TASK
        self._keeper.tell(
            "stop_requested", {"reason": stop.reason.words, "mode": mode.value, "by": stop.detail}
        )

    def _doze(self, seconds: float, *others: Connection | int) -> None:
        wait([self._bench.wakeup.fileno(), *others], timeout=max(0.0, min(seconds, _LOOK_SECONDS)))
        self._bench.wakeup.clear()
        self._keeper.hurry()

    def _make_flow_run(self) -> FlowRun | None:
        """The flow run, its number on the row before any work; ``None`` if there will be none."""
        definition = self._bench.flows.get(self._claimed.flow)
        if definition is None:
            self._end = NotStarted(
                verdicts.unknown_flow_failure(self._claimed.flow, self._bench.flows), "unknown flow"
            )
            return None
        request = FlowRunRequest.of(self._claimed, self._bench.executor.executor_id)
        patience, longest = _PREFECT_PATIENCE_SECONDS
        while True:
            self._look_around()
            if self._stop is not None and self._stop.at_once:
                return None
            try:
                flow_run = self._await_flow_run(definition, request, patience)
            except PrefectUnreachableError as error:
                logger.warning("job %s waits for Prefect: %s", self._claimed.job_id, error)
                patience = min(2 * patience, longest)
                self._doze(_PREFECT_RETRY_SECONDS)
                continue
            except PrefectRefusedError as error:
                self._end = NotStarted(verdicts.refused_by_prefect_failure(f"{error}"), f"{error}")
                return None
            if flow_run is not None:
                self._bench.link.watch(flow_run.id)
                self._persist(partial(self._lease.set_flow_run, flow_run.id))
                return flow_run

    def _await_flow_run(
        self, definition: FlowDefinition, request: FlowRunRequest, patience: float
    ) -> FlowRun | None:
        """Prefect's answer; ``None`` if a stop came first: what Prefect makes then is found by its tags."""
        answer = self._bench.link.create_flow_run(definition.flow, request, patience)
        while not answer.is_there:
            self._doze(_LOOK_SECONDS)
            self._look_around()
            if self._stop is not None and self._stop.at_once:
                answer.forget()
                return None
        return answer.value()

    def _look_at_earlier_attempts(self) -> None:
        """What Prefect took for an earlier attempt, maybe while no executor lived, cancels this one."""
        while self._stop is None:
            try:
                found = find_earlier_cancel(self._bench.link, self._bench.database, self._claimed)
            except (PrefectError, DatabaseUnreachableError) as error:
                logger.warning("job %s waits for its earlier flow runs: %s", self._claimed.job_id, error)
                self._doze(_PREFECT_RETRY_SECONDS)
                self._look_around()
                continue
            if found is None:
                return
            self._owed_hooks = found.flow_run if found.has_started else None
            self._take_prefect_cancel()
            self._look_around()

    def _look_before_verdict(self) -> None:
        """A cancel that Prefect took before the verdict counts, though its event has not come."""
        if self._is_judged or self._keeper.cancel is not None:
            return  # The job's process has looked, or there is one anyway.
        with suppress(PrefectError):
            self._bench.link.look()
        if self._bench.link.was_cancelled():
            self._take_prefect_cancel()

    def _take_prefect_cancel(self) -> None:
        """Have the row say that it is cancelled, unless a verdict stands."""
        self._told_prefect_cancel = True
        self._keeper.cancel_from_prefect()
        self._keeper.settle()

    def _run_flow(self, flow_run: FlowRun) -> None:
        """Run the flow in a child; again while Prefect, not the job, is the reason that it did not start."""
        for _ in range(_START_TRIES):
            self._look_at_prefect()
            self._look_around()
            if self._stop is not None:
                return
            self._end = None
            order = RunJob(
                self._claimed, self._scratch, flow_run, self._claimed.timeout_seconds + _HARD_MARGIN_SECONDS
            )
            try:
                with self._busy_child(order) as child:
                    self._attend(child)
            except ChildError as error:
                self._end = NotStarted(None, str(error))
                return
            self._keeper.log("child_exited", {"exit_code": self._exit_code})
            if self._is_settled():
                return
            self._wait_for_prefect()

    def _look_at_prefect(self) -> None:
        # Prefect starts a run that is Cancelled already, and forgets the cancel; no event will tell us now.
        if not self._bench.link.is_following:
            with suppress(PrefectError):
                self._bench.link.look()

    def _is_settled(self) -> bool:
        """Whether the child's end is the job's, and not Prefect's failure to start the flow."""
        match self._end:
            case NotStarted(failure=None, words=words):
                logger.warning("job %s: the flow did not start: %s", self._claimed.job_id, words)
                return False
            case _:
                return True

    @contextmanager
    def _busy_child(self, order: Order) -> Iterator[Child]:
        child = self._child = self._bench.nursery.take()
        try:
            self._keeper.bind(child.lease_clock)
            child.send(order)
            yield child
        finally:
            self._exit_code = child.bury()
            self._child = None
            self._bench.nursery.refill()

    def _attend(self, child: Child) -> None:
        ladder = Ladder(child, self._bench.graces, self._keeper.tell)
        while True:
            is_alive = child.is_alive  # Asked before the reports are read, so that none is missed.
            self._hear(child, ladder)
            if not is_alive:
                return
            self._look_around()
            if self._stop is not None and self._end is None:
                ladder.ask(self._stop)
            ladder.climb()
            self._doze(ladder.seconds_left(), child.sentinel, child.pipe)

    def _hear(self, child: Child, ladder: Ladder) -> None:
        for report in child.hear():
            match report:
                case BodyStarted():
                    self._body_started = True
                    self._bench.nursery.refill()
                case BodyEnded() | NotStarted():
                    self._end = report
                    ladder.body_ended()

    def _wait_for_prefect(self) -> None:
        """Come back when Prefect answers or the job has to stop."""
        while self._stop is None:
            try:
                self._bench.link.look()
            except PrefectError:
                self._doze(_PREFECT_RETRY_SECONDS)
            else:
                if not self._bench.link.was_cancelled():
                    return
                self._take_prefect_cancel()
            self._look_around()

    def _verdict(self) -> tuple[JobState, Failure | None]:
        reason = self._stop.reason if self._stop is not None else StopReason.NONE
        if self._keeper.cancel is not None:
            reason = StopReason.CANCEL
        elif reason is StopReason.NONE and self._bench.stopping.is_set():
            reason = StopReason.SHUTDOWN
        return verdicts.attempt_verdict(self._claimed, reason, self._end, self._exit_code)

    def _clean_up(self, flow_run: FlowRun | None, standing: JobState) -> None:
        """Once the child is dead: a cancel's hooks, and rest for the instrument unless all went well."""
        begun = flow_run if self._body_started else self._owed_hooks
        # By the verdict: the database may have heard of a cancel before this process did.
        if begun is not None and standing is JobState.CANCELLED:
            problem = self._duty(RunHooks(self._claimed, self._scratch, begun))
            self._keeper.log("hook_ran", {"problem": problem} if problem else {})
        # A flow that raised may have left a measurement running.
        is_clean = isinstance(self._end, BodyEnded) and self._end.state is JobState.COMPLETED
        if self._body_started and (self._stop is not None or not is_clean):
            self._bring_to_rest()

    def _bring_to_rest(self) -> bool:
        """Quiesce the instrument from a fresh process; a failure pauses the chip. Whether it is at rest."""
        # Looked up here: what a database failure leaves undone may not look like the instrument's fault.
        chip = self._persist(lambda: Queue(self._bench.database).chip(self._claimed.chip_id))
        problem = self._duty(Quiesce(self._claimed, self._scratch, chip))
        if problem:
            logger.error(
                "chip %s is paused: its instrument is not at rest: %s", self._claimed.chip_id, problem
            )
            self._persist(lambda: self._lease.quiesce_failed(problem))
        else:
            self._persist(lambda: self._lease.quiesced({}))
        return not problem

    def _duty(self, order: Order) -> str:
        """Have a process of its own carry out ``order``, for a bounded time; what went wrong, in words."""
        until = time.monotonic() + self._bench.duty_seconds
        try:
            with self._busy_child(order) as child:
                self._bench.nursery.refill()
                while True:
                    self._keeper.require()
                    is_alive = child.is_alive
                    for report in child.hear():
                        if isinstance(report, DutyDone):
                            return report.problem
                    if not is_alive:
                        return f"its process {verdicts.exit_words(child.exit_code or 0)}"
                    if time.monotonic() > until:
                        return f"it did not end within {self._bench.duty_seconds:g} s"
                    self._doze(until - time.monotonic(), child.sentinel, child.pipe)
        except ChildError as error:
            return str(error)

    def _put_off(self) -> JobState:
        """The instrument is not at rest: another attempt waits for it, or the job fails by its name."""
        failure = verdicts.not_at_rest_failure()
        if verdicts.repeats(self._claimed):
            return self._give_back(failure)
        self._persist(lambda: self._lease.conclude(JobState.FAILED, failure))
        return self._end_lease(self._lease.finish)

    def _give_back(self, failure: Failure | None) -> JobState:
        return self._end_lease(lambda: self._lease.try_again(failure or verdicts.shutdown_failure()))

    def _end_lease(self, write: Callable[[], _T]) -> _T:
        """``write``, which ends the lease; a heartbeat beside it would call a lost answer a lost lease."""
        self._keeper.settle()
        self._keeper.close()
        return self._persist(write)

    def _persist(self, write: Callable[[], _T]) -> _T:
        """``write``, after all events so far and again while the database is away; raises LeaseLostError."""
        while True:
            self._keeper.settle()
            try:
                return write()
            except DatabaseUnreachableError as error:
                logger.warning("job %s waits for the database: %s", self._claimed.job_id, error)
                time.sleep(_LOOK_SECONDS)

    def _release(self, flow_run: FlowRun | None, state: JobState, message: str = "") -> None:
        """The lease is free: now Prefect is told, or later by the reconciler."""
        logger.info("job %s (attempt %s): %s", self._claimed.job_id, self._claimed.attempt, state.value)
        if flow_run is None:
            return
        try:
            self._bench.link.make_equal(flow_run.id, state, message)
            self._bench.executor.flow_run_synced(self._claimed.job_id, self._claimed.attempt)
        except (PrefectError, DatabaseUnreachableError) as error:
            logger.warning("job %s: Prefect will be told later: %s", self._claimed.job_id, error)
