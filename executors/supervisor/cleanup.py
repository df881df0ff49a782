"""What is done for a job in a fresh process while no child of it is alive: hooks, and an idle instrument."""

from __future__ import annotations

import logging
import time

from prefect.client.schemas.objects import FlowRun

from executors.job.failures import exit_words
from executors.job.messages import CleanupDone, Quiesce, RunHooks
from executors.supervisor.attempt_resources import AttemptRecord
from executors.supervisor.child_pool import ChildError
from qdash_queue.client.queue import Queue

logger = logging.getLogger(__name__)


def run_hooks(attempt: AttemptRecord, flow_run: FlowRun) -> None:
    """Run the cancellation hooks of a flow."""
    problem = _run_in_child(attempt, RunHooks(attempt.claimed, attempt.scratch, flow_run))
    attempt.keeper.log("hook_ran", {"problem": problem} if problem else {})


def make_idle(attempt: AttemptRecord) -> bool:
    """Put the instrument into a safe idle state; a failure pauses the chip. Whether it is idle."""
    claimed = attempt.claimed
    # Read here: a database failure may not look like the instrument's fault.
    chip = attempt.persist(lambda: Queue(attempt.resources.database).chip(claimed.chip_id))
    problem = _run_in_child(attempt, Quiesce(claimed, attempt.scratch, chip))
    if problem:
        logger.error("chip %s is paused: its instrument is not idle: %s", claimed.chip_id, problem)
        attempt.persist(lambda: attempt.lease.quiesce_failed(problem))
    else:
        attempt.persist(lambda: attempt.lease.quiesced({}))
    return not problem


def _run_in_child(attempt: AttemptRecord, message: RunHooks | Quiesce) -> str:
    """Run ``message`` in a process of its own, for a bounded time; the problem in words, empty if none."""
    resources = attempt.resources
    until = time.monotonic() + resources.cleanup_seconds
    try:
        with attempt.child(message) as child:
            resources.children.refill()
            while True:
                attempt.keeper.require()
                is_alive = child.is_alive
                for report in child.reports():
                    if isinstance(report, CleanupDone):
                        return report.problem
                if not is_alive:
                    return f"its process {exit_words(child.exit_code or 0)}"
                if time.monotonic() > until:
                    return f"it did not end within {resources.cleanup_seconds:g} s"
                attempt.wait(until - time.monotonic(), child.sentinel, child.pipe)
    except ChildError as error:
        return str(error)
