"""The command line. Commands say the verbs of :mod:`qdash_queue`; nothing is decided here."""

from qdash_queue.cli.main import app

__all__ = ["app"]
