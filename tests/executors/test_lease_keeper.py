"""The thread that keeps a lease, while nobody answers it."""

from __future__ import annotations

import logging
import threading
import time
import uuid

import pytest

from executors.job.wakeup import Wakeup
from executors.supervisor.lease_keeper import LeaseKeeper, LeaseTimes
from qdash_queue.client.database import Database
from qdash_queue.client.leases import Lease
from qdash_queue.errors import LeaseLostError
from tests.support.waiting import until

NOBODY = "postgresql://nobody@127.0.0.1:1/nowhere"
TIMES = LeaseTimes(lease=3.0, heartbeat=0.2, poll=0.1, margin=0.1)


def test_what_nobody_takes_is_said_again_with_pauses_and_given_up_with_the_lease(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lease = Lease(Database(NOBODY), 1, uuid.uuid4())
    keeper = LeaseKeeper(lease, TIMES, Wakeup(), lambda: False, time.monotonic())
    with caplog.at_level(logging.WARNING, "executors.supervisor.lease_keeper"):
        with keeper:
            keeper.log("child_exited", {})
            with pytest.raises(LeaseLostError):
                keeper.settle()
        until(lambda: not _is_running(), "the thread to end")
    # A pause of 0.25 s after each try, over the 3 s of the lease.
    assert 2 <= len(caplog.records) <= 16


def _is_running() -> bool:
    return any(thread.name == "lease" for thread in threading.enumerate())
