"""Writes QDash's documents: again and again with the same end, never backwards, never over what users wrote.

Every write is an update of our own fields, found by QDash's unique key. ``note.qdash_queue.version`` is the
version of the job whose rows were read; a write from older rows than those already mirrored changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum, auto

from bson import encode
from pydantic import BaseModel
from pymongo import WriteConcern

from qdash_queue.mirror.documents.layout import execution_day
from qdash_queue.mirror.documents.models import (
    ExecutionCounter,
    ExecutionHistory,
    ParameterDocument,
    Tag,
    TaskResultHistory,
)
from qdash_queue.mirror.read.rows import Refusal
from qdash_queue.mirror.write.batches import Write, stable_id, write_all
from qdash_queue.mirror.write.qdash_lookup import ChipPlace, MongoDocument, Place, QDashDatabase, Target

_VERSION = "note.qdash_queue.version"
_DIGEST = "note.qdash_queue.digest"
_JOB_ID = "note.qdash_queue.job_id"

_OF_FIGURES = ("figure_path", "json_figure_path", "note.qdash_queue.figures_not_rendered")
_OF_RAW_DATA = ("raw_data_path", "note.qdash_queue.raw_data")

# Values of one qubit or coupling, and of the day whose row of the history they go to.
TargetValues = tuple[Target, Mapping[str, ParameterDocument]]
DayValues = tuple[Target, str, Mapping[str, ParameterDocument]]


class WriteMode(Enum):
    """Whether a document from newer rows may be replaced."""

    NEWER_ONLY = auto()
    """No: the normal case, safe against a slow second mirror."""

    REBUILD = auto()
    """Yes: PostgreSQL is right whatever MongoDB holds, even after it came back from an older backup."""


class Writer:
    """Writes to one QDash database; what MongoDB permanently refuses is returned, all else is written."""

    def __init__(self, database: QDashDatabase) -> None:
        self._database = database
        self._flushed = database.with_options(write_concern=WriteConcern(w="majority", j=True))

    def stored_digests(self, project_id: str, task_ids: Sequence[str]) -> dict[str, set[str]]:
        """The task results that are there, each with the :func:`content_digest` of each of its copies."""
        query = {"project_id": project_id, "task_id": {"$in": list(task_ids)}}
        digests: dict[str, set[str]] = {}
        for row in self._database["task_result_history"].find(query, {"task_id": 1, _DIGEST: 1}):
            digests.setdefault(row["task_id"], set()).add(str(_entry(row, "digest")))
        return digests

    def write_task_results(
        self,
        documents: Iterable[TaskResultHistory],
        unchanged: Iterable[TaskResultHistory],
        stored: Iterable[str],
        place: Place,
        mode: WriteMode,
    ) -> list[Refusal]:
        """Write task results, but where newer ones stand.

        Args:
            documents: to be written.
            unchanged: of these only the version is noted.
            stored: ids of those that are there.
            place: where the job's documents go.
            mode: whether newer ones are replaced.
        """
        there = set(stored)
        writes = [
            _task_result_write(document, place, mode, is_new=document.task_id not in there)
            for document in documents
        ]
        if only_versions := list(unchanged):
            writes.append(_version_write(only_versions))
        return write_all(self._database["task_result_history"], writes)

    def write_execution(self, document: ExecutionHistory, mode: WriteMode) -> list[Refusal]:
        """Write the execution, flushed to MongoDB's journal, but where a newer one stands.

        The flush covers everything written before: the journal is one sequence.
        """
        words = f"execution_history of {document.execution_id}"
        job_id = document.note.qdash_queue.job_id
        day = _midnight(execution_day(document.execution_id))
        key = {"project_id": document.project_id, "execution_id": document.execution_id}
        owners = {
            _entry(row, "job_id") for row in self._database["execution_history"].find(key, {_JOB_ID: 1})
        }
        if owners and job_id not in owners:
            return [
                Refusal(
                    document=words,
                    reason=f"QDash has one that is not of job {job_id} of this queue",
                    remedy="give each queue a QDash database of its own, or remove that document; "
                    "then qdash-queue mirror retry",
                )
            ]
        # Another writer's document with the same key, possible without the unique index, is left alone.
        write = Write(
            document=words,
            key=key | {_JOB_ID: job_id},
            only_if=_not_newer(document.note.qdash_queue.version, mode),
            update=_changes(document, key),
            on_insert=None if owners else {"_id": stable_id(key, day)},
        )
        return write_all(self._flushed["execution_history"], [write])

    def write_counter(self, document: ExecutionCounter) -> list[Refusal]:
        """Make the day's row if there is none; QDash counts its own executions in it."""
        key = ("project_id", "date", "username", "chip_id")
        words = f"execution_counter of {document.date}"
        return write_all(self._database["execution_counter"], [_insert_if_absent(words, document, key)])

    def write_tags(self, documents: Iterable[Tag]) -> list[Refusal]:
        """Make the tags that are not there yet."""
        key = ("project_id", "name", "username")
        writes = [_insert_if_absent(f"tag {document.name}", document, key) for document in documents]
        return write_all(self._database["tag"], writes)

    def merge_parameters(self, place: ChipPlace, values: Iterable[TargetValues]) -> list[Refusal]:
        """Merge into the ``data`` of qubits and couplings what is newer there."""
        writes: dict[str, list[Write]] = {}
        for target, parameters in values:
            row = _row(place, target)
            words = f"{target.collection} {target.qid} of chip {place.chip_id}"
            newer = {
                name: parameter
                for name, parameter in parameters.items()
                if not all(_is_current(data.get(name), parameter) for data in target.data)
            }
            writes.setdefault(target.collection, []).extend(_merges(words, row, newer))
        return self._write(writes)

    def merge_history(self, place: ChipPlace, values: Iterable[DayValues]) -> list[Refusal]:
        """Merge into the days' rows of the history of qubits and couplings."""
        rows: dict[str, list[Write]] = {}
        merges: dict[str, list[Write]] = {}
        for target, day, parameters in values:
            row = _row(place, target) | {"recorded_date": day}
            words = f"{target.history_collection} {target.qid} of chip {place.chip_id} on {day}"
            first = min(parameter.calibrated_at for parameter in parameters.values())
            new = {
                "username": target.username,
                "user_id": target.user_id,
                "status": target.status,
                "cooldown_id": place.cooldown_id,
                "data": {},
                "system_info": {"created_at": first, "updated_at": first},
            }
            rows.setdefault(target.history_collection, []).append(
                Write(
                    document=words,
                    key=row,
                    update={"$setOnInsert": new},
                    on_insert={"_id": stable_id(row, _midnight(day))},
                )
            )
            merges.setdefault(target.history_collection, []).extend(_merges(words, row, parameters))
        return self._write(rows) + self._write(merges)

    def _write(self, writes: Mapping[str, Sequence[Write]]) -> list[Refusal]:
        return [
            refused
            for collection, of_collection in writes.items()
            for refused in write_all(self._database[collection], of_collection)
        ]


def content_digest(document: TaskResultHistory) -> str:
    """A digest of the document's content, the same for any version of the job."""
    content = document.model_dump()
    content["note"]["qdash_queue"].pop("version")
    return hashlib.sha256(encode(content)).hexdigest()


def _task_result_write(document: TaskResultHistory, place: Place, mode: WriteMode, *, is_new: bool) -> Write:
    key = {"project_id": document.project_id, "task_id": document.task_id}
    day = _midnight(execution_day(document.execution_id))
    new = {"_id": stable_id(key, day), "cooldown_id": place.cooldown_id}
    return Write(
        document=f"task_result_history of {document.name} on {document.qid} ({document.task_id})",
        key=key,
        only_if=_not_newer(document.note.qdash_queue.version, mode),
        update=_changes(document, key),
        on_insert=new if is_new else None,
    )


def _version_write(documents: Sequence[TaskResultHistory]) -> Write:
    version = documents[0].note.qdash_queue.version
    return Write(
        document=f"task_result_history of {documents[0].execution_id}",
        key={
            "project_id": documents[0].project_id,
            "task_id": {"$in": [document.task_id for document in documents]},
        },
        only_if={_VERSION: {"$lt": version}},
        update={"$set": {_VERSION: version}},
    )


def _changes(document: TaskResultHistory | ExecutionHistory, key: Iterable[str]) -> MongoDocument:
    """What sets our fields of the document, and no others."""
    fields = document.model_dump(exclude=set(key))
    # The note is shared with QDash and its users: only our entries of it are set.
    note = fields.pop("note")
    kept: tuple[str, ...] = ()
    if isinstance(document, TaskResultHistory):
        ours = note.pop("qdash_queue") | {"digest": content_digest(document)}
        fields |= {f"note.qdash_queue.{name}": value for name, value in ours.items()}
        kept = _kept_if_pruned(document)
    else:
        fields |= {f"note.{name}": value for name, value in note.items() if value is not None}
    update: MongoDocument = {"$set": {name: value for name, value in fields.items() if name not in kept}}
    if gone := {f"note.{name}": "" for name, value in note.items() if value is None}:
        update["$unset"] = gone
    if kept:
        update["$setOnInsert"] = {name: fields[name] for name in kept}
    return update


def _kept_if_pruned(document: TaskResultHistory) -> tuple[str, ...]:
    """Retention removes all figures, or all raw data, of a task run; what QDash shows of them stays."""
    figures = () if document.json_figure_path else _OF_FIGURES
    return figures if document.note.qdash_queue.raw_data else figures + _OF_RAW_DATA


def _not_newer(version: int, mode: WriteMode) -> MongoDocument:
    return {_VERSION: {"$not": {"$gt": version}}} if mode is WriteMode.NEWER_ONLY else {}


def _insert_if_absent(words: str, document: BaseModel, key: Iterable[str]) -> Write:
    fields = document.model_dump()
    own = {name: fields.pop(name) for name in key}
    return Write(document=words, key=own, update={"$setOnInsert": fields}, on_insert={"_id": stable_id(own)})


def _row(place: ChipPlace, target: Target) -> MongoDocument:
    return {"project_id": place.project_id, "chip_id": place.chip_id, "qid": target.qid}


def _merges(words: str, row: MongoDocument, parameters: Mapping[str, ParameterDocument]) -> list[Write]:
    return [
        Write(
            document=words,
            key=row,
            only_if=_older(name, parameter),
            update={
                "$set": {f"data.{name}": parameter.model_dump()},
                "$max": {"system_info.updated_at": parameter.calibrated_at},
            },
        )
        for name, parameter in parameters.items()
    ]


def _entry(row: MongoDocument, name: str) -> object:
    """An entry of the queue's note in a document of whatever form."""
    note = row.get("note")
    ours = note.get("qdash_queue") if isinstance(note, dict) else None
    return ours.get(name) if isinstance(ours, dict) else None


def _midnight(day: str) -> datetime:
    return datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)


def _older(name: str, parameter: ParameterDocument) -> MongoDocument:
    """Matches a row whose parameter is missing, undated, or not newer than ours."""
    dated = f"data.{name}.calibrated_at"
    return {
        "$or": [
            {dated: {"$lte": parameter.calibrated_at}},
            {dated: {"$not": {"$type": "date"}}},
        ]
    }


def _is_current(stored: object, parameter: ParameterDocument) -> bool:
    """Whether the row read before holds the same or something newer, so that no write is needed."""
    if not isinstance(stored, dict) or not isinstance(stored.get("calibrated_at"), datetime):
        return False
    calibrated_at = stored["calibrated_at"]
    if calibrated_at.tzinfo is None:
        calibrated_at = calibrated_at.replace(tzinfo=UTC)
    ours = parameter.calibrated_at
    # MongoDB keeps milliseconds.
    ours = ours.replace(microsecond=ours.microsecond // 1000 * 1000)
    if calibrated_at != ours:
        return bool(calibrated_at > ours)
    same = parameter.model_dump(exclude={"calibrated_at"})
    return all(stored.get(field) == value for field, value in same.items())
