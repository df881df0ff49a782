"""The wish that a process may stop: made by a signal, waited for by the main thread."""

from __future__ import annotations

import os
import select
import signal
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType


class StopSign:
    """Set once and for good, from any thread and from a signal handler.

    ``threading.Event`` will not do: a handler that sets it while the main thread is on its way into ``wait``
    waits for ever for a lock which that thread holds.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        weakref.finalize(self, _close, self._reader, self._writer)

    def set(self) -> None:
        """Ask to stop; harmless if somebody asked before."""
        self._is_set = True
        with suppress(BlockingIOError):  # The pipe is full, so nobody sleeps any more.
            os.write(self._writer, b"x")

    def is_set(self) -> bool:
        """Whether somebody has asked to stop."""
        return self._is_set

    def wait(self, seconds: float | None = None) -> bool:
        """Sleep until somebody asks, ``seconds`` at most; whether somebody has asked."""
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
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
