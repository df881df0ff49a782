"""Sessions in a plain script that do not end in time: the chip goes to others, and stays theirs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import pytest

from executors.engine import CalibOrchestrator, backend_session
from executors.job.context import instruments_folder
from executors.job.persistence import persistently
from executors.job.stop import Stopped
from qdash_queue.domain import CancelMode
from qdash_queue.errors import LeaseLostError
from tests.engine.outage import outage
from tests.engine.world import CHIP, World, only_job, script_session
from tests.support.databases import CalibDatabase
from tests.support.waiting import until

SHORT = {"lease_seconds": 3.0, "term_grace_seconds": 0.5}
EXPIRE = "UPDATE calib_private.leases SET expires_at = now() - interval '1 s' WHERE job_id IS NOT NULL"
HOLDS = "SELECT expires_at > clock_timestamp() FROM calib_private.leases WHERE job_id IS NOT NULL"
SWEEP = "SELECT calib.sweep()"


@pytest.fixture(autouse=True)
def _registered(world: World) -> None:
    """An executor has registered for the chip once."""
    world.offer()


def leave_by_an_error(session: CalibOrchestrator) -> None:
    with pytest.raises(ZeroDivisionError), session:
        raise ZeroDivisionError


def wait_until_swept(world: World) -> None:
    until(lambda: bool(world.executor.sweep()))


def expect_the_next_claim_to_quiesce(world: World) -> None:
    assert world.queue.chip(CHIP).running_job_id is None
    assert world.claim(["GoodTask"], ["0"]).claimed.dirty


@pytest.mark.parametrize(
    "end",
    [
        CalibOrchestrator.fail,
        CalibOrchestrator.cancel,
        CalibOrchestrator.complete,
        CalibOrchestrator._abandon,
        leave_by_an_error,
    ],
)
def test_a_script_that_lost_the_chip_leaves_the_instrument_alone(
    world: World, database: CalibDatabase, end: Callable[[CalibOrchestrator], object]
) -> None:
    session = script_session(world)
    session.initialize()
    with database.connect() as owner, owner.transaction():  # No heartbeat comes between.
        owner.execute(EXPIRE)
        owner.execute(SWEEP)
    other = world.claim(["GoodTask"], ["0"])
    measuring = instruments_folder(world.state_path) / f"{CHIP}.busy.json"
    measuring.write_text("{}")
    end(session)
    assert measuring.exists()
    assert world.queue.chip(CHIP).running_job_id == other.claimed.job_id
    other.lease.heartbeat()


def test_a_script_that_cannot_check_its_lease_leaves_the_instrument_to_the_next_job(
    world: World, database: CalibDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = script_session(world)
    session.initialize()
    measuring = instruments_folder(world.state_path) / f"{CHIP}.busy.json"
    measuring.write_text("{}")
    monkeypatch.setattr(backend_session, "persistently", partial(persistently, patience=0.5))
    with outage(world, "is deferred to the next job"):
        assert session.fail("the beam is gone") == "failed"
    assert measuring.exists()
    with database.connect() as owner:
        owner.execute(EXPIRE)
        owner.execute(SWEEP)
    assert only_job(world).failure_message == "the beam is gone"
    expect_the_next_claim_to_quiesce(world)


@pytest.mark.parametrize("mode", list(CancelMode))
def test_a_cancel_ends_an_idle_session(world: World, mode: CancelMode) -> None:
    session = script_session(world, SHORT)
    session.initialize()
    session.run_task("GoodTask", "0")
    world.queue.cancel(session.job_id, mode, "beam time")
    wait_until_swept(world)
    job = only_job(world)
    assert (job.state, job.cancel_reason) == ("cancelled", "beam time")
    expect_the_next_claim_to_quiesce(world)
    with pytest.raises(Stopped, match=r"stopped: (cancel|lease lost)"):
        session.run_task("GoodTask", "0")
    with pytest.raises(LeaseLostError, match=f"the lease on job {job.job_id} is not known"):
        session.plan([("GoodTask", "0")])
    assert session.complete() is None


def test_a_session_that_wakes_up_after_its_cancel_still_ends_well(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    session = script_session(world, {**SHORT, "lease_seconds": 30.0})
    session.initialize()
    world.queue.cancel(session.job_id, CancelMode.NOW, "beam time")
    until(lambda: "its session does not end: the chip is free to others in 30 s" in caplog.text)
    assert session.complete() == "cancelled"
    assert world.queue.chip(CHIP).running_job_id is None


def lease_end(database: CalibDatabase) -> datetime:
    with database.connect() as owner:
        row = owner.execute("SELECT expires_at FROM calib_private.leases WHERE job_id IS NOT NULL").fetchone()
    assert row is not None
    assert isinstance(row[0], datetime)
    return row[0]


def test_a_cancel_after_the_task_waits_for_a_task_that_runs(world: World, database: CalibDatabase) -> None:
    def cancel() -> None:
        until(lambda: "running" in world.statuses(only_job(world).job_id).values())
        world.queue.cancel(only_job(world).job_id, CancelMode.AFTER_TASK, "lunch")
        first = lease_end(database)
        longer = timedelta(seconds=SHORT["lease_seconds"] + 2 * SHORT["term_grace_seconds"])
        until(lambda: lease_end(database) > first + longer, "the lease to be renewed past its grace")
        swept.extend(world.executor.sweep())
        world.queue.cancel(only_job(world).job_id, CancelMode.NOW, "beam time")

    swept: list[object] = []
    session = script_session(world, SHORT)
    session.initialize()
    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(Stopped, match="stopped: cancel"), session:
        session.run_task("SlowTask", "0")
    thread.join()
    assert swept == []
    assert only_job(world).state == "cancelled"


def limit_to_a_second(database: CalibDatabase) -> None:
    with database.connect() as owner:
        owner.execute("UPDATE calib_private.flows SET timeout_seconds = 1 WHERE flow = 'interactive'")


def test_the_time_limit_ends_a_session_that_is_idle(world: World, database: CalibDatabase) -> None:
    limit_to_a_second(database)
    session = script_session(world, SHORT)
    session.initialize()
    wait_until_swept(world)
    job = only_job(world)
    assert (job.state, job.failure_kind) == ("failed", "timeout")
    assert job.failure_message == "the job was stopped at its time limit of 1 s"
    expect_the_next_claim_to_quiesce(world)
    assert session.fail("too late") is None


def test_a_cancel_by_a_session_whose_time_was_over_lets_the_verdict_stand(
    world: World, database: CalibDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    limit_to_a_second(database)
    session = script_session(world, {**SHORT, "lease_seconds": 30.0})
    session.initialize()
    until(lambda: "its session does not end" in caplog.text)
    assert session.cancel() == "failed"
    assert only_job(world).failure_kind == "timeout"
    assert world.queue.chip(CHIP).running_job_id is None


def test_a_lease_that_the_clock_gave_up_is_not_renewed(
    world: World, database: CalibDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    session = script_session(world, SHORT)
    session.initialize()
    with database.connect() as other:
        with other.transaction():
            other.execute("SELECT FROM calib_private.leases FOR UPDATE")  # A heartbeat waits for this one.
            until(lambda: other.execute(HOLDS).fetchone() == (False,))
        until(lambda: other.execute(HOLDS).fetchone() == (True,))  # It came through, too late.
    wait_until_swept(world)
    assert "the lease could not be renewed in time" in caplog.text
    assert only_job(world).failure_kind == "lost"
    expect_the_next_claim_to_quiesce(world)
    assert session.complete() is None
