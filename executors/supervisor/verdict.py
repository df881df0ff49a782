"""The verdict of an attempt as a whole, from what its process reported and why it had to stop."""

from __future__ import annotations

from executors.job.failures import deadline_failure, death_failure, not_started_failure
from executors.job.messages import BodyEnded, NotStarted
from executors.job.stop import StopReason
from qdash_queue.client.models import ClaimedJob
from qdash_queue.domain import Failure, JobState

Verdict = tuple[JobState, Failure | None]
"""How an attempt ended; ``scheduled``: the job is given back (without a failure: to shut down)."""


def attempt_verdict(
    claimed: ClaimedJob, reason: StopReason, end: BodyEnded | NotStarted | None, exit_code: int
) -> Verdict:
    """How an attempt ended.

    Args:
        claimed: the job.
        reason: why it had to stop, if it had to.
        end: what its process reported.
        exit_code: of its process.
    """
    if isinstance(end, BodyEnded) and end.state is not None:
        return end.state, end.failure if end.state is JobState.FAILED else None
    match reason:
        case StopReason.CANCEL:
            return JobState.CANCELLED, None
        case StopReason.DEADLINE:
            return JobState.FAILED, deadline_failure(claimed.timeout_seconds)
        case StopReason.SHUTDOWN:
            return JobState.SCHEDULED, None
    if isinstance(end, NotStarted) and end.failure is not None:
        return JobState.FAILED, end.failure
    accident = not_started_failure(end.words) if isinstance(end, NotStarted) else death_failure(exit_code)
    return accident_verdict(claimed, accident)


def accident_verdict(claimed: ClaimedJob, failure: Failure) -> Verdict:
    """How an attempt ends through no fault of the job: another one follows, if one is left.

    A last attempt gets its verdict before the instrument is made idle: the executor may die meanwhile.
    """
    repeats = claimed.repeatable and claimed.attempt < claimed.max_attempts
    return JobState.SCHEDULED if repeats else JobState.FAILED, failure
