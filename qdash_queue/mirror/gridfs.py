"""The same files in MongoDB's GridFS, so that a copy of the database holds everything.

A file's id is a hash of its path and content. Every step is then an insert-if-absent: storing twice, from two
processes, or again after a crash in the middle, ends with the same one file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bson import Binary
from pymongo.collection import Collection
from pymongo.database import Database as MongoDatabase

# GridFS's own default, in bytes.
CHUNK_SIZE = 255 * 1024

MongoDocument = dict[str, Any]


class GridFSFiles:
    """The default bucket ``fs`` of a MongoDB database, readable by any GridFS client."""

    def __init__(self, database: MongoDatabase[MongoDocument]) -> None:
        self._files: Collection[MongoDocument] = database["fs.files"]
        self._chunks: Collection[MongoDocument] = database["fs.chunks"]

    def ensure_indexes(self) -> None:
        """Make the two indexes that every GridFS client expects."""
        self._files.create_index([("filename", 1), ("uploadDate", 1)])
        self._chunks.create_index([("files_id", 1), ("n", 1)], unique=True)

    def write(self, filename: str, content: bytes, metadata: Mapping[str, str]) -> bool:
        """Store the file in place of any other of this name; returns whether anything had to be written."""
        file_id = hashlib.sha256(filename.encode() + b"\0" + content).hexdigest()
        known = [found["_id"] for found in self._files.find({"filename": filename}, {"_id": 1})]
        if file_id not in known:
            self._insert(file_id, filename, content, metadata)
        superseded = [other for other in known if other != file_id]
        if superseded:
            self._files.delete_many({"_id": {"$in": superseded}})
            self._chunks.delete_many({"files_id": {"$in": superseded}})
        return file_id not in known

    def _insert(self, file_id: str, filename: str, content: bytes, metadata: Mapping[str, str]) -> None:
        for number, start in enumerate(range(0, len(content), CHUNK_SIZE)):
            chunk = Binary(content[start : start + CHUNK_SIZE])
            self._chunks.update_one(
                {"files_id": file_id, "n": number}, {"$setOnInsert": {"data": chunk}}, upsert=True
            )
        # The file's own document comes last: who finds it finds all its chunks.
        self._files.update_one(
            {"_id": file_id},
            {
                "$setOnInsert": {
                    "filename": filename,
                    "length": len(content),
                    "chunkSize": CHUNK_SIZE,
                    "uploadDate": datetime.now(UTC),
                    "metadata": dict(metadata),
                }
            },
            upsert=True,
        )
