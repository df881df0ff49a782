"""What an executor writes: its catalogue, the tasks that it plans and runs, and what they measured."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from qdash_queue.client.models import JsonObject, StageStatus
from qdash_queue.domain import (
    FailureKind,
    ParameterModel,
    RunParameterModel,
    TaskStatus,
    TaskType,
)


class PlannedTask(BaseModel):
    """A (task, qid) that a flow means to run."""

    model_config = ConfigDict(frozen=True)

    task: str
    qid: str
    task_type: TaskType = TaskType.QUBIT
    repetition: int = 0


class SweepTask(PlannedTask):
    """One target of a sweep, with what its task run builds on, reads and is set to."""

    upstream_id: UUID | None = None
    input_parameters: dict[str, ParameterModel] = Field(default_factory=dict)
    run_parameters: dict[str, RunParameterModel] = Field(default_factory=dict)


class FigureRecord(BaseModel):
    """A figure as Plotly JSON text."""

    model_config = ConfigDict(frozen=True)

    name: str
    plotly: str


class RawDataRecord(BaseModel):
    """One measured array: NumPy's dtype name, its shape, unit and bytes in C order."""

    model_config = ConfigDict(frozen=True)

    name: str
    dtype: str
    shape: tuple[int, ...]
    unit: str
    data: bytes


class TaskRecord(BaseModel):
    """Everything one finished task leaves behind; committed as a whole."""

    model_config = ConfigDict(frozen=True)

    status: TaskStatus
    message: str = ""
    failure_kind: FailureKind | None = None
    cause: str = ""
    remedy: str = ""
    stack_trace: str = ""
    hardware_seconds: float | None = None
    input_parameters: dict[str, ParameterModel] = Field(default_factory=dict)
    output_parameters: dict[str, ParameterModel] = Field(default_factory=dict)
    run_parameters: dict[str, RunParameterModel] = Field(default_factory=dict)
    quality_metrics: dict[str, float] = Field(default_factory=dict)
    note: JsonObject = Field(default_factory=dict)
    persist_output_parameters: bool = True
    figures: list[FigureRecord] = Field(default_factory=list)
    raw_data: list[RawDataRecord] = Field(default_factory=list)


class StageRecord(BaseModel):
    """A step of a pipeline as its flow reports it, begun, going on or ended.

    ``step`` is the kind of step; ``mode`` how it measures, where there is more than one way.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    step: str
    mode: str | None = None
    targets: list[str] = Field(default_factory=list)
    status: StageStatus
    result: JsonObject = Field(default_factory=dict)
    message: str = ""


class FlowEntry(BaseModel):
    """A flow as its executor registers it; ``schema`` is the JSON Schema of its parameters."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    flow: str
    description: str = ""
    parameters_schema: JsonObject = Field(alias="schema")
    repeatable: bool
    timeout_seconds: int
    on_cancellation: list[str]


class OutputEntry(BaseModel):
    """What a task's output has to be; ``name`` is the one under which it is stored."""

    model_config = ConfigDict(frozen=True)

    name: str
    unit: str
    kind: Literal["number", "integer"] = "number"
    lower: float | None = None
    upper: float | None = None


class TaskEntry(BaseModel):
    """A task as its executor registers it; ``schema`` is the JSON Schema of its run parameters."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    task: str
    task_type: TaskType
    description: str = ""
    parameters_schema: JsonObject = Field(alias="schema")
    input_parameters: list[str]
    output_parameters: list[str]
    outputs: list[OutputEntry] = Field(default_factory=list)
