"""The thread that keeps a lease, while the database does not answer."""

from __future__ import annotations

import logging
import threading
import time
import uuid

import pytest

from executors.job.lease_keeper import LeaseKeeper, LeaseTimes
from qdash_queue.client.database import Database
from qdash_queue.client.leases import Lease
from qdash_queue.errors import LeaseLostError
from tests.support.waiting import until

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


def _is_running() -> bool:
    return any(thread.name == "lease" for thread in threading.enumerate())
