"""What ends a wait of the main thread: a wake-up, or the request to stop, which signals make."""

from __future__ import annotations

import os
import select
import signal
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType


class Wakeup:
    """Ends a wait, by a pipe to this process itself; set from any thread and from a signal handler."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        weakref.finalize(self, _close, self._reader, self._writer)

    def fileno(self) -> int:
        """The end that becomes readable once the wake-up is set."""
        return self._reader

    def set(self) -> None:
        """End the wait; harmless if it was set before."""
        with suppress(BlockingIOError):  # The pipe is full, so the wait ends anyway.
            os.write(self._writer, b"x")

    def clear(self) -> None:
        """Forget all wake-ups so far."""
        with suppress(BlockingIOError):
            while os.read(self._reader, 4096):
                continue


class StopSign(Wakeup):
    """The request that this process stops; set once, and never taken back.

    ``threading.Event`` will not do: a handler that sets it while the main thread is on its way into ``wait``
    waits indefinitely for a lock which that thread holds.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_set = False

    def set(self) -> None:
        """Ask to stop; harmless if it was asked before."""
        self._is_set = True
        super().set()

    def is_set(self) -> bool:
        """Whether a stop was requested."""
        return self._is_set

    def wait(self, seconds: float | None = None) -> bool:
        """Sleep until a stop is requested, ``seconds`` at most; whether it was."""
        poll = select.poll()
        poll.register(self, select.POLLIN)
        poll.poll(None if seconds is None else 1000 * seconds)
        return self._is_set


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


@contextmanager
def stopped_by_signals(sign: StopSign) -> Iterator[None]:
    """SIGTERM and SIGINT set the sign within the block; only the main thread can hear them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(_signal: int, _frame: FrameType | None) -> None:
        sign.set()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
