"""The executor of one chip: claims jobs one after the other, and keeps house while there are none."""

from __future__ import annotations

import logging
import random
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

from executors.flows import FlowDefinition, catalogue_flows, catalogue_tasks
from executors.job.messages import ChildSetup
from executors.job.wakeup import Listener, Wakeup
from executors.prefect.client import PrefectError, PrefectLink, PrefectRefusedError
from executors.prefect.reconcile import close_stragglers
from executors.supervisor.attempt import Attempt
from executors.supervisor.attempt_resources import Bench
from executors.supervisor.child_pool import Nursery
from executors.supervisor.lease_keeper import LeaseTimes
from executors.supervisor.scratch import ScratchFolders
from executors.supervisor.stop_escalation import Graces
from qdash_queue.client.leases import Executor
from qdash_queue.client.models import UnsyncedFlowRun
from qdash_queue.domain import JobState
from qdash_queue.errors import DatabaseUnreachableError
from qdash_queue.stopping import StopSign

logger = logging.getLogger(__name__)

_HOUSEKEEPING_SECONDS = 5.0
_STRAGGLERS_SECONDS = 15.0
_AWAY_SECONDS = 1.0
_WARM_LOOK_SECONDS = 0.5
_SOON_SECONDS = 0.05
_DOUBLINGS = 16


@dataclass(frozen=True)
class SupervisorOptions:
    """How one chip's executor works; times in seconds.

    Attributes:
        setup: what every child is told.
        times: how a lease is kept.
        graces: how long a child is waited for.
        duty_seconds: a cancellation hook, or quiescing the instrument, may take so long.
        idle_poll: shortest and longest wait between two looks for a job; a notification wakes earlier.
        with_deployment: link flow runs to a deployment, for which Prefect's UI offers Cancel.
        state_path: below it are the jobs' own folders.
    """

    setup: ChildSetup
    times: LeaseTimes
    state_path: Path
    graces: Graces = field(default_factory=Graces)
    duty_seconds: float = 20.0
    idle_poll: tuple[float, float] = (1.0, 5.0)
    with_deployment: bool = True


class Supervisor:
    """Serves one chip until it is told to stop."""

    def __init__(
        self,
        options: SupervisorOptions,
        executor: Executor,
        flows: dict[str, FlowDefinition],
    ) -> None:
        self._options = options
        self._executor = executor
        self._flows = flows
        self._wakeup = Wakeup()
        self._stopping = StopSign()
        self._condition = ""
        self._housekeeping_at = 0.0
        self._stragglers_at = 0.0
        self._looks_in_vain = 0

    def stop(self) -> None:
        """Leave as soon as the running job is stopped and given back; may be called by a signal handler."""
        self._stopping.set()
        self._wakeup.set()

    def serve(self) -> None:
        """Offer the catalogue, then run jobs until :meth:`stop`.

        Raises:
            CatalogueRefusedError: a flow or a task cannot be offered.
            DatabaseUnreachableError: the database does not answer at the start; later it is waited for.
            LeaseLostError: the database does not know a lease that this executor holds.
        """
        offer(self._executor, self._flows)
        options = self._options
        with ExitStack() as stack:
            # The forkserver first, while this process has one thread.
            nursery = stack.enter_context(Nursery(options.setup))
            link = stack.enter_context(
                PrefectLink(self._executor.chip_id, self._wakeup, with_deployment=options.with_deployment)
            )
            stack.enter_context(
                Listener(self._executor.database, f"calib_{self._executor.chip_id}", self._wakeup)
            )
            bench = Bench(
                database=self._executor.database,
                executor=self._executor,
                link=link,
                nursery=nursery,
                wakeup=self._wakeup,
                flows=self._flows,
                times=options.times,
                graces=options.graces,
                duty_seconds=options.duty_seconds,
                scratch=stack.enter_context(closing(ScratchFolders(options.state_path))),
                stopping=self._stopping,
            )
            while not self._stopping.is_set():
                self._step(bench)
            self._say_goodbye()

    def _step(self, bench: Bench) -> None:
        try:
            took_one = self._take_one(bench)
            # Between the jobs of a long queue too, or an executor without a companion would never do it.
            if not took_one or time.monotonic() >= self._housekeeping_at:
                self._keep_house(bench)
            if took_one:
                self._looks_in_vain = 0
                return
        except DatabaseUnreachableError as error:
            self._note("the database is away", f"{error}")
            self._sleep(_AWAY_SECONDS)
            return
        self._sleep(self._pause())

    def _pause(self) -> float:
        """Until the next look: short after a job, when one may have come for which nobody was woken.

        Whoever inserts while the chip is busy wakes nobody; it may commit just after the look that follows.
        """
        self._looks_in_vain += 1
        longest = random.uniform(*self._options.idle_poll)  # noqa: S311 - only spreads the polls
        return min(longest, _SOON_SECONDS * 2.0 ** min(self._looks_in_vain, _DOUBLINGS))

    def _take_one(self, bench: Bench) -> bool:
        if not bench.link.healthy():
            self._note("Prefect does not answer: jobs wait", "no job is claimed until it answers again")
            return False
        if not bench.nursery.is_warm(_WARM_LOOK_SECONDS):
            self._note("warming up", "no job is claimed until a child is ready")
            if bench.nursery.has_spare:  # One that died at once is not followed by the next at once.
                self._wakeup.set()
            return False
        try:
            bench.scratch.prepare()
        except OSError as error:
            self._note("no folder can be made for a job: jobs wait", f"{error}")
            return False
        self._note("ready", "serving")
        asked_at = time.monotonic()
        claimed = self._executor.claim(self._options.times.lease)
        if claimed is None:
            return False
        logger.info("job %s was claimed as %s", claimed.job_id, claimed.execution_id)
        with bench.scratch.take() as scratch:
            Attempt(claimed, bench, asked_at, scratch).run()
        return True

    def _keep_house(self, bench: Bench) -> None:
        """Show that this executor lives, end what nobody looks after, tell Prefect what it missed."""
        for swept in self._executor.sweep():
            logger.warning("job %s on %s was swept: %s", swept.job_id, swept.chip_id, swept.outcome.value)
            self._wakeup.set()
        if time.monotonic() >= self._housekeeping_at:
            self._housekeeping_at = time.monotonic() + _HOUSEKEEPING_SECONDS
            self._executor.seen(self._condition)
            self._reconcile(bench)

    def _reconcile(self, bench: Bench) -> None:
        try:
            if time.monotonic() >= self._stragglers_at:
                self._stragglers_at = time.monotonic() + _STRAGGLERS_SECONDS
                close_stragglers(bench.link, self._executor.database, self._executor.chips_to_reconcile())
            for run in self._executor.unsynced_flow_runs():
                self._make_equal(bench.link, run)
        except PrefectError as error:
            logger.debug("Prefect will be told later: %s", error)

    def _make_equal(self, link: PrefectLink, run: UnsyncedFlowRun) -> None:
        state = JobState.SCHEDULED if run.outcome == "requeued" else JobState(run.outcome)
        try:
            link.make_equal(run.flow_run_id, state, run.failure_message or "")
        except PrefectRefusedError as error:  # It may not keep the others from being told.
            logger.warning("job %s: flow run %s stays as it is: %s", run.job_id, run.flow_run_id, error)
            return
        self._executor.flow_run_synced(run.job_id, run.attempt)

    def _note(self, condition: str, words: str) -> None:
        """Say once, in the log and on the executor's row, how this executor is."""
        if condition != self._condition:
            self._condition = condition
            self._housekeeping_at = 0.0
            logger.info("%s: %s: %s", self._executor.chip_id, condition, words)

    def _sleep(self, seconds: float) -> None:
        if not self._stopping.is_set():
            wait([self._wakeup.fileno()], timeout=seconds)
        self._wakeup.clear()

    def _say_goodbye(self) -> None:
        try:
            self._executor.stopped()
        except DatabaseUnreachableError as error:
            logger.warning("the database could not be told that this executor stopped: %s", error)


def offer(executor: Executor, flows: dict[str, FlowDefinition]) -> None:
    """Tell the database what may be asked for on the chip.

    Raises:
        ExecutorRefusedError: this role may not execute here, or the chip has another kind of backend.
        CatalogueRefusedError: a flow or a task cannot be offered.
    """
    executor.register_catalogue(catalogue_flows(flows.values()), catalogue_tasks())
