"""Days of the history: each is shown as it ended, and an edit sends no more of them than it has changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from qdash_queue.client.database import Database
from qdash_queue.client.parameters import Parameters
from qdash_queue.mirror import Mirror
from qdash_queue.mirror.documents.layout import Layout
from qdash_queue.mirror.qdash_setup import QDashSetup
from qdash_queue.mirror.read.queue_database import QueueDatabase
from qdash_queue.mirror.write.qdash_lookup import QDashDatabase
from tests.mirror.qdash import make_plan
from tests.mirror.reading import assert_readable, state_of
from tests.support.chip_jobs import CHIP, USER, ChipJobs
from tests.support.queue_world import PROJECT, STOPPED_CLOCK

# Noon in Tokyo, whose days the queue counts.
NOON = datetime(2026, 3, 1, 3, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
def hand(world: ChipJobs) -> Parameters:
    """A user who edits, by a clock that stands."""
    with world.database.raw_connection() as connection:
        connection.execute(STOPPED_CLOCK.encode())
    return Parameters(world.database, CHIP)


def set_clock(owner: Database, at: datetime) -> None:
    owner.execute("UPDATE calib_private.test_clock SET at = %(at)s", at=at)


def edit(hand: Parameters, qid: str, name: str, value: float) -> None:
    hand.set(qid, name, value, unit="μs", reason="looked at it")


def history_of(qdash: QDashDatabase, qid: str = "0") -> dict[str, dict[str, float]]:
    """The values of each day."""
    return {
        row["recorded_date"]: {name: shown["value"] for name, shown in row["data"].items()}
        for row in qdash["qubit_history"].find({"qid": qid})
    }


def only_mark(mirror: Mirror) -> int:
    (mark,) = mirror.lag().marks
    return mark.mark_id


def test_a_day_shows_what_was_in_force_when_it_ended(
    hand: Parameters, mirror: Mirror, qdash: QDashDatabase, owner: Database
) -> None:
    midnight = NOON + timedelta(hours=12)
    values = [(NOON, "t1", 1.0), (midnight - MICROSECOND, "t2_star", 2.0), (midnight, "t1", 3.0)]
    values.append((midnight + MICROSECOND, "t2_star", 4.0))
    for at, name, value in values:
        set_clock(owner, at)
        edit(hand, "0", name, value)
    mirror.run_once()
    assert history_of(qdash) == {
        "20260301": {"t1": 1.0, "t2_star": 2.0},
        "20260302": {"t1": 3.0, "t2_star": 4.0},
    }


def month(hand: Parameters, mirror: Mirror, qdash: QDashDatabase, owner: Database) -> None:
    """Thirty days of edits, imports and reverts; on some the mirror rests, on some QDash has no chip."""
    chip: dict[str, Any] | None = None
    for day in range(30):
        at = NOON + timedelta(days=day)
        set_clock(owner, at)
        edit(hand, "0", "t1", 10.0 + day)
        if day % 3 == 0:
            hand.import_values(
                {"1": {"t1": {"value": day}}, "0-1": {"zx_rotation_rate": {"value": day}}}, "design"
            )
        if day % 7 == 6:
            hand.revert("0", "t1", at - timedelta(days=5), "it was better")
        if day % 10 == 4:
            chip = qdash["chip"].find_one_and_delete({"chip_id": CHIP})
        if day % 10 == 8 and chip is not None:
            qdash["chip"].insert_one(chip)
            owner.execute("SELECT calib.retry_marks()")
        if day % 4 != 1:
            mirror.run_once()
    mirror.run_once()


def test_days_sent_one_by_one_are_those_of_a_rebuild(
    hand: Parameters, mirror: Mirror, qdash: QDashDatabase, layout: Layout, owner: Database
) -> None:
    month(hand, mirror, qdash, owner)
    assert mirror.lag().marks == []
    before = state_of(qdash, layout)
    assert [len(history_of(qdash, qid)) for qid in ("0", "1")] == [30, 10]
    created = before["qubit"][0]["system_info"]["created_at"]
    for collection in ("qubit", "coupling", "qubit_history", "coupling_history"):
        qdash.drop_collection(collection)
    QDashSetup(qdash, created).make_chip(PROJECT, USER, make_plan(CHIP))
    assert mirror.rebuild().waiting == {}
    assert state_of(qdash, layout) == before
    assert_readable(qdash)


def test_an_edit_sends_the_days_since_the_last_one(
    hand: Parameters, mirror: Mirror, qdash: QDashDatabase, owner: Database
) -> None:
    month(hand, mirror, qdash, owner)
    edit(hand, "1", "t1", 1.0)
    source = QueueDatabase(owner)
    days = [(of_day.day, of_day.qid) for of_day in source.chip_history(CHIP, only_mark(mirror))]
    assert days == [("20260329", "0"), ("20260330", "0"), ("20260330", "1")]
    assert len(source.chip_history(CHIP, mark_id=0)) == 51


def test_an_edit_beside_a_slow_mirror_is_sent_next_time(
    hand: Parameters, mirror: Mirror, owner: Database
) -> None:
    set_clock(owner, NOON)
    edit(hand, "0", "t1", 1.0)
    source = QueueDatabase(owner)
    (taken,) = source.take_marks(1, 30.0)
    set_clock(owner, NOON + timedelta(days=3))
    edit(hand, "1", "t1", 2.0)
    set_clock(owner, NOON + timedelta(days=3, hours=1))
    source.mark_done(taken)
    days = [(of_day.day, of_day.qid) for of_day in source.chip_history(CHIP, only_mark(mirror))]
    assert days == [("20260304", "1")]
