"""Flow runs that Prefect still shows as open although their attempts are over.

A flow run is made in Prefect before its id is on the row. An executor that dies in between, or gives up
because Prefect answered too late, leaves a run that no row knows; its tags tell for which attempt.

A cancel that Prefect took for a run whose executor was dead is a cancel of the job: its next attempt looks
for it before it starts anything.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from prefect.client.schemas.objects import FlowRun

from executors.prefect.client import PrefectLink, PrefectRefusedError
from executors.prefect.flow_runs import Origin, chip_tag, job_tag
from qdash_queue.client.database import Database, ResultRow
from qdash_queue.client.models import ClaimedJob
from qdash_queue.domain import JobState

logger = logging.getLogger(__name__)

# The executor's id is unlike any other's, of this queue or of another one that shares the server.
_ATTEMPT_IS_OVER = """
SELECT outcome, coalesce(failure_message, '') AS message,
       EXISTS (SELECT FROM calib.job_events e WHERE e.job_id = a.job_id AND e.attempt = a.attempt
                  AND e.event = 'flow_started') AS has_started
  FROM calib.attempts a
 WHERE job_id = %(job_id)s AND attempt = %(attempt)s AND executor_id = %(executor_id)s
   AND ended_at IS NOT NULL"""


def close_leftover_flow_runs(link: PrefectLink, database: Database, chip_ids: Sequence[str]) -> list[UUID]:
    """Bring every open flow run of these chips whose attempt is over into the state of the attempt.

    Each time in another order: one at which Prefect's server fails again and again ends the round, and may
    not keep the same others open indefinitely.

    Returns:
        The flow runs that were closed.

    Raises:
        PrefectUnreachableError: Prefect's server did not answer in time; the rest is left for another round.
        DatabaseUnreachableError: PostgreSQL does not answer.
    """
    closed = []
    flow_runs = link.open_flow_runs(chip_ids)
    for flow_run, origin, over in _of_ended_attempts(database, random.sample(flow_runs, len(flow_runs))):
        state = JobState.SCHEDULED if over["outcome"] == "requeued" else JobState(over["outcome"])
        try:
            link.set_final_state(flow_run.id, state, over["message"])
        except PrefectRefusedError as error:  # The others are closed all the same.
            logger.warning("flow run %s of job %s stays open: %s", flow_run.id, origin.job_id, error)
            continue
        logger.warning("flow run %s of job %s was left open: closed", flow_run.id, origin.job_id)
        closed.append(flow_run.id)
    return closed


@dataclass(frozen=True, slots=True)
class EarlierCancel:
    """The flow run of an earlier attempt that was cancelled in Prefect, and whether its flow had started."""

    flow_run: FlowRun
    has_started: bool


def find_earlier_cancel(link: PrefectLink, database: Database, claimed: ClaimedJob) -> EarlierCancel | None:
    """Close the flow runs of a job's earlier attempts, and find one that was cancelled.

    Raises:
        PrefectUnreachableError: Prefect's server did not answer in time.
        DatabaseUnreachableError: PostgreSQL does not answer.
    """
    found = None
    flow_runs = link.flow_runs([chip_tag(claimed.chip_id), job_tag(claimed.job_id)])
    for flow_run, _, over in _of_ended_attempts(database, flow_runs):
        try:
            if link.close_abandoned(flow_run.id, over["message"]):
                found = EarlierCancel(flow_run, bool(over["has_started"]))
        except PrefectRefusedError as error:
            logger.warning("flow run %s of job %s stays open: %s", flow_run.id, claimed.job_id, error)
    return found


def _of_ended_attempts(
    database: Database, flow_runs: Sequence[FlowRun]
) -> Iterator[tuple[FlowRun, Origin, ResultRow]]:
    for flow_run in flow_runs:
        origin = Origin.of(flow_run)
        if origin is None:
            continue
        over = database.row(
            _ATTEMPT_IS_OVER,
            job_id=origin.job_id,
            attempt=origin.attempt,
            executor_id=origin.executor_id,
        )
        if over is not None:
            yield flow_run, origin, over
