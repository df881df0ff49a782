"""The shared value types: states, failure kinds, parameters.

Nothing here touches a database, an instrument or Prefect, so tasks and backends may import it freely.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from qdash_queue.errors import QdashQueueError


class JobState(StrEnum):
    """State of a job; QDash's words for an execution."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether the state is final."""
        return self in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)


class TaskStatus(StrEnum):
    """State of one (task, qid) inside a job."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class CancelMode(StrEnum):
    """How soon a cancel takes hold: at the next task border, or by stopping the process."""

    AFTER_TASK = "after_task"
    NOW = "now"


class FailureKind(StrEnum):
    """The closed list of reasons why a task or a job failed."""

    MISSING_INPUT = "missing_input"
    NO_SIGNAL = "no_signal"
    BAD_FIT = "bad_fit"
    OUT_OF_RANGE = "out_of_range"
    INSTRUMENT = "instrument"
    TIMEOUT = "timeout"
    LOST = "lost"
    SHUTDOWN = "shutdown"
    INVALID_REQUEST = "invalid_request"
    INTERNAL = "internal"


class TaskType(StrEnum):
    """What a task is about: a qubit, coupling, readout multiplexer, the whole chip or the control system."""

    QUBIT = "qubit"
    COUPLING = "coupling"
    MUX = "mux"
    GLOBAL = "global"
    SYSTEM = "system"


class Failure(BaseModel):
    """Why something failed: a kind from the closed list, words for a person, and what to do."""

    model_config = ConfigDict(frozen=True)

    kind: FailureKind
    message: str
    remedy: str = ""
    cause: str = ""


class CalibrationError(QdashQueueError):
    """A failure raised while calibrating; carries its :class:`Failure`."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class ParameterModel(BaseModel):
    """One calibrated value of a qubit or coupling, in the shape QDash stores.

    ``value`` and ``error`` share ``unit``; ``error`` is one standard deviation.
    """

    parameter_name: str = ""
    qid_role: str = Field(default="", pattern=r"^(|self|control|target|coupling|0|[1-9][0-9]*)$")
    value: float | int | None = None
    value_type: str = "float"
    error: float = 0.0
    unit: str = ""
    description: str = ""
    calibrated_at: datetime | None = None
    execution_id: str = ""
    task_id: str = ""


class RunParameterModel(BaseModel):
    """One setting of an experiment (shots, sweep range, ...), in the shape QDash stores.

    ``value_type`` says how ``value`` is read: a plain ``int``, ``float`` or ``str``, a ``list``, or the three
    arguments of ``range``, ``np.linspace``, ``np.logspace`` or ``np.arange``.
    """

    unit: str = ""
    value_type: Literal["int", "float", "str", "list", "range", "np.linspace", "np.logspace", "np.arange"] = (
        "float"
    )
    value: float | int | str | list[float] | None = None
    description: str = ""


class FiniteRange(BaseModel):
    """The closed interval in which a value is believable, in the value's own unit."""

    model_config = ConfigDict(frozen=True)

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high
