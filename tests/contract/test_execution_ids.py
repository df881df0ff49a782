"""Numbers of executions: one counter a day over the whole queue, in the queue's own time zone."""

from __future__ import annotations

import pytest

from qdash_queue.domain import JobState
from qdash_queue.errors import BadValueError
from tests.support.queue_world import QueueWorld


def _run(world: QueueWorld, chip_id: str) -> str:
    claimed, lease = world.running(chip_id, flow="repeat", parameters={})
    lease.conclude(JobState.COMPLETED)
    lease.finish()
    return claimed.execution_id


def test_the_day_rolls_at_midnight_in_tokyo(own_timed: QueueWorld) -> None:
    one, two = own_timed.chip(), own_timed.chip()
    own_timed.set_clock("2026-03-01 23:59:58+09")
    assert [_run(own_timed, one), _run(own_timed, two)] == ["20260301-q001", "20260301-q002"]
    own_timed.set_clock("2026-03-01 23:59:59.999999+09")
    assert _run(own_timed, one) == "20260301-q003"
    own_timed.advance(0.000001)
    assert _run(own_timed, one) == "20260302-q001"


def test_another_time_zone_has_another_midnight(own_timed: QueueWorld) -> None:
    chip_id = own_timed.chip()
    own_timed.admin.set_time_zone("America/New_York")
    own_timed.set_clock("2026-03-01 23:59:58+09")
    assert _run(own_timed, chip_id) == "20260301-q001"
    own_timed.set_clock("2026-03-02 13:59:59+09")
    assert _run(own_timed, chip_id) == "20260301-q002"
    own_timed.set_clock("2026-03-02 14:00:00+09")
    assert _run(own_timed, chip_id) == "20260302-q001"
    with pytest.raises(BadValueError, match='expected a name such as "Asia/Tokyo", got "Tokio"'):
        own_timed.admin.set_time_zone("Tokio")


def test_the_number_grows_past_three_digits(own_timed: QueueWorld) -> None:
    chip_id = own_timed.chip()
    first = _run(own_timed, chip_id)
    own_timed.owner.execute("UPDATE calib_private.execution_counters SET last_n = 998")
    assert [_run(own_timed, chip_id) for _ in range(2)] == [
        first.replace("q001", "q999"),
        first.replace("q001", "q1000"),
    ]


def test_the_number_is_kept_for_all_attempts(own_timed: QueueWorld) -> None:
    chip_id = own_timed.chip()
    claimed, lease = own_timed.running(chip_id, flow="repeat", parameters={}, max_attempts=2)
    own_timed.advance(86400)
    lease.give_back("executor stopped")
    again = own_timed.ready(chip_id).claim()
    assert again is not None
    assert (again.attempt, again.execution_id) == (2, claimed.execution_id)


def test_a_claim_that_is_rolled_back_leaves_no_gap(own_timed: QueueWorld) -> None:
    chip_id = own_timed.chip()
    own_timed.submit(chip_id)
    own_timed.ready(chip_id)
    session = own_timed.session(own_timed.machine)
    session.execute("SELECT * FROM calib.claim(%s, %s, gen_random_uuid())", (chip_id, f"{chip_id}/one"))
    session.rollback()
    claimed = own_timed.ready(chip_id).claim()
    assert claimed is not None
    assert claimed.execution_id == "20260301-q001"


def test_no_number_before_the_first_claim(own_timed: QueueWorld) -> None:
    assert own_timed.job(own_timed.submit(own_timed.chip()))["execution_id"] is None
