"""Mirrors the queue into QDash: its MongoDB documents, GridFS and files."""

from qdash_queue.mirror.connection import MongoUnreachableError
from qdash_queue.mirror.reports import MirrorLag, RoundReport
from qdash_queue.mirror.runner import Mirror, NothingToMirrorError, Pace

__all__ = ["Mirror", "MirrorLag", "MongoUnreachableError", "NothingToMirrorError", "Pace", "RoundReport"]
