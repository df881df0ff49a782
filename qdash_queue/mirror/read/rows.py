"""What the mirror reads from PostgreSQL beside jobs and task runs, as typed rows.

Contents of figures and raw data are left out: they are fetched only when a file has to be written.
"""

from __future__ import annotations

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from qdash_queue.client.models import Job, Parameter, Row, Stage, TaskRun
from qdash_queue.domain import TaskType


class Refusal(BaseModel):
    """A document that MongoDB refuses permanently."""

    model_config = ConfigDict(frozen=True)

    document: str
    """Which one, e.g. ``task_result_history of CheckT1 on 0``."""
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.document}: {self.reason}; {self.remedy}"


class JobOwner(Row):
    """What says where in QDash a job goes."""

    project_id: str
    chip_id: str
    username: str


class FigureRow(Row):
    """A figure of a task run, without its content, from ``calib.figures``."""

    figure_id: int
    task_run_id: UUID
    ordinal: int
    name: str = ""
    has_png: bool = False
    render_error: str | None = None


class RawDataRow(Row):
    """A raw-data array of a task run, without its content, from ``calib.raw_data``."""

    raw_data_id: int
    task_run_id: UUID
    ordinal: int
    name: str = ""
    dtype: str
    shape: list[int]
    unit: str | None = None
    size: int
    """In bytes."""


class JobSnapshot(Row):
    """A job with everything that hangs on it, read in one statement, hence as of one instant."""

    job: Job
    stages: list[Stage] = Field(default_factory=list)
    """Those of the newest attempt that has any."""
    task_runs: list[TaskRun] = Field(default_factory=list)
    figures: list[FigureRow] = Field(default_factory=list)
    raw_data: list[RawDataRow] = Field(default_factory=list)
    parameters: list[Parameter] = Field(default_factory=list)

    @property
    def qids(self) -> set[str]:
        """The qubits and couplings that the job is about."""
        measured = {run.qid for run in self.task_runs if run.task_type is not TaskType.MUX}
        return (measured | {parameter.qid for parameter in self.parameters}) - {""}

    @property
    def is_final(self) -> bool:
        """Whether nothing of it can change any more."""
        settled = all(figure.has_png or figure.render_error is not None for figure in self.figures)
        return self.job.state.is_terminal and settled

    def figures_of(self, task_run: TaskRun) -> list[FigureRow]:
        """The task run's figures in their order."""
        own = [figure for figure in self.figures if figure.task_run_id == task_run.task_run_id]
        return sorted(own, key=lambda figure: figure.ordinal)

    def raw_data_of(self, task_run: TaskRun) -> list[RawDataRow]:
        """The task run's raw-data arrays in their order."""
        own = [array for array in self.raw_data if array.task_run_id == task_run.task_run_id]
        return sorted(own, key=lambda array: array.ordinal)


class DayParameters(Row):
    """What was valid of one qubit or coupling at the end of a day, or is now if the day has not ended."""

    qid: str
    day: str
    parameters: list[Parameter]


class ChipSnapshot(Row):
    """A chip's parameters, read in one statement."""

    chip_id: str
    projects: list[str] = Field(default_factory=list)
    parameters: list[Parameter] = Field(default_factory=list)

    @property
    def qids(self) -> set[str]:
        """The qubits and couplings that have parameters."""
        return {parameter.qid for parameter in self.parameters}


class UnrenderedFigure(Row):
    """A figure that has no picture yet."""

    figure_id: int
    plotly: str


class MarkLag(Row):
    """A mark that waits, from ``calib.mirror_lag``."""

    mark_id: int
    job_id: int | None = None
    chip_id: str | None = None
    marked_at: datetime
    lag_seconds: float
    attempts: int
    next_try_at: datetime
    last_error: str | None = None
    refusals: int = 0
    """How often MongoDB has permanently refused documents of it."""
    refused: list[Refusal] = Field(default_factory=list)
    dead_at: datetime | None = None
    """When it was set aside as a dead letter."""

    @property
    def subject(self) -> str:
        """What the mark is about, in words."""
        return f"job {self.job_id}" if self.job_id is not None else f"chip {self.chip_id}"


class MirrorRow(Row):
    """One start of a mirror, from ``calib.mirrors``."""

    mirror_id: str
    host: str
    pid: int
    version: str
    condition: str
    """``ready``, or what is wrong, in words."""
    started_at: datetime
    last_seen_at: datetime
    stopped_at: datetime | None = None
    alive: bool


class Mark(Row):
    """A place in the outbox: this job, or this chip, is to be mirrored again."""

    mark_id: int
    job_id: int | None = None
    chip_id: str | None = None
    version: int

    @classmethod
    def of_job(cls, job_id: int) -> Self:
        """A job as a subject, without a place in the outbox."""
        return cls(mark_id=0, job_id=job_id, version=0)

    @classmethod
    def of_chip(cls, chip_id: str) -> Self:
        """A chip's parameters as a subject, without a place in the outbox."""
        return cls(mark_id=0, chip_id=chip_id, version=0)

    @property
    def subject(self) -> str:
        """What the mark is about, in words."""
        return f"job {self.job_id}" if self.job_id is not None else f"chip {self.chip_id}"
