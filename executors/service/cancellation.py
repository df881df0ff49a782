"""The cancellation hook that every top-level flow registers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from executors.job.context import current_job
from qdash_queue.domain import JobState
from qdash_queue.errors import LeaseLostError

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun, State

logger = logging.getLogger(__name__)


def on_flow_cancellation(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Record that the flow run's job was cancelled.

    The executor calls it in a process of its own, after the job's process is dead and before the chip is
    given to the next job. It writes under the claim of the attempt that the flow run's tags name, so a late
    or a second call changes nothing, and an earlier verdict stands. A flow run that no executor of the queue
    started has no job: nothing is done.

    Raises:
        QueueError: the verdict could not be recorded, for another reason than a lost lease.
    """
    context = current_job()
    tags = dict(tag.split(":", 1) for tag in flow_run.tags if ":" in tag)
    if context is None or (tags.get("job"), tags.get("attempt")) != (
        str(context.claimed.job_id),
        str(context.claimed.attempt),
    ):
        logger.info("flow run %s (%s) belongs to no job of this process", flow_run.id, flow.name)
        return
    try:
        standing = context.lease.conclude(JobState.CANCELLED)
    except LeaseLostError:
        logger.info("attempt %s of job %s is over already", tags["attempt"], tags["job"])
        return
    logger.info(
        "job %s, attempt %s: %s (flow run %s)", tags["job"], tags["attempt"], standing.value, state.name
    )
