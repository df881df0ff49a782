"""Records in PostgreSQL that a mirror is alive, and its condition."""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid

from qdash_queue.client.database import Database
from qdash_queue.extras import distribution_version

READY = "ready"

_log = logging.getLogger(__name__)


class MirrorHeartbeat:
    """One start of a mirror, in ``calib.mirrors``.

    Args:
        database: the queue's, as a member of ``calib_mirror``.
        every_seconds: the least time between two writes of an unchanged condition.
    """

    def __init__(self, database: Database, every_seconds: float = 5.0) -> None:
        self._database = database
        self._every_seconds = every_seconds
        self._mirror_id = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._registered = False
        self._reported = ""
        self._next = 0.0

    def report(self, condition: str = READY) -> None:
        """Write that the mirror is alive: at once if its condition changed, else after `every_seconds`.

        Raises:
            DatabaseUnreachableError: PostgreSQL does not answer.
        """
        if condition == self._reported and time.monotonic() < self._next:
            return
        if not self._registered:
            self._register()
        self._database.execute(
            "SELECT calib.mirror_seen(%(mirror_id)s, %(condition)s)",
            mirror_id=self._mirror_id,
            condition=condition,
        )
        self._reported = condition
        self._next = time.monotonic() + self._every_seconds

    def beat(self) -> None:
        """Report the same condition again, during long work."""
        if self._registered:
            self.report(self._reported)

    def stop(self) -> None:
        """Write that the mirror has stopped.

        Raises:
            DatabaseUnreachableError: PostgreSQL does not answer.
        """
        if self._registered:
            self._database.execute("SELECT calib.mirror_stopped(%(mirror_id)s)", mirror_id=self._mirror_id)
            self._registered = False

    def _register(self) -> None:
        self._database.execute(
            "SELECT calib.register_mirror(%(mirror_id)s, %(host)s, %(pid)s, %(version)s)",
            mirror_id=self._mirror_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=distribution_version(),
        )
        self._registered = True
        _log.info("this mirror is %s", self._mirror_id)
