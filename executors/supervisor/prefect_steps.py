"""What an attempt needs of Prefect before and after its flow runs, waiting while Prefect is unreachable."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial

from prefect.client.schemas.objects import FlowRun

from executors.flows import FlowDefinition
from executors.job.failures import refused_by_prefect_failure, unknown_flow_failure
from executors.job.messages import NotStarted
from executors.prefect.client import PrefectError, PrefectRefusedError, PrefectUnreachableError
from executors.prefect.flow_runs import FlowRunRequest
from executors.prefect.reconcile import find_earlier_cancel
from executors.supervisor.attempt_resources import POLL_SECONDS, AttemptRecord
from qdash_queue.errors import DatabaseUnreachableError

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
# A server on SQLite now and then forgets one request behind others, and answers the next at once; a slow one
# gets more time at each try.
_FIRST_TIMEOUT_SECONDS = 3.0
_LONGEST_TIMEOUT_SECONDS = 24.0


def find_owed_hooks(attempt: AttemptRecord) -> FlowRun | None:
    """Pass on a cancel that Prefect took for an earlier attempt, maybe while no executor was alive.

    Returns:
        The cancelled flow run, if it has started: its cancellation hooks have not run yet.
    """
    link, database, claimed = attempt.resources.link, attempt.resources.database, attempt.claimed
    owed = None
    while claimed.attempt > 1 and attempt.stops.stop is None:
        try:
            found = find_earlier_cancel(link, database, claimed)
        except (PrefectError, DatabaseUnreachableError) as error:
            logger.warning("job %s waits for its earlier flow runs: %s", claimed.job_id, error)
            attempt.wait(_RETRY_SECONDS)
            attempt.stops.check()
            continue
        if found is None:
            break
        owed = found.flow_run if found.has_started else None
        attempt.stops.store_prefect_cancel()
        attempt.stops.check()
    return owed


def create_flow_run(attempt: AttemptRecord) -> FlowRun | NotStarted | None:
    """The flow run, its id on the row before any work; ``None`` if a stop came first."""
    claimed, flows = attempt.claimed, attempt.resources.flows
    definition = flows.get(claimed.flow)
    if definition is None:
        return NotStarted(unknown_flow_failure(claimed.flow, flows), "unknown flow")
    timeout = _FIRST_TIMEOUT_SECONDS
    flow_run = None
    while flow_run is None:
        attempt.stops.check()
        if attempt.stops.is_at_once:
            return None
        try:
            flow_run = _request_flow_run(attempt, definition, timeout)
        except PrefectUnreachableError as error:
            logger.warning("job %s waits for Prefect: %s", claimed.job_id, error)
            timeout = min(2 * timeout, _LONGEST_TIMEOUT_SECONDS)
            attempt.wait(_RETRY_SECONDS)
        except PrefectRefusedError as error:
            return NotStarted(refused_by_prefect_failure(f"{error}"), f"{error}")
    attempt.resources.link.watch(flow_run.id)
    attempt.persist(partial(attempt.lease.set_flow_run, flow_run.id))
    return flow_run


def _request_flow_run(attempt: AttemptRecord, definition: FlowDefinition, timeout: float) -> FlowRun | None:
    """Prefect's answer; ``None`` if a stop came first: a flow run made after that is found by its tags."""
    resources = attempt.resources
    request = FlowRunRequest.of(attempt.claimed, resources.executor.executor_id)
    answer = resources.link.create_flow_run(definition.flow, request, timeout)
    while not answer.is_there:
        attempt.wait(POLL_SECONDS)
        attempt.stops.check()
        if attempt.stops.is_at_once:
            answer.forget()
            return None
    return answer.value()


def check_before_start(attempt: AttemptRecord) -> None:
    """Notice a cancel of which no event tells.

    Prefect starts a flow run that is Cancelled already, and forgets the cancel.
    """
    if not attempt.resources.link.is_following:
        with suppress(PrefectError):
            attempt.resources.link.check()
    attempt.stops.check()


def check_before_verdict(attempt: AttemptRecord) -> None:
    """Store a cancel that Prefect took before the verdict, though its event has not come."""
    if attempt.keeper.cancel is not None:
        return
    with suppress(PrefectError):
        attempt.resources.link.check()
    if attempt.resources.link.was_cancelled():
        attempt.stops.store_prefect_cancel()


def wait_for_prefect(attempt: AttemptRecord) -> None:
    """Return when Prefect answers or the job has to stop."""
    link = attempt.resources.link
    while attempt.stops.stop is None:
        try:
            link.check()
        except PrefectError:
            attempt.wait(_RETRY_SECONDS)
        else:
            if not link.was_cancelled():
                return
            attempt.stops.store_prefect_cancel()
        attempt.stops.check()
