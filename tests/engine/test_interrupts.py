from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time

import pytest

from executors.engine.interrupts import time_limit, uninterrupted
from executors.job.failures import TaskTimeout
from tests.support.waiting import PATIENCE


def busy(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def busy_until_stopped() -> None:
    busy(PATIENCE)
    pytest.fail("it was not stopped")


def test_a_block_that_runs_too_long_is_stopped() -> None:
    with pytest.raises(TaskTimeout, match=r"longer than its limit of 0\.1 s"), time_limit(0.1):
        busy_until_stopped()


def test_except_exception_does_not_swallow_it() -> None:
    def careless() -> None:
        with contextlib.suppress(Exception):
            busy_until_stopped()

    with pytest.raises(TaskTimeout), time_limit(0.05):
        careless()


def test_a_block_in_time_leaves_no_alarm_behind() -> None:
    before = signal.getsignal(signal.SIGALRM)
    for seconds in (5.0, math.inf):
        with time_limit(seconds):
            pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_limits_nest_and_the_nearer_one_counts() -> None:
    with pytest.raises(TaskTimeout) as caught, time_limit(0.1), time_limit(2000):
        busy_until_stopped()
    assert caught.value.seconds == 0.1
    with time_limit(2000):
        with pytest.raises(TaskTimeout) as caught, time_limit(0.1):
            busy_until_stopped()
        assert caught.value.seconds == 0.1
        assert 1000 < signal.getitimer(signal.ITIMER_REAL)[0] < 2000


def test_outside_the_main_thread_it_is_judged_at_the_end() -> None:
    seen: list[BaseException] = []

    def run() -> None:
        try:
            with time_limit(0.01):
                busy(0.1)
        except TaskTimeout as error:
            seen.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert len(seen) == 1


def test_a_signal_waits_until_the_block_is_over() -> None:
    done: list[str] = []

    class Terminated(BaseException):
        pass

    def on_term(_number: int, _frame: object) -> None:
        raise Terminated

    def commit() -> None:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGTERM)
            busy(0.01)
            done.append("whole")

    before = signal.signal(signal.SIGTERM, on_term)
    try:
        with pytest.raises(Terminated):
            commit()
        assert done == ["whole"]
        assert signal.getsignal(signal.SIGTERM) is on_term
    finally:
        signal.signal(signal.SIGTERM, before)
