from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from executors.job.failures import (
    STACK_TRACE_LIMIT,
    Phase,
    TaskFailedError,
    TaskTimeout,
    failure_of,
    stack_trace,
    storable,
)
from executors.job.stop import Stopped, StopReason
from qdash_queue.domain import CalibrationError, Failure, FailureKind


def module_that_raises(name: str, error: Exception) -> Exception:
    """``error`` as it arrives when code of the module ``name`` raised it."""
    with pytest.raises(type(error)) as caught:
        exec("raise error", {"__name__": name, "error": error})
    return caught.value


OWN = Failure(kind=FailureKind.NO_SIGNAL, message="flat")


@pytest.mark.parametrize(
    ("error", "phase", "kind"),
    [
        (CalibrationError(OWN), Phase.POSTPROCESS, "no_signal"),
        (TaskTimeout(3), Phase.RUN, "timeout"),
        (ConnectionResetError("box gone"), Phase.RUN, "instrument"),
        (TimeoutError("no answer"), Phase.RUN, "instrument"),
        (ConnectionResetError("box gone"), Phase.POSTPROCESS, "internal"),
        (ValueError("x"), Phase.RUN, "internal"),
        (module_that_raises("qubex.backend.quel3.driver", ValueError("x")), Phase.RUN, "instrument"),
        (module_that_raises("quelware_client.core", RuntimeError("x")), Phase.RUN, "instrument"),
        (module_that_raises("executors.backends.simchip.quel3", RuntimeError("x")), Phase.RUN, "instrument"),
        (module_that_raises("qubex.backendish", ValueError("x")), Phase.RUN, "internal"),
        (module_that_raises("qubex.analysis.fitting", ValueError("x")), Phase.RUN, "internal"),
        (MemoryError(), Phase.POSTPROCESS, "internal"),
        (Stopped(StopReason.DEADLINE), Phase.RUN, "timeout"),
        (Stopped(StopReason.SHUTDOWN), Phase.RUN, "shutdown"),
        (Stopped(StopReason.LEASE_LOST), Phase.RUN, "lost"),
    ],
)
def test_every_exception_has_a_kind(error: BaseException, phase: Phase, kind: str) -> None:
    failure = failure_of(error, "CheckT1", phase)
    assert failure.kind.value == kind
    assert failure.message


def test_words_are_one_line_and_storable() -> None:
    failure = failure_of(ValueError("a\x00b\n\n  c\ud800"), "CheckT1", Phase.RUN)
    assert failure.message == "CheckT1 raised ValueError in run: ab c?"
    assert storable("\ud83d") == "?"


def test_a_validation_error_names_its_field() -> None:
    class Model(BaseModel):
        shots: int

    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"shots": "many"})
    assert "shots: Input should be a valid integer" in failure_of(caught.value, "T", Phase.RUN).message


def test_a_long_stack_trace_keeps_both_ends() -> None:
    def deep(n: int) -> None:
        if n == 0:
            raise ValueError("x" * 20_000)
        deep(n - 1)

    with pytest.raises(ValueError, match="x") as caught:
        deep(50)
    trace = stack_trace(caught.value)
    assert len(trace) <= STACK_TRACE_LIMIT
    assert trace.startswith("Traceback")
    assert "(cut here)" in trace
    assert stack_trace(ValueError("short")) == "ValueError: short\n"


def test_a_failed_task_says_all_in_one_line() -> None:
    assert str(TaskFailedError("CheckRabi", "5", OWN, "id")) == "CheckRabi on qubit 5: no_signal: flat"
    assert "coupling 0-1" in str(TaskFailedError("CheckCrossResonance", "0-1", OWN, None))
