"""Time limits of tasks, and blocks that no signal interrupts."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from executors.job.failures import TaskTimeout

_Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None

_INTERRUPTING = (signal.SIGTERM, signal.SIGINT)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise :class:`TaskTimeout` in the block once it has run for ``seconds``; ``inf`` is no limit.

    In the main thread it interrupts Python code but not a blocking C call; the supervisor's deadline does
    that. In other threads no signal reaches the code, and the limit is checked when the block ends. An
    earlier limit around the block (SIGALRM, which Prefect uses too) stays in force.
    """
    started = time.monotonic()
    if not _in_main_thread():
        yield
        if time.monotonic() - started > seconds:
            raise TaskTimeout(seconds)
        return
    outer, _ = signal.getitimer(signal.ITIMER_REAL)
    if not math.isfinite(seconds) or 0.0 < outer <= seconds:
        yield
        return
    armed = True

    def _on_alarm(_number: int, _frame: FrameType | None) -> None:
        if armed:
            raise TaskTimeout(seconds)

    previous: _Handler = signal.signal(signal.SIGALRM, _on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        # First: an alarm from here on must not interrupt the clean-up.
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if previous is None else previous)
        if outer > 0.0:
            signal.setitimer(signal.ITIMER_REAL, max(outer - (time.monotonic() - started), 1e-3))


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay SIGTERM and SIGINT until the block ends, so that a commit is sent completely or not at all.

    Only for blocks of milliseconds; SIGKILL still works. Other threads than the main one get no signals.
    """
    if not _in_main_thread():
        yield
        return
    waiting: list[int] = []
    previous = {
        number: handler for number in _INTERRUPTING if (handler := signal.getsignal(number)) is not None
    }
    for number in previous:
        signal.signal(number, lambda got, _frame: waiting.append(got))
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        for got in waiting:
            signal.raise_signal(got)
