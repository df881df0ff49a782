"""The mirror's connection to MongoDB."""

from __future__ import annotations

from datetime import UTC

from bson.codec_options import CodecOptions
from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, InvalidName, PyMongoError

from qdash_queue.errors import QdashQueueError, shown
from qdash_queue.mirror.write.indexes import ensure_indexes
from qdash_queue.mirror.write.qdash_lookup import MongoDocument, QDashDatabase

_ANSWER_WITHIN_MS = 3_000
_DO_WITHIN_MS = 60_000


class MongoUnreachableError(QdashQueueError):
    """MongoDB does not answer, or refuses; the message says which."""


def connect_mongo(url: str) -> MongoClient[MongoDocument]:
    """A client that notices within seconds when MongoDB is unreachable, and reconnects automatically.

    Raises:
        MongoUnreachableError: there is no URL, it is not one of MongoDB, or names a file that cannot be read.
    """
    if not url:
        raise MongoUnreachableError("no MongoDB is named: set QDASH_QUEUE_MONGO_URL to mongodb://host:27017")
    try:
        return MongoClient(
            url,
            serverSelectionTimeoutMS=_ANSWER_WITHIN_MS,
            connectTimeoutMS=_ANSWER_WITHIN_MS,
            socketTimeoutMS=_DO_WITHIN_MS,
            appname="qdash-queue mirror",
        )
    except OSError as error:
        raise MongoUnreachableError(
            f"a certificate file that the MongoDB URL names cannot be read: {error.strerror}"
        ) from error
    except (PyMongoError, ValueError):
        # Without the library's words, which may hold the password.
        raise MongoUnreachableError(
            "expected a MongoDB URL such as mongodb://host:27017, special characters of the password"
            " percent-encoded; the host of mongodb+srv:// must be known to the name server"
        ) from None


def open_qdash(client: MongoClient[MongoDocument], name: str) -> QDashDatabase:
    """QDash's database, with dates that know their zone.

    Raises:
        MongoUnreachableError: MongoDB allows no such name.
    """
    options: CodecOptions[MongoDocument] = CodecOptions(tz_aware=True, tzinfo=UTC)
    try:
        return client.get_database(name, codec_options=options)
    except InvalidName as error:
        raise MongoUnreachableError(
            f"expected a MongoDB database's name in QDASH_QUEUE_MONGO_DATABASE, got {shown(name)}: {error}"
        ) from error


def require_qdash(database: QDashDatabase) -> list[str]:
    """Make sure that MongoDB answers and has the indexes; returns, in words, what forbids one.

    Raises:
        MongoUnreachableError: it does not answer.
    """
    try:
        return ensure_indexes(database)
    except PyMongoError as error:
        raise MongoUnreachableError(mongo_words(error)) from error


def require_answer(database: QDashDatabase) -> None:
    """Make sure that MongoDB answers.

    Raises:
        MongoUnreachableError: it does not.
    """
    try:
        database.command("ping")
    except PyMongoError as error:
        raise MongoUnreachableError(mongo_words(error)) from error


def mongo_words(error: PyMongoError) -> str:
    """The error as one line for a person."""
    first_line = str(error).split("\n", maxsplit=1)[0].split(", Timeout:", maxsplit=1)[0][:500]
    if isinstance(error, ConnectionFailure):
        return f"MongoDB does not answer: {first_line}"
    return f"MongoDB refused: {first_line}"
