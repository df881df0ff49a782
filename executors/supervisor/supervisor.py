"""The executor of one chip: claims jobs one after the other, and does the housekeeping between them."""

from __future__ import annotations

import logging
import random
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

from executors.flows import FoundFlows, catalogue_tasks, register
from executors.job.lease_keeper import LeaseTimes
from executors.job.messages import ChildSetup
from executors.prefect.client import PrefectError, PrefectLink, PrefectRefusedError
from executors.prefect.reconcile import close_leftover_flow_runs
from executors.supervisor.attempt import run_attempt
from executors.supervisor.attempt_resources import AttemptResources
from executors.supervisor.child_pool import ChildPool
from executors.supervisor.listener import Listener
from executors.supervisor.scratch import ScratchFolders
from executors.supervisor.stop_escalation import Graces
from qdash_queue.client.leases import READY, READY_BUT, Executor
from qdash_queue.client.models import UnsyncedFlowRun
from qdash_queue.domain import JobState
from qdash_queue.errors import DatabaseUnreachableError
from qdash_queue.stopping import StopSign, Wakeup

logger = logging.getLogger(__name__)

_HOUSEKEEPING_SECONDS = 5.0
_LEFTOVERS_SECONDS = 15.0
_UNREACHABLE_SECONDS = 1.0
_WARM_SECONDS = 0.5
_SOON_SECONDS = 0.05
_DOUBLINGS = 16


@dataclass(frozen=True)
class SupervisorOptions:
    """How one chip's executor works; times in seconds.

    Attributes:
        setup: what every child is told.
        times: how a lease is kept.
        graces: how long a child is waited for.
        cleanup_seconds: longest time of the cancellation hooks, and of making the instrument idle.
        idle_poll: shortest and longest wait between two claims; a notification ends it earlier.
        with_deployment: link flow runs to a deployment, for which Prefect's UI offers Cancel.
        state_path: contains the jobs' scratch folders.
    """

    setup: ChildSetup
    times: LeaseTimes
    state_path: Path
    graces: Graces = field(default_factory=Graces)
    cleanup_seconds: float = 20.0
    idle_poll: tuple[float, float] = (1.0, 5.0)
    with_deployment: bool = True


class Supervisor:
    """Serves one chip until it is told to stop."""

    def __init__(
        self,
        options: SupervisorOptions,
        executor: Executor,
        flows: FoundFlows,
    ) -> None:
        self._options = options
        self._executor = executor
        self._flows = flows
        self._wakeup = Wakeup()
        self._stopping = StopSign()
        self._condition = ""
        self._housekeeping_at = 0.0
        self._leftovers_at = 0.0
        self._idle_polls = 0

    def stop(self) -> None:
        """Leave as soon as the running job is stopped and given back; may be called by a signal handler."""
        self._stopping.set()
        self._wakeup.set()

    def serve(self) -> None:
        """Register the catalogue, then run jobs until :meth:`stop`.

        Raises:
            ExecutorRefusedError: this role may not execute here, or the chip has another kind of backend.
            CatalogueRefusedError: a flow of this distribution or a task cannot be registered.
            DatabaseUnreachableError: the database does not answer at the start; later it is waited for.
            LeaseLostError: the database does not know a lease that this executor holds.
        """
        self._flows = register(self._executor, self._flows, catalogue_tasks())
        for finding in self._flows.findings:
            logger.warning("%s: not offered: %s", self._executor.chip_id, finding)
        options = self._options
        with ExitStack() as stack:
            # The forkserver first, while this process has one thread.
            children = stack.enter_context(ChildPool(options.setup))
            link = stack.enter_context(
                PrefectLink(self._executor.chip_id, self._wakeup, with_deployment=options.with_deployment)
            )
            stack.enter_context(
                Listener(self._executor.database, f"calib_{self._executor.chip_id}", self._wakeup)
            )
            resources = AttemptResources(
                database=self._executor.database,
                executor=self._executor,
                link=link,
                children=children,
                wakeup=self._wakeup,
                flows=self._flows.flows,
                times=options.times,
                graces=options.graces,
                cleanup_seconds=options.cleanup_seconds,
                scratch=stack.enter_context(closing(ScratchFolders(options.state_path))),
                stopping=self._stopping,
            )
            while not self._stopping.is_set():
                self._step(resources)
            self._sign_off()

    def _step(self, resources: AttemptResources) -> None:
        try:
            ran_one = self._run_one(resources)
            # Between the jobs of a long queue too: this may be the only executor.
            if not ran_one or time.monotonic() >= self._housekeeping_at:
                self._housekeep(resources)
            if ran_one:
                self._idle_polls = 0
                return
        except DatabaseUnreachableError as error:
            self._note("the database is unreachable", f"{error}")
            self._sleep(_UNREACHABLE_SECONDS)
            return
        self._sleep(self._pause())

    def _pause(self) -> float:
        """Until the next claim: short after a job, when another may have come without a notification.

        A job inserted while the chip is busy notifies no executor, and may be committed just after a claim.
        """
        self._idle_polls += 1
        longest = random.uniform(*self._options.idle_poll)  # noqa: S311 - only spreads the polls
        return min(longest, _SOON_SECONDS * 2.0 ** min(self._idle_polls, _DOUBLINGS))

    def _run_one(self, resources: AttemptResources) -> bool:
        if not resources.link.healthy():
            self._note("Prefect does not answer: jobs wait", "no job is claimed until it answers again")
            return False
        if not resources.children.is_warm(_WARM_SECONDS):
            self._note("warming up", "no job is claimed until a child is ready")
            if resources.children.has_spare:  # The next is not started at once if it died.
                self._wakeup.set()
            return False
        try:
            resources.scratch.prepare()
        except OSError as error:
            self._note("no folder can be made for a job: jobs wait", f"{error}")
            return False
        self._note(self._ready(), "serving")
        claimed_at = time.monotonic()
        claimed = self._executor.claim(self._options.times.lease)
        if claimed is None:
            return False
        logger.info("job %s was claimed as %s", claimed.job_id, claimed.execution_id)
        with resources.scratch.take() as scratch:
            run_attempt(claimed, resources, claimed_at, scratch)
        return True

    def _housekeep(self, resources: AttemptResources) -> None:
        """Show that this executor is alive, end jobs whose lease expired, tell Prefect what it missed."""
        for swept in self._executor.sweep():
            logger.warning("job %s on %s was swept: %s", swept.job_id, swept.chip_id, swept.outcome.value)
            self._wakeup.set()
        if time.monotonic() >= self._housekeeping_at:
            self._housekeeping_at = time.monotonic() + _HOUSEKEEPING_SECONDS
            self._executor.seen(self._condition)
            self._reconcile(resources)

    def _reconcile(self, resources: AttemptResources) -> None:
        try:
            if time.monotonic() >= self._leftovers_at:
                self._leftovers_at = time.monotonic() + _LEFTOVERS_SECONDS
                chip_ids = self._executor.chips_to_reconcile()
                close_leftover_flow_runs(resources.link, self._executor.database, chip_ids)
            for run in self._executor.unsynced_flow_runs():
                self._report(resources.link, run)
        except PrefectError as error:
            logger.debug("Prefect will be told later: %s", error)

    def _report(self, link: PrefectLink, run: UnsyncedFlowRun) -> None:
        state = JobState.SCHEDULED if run.outcome == "requeued" else JobState(run.outcome)
        try:
            link.set_final_state(run.flow_run_id, state, run.failure_message or "")
        except PrefectRefusedError as error:  # The others are reported all the same.
            logger.warning("job %s: flow run %s keeps its state: %s", run.job_id, run.flow_run_id, error)
            return
        self._executor.flow_run_synced(run.job_id, run.attempt)

    def _ready(self) -> str:
        findings = self._flows.findings
        if not findings:
            return READY
        return f"{READY_BUT}not offered ({len(findings)}): {findings[0]}"

    def _note(self, condition: str, words: str) -> None:
        """Report a new condition of this executor once, in the log and on its row."""
        if condition != self._condition:
            self._condition = condition
            self._housekeeping_at = 0.0
            logger.info("%s: %s: %s", self._executor.chip_id, condition, words)

    def _sleep(self, seconds: float) -> None:
        if not self._stopping.is_set():
            wait([self._wakeup.fileno()], timeout=seconds)
        self._wakeup.clear()

    def _sign_off(self) -> None:
        try:
            self._executor.stopped()
        except DatabaseUnreachableError as error:
            logger.warning("the database could not be told that this executor stopped: %s", error)
