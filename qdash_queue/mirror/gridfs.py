"""The same files in MongoDB's GridFS, so that a copy of the database holds everything.

A file's id is a hash of its path and content. Every step is then an insert-if-absent: storing twice, from two
processes, or again after a crash in the middle, ends with the same one file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

from bson import Binary
from pydantic import BaseModel, ConfigDict

from qdash_queue.mirror.qdash import MongoDocument, QDashDatabase
from qdash_queue.mirror.refusals import Refusal
from qdash_queue.mirror.writes import Write, stable_id, write_all

# GridFS's own default, in bytes.
CHUNK_SIZE = 255 * 1024


class FileOrigin(BaseModel):
    """Whose file it is, kept beside it."""

    model_config = ConfigDict(frozen=True)

    project_id: str
    execution_id: str
    task_id: str


class GridFSFiles:
    """The default bucket ``fs`` of a MongoDB database, readable by any GridFS client."""

    def __init__(self, database: QDashDatabase) -> None:
        self._files = database["fs.files"]
        self._chunks = database["fs.chunks"]

    def write(
        self, contents: Mapping[str, bytes], content_types: Mapping[str, str], origin: FileOrigin
    ) -> list[Refusal]:
        """Store files by their names, in place of what the same task stored under them before.

        Others' files of these names stay. What MongoDB refuses for good is returned.
        """
        ids = {name: _file_id(name, content) for name, content in contents.items()}
        same_names = {"filename": {"$in": list(contents)}}
        known = {
            row["_id"]: (row.get("metadata") or {}).get("task_id")
            for row in self._files.find(same_names, {"metadata.task_id": 1})
        }
        new = [name for name, file_id in ids.items() if file_id not in known]
        refusals = write_all(
            self._chunks, [chunk for name in new for chunk in _chunk_writes(ids[name], name, contents[name])]
        )
        if not refusals:
            # The files' own documents come last: who finds one finds all its chunks.
            files = [
                _file_write(
                    ids[name],
                    name,
                    contents[name],
                    origin.model_dump() | {"content_type": content_types[name]},
                )
                for name in new
            ]
            refusals = write_all(self._files, files)
        superseded = [
            file_id
            for file_id, task_id in known.items()
            if task_id == origin.task_id and file_id not in ids.values()
        ]
        if superseded and not refusals:
            self._files.delete_many({"_id": {"$in": superseded}})
            self._chunks.delete_many({"files_id": {"$in": superseded}})
        return refusals


def _file_id(name: str, content: bytes) -> str:
    return hashlib.sha256(name.encode() + b"\0" + content).hexdigest()


def _chunk_writes(file_id: str, name: str, content: bytes) -> list[Write]:
    writes = []
    for number, start in enumerate(range(0, len(content), CHUNK_SIZE)):
        key: MongoDocument = {"files_id": file_id, "n": number}
        chunk = Binary(content[start : start + CHUNK_SIZE])
        writes.append(
            Write(
                document=f"GridFS file {name}",
                key=key,
                update={"$setOnInsert": {"data": chunk}},
                on_insert={"_id": stable_id(key)},
            )
        )
    return writes


def _file_write(file_id: str, name: str, content: bytes, metadata: Mapping[str, str]) -> Write:
    return Write(
        document=f"GridFS file {name}",
        key={"_id": file_id},
        update={
            "$setOnInsert": {
                "filename": name,
                "length": len(content),
                "chunkSize": CHUNK_SIZE,
                "uploadDate": datetime.now(UTC),
                "metadata": dict(metadata),
            }
        },
        on_insert={},
    )
