"""How an attempt as a whole ends: its verdict, and its failures in words."""

from __future__ import annotations

import signal
from collections.abc import Iterable

from executors.job.messages import BodyEnded, NotStarted
from executors.job.stop import StopReason
from qdash_queue.client.models import ClaimedJob
from qdash_queue.domain import CalibrationError, Failure, FailureKind, JobState

_MESSAGE_LIMIT = 2000


def attempt_verdict(
    claimed: ClaimedJob, reason: StopReason, end: BodyEnded | NotStarted | None, exit_code: int
) -> tuple[JobState, Failure | None]:
    """How an attempt ended; ``scheduled``: the job is given back (without a failure: to shut down).

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
    # The job is not to blame. A last attempt gets its verdict before the instrument is made idle: the
    # executor may die meanwhile.
    accident = not_started_failure(end.words) if isinstance(end, NotStarted) else death_failure(exit_code)
    return JobState.SCHEDULED if repeats(claimed) else JobState.FAILED, accident


def repeats(claimed: ClaimedJob) -> bool:
    """Whether another attempt follows one that ends through no fault of the job."""
    return claimed.repeatable and claimed.attempt < claimed.max_attempts


def deadline_failure(timeout_seconds: float) -> Failure:
    """The failure of a job that ran longer than it may."""
    return Failure(
        kind=FailureKind.TIMEOUT,
        cause="deadline",
        message=f"the job was stopped at its time limit of {timeout_seconds:g} s",
        remedy="ask for less in one job, or give it a longer timeout_seconds",
    )


def shutdown_failure() -> Failure:
    """The failure of an attempt whose executor left."""
    return Failure(kind=FailureKind.SHUTDOWN, cause="shutdown", message="the executor was shut down")


def not_at_rest_failure() -> Failure:
    """The failure of a job whose instrument could not be quiesced before it began."""
    return Failure(
        kind=FailureKind.INSTRUMENT,
        cause="not_at_rest",
        message="the instrument could not be put into a safe idle state before the job",
        remedy="mend the instrument, resume the chip, ask again",
    )


def flow_failure(error: BaseException) -> Failure:
    """The failure that an exception of a flow's body stands for."""
    if isinstance(error, CalibrationError):
        return error.failure
    words = str(error).replace("\x00", "") or "no message"
    return Failure(
        kind=FailureKind.INTERNAL,
        cause=type(error).__name__,
        message=f"the flow raised {type(error).__name__}: {words}"[:_MESSAGE_LIMIT],
        remedy="a fault of the program: report it with the flow run's log",
    )


def unknown_flow_failure(flow: str, known: Iterable[str]) -> Failure:
    """The failure of a job whose flow this executor does not have (any more)."""
    return Failure(
        kind=FailureKind.INVALID_REQUEST,
        cause="unknown_flow",
        message=f'this executor has no flow "{flow}": expected one of {", ".join(sorted(known))}',
    )


def not_started_failure(words: str) -> Failure:
    """The failure of a job whose flow could not be started, though the job is not to blame."""
    return Failure(
        kind=FailureKind.INTERNAL, cause="not_started", message=f"the flow could not be started: {words}"
    )


def refused_by_prefect_failure(words: str) -> Failure:
    """The failure of a job for which Prefect will not make a flow run."""
    return Failure(
        kind=FailureKind.INVALID_REQUEST,
        cause="refused_by_prefect",
        message=f"no flow run could be made: {words}",
        remedy="ask without what Prefect does not take",
    )


def death_failure(exit_code: int) -> Failure:
    """The failure of a job whose process ended without saying how."""
    return Failure(
        kind=FailureKind.INTERNAL, cause="process_died", message=f"the job's process {exit_words(exit_code)}"
    )


def exit_words(code: int) -> str:
    """An exit code (or minus a signal) in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}" + (" (out of memory, or by hand)" if name == "SIGKILL" else "")
