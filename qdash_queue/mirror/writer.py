"""Writes QDash's documents: again and again with the same end, never backwards, never over what users wrote.

Every write is an update of our own fields, found by QDash's unique key. ``note.qdash_queue.version`` is the
version of the job whose rows were read; a write from older rows than those already mirrored changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any

from bson import encode
from pydantic import BaseModel
from pymongo import UpdateOne, WriteConcern
from pymongo.errors import DuplicateKeyError

from qdash_queue.mirror.qdash import ChipPlace, MongoDocument, Place, QDashDatabase, Target
from qdash_queue.mirror.qdash_models import (
    ExecutionCounter,
    ExecutionHistory,
    ParameterDocument,
    Tag,
    TaskResultHistory,
)

_VERSION = "note.qdash_queue.version"
_DIGEST = "note.qdash_queue.digest"


class Guard(Enum):
    """Whether a document from newer rows may be replaced."""

    NEWER_ONLY = auto()
    """No: the normal case, safe against a slow second mirror."""

    REBUILD = auto()
    """Yes: PostgreSQL is right whatever MongoDB holds, even after it came back from an older backup."""


class Writer:
    """Writes to one QDash database."""

    def __init__(self, database: QDashDatabase) -> None:
        self._database = database
        self._flushed = database.with_options(write_concern=WriteConcern(w="majority", j=True))

    def task_digests(self, project_id: str, execution_id: str) -> dict[str, str]:
        """What was last written of the execution's task results: task id to the content's digest."""
        query = {"project_id": project_id, "execution_id": execution_id}
        found = self._database["task_result_history"].find(query, {"task_id": 1, _DIGEST: 1})
        return {
            row["task_id"]: str(row.get("note", {}).get("qdash_queue", {}).get("digest", "")) for row in found
        }

    def write_task_result(self, document: TaskResultHistory, place: Place, guard: Guard) -> bool:
        """Write one task result; returns False where a newer one stands."""
        return _upsert(
            self._database,
            "task_result_history",
            document,
            key=("project_id", "task_id"),
            on_insert={"cooldown_id": place.cooldown_id},
            version=document.note.qdash_queue.version,
            guard=guard,
        )

    def raise_task_versions(self, documents: list[TaskResultHistory]) -> None:
        """Note that these task results, unchanged or just written, are as of the version they carry."""
        if not documents:
            return
        version = documents[0].note.qdash_queue.version
        self._database["task_result_history"].update_many(
            {
                "project_id": documents[0].project_id,
                "task_id": {"$in": [document.task_id for document in documents]},
                _VERSION: {"$lt": version},
            },
            {"$set": {_VERSION: version}},
        )

    def write_execution(self, document: ExecutionHistory, guard: Guard) -> bool:
        """Write the execution, flushed to MongoDB's journal; returns False where a newer one stands.

        The flush covers everything written before: the journal is one sequence.
        """
        return _upsert(
            self._flushed,
            "execution_history",
            document,
            key=("project_id", "execution_id"),
            on_insert={},
            version=document.note.qdash_queue.version,
            guard=guard,
        )

    def write_counter(self, document: ExecutionCounter) -> None:
        """Make the day's row if there is none; QDash counts its own executions in it."""
        self._insert_if_absent("execution_counter", document, ("project_id", "date", "username", "chip_id"))

    def write_tags(self, documents: Iterable[Tag]) -> None:
        """Make the tags that are not there yet."""
        for document in documents:
            self._insert_if_absent("tag", document, ("project_id", "name", "username"))

    def merge_parameters(
        self, place: ChipPlace, target: Target, parameters: Mapping[str, ParameterDocument]
    ) -> int:
        """Merge into the qubit's or coupling's ``data`` what is newer there; returns how many were."""
        row = {"project_id": place.project_id, "chip_id": place.chip_id, "qid": target.qid}
        newer = {name: p for name, p in parameters.items() if not _is_current(target.data.get(name), p)}
        return self._merge(target.collection, row, newer)

    def merge_history(
        self, place: ChipPlace, target: Target, day: str, parameters: Mapping[str, ParameterDocument]
    ) -> None:
        """Merge into the day's row of the qubit's or coupling's history."""
        if not parameters:
            return
        row = {
            "project_id": place.project_id,
            "chip_id": place.chip_id,
            "qid": target.qid,
            "recorded_date": day,
        }
        first = min(parameter.calibrated_at for parameter in parameters.values())
        self._database[target.history_collection].update_one(
            row,
            {
                "$setOnInsert": {
                    "username": target.username,
                    "user_id": target.user_id,
                    "status": target.status,
                    "cooldown_id": place.cooldown_id,
                    "data": {},
                    "system_info": {"created_at": first, "updated_at": first},
                }
            },
            upsert=True,
        )
        self._merge(target.history_collection, row, parameters)

    def _merge(
        self, collection: str, row: Mapping[str, str], parameters: Mapping[str, ParameterDocument]
    ) -> int:
        operations = [
            UpdateOne(
                {**row, **_older(name, parameter)},
                {
                    "$set": {f"data.{name}": parameter.model_dump()},
                    "$max": {"system_info.updated_at": parameter.calibrated_at},
                },
            )
            for name, parameter in parameters.items()
        ]
        if not operations:
            return 0
        return self._database[collection].bulk_write(operations, ordered=False).modified_count

    def _insert_if_absent(self, collection: str, document: BaseModel, key: tuple[str, ...]) -> None:
        fields = document.model_dump()
        _update_racing(
            self._database,
            collection,
            {name: fields[name] for name in key},
            {"$setOnInsert": {name: value for name, value in fields.items() if name not in key}},
        )


def content_digest(document: TaskResultHistory) -> str:
    """A digest of the document's content, the same for any version of the job."""
    content = document.model_dump()
    content["note"]["qdash_queue"].pop("version")
    return hashlib.sha256(encode(content)).hexdigest()


def _upsert(
    database: QDashDatabase,
    collection: str,
    document: TaskResultHistory | ExecutionHistory,
    *,
    key: tuple[str, ...],
    on_insert: Mapping[str, Any],
    version: int,
    guard: Guard,
) -> bool:
    fields = document.model_dump()
    query: MongoDocument = {name: fields.pop(name) for name in key}
    if guard is Guard.NEWER_ONLY:
        query[_VERSION] = {"$not": {"$gt": version}}
    # The note is shared with QDash and its users: only our entries of it are set.
    note = fields.pop("note")
    if isinstance(document, TaskResultHistory):
        note["qdash_queue"]["digest"] = content_digest(document)
    ours = {f"note.{name}": value for name, value in note.items()}
    update: MongoDocument = {
        "$set": fields | {name: value for name, value in ours.items() if value is not None}
    }
    if gone := {name: "" for name, value in ours.items() if value is None}:
        update["$unset"] = gone
    if on_insert:
        update["$setOnInsert"] = dict(on_insert)
    return _update_racing(database, collection, query, update)


def _update_racing(
    database: QDashDatabase, collection: str, query: MongoDocument, update: MongoDocument
) -> bool:
    """Upsert; returns False where the key exists but the rest of the query refuses it."""
    try:
        database[collection].update_one(query, update, upsert=True)
    except DuplicateKeyError:
        # The key is there: either another mirror made it just now, or it is newer than ours.
        return database[collection].update_one(query, update).matched_count > 0
    return True


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
