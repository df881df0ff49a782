"""The verdict that a job's own process gives."""

from __future__ import annotations

import sys
from contextlib import suppress

from executors.job.persistence import persistently
from executors.job.stop import PREFECT_CANCEL
from qdash_queue.client.leases import Lease
from qdash_queue.domain import Failure, JobState
from qdash_queue.errors import IllegalTransitionError

_LOOK_SECONDS = 2.0


def give_verdict(
    lease: Lease, state: JobState, failure: Failure | None, *, leaves_completed: bool = False
) -> JobState:
    """Record how the flow ended, unless Prefect took a cancel before; the verdict that stands.

    With ``leaves_completed`` nothing is written of a flow that completed: the supervisor ends the job by that
    verdict, in one transaction. What Prefect takes after this look, or while it does not answer within two
    seconds, comes too late.

    Raises:
        LeaseLostError: the chip is no longer ours.
        DatabaseUnreachableError: PostgreSQL does not answer; the supervisor records the verdict.
        Stopped: the job has to stop while a cancel is being stored.
    """
    if state is not JobState.CANCELLED and _is_cancelled_in_prefect():
        persistently(lambda: lease.cancel_from_prefect(PREFECT_CANCEL))
        with suppress(IllegalTransitionError):  # There was a verdict already.
            return lease.conclude(JobState.CANCELLED)
    if leaves_completed and state is JobState.COMPLETED:
        return state
    return lease.conclude(state, failure)


def _is_cancelled_in_prefect() -> bool:
    # A process that has not imported Prefect is in no flow run; to ask would cost a script two seconds.
    if "prefect" not in sys.modules:
        return False
    from executors.prefect import runtime  # noqa: PLC0415

    return runtime.is_cancelled(_LOOK_SECONDS)
