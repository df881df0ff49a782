"""Numbers of executions: counted by the day over the whole queue, in the queue's own time zone."""

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
    own_timed.owner.execute(
        "SELECT setval('calib_private.execution_numbers', first_number + 997)"
        " FROM calib_private.execution_days"
    )
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


def test_the_number_of_a_claim_that_is_rolled_back_is_not_given_again(own_timed: QueueWorld) -> None:
    chip_id = own_timed.chip()
    assert _run(own_timed, chip_id) == "20260301-q001"
    own_timed.submit(chip_id)
    own_timed.ready(chip_id)
    session = own_timed.session(own_timed.machine)
    session.execute("SELECT * FROM calib.claim(%s, %s, gen_random_uuid())", (chip_id, f"{chip_id}/one"))
    session.rollback()
    claimed = own_timed.ready(chip_id).claim()
    assert claimed is not None
    assert claimed.execution_id == "20260301-q003"


def test_a_claim_that_is_not_committed_holds_up_no_other_chip(own_timed: QueueWorld) -> None:
    first, second, third = (own_timed.chip() for _ in range(3))
    _run(own_timed, first)
    for chip_id in (second, third):
        own_timed.submit(chip_id)
        own_timed.ready(chip_id)
    claim = "SELECT execution_id FROM calib.claim(%s, %s, gen_random_uuid())"
    with own_timed.session(own_timed.machine) as held, own_timed.session(own_timed.machine) as other:
        held.execute(claim, (second, f"{second}/one"))
        other.execute("SET lock_timeout = '2s'")
        row = other.execute(claim, (third, f"{third}/one")).fetchone()
    assert row == {"execution_id": "20260301-q003"}


def test_a_number_drawn_before_the_first_of_the_day_is_left_out(own_timed: QueueWorld) -> None:
    """As by a claim that has drawn and is slow, while another one begins the day's count."""
    own_timed.owner.execute(
        "INSERT INTO calib_private.execution_days (day, first_number)"
        " SELECT '2026-03-01', last_value + 5 FROM calib_private.execution_numbers"
    )
    assert [_run(own_timed, own_timed.chip()) for _ in range(2)] == ["20260301-q001", "20260301-q002"]


def test_no_number_before_the_first_claim(own_timed: QueueWorld) -> None:
    assert own_timed.job(own_timed.submit(own_timed.chip()))["execution_id"] is None
