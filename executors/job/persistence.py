"""Writes that are repeated while the database is unreachable, so that no result is lost by a restart."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from executors.job.stop import checkpoint
from qdash_queue.errors import DatabaseUnreachableError

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

PATIENCE_SECONDS = 60.0
"""Longest wait for the database; the lease keeper stops the job before the lease has run out."""

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0


def persistently(write: Callable[[], Answer], patience: float = PATIENCE_SECONDS) -> Answer:
    """Call ``write`` again while the database is unreachable; only for verbs that may be repeated.

    Raises:
        DatabaseUnreachableError: it stayed unreachable for ``patience`` seconds.
        Stopped: the job has to stop at once, for instance because its lease can no longer be renewed.
    """
    deadline = time.monotonic() + patience
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return write()
        except DatabaseUnreachableError as error:
            if time.monotonic() + pause > deadline:
                raise
            logger.warning("the database is unreachable, trying again: %s", error)
        checkpoint()
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
