from __future__ import annotations

from collections.abc import Callable

import pytest

from executors.engine.backend_session import open_backend
from executors.job.persistence import persistently
from executors.job.stop import StopFlag, Stopped, StopReason, use_stop_flag
from qdash_queue.errors import DatabaseUnreachableError, LeaseLostError
from tests.engine.outage import outage
from tests.engine.world import World

AGAIN = "the database is unreachable, trying again"


def away(times: int, otherwise: Callable[[], str]) -> Callable[[], str]:
    left = [times]

    def write() -> str:
        if left[0]:
            left[0] -= 1
            raise DatabaseUnreachableError("PostgreSQL does not answer")
        return otherwise()

    return write


def test_a_restart_of_the_database_is_sat_out() -> None:
    assert persistently(away(2, lambda: "stored")) == "stored"


def test_patience_ends() -> None:
    with pytest.raises(DatabaseUnreachableError):
        persistently(away(100, lambda: "stored"), patience=0.2)


def test_a_stop_at_once_ends_it() -> None:
    flag = StopFlag()
    flag.request_now(StopReason.LEASE_LOST)
    with use_stop_flag(flag), pytest.raises(Stopped):
        persistently(away(100, lambda: "stored"))


def test_a_refusal_is_not_repeated() -> None:
    def refused() -> str:
        raise LeaseLostError("gone")

    with pytest.raises(LeaseLostError):
        persistently(refused)


def test_a_restart_before_the_first_task_fails_no_job(world: World) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        with outage(world, AGAIN):
            session = world.session(["0"], muxes=[0])
        with outage(world, AGAIN):
            session.plan([("GoodTask", "0")])
        session.run_task("GoodTask", "0")
    assert world.statuses(job.claimed.job_id) == {("GoodTask", "0"): "completed"}


def test_a_restart_does_not_keep_a_backend_from_being_opened(world: World) -> None:
    with world.job(["GoodTask"], ["0"]) as job, outage(world, AGAIN):
        open_backend(job, ["0"]).close()
