"""What can be changed of a job that waits, by whom, and what RETURNING says of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from qdash_queue.errors import BadValueError, DuplicateJobError, IllegalTransitionError, NotPermittedError
from qdash_queue.requests import JobEdit
from tests.contract.meeting import in_thread
from tests.support.queue_world import PROJECT, Connection, QueueWorld, insert
from tests.support.waiting import PATIENCE


def edits(world: QueueWorld) -> dict[str, Any]:
    now = world.now()
    return {
        "priority": 7,
        "not_before": now + timedelta(hours=1),
        "not_after": now + timedelta(hours=2),
        "timeout_seconds": 17,
        "tags": ["night", "beam"],
        "note": {"why": "cold"},
    }


def test_every_column_that_can_be_edited(world: QueueWorld) -> None:
    job_id = world.submit(world.chip(), note={"secret": 1})
    changes = edits(world)
    assert set(changes) == set(JobEdit.model_fields)
    before = world.job(job_id)
    for name, value in changes.items():
        job = world.ana.queue.edit(job_id, **{name: value})
        assert getattr(job, name) == value
        detail = world.rows(
            "SELECT detail FROM calib.job_events WHERE job_id = %s ORDER BY event_id DESC LIMIT 1", job_id
        )[0]["detail"]
        assert list(detail) == [name]
        assert "secret" not in str(detail)
    after = world.job(job_id)
    assert after["version"] == before["version"] + len(changes)
    same = set(before) - set(changes) - {"version", "waiting_for"}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert world.ana.queue.edit(job_id, not_after=None).not_after is None


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("priority", 101, "priority: expected -100 to 100, got 101"),
        ("priority", None, "priority: expected a value, got nothing"),
        ("tags", None, "tags: expected a value"),
        ("tags", ["x"] * 33, "tags: expected at most 32 texts"),
        ("note", {"x": "y" * 70_000}, "note: expected at most 64 KiB"),
        ("timeout_seconds", 0, "timeout_seconds: expected 1 to 604800"),
        ("not_after", "2020-01-01T00:00:00Z", "not_after: expected a time after not_before"),
        ("flow", "repeat", "flow: Extra inputs"),
    ],
)
def test_bad_values_change_nothing(world: QueueWorld, column: str, value: object, said: str) -> None:
    job_id = world.submit(world.chip())
    before = world.job(job_id)
    with pytest.raises(Exception, match=said) as refused:
        world.ana.queue.edit(job_id, **{column: value})
    assert getattr(refused.value, "column", None) == column
    assert world.job(job_id) == before
    with pytest.raises(BadValueError, match="expected a column"):
        world.ana.queue.edit(job_id)


def test_only_its_submitter_or_an_operator_may(world: QueueWorld) -> None:
    job_id = world.submit(world.chip())
    with pytest.raises(NotPermittedError, match="may not change job"):
        world.ben.queue.edit(job_id, tags=["mine"])
    assert world.olga.queue.edit(job_id, tags=["ours"]).tags == ["ours"]


def test_a_job_that_has_started_stops_no_other_edit(world: QueueWorld) -> None:
    chip_id = world.chip()
    claimed, _ = world.running(chip_id)
    waiting = world.submit(chip_id)
    session = world.session(world.ana, autocommit=True)
    said: list[str] = []
    session.add_notice_handler(lambda notice: said.append(f"{notice.sqlstate} {notice.message_primary}"))
    done = session.execute(
        "UPDATE calib.jobs SET priority = 9 WHERE chip_id = %s RETURNING job_id", (chip_id,)
    )
    assert done.fetchall() == [{"job_id": waiting}]
    assert said == [f"CQ010 job {claimed.job_id} does not wait any more: priority was not changed"]
    with pytest.raises(IllegalTransitionError, match="does not wait any more: note, tags were not changed"):
        world.ana.queue.edit(claimed.job_id, note={"x": 1}, tags=["late"])
    assert world.job(claimed.job_id)["tags"] == []


def test_a_late_edit_does_not_lose_the_cancel_beside_it(world: QueueWorld) -> None:
    claimed, _ = world.running(world.chip())
    session = world.session(world.ana, autocommit=True)
    done = session.execute(
        "UPDATE calib.jobs SET priority = 9, cancel_requested = true WHERE job_id = %s", (claimed.job_id,)
    )
    assert done.rowcount == 1
    job = world.job(claimed.job_id)
    assert (job["priority"], job["cancel_requested"]) == (0, True)


def _returned(session: Connection, change: str, job_id: int) -> dict[str, Any]:
    row = session.execute(
        f"UPDATE calib.jobs SET {change} WHERE job_id = {job_id} RETURNING *".encode()
    ).fetchone()
    assert row is not None
    return row


@pytest.mark.parametrize(
    "change",
    [
        "priority = 5, tags = '{a}'",
        "cancel_requested = true, cancel_reason = 'beam time'",
        "note = '{\"a\": 1}'",
    ],
)
@pytest.mark.parametrize("state", ["scheduled", "running"])
def test_returning_gives_the_stored_row(world: QueueWorld, change: str, state: str) -> None:
    if state == "running" and "cancel" not in change:
        pytest.skip("an edit of a running job counts no row")
    chip_id = world.chip()
    job_id = world.submit(chip_id) if state == "scheduled" else world.running(chip_id)[0].job_id
    returned = _returned(world.session(world.ana, autocommit=True), change, job_id)
    assert returned == world.job(job_id)


def test_returning_of_a_stronger_cancel(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    session = world.session(world.ana, autocommit=True)
    _returned(
        session, "cancel_requested = true, cancel_mode = 'after_task', cancel_reason = 'a'", claimed.job_id
    )
    assert _returned(session, "cancel_mode = 'now', cancel_reason = 'b'", claimed.job_id) == world.job(
        claimed.job_id
    )
    lease.cancel_from_prefect("in Prefect")
    assert _returned(session, "cancel_requested = true", claimed.job_id) == world.job(claimed.job_id)


def test_returning_of_an_insert_gives_the_stored_row(world: QueueWorld) -> None:
    row = insert(
        world.session(world.ana, autocommit=True),
        project_id=PROJECT,
        chip_id=world.chip(),
        flow="repeat",
        tags="{a,b}",
        dedup_key="returned",
    )
    # What it waits for is of the whole queue, and told by a later look.
    assert row == {**world.job(row["job_id"]), "waiting_for": None}


def test_a_repeated_key_in_an_older_snapshot_is_told_in_words(world: QueueWorld) -> None:
    chip_id = world.chip()
    session = world.session(world.ana)
    session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    session.execute("SELECT count(*) FROM calib.jobs")
    world.submit(chip_id, flow="repeat", parameters={}, dedup_key="one")
    with pytest.raises(
        psycopg.Error, match='dedup_key "one" is taken by a job that was submitted'
    ) as refused:
        insert(session, project_id=PROJECT, chip_id=chip_id, flow="repeat", dedup_key="one")
    assert (refused.value.sqlstate, refused.value.diag.column_name) == (DuplicateJobError.code, "dedup_key")


def test_on_conflict_stores_nothing_twice(world: QueueWorld) -> None:
    chip_id = world.chip()
    session = world.session(world.ana, autocommit=True)
    insert_one = (
        "INSERT INTO calib.jobs (project_id, chip_id, flow, dedup_key)"
        " VALUES ('demo', %s, 'repeat', 'conflict') ON CONFLICT "
    )
    session.execute(f"{insert_one} DO NOTHING".encode(), (chip_id,))
    with pytest.raises(psycopg.Error, match='dedup_key "conflict" is taken by job'):
        session.execute(f"{insert_one} DO NOTHING".encode(), (chip_id,))
    with pytest.raises(psycopg.Error, match="ON CONFLICT"):
        session.execute(f"{insert_one} (dedup_key) DO NOTHING".encode(), (chip_id,))
    with pytest.raises(psycopg.Error, match="ON CONFLICT"):
        session.execute(f"{insert_one} (dedup_key) DO UPDATE SET priority = 9".encode(), (chip_id,))
    assert len(world.rows("SELECT FROM calib.jobs WHERE chip_id = %s", chip_id)) == 1


def test_an_edit_waits_for_no_open_claim_longer_than_it_lasts(world: QueueWorld) -> None:
    chip_id = world.chip()
    job_id = world.submit(chip_id)
    executor = world.ready(chip_id)
    claiming = world.session(world.machine)
    claiming.execute("SELECT calib.claim(%s, %s, gen_random_uuid())", (chip_id, executor.executor_id))
    asked = in_thread(lambda: world.olga.queue.edit(job_id, tags=["late"]))
    world.wait_until_blocked(world.olga)
    claiming.commit()
    with pytest.raises(IllegalTransitionError, match="does not wait any more"):
        asked.result(timeout=PATIENCE)
