"""The typed failures of tasks, flows and attempts: a kind, words and what to do."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Iterable, Iterator
from enum import StrEnum
from types import TracebackType

from pydantic import ValidationError

from executors.job.stop import Stopped, StopReason
from qdash_queue.domain import CalibrationError, Failure, FailureKind
from qdash_queue.errors import BadValueError, DatabaseUnreachableError, QueueError, UnknownNameError

STACK_TRACE_LIMIT = 10_000
"""Longest stack trace that is kept, in characters."""

MESSAGE_LIMIT = 2_000
"""Longest message that is kept, in characters."""

_CUT = "\n… (cut here) …\n"

# Where an exception comes from the control system and not from the analysis: qubex's drivers, what they speak
# through, and this project's own backends.
_INSTRUMENT_MODULES = (
    "executors.backends",
    "grpc",
    "qubex.backend",
    "quel_ic_config",
    "quelware",
    "qxdriver",
)


_KIND_OF_STOP = {
    StopReason.DEADLINE: FailureKind.TIMEOUT,
    StopReason.SHUTDOWN: FailureKind.SHUTDOWN,
    StopReason.LEASE_LOST: FailureKind.LOST,
}


class Phase(StrEnum):
    """Where in a task's life something happened."""

    PREPARE = "prepare"
    PREPROCESS = "preprocess"
    RUN = "run"
    POSTPROCESS = "postprocess"
    RECORD = "record"


class TaskTimeout(BaseException):
    """A task ran longer than it says it may.

    A ``BaseException``, so that a task's ``except Exception`` cannot swallow it.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"longer than its limit of {seconds:g} s")
        self.seconds = seconds


class TaskFailedError(CalibrationError):
    """A task failed; carries its failure, and where its record is.

    Attributes:
        task: the task's name.
        qid: the qubit or coupling.
        task_id: of the recorded run; ``None`` if it was refused before it was started.
    """

    def __init__(self, task: str, qid: str, failure: Failure, task_id: str | None) -> None:
        super().__init__(failure)
        self.task = task
        self.qid = qid
        self.task_id = task_id

    def __str__(self) -> str:
        return f"{self.task} on {subject(self.qid)}: {self.failure.kind.value}: {self.failure.message}"


def subject(qid: str) -> str:
    """What a person calls the thing that ``qid`` names."""
    if qid == "":
        return "the chip"
    return f"coupling {qid}" if "-" in qid else f"qubit {qid}"


def failure_of(error: BaseException, task: str, phase: Phase) -> Failure:
    """The typed failure that ``error`` stands for, raised by ``task`` in ``phase``."""
    if isinstance(error, CalibrationError):
        return error.failure
    words = _words(error)
    if isinstance(error, Stopped):
        kind = _KIND_OF_STOP.get(error.reason, FailureKind.INTERNAL)
        return Failure(kind=kind, cause="stopped", message=words)
    if isinstance(error, TaskTimeout):
        return Failure(
            kind=FailureKind.TIMEOUT,
            cause="task_timeout",
            message=f"{task} was stopped in {phase.value} after {error.seconds:g} s, its time limit",
            remedy="measure fewer points or shots, or raise the task's timeout",
        )
    if phase is Phase.RECORD and isinstance(error, BadValueError | UnknownNameError):
        return Failure(
            kind=FailureKind.OUT_OF_RANGE if error.column == "value" else FailureKind.INTERNAL,
            cause="refused",
            message=f"the database refused what {task} measured: {words}",
            remedy="SELECT * FROM calib.known_parameters and calib.tasks show what is expected",
        )
    if _from_instrument(error, phase):
        return Failure(
            kind=FailureKind.INSTRUMENT,
            cause=type(error).__name__,
            message=f"the instrument failed in {task}: {words}",
            remedy="check the control system; the parameters are unchanged",
        )
    return Failure(
        kind=FailureKind.INTERNAL,
        cause=type(error).__name__,
        message=f"{task} raised {type(error).__name__} in {phase.value}: {words}",
        remedy="a fault of the program: report it with the stack trace",
    )


def deadline_failure(timeout_seconds: float) -> Failure:
    """The failure of a job that ran longer than it may."""
    return Failure(
        kind=FailureKind.TIMEOUT,
        cause="deadline",
        message=f"the job was stopped at its time limit of {timeout_seconds:g} s",
        remedy="measure less in one job, or give it a longer timeout_seconds",
    )


def shutdown_failure() -> Failure:
    """The failure of an attempt whose executor left."""
    return Failure(kind=FailureKind.SHUTDOWN, cause="shutdown", message="the executor was shut down")


def not_idle_failure() -> Failure:
    """The failure of a job whose instrument could not be quiesced before it began."""
    return Failure(
        kind=FailureKind.INSTRUMENT,
        cause="not_idle",
        message="the instrument could not be put into a safe idle state before the job",
        remedy="fix the instrument, resume the chip, submit the job again",
    )


def flow_failure(error: BaseException) -> Failure:
    """The failure that an exception of a flow's body stands for."""
    if isinstance(error, CalibrationError):
        return error.failure
    words = storable(str(error)) or "no message"
    return Failure(
        kind=FailureKind.INTERNAL,
        cause=type(error).__name__,
        message=f"the flow raised {type(error).__name__}: {words}"[:MESSAGE_LIMIT],
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
        remedy="submit the job without what Prefect does not accept",
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
    return f"was killed by {name}" + (" (out of memory, or manually)" if name == "SIGKILL" else "")


def stack_trace(error: BaseException) -> str:
    """The stack trace of ``error``; its middle is left out past :data:`STACK_TRACE_LIMIT` characters.

    Beginning and end stay: the last frames say where it broke, the first how the program came there.
    """
    text = storable("".join(traceback.format_exception(error)))
    if len(text) <= STACK_TRACE_LIMIT:
        return text
    head = (STACK_TRACE_LIMIT - len(_CUT)) // 4
    tail = STACK_TRACE_LIMIT - len(_CUT) - head
    return text[:head] + _CUT + text[-tail:]


def storable(text: str) -> str:
    """The text without what PostgreSQL cannot hold: NUL and halves of surrogate pairs."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def _words(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    text = " ".join(storable(str(error)).split()) or "no message"
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 1] + "…"


def _from_instrument(error: BaseException, phase: Phase) -> bool:
    if phase is not Phase.RUN or isinstance(error, (DatabaseUnreachableError, QueueError)):
        return False
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return any(
        module == known or module.startswith((f"{known}.", f"{known}_"))
        for module in _modules(error.__traceback__)
        for known in _INSTRUMENT_MODULES
    )


def _modules(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        yield str(trace.tb_frame.f_globals.get("__name__", ""))
        trace = trace.tb_next
