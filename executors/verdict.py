"""The verdict that a job's own process gives."""

from __future__ import annotations

from contextlib import suppress

from executors import prefect_side
from executors.engine.persistence import persistently
from executors.orders import PREFECT_CANCEL
from qdash_queue.errors import IllegalTransitionError
from qdash_queue.leases import Lease
from qdash_queue.values import Failure, JobState

_LOOK_SECONDS = 2.0


def give_verdict(lease: Lease, state: JobState, failure: Failure | None) -> JobState:
    """Record how the flow ended, unless Prefect took a cancel before; the verdict that stands.

    What Prefect takes after this look, or while it does not answer within two seconds, comes too late.

    Raises:
        LeaseLostError: the chip is no longer ours.
        DatabaseAwayError: PostgreSQL does not answer; the supervisor records the verdict.
        Stopped: the job has to stop while a cancel is being stored.
    """
    if state is not JobState.CANCELLED and prefect_side.is_cancelled(_LOOK_SECONDS):
        persistently(lambda: lease.cancel_from_prefect(PREFECT_CANCEL))
        with suppress(IllegalTransitionError):  # There was a verdict already.
            return lease.conclude(JobState.CANCELLED)
    return lease.conclude(state, failure)
