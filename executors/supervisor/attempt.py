"""One claimed job, from the claim to the free lease.

An attempt is a pipeline over one record that does not change. Each step waits while the database or Prefect
is unreachable, and hands to the next what it found:

1. ``find_owed_hooks``: a cancel that Prefect took for an earlier attempt cancels this one;
2. ``make_idle``: only if the last job left the instrument dirty; a failure puts the job off;
3. ``create_flow_run``: the flow run, or why there is none;
4. ``run_flow``: the flow in a child process, and how it ended;
5. ``attempt_verdict``: the state of the job, before the instrument is made idle;
6. ``_clean_up``: hooks of a cancel, an idle instrument unless the flow ended well;
7. ``_end_lease``: the job is terminal or given back, the chip is free;
8. ``_report``: Prefect is told.

A lost lease ends it at any step by ``LeaseLostError``: the child is killed, nothing else is touched.
"""

from __future__ import annotations

import logging
from pathlib import Path

from prefect.client.schemas.objects import FlowRun

from executors.job.failures import not_idle_failure, shutdown_failure
from executors.job.lease_keeper import LeaseLapsedError
from executors.prefect.client import PrefectError
from executors.supervisor.attempt_resources import AttemptRecord, AttemptResources
from executors.supervisor.cleanup import make_idle, run_hooks
from executors.supervisor.flow_execution import Outcome, run_flow
from executors.supervisor.prefect_steps import check_before_verdict, create_flow_run, find_owed_hooks
from executors.supervisor.verdict import Verdict, accident_verdict, attempt_verdict
from qdash_queue.client.models import ClaimedJob
from qdash_queue.domain import Failure, JobState
from qdash_queue.errors import DatabaseUnreachableError

logger = logging.getLogger(__name__)


def run_attempt(claimed: ClaimedJob, resources: AttemptResources, claimed_at: float, scratch: Path) -> None:
    """Run a job that was claimed at ``claimed_at`` (monotonic); afterwards it is terminal or given back.

    If the lease could not be renewed in time, the child is killed and the job is left to other executors.

    Raises:
        LeaseLostError: the database does not know the lease.
    """
    attempt = AttemptRecord.of(claimed, resources, claimed_at, scratch)
    with attempt.keeper:
        try:
            _run(attempt)
        except LeaseLapsedError as error:
            logger.warning("job %s is left to other executors: %s", claimed.job_id, error)
        finally:
            resources.link.unwatch()
            resources.children.refill()


def _run(attempt: AttemptRecord) -> None:
    owed_hooks = find_owed_hooks(attempt)
    if attempt.claimed.dirty and not make_idle(attempt) and attempt.stops.stop is None:
        _finish(attempt, None, Outcome(), accident_verdict(attempt.claimed, not_idle_failure()), None)
        return
    created = create_flow_run(attempt)
    if isinstance(created, FlowRun):
        flow_run, outcome = created, run_flow(attempt, created)
        if not outcome.has_verdict:
            check_before_verdict(attempt)
    else:
        flow_run, outcome = None, Outcome(created)
    verdict = attempt_verdict(attempt.claimed, attempt.stops.reason, outcome.end, outcome.exit_code)
    hooks_of = flow_run if outcome.has_started else owed_hooks
    _finish(attempt, flow_run, outcome, verdict, hooks_of)


def _finish(
    attempt: AttemptRecord,
    flow_run: FlowRun | None,
    outcome: Outcome,
    verdict: Verdict,
    hooks_of: FlowRun | None,
) -> None:
    state, failure = verdict
    if state is JobState.COMPLETED and attempt.stops.stop is None:
        state = _end_well(attempt)
    elif state is not JobState.SCHEDULED:
        state = attempt.persist(lambda: attempt.lease.conclude(state, failure))
    if state is not JobState.COMPLETED or attempt.stops.stop is not None:
        _clean_up(attempt, outcome, state, hooks_of)
        state = _end_lease(attempt, state, failure)
    _report(attempt, flow_run, state, failure.message if failure else "")


def _end_well(attempt: AttemptRecord) -> JobState:
    """The verdict that stands; with ``completed`` the job has ended, for there is nothing to clean up."""
    with attempt.keeper.last_write():
        state = attempt.persist(lambda: attempt.lease.end(JobState.COMPLETED))
        if state is JobState.COMPLETED:
            attempt.keeper.stop_renewing()
    return state


def _clean_up(attempt: AttemptRecord, outcome: Outcome, state: JobState, hooks_of: FlowRun | None) -> None:
    # By the row's state: the database may have heard of a cancel before this process did.
    if hooks_of is not None and state is JobState.CANCELLED:
        run_hooks(attempt, hooks_of)
    # A flow that raised may have left a measurement running.
    if outcome.has_started:
        make_idle(attempt)


def _end_lease(attempt: AttemptRecord, state: JobState, failure: Failure | None) -> JobState:
    attempt.keeper.settle()
    # A heartbeat beside the last write would call a lost answer a lost lease.
    attempt.keeper.close(attempt.resources.times.heartbeat)
    if state is JobState.SCHEDULED:
        return attempt.persist(lambda: attempt.lease.try_again(failure or shutdown_failure()))
    attempt.persist(attempt.lease.finish)
    return state


def _report(attempt: AttemptRecord, flow_run: FlowRun | None, state: JobState, message: str) -> None:
    """Tell Prefect how the attempt ended; what it does not hear now, the reconciler tells it later."""
    claimed, resources = attempt.claimed, attempt.resources
    logger.info("job %s (attempt %s): %s", claimed.job_id, claimed.attempt, state.value)
    if flow_run is None:
        return
    try:
        resources.link.set_final_state(flow_run.id, state, message)
        resources.executor.flow_run_synced(claimed.job_id, claimed.attempt)
    except (PrefectError, DatabaseUnreachableError) as error:
        logger.warning("job %s: Prefect will be told later: %s", claimed.job_id, error)
