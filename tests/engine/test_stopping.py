from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from prefect.exceptions import TerminationSignal

from executors.engine.recorder import TaskRecorder
from executors.flows.calibrate import calibrate
from executors.job.context import JobContext
from executors.job.stop import Stopped, StopReason
from qdash_queue.client.leases import StartedSweep
from qdash_queue.domain import CancelMode
from qdash_queue.errors import LeaseLostError
from tests.engine.outage import CUT
from tests.engine.world import CHIP, PROJECT, USERNAME, World
from tests.support.waiting import until


def cancel_when_running(world: World, job: JobContext, task: str, mode: CancelMode) -> threading.Thread:
    """Ask for a cancel on the row once ``task`` runs, and pass it on as the supervisor does."""

    def watch() -> None:
        until(
            lambda: (
                task
                in [run.task for run in world.queue.task_runs(job.claimed.job_id) if run.status == "running"]
            )
        )
        world.queue.cancel(job.claimed.job_id, mode, "beam time")
        assert job.lease.heartbeat(30.0) is not None
        if mode is CancelMode.NOW:
            job.stop.request_now(StopReason.CANCEL)
        else:
            job.stop.request_after_task(StopReason.CANCEL)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def run_calibrate(job: JobContext) -> None:
    parameters: Any = job.claimed.parameters
    calibrate.fn(USERNAME, CHIP, PROJECT, parameters["qids"], parameters["tasks"])


@contextmanager
def raising_on_term() -> Iterator[None]:
    """SIGTERM raises what Prefect raises on it."""

    def on_term(_number: int, _frame: object) -> None:
        raise TerminationSignal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, on_term)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def test_cancel_now_keeps_what_is_done_and_cancels_what_runs(world: World) -> None:
    with world.job(["GoodTask", "SlowTask", "RefusedTask"], ["0", "1"]) as job:
        thread = cancel_when_running(world, job, "SlowTask", CancelMode.NOW)
        with pytest.raises(Stopped):
            run_calibrate(job)
        thread.join()
        assert job.lease.finish() == "cancelled"
    assert world.statuses(job.claimed.job_id) == {
        ("GoodTask", "0"): "completed",
        ("SlowTask", "0"): "cancelled",
        ("RefusedTask", "0"): "skipped",
        ("GoodTask", "1"): "skipped",
        ("SlowTask", "1"): "skipped",
        ("RefusedTask", "1"): "skipped",
    }
    run = world.task_runs(job.claimed.job_id)["SlowTask", "0", 0]
    assert run.message == "stopped: cancel"
    assert world.value("0", "t1") is not None
    ended = world.queue.get(job.claimed.job_id)
    assert (ended.state, ended.failure_kind) == ("cancelled", None)


def test_cancel_after_the_task_lets_it_end(world: World) -> None:
    with world.job(["WrappingTask", "GoodTask"], ["0"]) as job:
        job.stop.request_after_task(StopReason.CANCEL)
        world.queue.cancel(job.claimed.job_id, CancelMode.AFTER_TASK, "lunch")
        with pytest.raises(Stopped):
            run_calibrate(job)
        job.lease.finish()
    assert set(world.statuses(job.claimed.job_id).values()) == {"skipped"}


def test_an_error_that_a_stop_was_turned_into_is_a_stop(world: World) -> None:
    with world.job(["WrappingTask"], ["0"]) as job:
        thread = cancel_when_running(world, job, "WrappingTask", CancelMode.NOW)
        with pytest.raises(Stopped):
            run_calibrate(job)
        thread.join()
        assert job.lease.finish() == "cancelled"
    assert world.statuses(job.claimed.job_id) == {("WrappingTask", "0"): "cancelled"}


@pytest.mark.parametrize("reason", [StopReason.SHUTDOWN, StopReason.DEADLINE])
def test_a_stop_by_the_executor_leaves_the_verdict_to_it(world: World, reason: StopReason) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        job.stop.request_now(reason)
        with pytest.raises(Stopped):
            run_calibrate(job)
    assert world.queue.attempts(job.claimed.job_id)[0].verdict is None


def test_after_a_lost_lease_nothing_is_written(world: World) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        orchestrator = world.session(["0"])
        orchestrator.run_task("GoodTask", "0")
        job.lease.give_back("the test takes it away")
        with pytest.raises(LeaseLostError):
            orchestrator.run_task("GoodTask", "0")
        assert orchestrator.complete() is None
    assert world.queue.get(job.claimed.job_id).state == "failed"
    assert len(world.queue.task_runs(job.claimed.job_id)) == 1


def test_a_signal_without_a_reason_cancels_the_task_and_leaves_the_verdict(world: World) -> None:
    def terminate() -> None:
        until(lambda: "running" in world.statuses(job.claimed.job_id).values())
        os.kill(os.getpid(), signal.SIGTERM)

    with raising_on_term(), world.job(["SlowTask"], ["0"]) as job:
        thread = threading.Thread(target=terminate)
        thread.start()
        with pytest.raises(TerminationSignal):
            run_calibrate(job)
        thread.join()
    run = world.task_runs(job.claimed.job_id)["SlowTask", "0", 0]
    assert (run.status, run.message) == ("cancelled", "stopped by a signal")
    assert world.queue.attempts(job.claimed.job_id)[0].verdict is None


def test_a_signal_while_a_task_is_put_down_as_running_does_not_leave_it_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = TaskRecorder.start

    def start_and_be_stopped(*given: Any) -> StartedSweep:
        started = start(*given)
        os.kill(os.getpid(), signal.SIGTERM)
        return started

    monkeypatch.setattr(TaskRecorder, "start", start_and_be_stopped)
    with raising_on_term(), world.job(["GoodTask"], ["0"]) as job, pytest.raises(TerminationSignal):
        run_calibrate(job)
    run = world.task_runs(job.claimed.job_id)["GoodTask", "0", 0]
    assert (run.status, run.message) == ("cancelled", "stopped by a signal")


def test_a_cut_connection_loses_nothing(world: World) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        orchestrator = world.session(["0"])
        for _ in range(3):
            with psycopg.connect(world.admin_url, autocommit=True) as admin:
                admin.execute(CUT, [[world.role]])
            orchestrator.run_task("GoodTask", "0")
    assert [run.status for run in world.queue.task_runs(job.claimed.job_id)] == ["completed"] * 3
