from __future__ import annotations

import contextvars
import multiprocessing
import threading
from collections.abc import Callable

import pytest

from executors.job.stop import (
    StopFlag,
    Stopped,
    StopReason,
    checkpoint,
    is_cancellation,
    stop_reason,
    task_border,
    use_stop_flag,
)
from tests.support.waiting import PATIENCE


def test_nothing_is_asked_at_first() -> None:
    flag = StopFlag()
    with use_stop_flag(flag):
        checkpoint()
        task_border()
    assert flag.reason is StopReason.NONE
    assert not flag.at_once


def test_outside_a_job_nothing_stops() -> None:
    assert stop_reason() is StopReason.NONE
    checkpoint()
    task_border()


def test_after_task_stops_at_borders_only() -> None:
    flag = StopFlag()
    flag.request_after_task(StopReason.CANCEL)
    with use_stop_flag(flag):
        checkpoint()
        with pytest.raises(Stopped) as stopped:
            task_border()
    assert stopped.value.reason is StopReason.CANCEL


def test_now_stops_at_checkpoints() -> None:
    flag = StopFlag()
    flag.request_now(StopReason.DEADLINE)
    with use_stop_flag(flag), pytest.raises(Stopped, match="deadline"):
        checkpoint()


@pytest.mark.parametrize("later", [StopReason.DEADLINE, StopReason.SHUTDOWN])
def test_the_first_reason_stands_when_it_becomes_urgent(later: StopReason) -> None:
    flag = StopFlag()
    flag.request_after_task(StopReason.CANCEL)
    flag.request_now(later)
    assert flag.reason is StopReason.CANCEL
    assert flag.at_once


def test_a_lost_lease_outdoes_every_reason() -> None:
    flag = StopFlag()
    flag.request_now(StopReason.CANCEL)
    flag.request_now(StopReason.LEASE_LOST)
    assert flag.reason is StopReason.LEASE_LOST


def test_an_urgent_stop_is_not_softened() -> None:
    flag = StopFlag()
    flag.request_now(StopReason.SHUTDOWN)
    flag.request_after_task(StopReason.CANCEL)
    assert flag.reason is StopReason.SHUTDOWN
    assert flag.at_once


@pytest.mark.parametrize("reason", list(StopReason))
def test_only_a_cancel_is_a_cancellation_whatever_the_exception(reason: StopReason) -> None:
    flag = StopFlag()
    if reason is not StopReason.NONE:
        flag.request_now(reason)
    with use_stop_flag(flag):
        assert is_cancellation(KeyboardInterrupt()) is (reason is StopReason.CANCEL)


def test_a_stop_cannot_be_swallowed_as_an_exception() -> None:
    assert not issubclass(Stopped, Exception)


def test_a_thread_in_a_copied_context_stops_too() -> None:
    flag = StopFlag()
    seen: list[StopReason] = []
    with use_stop_flag(flag):
        context = contextvars.copy_context()
        flag.request_now(StopReason.CANCEL)
        thread = threading.Thread(target=context.run, args=(_note_reason(seen),))
        thread.start()
        thread.join()
    assert seen == [StopReason.CANCEL]


def test_another_process_sees_the_reason() -> None:
    context = multiprocessing.get_context("fork")
    flag = StopFlag.shared(context)
    process = context.Process(target=flag.request_now, args=(StopReason.DEADLINE,))
    process.start()
    process.join(PATIENCE)
    assert flag.reason is StopReason.DEADLINE
    assert flag.at_once


def _note_reason(seen: list[StopReason]) -> Callable[[], None]:
    return lambda: seen.append(stop_reason())
