"""What wakes a sleeping supervisor: a pipe to itself, written by signal handlers, threads and NOTIFY."""

from __future__ import annotations

import logging
import os
import threading
from types import TracebackType
from typing import Self

from psycopg import sql

from qdash_queue.client.database import Database
from qdash_queue.errors import DatabaseUnreachableError

logger = logging.getLogger(__name__)

_PATIENCE_SECONDS = 1.0


class Wakeup:
    """A pipe to oneself; may be set from any thread and from a signal handler."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def fileno(self) -> int:
        """The end that becomes readable once the wake-up is set."""
        return self._reader

    def set(self) -> None:
        """Wake the sleeper; harmless if it is awake."""
        try:
            os.write(self._writer, b"x")
        except BlockingIOError:
            return  # The pipe is full, so the sleeper will wake anyway.

    def clear(self) -> None:
        """Forget all wake-ups so far."""
        try:
            while os.read(self._reader, 4096):
                continue
        except BlockingIOError:
            return

    def close(self) -> None:
        """Give the pipe back."""
        os.close(self._reader)
        os.close(self._writer)


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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
