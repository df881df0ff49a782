"""QDash's indexes on what the mirror writes: made where they are absent, left as they are where they are not.

The mirror is correct without them (see :mod:`qdash_queue.mirror.write.batches`), only slower. An index that
cannot be made is reported and stops nothing.
"""

from __future__ import annotations

from pymongo.collection import Collection
from pymongo.errors import ConnectionFailure, OperationFailure

from qdash_queue.mirror.write.qdash_lookup import MongoDocument, QDashDatabase

# Key fields of QDash's unique indexes: the same fields in the same order, so that QDash finds the index
# when it starts later.
UNIQUE_KEYS: dict[str, tuple[str, ...]] = {
    "execution_history": ("project_id", "execution_id"),
    "task_result_history": ("project_id", "task_id"),
    "execution_counter": ("project_id", "date", "username", "chip_id"),
    "tag": ("project_id", "name", "username"),
    "qubit_history": ("project_id", "chip_id", "qid", "username", "recorded_date"),
    "coupling_history": ("project_id", "chip_id", "qid", "username", "recorded_date"),
    # Every GridFS client expects this one and the next.
    "fs.chunks": ("files_id", "n"),
}
_GRIDFS_FILES = [("filename", 1), ("uploadDate", 1)]

_DUPLICATE_KEY = 11000
# An index of the same name, or on the same keys, with other options.
_CONFLICTS = (85, 86)


def ensure_indexes(database: QDashDatabase) -> list[str]:
    """Make the indexes where QDash has not yet; returns, in words, what forbids one.

    Raises:
        ConnectionFailure: MongoDB does not answer.
    """
    problems = [_ensure_unique(database[name], fields) for name, fields in UNIQUE_KEYS.items()]
    problems.append(_in_words(database["fs.files"], _GRIDFS_FILES))
    return [words for words in problems if words]


def _ensure_unique(collection: Collection[MongoDocument], fields: tuple[str, ...]) -> str:
    if _has_unique(collection, fields):
        return ""
    return _in_words(collection, [(field, 1) for field in fields], unique=True)


def _has_unique(collection: Collection[MongoDocument], fields: tuple[str, ...]) -> bool:
    """Whether an index keeps all documents apart by these fields, whatever its name and their order."""
    try:
        there = collection.index_information().values()
    except ConnectionFailure:
        raise
    except OperationFailure:
        return False  # Making it will say why.
    return any(
        index.get("unique")
        and {field for field, _ in index["key"]} == set(fields)
        and not {"partialFilterExpression", "collation"} & index.keys()
        for index in there
    )


def _in_words(
    collection: Collection[MongoDocument], keys: list[tuple[str, int]], *, unique: bool = False
) -> str:
    """Make the index; returns what forbids it."""
    try:
        _create(collection, keys, unique=unique)
    except ConnectionFailure:
        raise
    except OperationFailure as error:
        words = str((error.details or {}).get("errmsg", error))
        if error.code == _DUPLICATE_KEY:
            double = words.rpartition("dup key: ")[2]
            return (
                f"{collection.name} holds doubles, such as {double}: all copies are kept equal; "
                "remove all but one of each, QDash's API does not start over doubles"
            )
        return f"{collection.name} has no index on {', '.join(field for field, _ in keys)}: {words[:300]}"
    return ""


def _create(collection: Collection[MongoDocument], keys: list[tuple[str, int]], *, unique: bool) -> None:
    try:
        collection.create_index(keys, unique=unique)
    except OperationFailure as error:
        if error.code not in _CONFLICTS or not unique:
            raise
        # The usual name is taken by an index that does not keep all documents apart.
        collection.create_index(keys, unique=True, name=f"qdash_queue_unique_{'_'.join(dict(keys))}")
