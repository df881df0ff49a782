"""What wakes a sleeping supervisor."""

from __future__ import annotations

from multiprocessing.connection import wait

import pytest

from executors.supervisor.listener import Listener
from qdash_queue.client.database import Database
from qdash_queue.stopping import Wakeup
from tests.support.waiting import PATIENCE

CHANNEL = "calib_SIM-16"


@pytest.fixture
def wakeup() -> Wakeup:
    return Wakeup()


def is_set(wakeup: Wakeup, seconds: float = 0.0) -> bool:
    return bool(wait([wakeup.fileno()], timeout=seconds))


def test_many_calls_wake_once_and_never_block(wakeup: Wakeup) -> None:
    assert not is_set(wakeup)
    for _ in range(100_000):
        wakeup.set()
    assert is_set(wakeup)
    wakeup.clear()
    assert not is_set(wakeup)
    wakeup.clear()


def test_a_notification_wakes_and_so_does_a_reconnect(wakeup: Wakeup, database_url: str) -> None:
    database = Database(database_url, application_name="test")
    with Listener(database, CHANNEL, wakeup):
        assert is_set(wakeup, PATIENCE), "it wakes when it begins to listen: it cannot know what it missed"
        wakeup.clear()
        database.execute("SELECT pg_notify(%(channel)s, 'job')", channel=CHANNEL)
        assert is_set(wakeup, PATIENCE)
        wakeup.clear()
        database.execute("SELECT pg_notify(%(channel)s, 'job')", channel=CHANNEL.lower())
        assert not is_set(wakeup, 0.3), "the chip's name is not folded to lower case"
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE 'LISTEN%' AND datname = current_database()"
        )
        assert is_set(wakeup, PATIENCE)
    database.close()
