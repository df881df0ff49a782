"""Notifications of the database, which wake a sleeping supervisor."""

from __future__ import annotations

import logging
import threading
from typing import Self

from psycopg import sql

from qdash_queue.client.database import Database
from qdash_queue.errors import DatabaseUnreachableError
from qdash_queue.stopping import Wakeup

logger = logging.getLogger(__name__)

_PATIENCE_SECONDS = 1.0


class Listener:
    """Turns the notifications of one channel into wake-ups, on a connection and a thread of its own.

    A notification is a hint and may be lost while the connection is down; polling remains the truth. The
    listener wakes the sleeper once after every reconnect, because it cannot know what it missed.
    """

    def __init__(self, database: Database, channel: str, wakeup: Wakeup) -> None:
        self._database = database
        self._channel = channel
        self._wakeup = wakeup
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"listen-{channel}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join(2 * _PATIENCE_SECONDS)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._listen()
            except DatabaseUnreachableError as error:
                logger.debug("listening on %s was interrupted: %s", self._channel, error)
                self._closing.wait(_PATIENCE_SECONDS)

    def _listen(self) -> None:
        with self._database.raw_connection() as connection:
            # Quoted: an unquoted LISTEN folds the chip's name to lower case, NOTIFY does not.
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
            self._wakeup.set()
            while not self._closing.is_set():
                for _ in connection.notifies(timeout=_PATIENCE_SECONDS, stop_after=1):
                    self._wakeup.set()
