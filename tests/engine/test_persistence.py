from __future__ import annotations

from collections.abc import Callable

import pytest

from executors.engine.persistence import persistently
from executors.stop import StopFlag, Stopped, StopReason, use_stop_flag
from qdash_queue.errors import DatabaseAwayError, LeaseLostError


def away(times: int, otherwise: Callable[[], str]) -> Callable[[], str]:
    left = [times]

    def write() -> str:
        if left[0]:
            left[0] -= 1
            raise DatabaseAwayError("PostgreSQL does not answer")
        return otherwise()

    return write


def test_a_restart_of_the_database_is_sat_out() -> None:
    assert persistently(away(2, lambda: "stored")) == "stored"


def test_patience_ends() -> None:
    with pytest.raises(DatabaseAwayError):
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
