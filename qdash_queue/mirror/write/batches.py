"""Writes to MongoDB in batches: each an update by QDash's key, and an insert where the key is not there.

A document that is inserted gets an id made of its key. So two mirrors at once, or one that repeats what it
did before it was killed, make one document even where QDash's unique index is missing. Where documents
were doubled before there was an index, all copies are updated: whichever QDash reads is right.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bson import ObjectId
from pymongo import UpdateMany
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, OperationFailure, WriteError

from qdash_queue.mirror.read.rows import Refusal
from qdash_queue.mirror.write.qdash_lookup import MongoDocument
from qdash_queue.mirror.write.refusals import DUPLICATE_KEY, UNSENDABLE, is_for_good, refusal


@dataclass(frozen=True, slots=True)
class Write:
    """One update of our own fields.

    Attributes:
        document: which one, in words.
        key: what finds the document and all its copies.
        update: the changes.
        only_if: what else must hold for it to be changed.
        on_insert: further fields of a new document; None if there must be one already.
    """

    document: str
    key: MongoDocument
    update: MongoDocument
    only_if: MongoDocument = field(default_factory=dict)
    on_insert: MongoDocument | None = None

    @property
    def operation(self) -> UpdateMany:
        """The update, or the insert."""
        if self.on_insert is None:
            return self.update_only
        insert = self.update.get("$setOnInsert", {}) | self.on_insert
        return UpdateMany(self.key | self.only_if, self.update | {"$setOnInsert": insert}, upsert=True)

    @property
    def update_only(self) -> UpdateMany:
        """The same for a document that is there."""
        return UpdateMany(self.key | self.only_if, self.update)


def stable_id(key: Mapping[str, object], at: datetime | None = None) -> ObjectId:
    """The id of the document with this key; ids of later dates are larger."""
    seconds = int(at.timestamp()) if at is not None else 0
    digest = hashlib.sha256(repr(sorted(key.items())).encode()).digest()
    return ObjectId(struct.pack(">I", max(seconds, 0)) + digest[:8])


def write_all(collection: Collection[MongoDocument], writes: Sequence[Write]) -> list[Refusal]:
    """Do all of them, in any order; returns those that MongoDB permanently refuses.

    Raises:
        PyMongoError: what stopped it passes with time; some of the writes may be done.
    """
    refusals = []
    for number, error in _bulk(collection, [write.operation for write in writes]):
        write = writes[number]
        if getattr(error, "code", None) == DUPLICATE_KEY and write.on_insert is not None:
            refusals += _update_existing(collection, write, error)
        else:
            refusals.append(_refused(write, error))
    return refusals


def _update_existing(collection: Collection[MongoDocument], write: Write, error: Exception) -> list[Refusal]:
    """An insert found its key taken: by another mirror just now, by newer rows, or by another writer."""
    if collection.find_one(write.key, {"_id": 1}) is None:
        return [_refused(write, error)]
    return [_refused(write, again) for _, again in _bulk(collection, [write.update_only])]


def _refused(write: Write, error: Exception) -> Refusal:
    if not is_for_good(error):
        raise error
    return refusal(write.document, error)


def _bulk(
    collection: Collection[MongoDocument], operations: Sequence[UpdateMany]
) -> list[tuple[int, Exception]]:
    """Do them unordered; returns the numbers of those that failed, and how."""
    if not operations:
        return []
    try:
        collection.bulk_write(operations, ordered=False)
    except BulkWriteError as error:
        details = error.details or {}
        if details.get("writeConcernErrors"):
            raise
        return [
            (failed["index"], WriteError(failed["errmsg"], failed["code"], failed))
            for failed in details["writeErrors"]
        ]
    except (*UNSENDABLE, OperationFailure) as error:
        # One that cannot be sent keeps the whole batch back.
        if not is_for_good(error):
            raise
        if len(operations) == 1:
            return [(0, error)]
        each = [_bulk(collection, [operation]) for operation in operations]
        return [(number, failed) for number, errors in enumerate(each) for _, failed in errors]
    return []
