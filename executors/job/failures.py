"""From any exception of a task to a failure with a kind, words and what to do."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from enum import StrEnum
from types import TracebackType

from pydantic import ValidationError

from executors.job.stop import Stopped, StopReason
from qdash_queue.domain import CalibrationError, Failure, FailureKind
from qdash_queue.errors import DatabaseUnreachableError, QueueError

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
    if _from_instrument(error, phase):
        return Failure(
            kind=FailureKind.INSTRUMENT,
            cause=type(error).__name__,
            message=f"the instrument failed in {task}: {words}",
            remedy="look at the control system; the parameters are as before",
        )
    return Failure(
        kind=FailureKind.INTERNAL,
        cause=type(error).__name__,
        message=f"{task} raised {type(error).__name__} in {phase.value}: {words}",
        remedy="a fault of the program: report it with the stack trace",
    )


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
