"""The same files in MongoDB's GridFS, so that a copy of the database holds everything.

A file's id is a hash of its path and content. Every step is then an insert-if-absent: storing twice, from two
processes, or again after a crash in the middle, ends with the same one file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bson import Binary
from pydantic import BaseModel, ConfigDict

from qdash_queue.mirror.read.rows import Refusal
from qdash_queue.mirror.write.batches import Write, stable_id, write_all
from qdash_queue.mirror.write.qdash_lookup import MongoDocument, QDashDatabase

# GridFS's own default, in bytes.
CHUNK_SIZE = 255 * 1024


class FileOrigin(BaseModel):
    """Whose file it is, kept beside it."""

    model_config = ConfigDict(frozen=True)

    project_id: str
    execution_id: str
    task_id: str


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file to be stored."""

    name: str
    content: bytes
    content_type: str
    origin: FileOrigin

    @property
    def file_id(self) -> str:
        """The same for the same name and content, and for nothing else."""
        return hashlib.sha256(self.name.encode() + b"\0" + self.content).hexdigest()


class GridFSFiles:
    """The default bucket ``fs`` of a MongoDB database, readable by any GridFS client."""

    def __init__(self, database: QDashDatabase) -> None:
        self._files = database["fs.files"]
        self._chunks = database["fs.chunks"]

    def write(self, files: Sequence[StoredFile]) -> list[Refusal]:
        """Store files, each in place of what the same task stored under its name before.

        Others' files of these names stay. What MongoDB permanently refuses is returned.
        """
        ids = {file.file_id: file for file in files}
        same_names = {"filename": {"$in": [file.name for file in files]}}
        known = {
            row["_id"]: (row["filename"], (row.get("metadata") or {}).get("task_id"))
            for row in self._files.find(same_names, {"filename": 1, "metadata.task_id": 1})
        }
        new = {file_id: file for file_id, file in ids.items() if file_id not in known}
        refusals = write_all(
            self._chunks, [chunk for file_id, file in new.items() for chunk in _chunk_writes(file_id, file)]
        )
        if not refusals:
            # The files' own documents come last: who finds one finds all its chunks.
            refusals = write_all(self._files, [_file_write(file_id, file) for file_id, file in new.items()])
        ours = {(file.name, file.origin.task_id) for file in files}
        superseded = [file_id for file_id, whose in known.items() if whose in ours and file_id not in ids]
        if superseded and not refusals:
            self._files.delete_many({"_id": {"$in": superseded}})
            self._chunks.delete_many({"files_id": {"$in": superseded}})
        return refusals


def _chunk_writes(file_id: str, file: StoredFile) -> Iterator[Write]:
    for number, start in enumerate(range(0, len(file.content), CHUNK_SIZE)):
        key: MongoDocument = {"files_id": file_id, "n": number}
        chunk = Binary(file.content[start : start + CHUNK_SIZE])
        yield Write(
            document=f"GridFS file {file.name}",
            key=key,
            update={"$setOnInsert": {"data": chunk}},
            on_insert={"_id": stable_id(key)},
        )


def _file_write(file_id: str, file: StoredFile) -> Write:
    return Write(
        document=f"GridFS file {file.name}",
        key={"_id": file_id},
        update={
            "$setOnInsert": {
                "filename": file.name,
                "length": len(file.content),
                "chunkSize": CHUNK_SIZE,
                "uploadDate": datetime.now(UTC),
                "metadata": file.origin.model_dump() | {"content_type": file.content_type},
            }
        },
        on_insert={},
    )
