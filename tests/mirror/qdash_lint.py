"""Checks QDash's documents field by field against what QDash's API can read.

QDash validates every document when it reads it. One malformed execution makes the list of all executions of
its chip an error 500, so the mirror's tests run this over everything that was written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

from bson import ObjectId
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, ValidationError

from qdash_queue.mirror.write.qdash_lookup import MongoDocument, QDashDatabase

NonEmpty = Annotated[str, StringConstraints(pattern=r"^.+$")]
Username = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{2,63}$")]
UserId = Annotated[str, StringConstraints(pattern=r"^usr_[0-9a-f]{32}$")]
Qid = Annotated[str, StringConstraints(pattern=r"^((0|[1-9]\d*)(-(0|[1-9]\d*))?)?$")]
Day = Annotated[str, StringConstraints(pattern=r"^\d{8}$")]
Uuid = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
ExecutionId = Annotated[str, StringConstraints(pattern=r"^\d{8}-q?\d{3,}$")]
FilePath = Annotated[str, StringConstraints(pattern=r"^/[^\x00]+$")]
Elapsed = Annotated[FiniteFloat, Field(ge=0, le=365 * 86400)]
# QDash's page shows every other word as a red "Failed".
Status = Literal["scheduled", "running", "completed", "failed", "cancelled"]
RunValueType = Literal["int", "float", "str", "list", "range", "np.linspace", "np.logspace", "np.arange"]
JsonObject = dict[str, Any]


class Readable(BaseModel):
    """A document, or a part of one, that QDash can read; fields without a default must be there."""

    model_config = ConfigDict(strict=True, arbitrary_types_allowed=True)


class SystemInfo(Readable):
    created_at: datetime
    updated_at: datetime


class Note(Readable):
    """QDash answers a chip's pages with an error 500 where one of these texts is null."""

    content: str
    updated_by: str
    updated_at: datetime | None


class OutputParameter(Readable):
    parameter_name: str
    qid_role: Literal["", "self", "control", "target", "coupling"]
    value: FiniteFloat
    value_type: Literal["float", "int"]
    error: FiniteFloat
    unit: str
    description: str
    calibrated_at: datetime
    execution_id: str
    task_id: str


class InputParameter(Readable):
    value: FiniteFloat | None
    error: FiniteFloat
    unit: str
    value_type: str


class RunParameter(Readable):
    unit: str
    value_type: RunValueType
    description: str


class Owned(Readable):
    id: ObjectId = Field(alias="_id")
    project_id: NonEmpty
    username: Username
    user_id: UserId | None


class Tag(Owned):
    name: str


class OfChip(Owned):
    chip_id: NonEmpty


class Chip(OfChip):
    note: Note


class Counter(OfChip):
    date: Day
    index: int
    system_info: SystemInfo


class TargetHistory(OfChip):
    qid: Qid
    status: str
    data: dict[str, OutputParameter]
    system_info: SystemInfo
    recorded_date: Day
    cooldown_id: str


class Target(OfChip):
    qid: Qid
    status: str
    data: dict[str, OutputParameter]
    system_info: SystemInfo
    note: Note
    metric_notes: JsonObject


class ExecutionNote(Readable):
    qdash_queue: JsonObject
    flow_run_id: Uuid = ""


class Execution(OfChip):
    name: NonEmpty
    execution_id: ExecutionId
    calib_data_path: FilePath
    note: ExecutionNote
    status: Status
    tags: list[str]
    start_at: datetime | None
    end_at: datetime | None
    elapsed_time: Elapsed | None
    message: str
    system_info: SystemInfo


class TaskResult(OfChip):
    task_id: Uuid
    name: NonEmpty
    execution_id: ExecutionId
    status: Status
    upstream_id: Uuid | Literal[""]
    message: str
    stack_trace: Annotated[str, Field(max_length=10_000)]
    input_parameters: dict[str, InputParameter]
    output_parameters: dict[str, OutputParameter]
    output_parameter_names: list[str]
    run_parameters: dict[str, RunParameter]
    quality_metrics: dict[str, FiniteFloat]
    note: JsonObject
    figure_path: list[FilePath]
    json_figure_path: list[FilePath]
    raw_data_path: list[FilePath]
    start_at: datetime | None
    end_at: datetime | None
    elapsed_time: Elapsed | None
    task_type: Literal["qubit", "coupling", "global", "system", "mux"]
    system_info: SystemInfo
    qid: Qid
    tags: list[str]
    cooldown_id: str
    source_task_id: str | None = None
    user_note: JsonObject = {}
    ai_review_note: JsonObject = {}
    ai_review: JsonObject = {}
    excluded: bool = False
    excluded_reason: str = ""


MODELS: dict[str, type[Readable]] = {
    "execution_history": Execution,
    "task_result_history": TaskResult,
    "chip": Chip,
    "qubit": Target,
    "coupling": Target,
    "qubit_history": TargetHistory,
    "coupling_history": TargetHistory,
    "execution_counter": Counter,
    "tag": Tag,
}


class Problem(BaseModel):
    """One field that QDash could not read, or would show wrongly."""

    model_config = ConfigDict(frozen=True)

    collection: str
    document: str
    field: str
    words: str

    def __str__(self) -> str:
        return f"{self.collection} {self.document}: {self.field}: {self.words}"


def lint_database(database: QDashDatabase) -> list[Problem]:
    """Check every document of the collections that the mirror writes to, and the chips it finds.

    Returns:
        The problems; an empty list where QDash can read everything.
    """
    return [
        problem
        for collection in MODELS
        for document in database[collection].find()
        for problem in lint_document(collection, document)
    ]


def lint_references(database: QDashDatabase) -> list[Problem]:
    """Check that what task results speak of exists: execution, task before, files in GridFS."""
    results = database["task_result_history"]
    stored = set(database["fs.files"].distinct("filename"))
    problems = []
    for result in results.find():
        key = {"project_id": result["project_id"], "execution_id": result["execution_id"]}
        paths = result["figure_path"] + result["json_figure_path"] + result["raw_data_path"]
        faults = {
            "execution_id": database["execution_history"].count_documents(key) != 1,
            "upstream_id": bool(result["upstream_id"])
            and results.count_documents(key | {"task_id": result["upstream_id"]}) != 1,
            "figure_path": not stored.issuperset(paths),
            "output_parameter_names": not set(result["output_parameter_names"]).issuperset(
                result["output_parameters"]
            ),
        }
        problems += [
            Problem(
                collection="task_result_history",
                document=result["task_id"],
                field=field,
                words="names something that is not there",
            )
            for field, wrong in faults.items()
            if wrong
        ]
    return problems


def lint_document(collection: str, document: MongoDocument) -> Iterator[Problem]:
    """Check one document of a collection; raises KeyError for a collection that the mirror does not write."""
    name = str(document.get("execution_id") or document.get("qid") or document.get("_id"))
    if "task_id" in document:
        name = f"{name} {document.get('name')} {document.get('qid')}"
    try:
        MODELS[collection].model_validate(document)
    except ValidationError as error:
        for each in error.errors():
            path = ".".join(map(str, each["loc"]))
            words = f"{each['msg']}, got {str(each['input'])[:60]!r}"
            yield Problem(collection=collection, document=name, field=path, words=words)
    for path, value in _not_finite("", document):
        words = f"expected a finite number, got {value}"
        yield Problem(collection=collection, document=name, field=path, words=words)


def _not_finite(path: str, value: object) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _not_finite(f"{path}.{name}" if path else str(name), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _not_finite(f"{path}[{index}]", item)
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, value
