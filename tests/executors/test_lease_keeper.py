"""The thread that keeps a lease, while the database does not answer."""

from __future__ import annotations

import logging
import threading
import time
import uuid

import pytest

from executors.job.lease_keeper import LeaseKeeper, LeaseLapsedError, LeaseTimes
from qdash_queue.client.database import Database
from qdash_queue.client.leases import Lease
from qdash_queue.errors import LeaseLostError
from tests.support.databases import CalibDatabase
from tests.support.queue_world import open_queue_world
from tests.support.waiting import PATIENCE, until

UNREACHABLE = "postgresql://nobody@127.0.0.1:1/nowhere"
TIMES = LeaseTimes(lease=3.0, heartbeat=0.2, poll=0.1, margin=0.1)


def test_an_event_is_written_again_with_pauses_until_the_lease_runs_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lease = Lease(Database(UNREACHABLE), 1, uuid.uuid4())
    keeper = LeaseKeeper(lease, TIMES, time.monotonic(), is_due=lambda _known: False, changed=lambda: None)
    with caplog.at_level(logging.WARNING, "executors.job.lease_keeper"):
        with keeper:
            keeper.log("child_exited", {})
            with pytest.raises(LeaseLostError):
                keeper.settle()
        until(lambda: not _is_running(), "the thread to end")
    # A pause of 0.25 s after each try, over the 3 s of the lease.
    assert 2 <= len(caplog.records) <= 16


@pytest.mark.parametrize(
    ("since_the_claim", "meaning"),
    [
        pytest.param(0.0, LeaseLostError, id="while it was held: the executor has to end"),
        pytest.param(60.0, LeaseLapsedError, id="after a sleep of the process: others may have taken it"),
    ],
)
def test_a_lease_that_the_database_does_not_know(
    database: CalibDatabase, since_the_claim: float, meaning: type[LeaseLostError]
) -> None:
    heard = threading.Event()
    with open_queue_world(database) as world:
        claimed, _ = world.running(world.chip())
        unknown = Lease(world.machine.database, claimed.job_id, uuid.uuid4())
        claimed_at = time.monotonic() - since_the_claim
        keeper = LeaseKeeper(unknown, TIMES, claimed_at, is_due=lambda _known: True, changed=heard.set)
        with keeper:
            assert heard.wait(PATIENCE)
    with pytest.raises(LeaseLostError) as lost:
        keeper.require()
    assert type(lost.value) is meaning
    assert type(keeper.judge(LeaseLostError("asked by another thread"))) is meaning


def _is_running() -> bool:
    return any(thread.name == "lease" for thread in threading.enumerate())
