"""Many jobs in one call: the checks of an INSERT, all or nothing, the refused row named by its place."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from qdash_queue.errors import (
    BacklogFullError,
    BadValueError,
    DuplicateJobError,
    QueueError,
    UnknownNameError,
)
from qdash_queue.requests import JobRequest
from tests.contract.bad_rows import BAD
from tests.support.queue_world import PARAMETERS, PROJECT, QueueWorld

MANY = "SELECT calib.submit_many(%s) AS job_id"


def request(chip_id: str, **columns: Any) -> JobRequest:
    return JobRequest(project_id=PROJECT, chip_id=chip_id, **({"parameters": PARAMETERS} | columns))


def stored(world: QueueWorld) -> int:
    return int(world.value("SELECT count(*) FROM calib_private.jobs"))


def test_they_are_stored_as_by_inserts_and_numbered_in_their_order(own_world: QueueWorld) -> None:
    one, two = own_world.chip(), own_world.chip()
    requests = [
        request(one, tags=["a", "b"], note={"x": [1, None]}, priority=3, dedup_key="night"),
        request(two, flow="repeat", max_attempts=3, not_before=datetime(2030, 1, 1, tzinfo=UTC)),
        request(one, timeout_seconds=60),
        request(two),
        request(two),
    ]
    ids = own_world.ana.queue.submit_many(requests)
    assert list(ids) == sorted(ids)
    for job_id, asked in zip(ids, requests, strict=True):
        job = own_world.ana.queue.get(job_id)
        twin = own_world.ana.queue.submit_request(asked.model_copy(update={"dedup_key": None}))
        kept = {"job_id", "submitted_at", "not_before", "dedup_key", "waiting_for"}
        assert job.model_dump(exclude=kept) == twin.model_dump(exclude=kept)
        assert (job.dedup_key, job.state.value) == (asked.dedup_key, "scheduled")
        assert own_world.events(job_id) == ["submitted"]
    assert own_world.ana.queue.get(ids[1]).not_before == requests[1].not_before


@pytest.mark.parametrize("requests", [[], None])
def test_none_is_none(world: QueueWorld, requests: list[JobRequest] | None) -> None:
    if requests is None:
        with pytest.raises(psycopg.Error, match="JSON array of at most 10000 jobs, got nothing"):
            world.session(world.ana).execute(MANY, (None,))
    else:
        assert world.ana.queue.submit_many(requests) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "jobs: expected a JSON array of at most 10000 jobs, got object"),
        ([{}] * 10001, "jobs: expected a JSON array of at most 10000 jobs, got 10001 of them"),
        ([1], "jobs[0]: expected a JSON object, got number"),
        ([{"project": "demo"}], 'jobs[0]: unknown column "project": did you mean "project_id"?'),
        ([{"priority": "high"}], "jobs[0]: invalid input syntax for type smallint"),
        ([{"not_before": "soon"}], "jobs[0]: invalid input syntax for type timestamp"),
        ([{"tags": "a"}], "jobs[0]: malformed array literal"),
    ],
)
def test_what_is_no_list_of_jobs_is_told(world: QueueWorld, given: object, said: str) -> None:
    with pytest.raises(psycopg.Error) as refused:
        world.session(world.ana).execute(MANY, (Jsonb(given),))
    assert str(refused.value.diag.message_primary).startswith(said)
    assert refused.value.sqlstate == "CQ007"


@pytest.mark.parametrize("place", [0, 2, 4])
def test_one_bad_row_refuses_all_and_is_named(world: QueueWorld, place: int) -> None:
    chip_id, before = world.chip(), stored(world)
    requests = [request(chip_id, priority=number) for number in range(5)]
    requests[place] = request(chip_id, parameters={"qids": ["0"], "tasks": ["CheckRaby"]})
    with pytest.raises(UnknownNameError) as refused:
        world.ana.queue.submit_many(requests)
    assert str(refused.value).startswith(f"jobs[{place}]: parameters.tasks[0]: unknown task ")
    assert "CheckRaby" in refused.value.detail
    assert stored(world) == before


def test_the_first_of_several_equal_rows_is_named(world: QueueWorld) -> None:
    chip_id = world.chip()
    bad = request(chip_id, priority=101)
    with pytest.raises(BadValueError, match=r"^jobs\[1\]: priority: expected -100 to 100, got 101"):
        world.ana.queue.submit_many([request(chip_id), bad, bad])


def test_whatever_an_insert_refuses_is_refused(world: QueueWorld) -> None:
    """The same words, code and column; but what is no JSON of the column's type, which is told otherwise."""
    good = {"project_id": PROJECT, "chip_id": world.chip(), "parameters": PARAMETERS}
    session, count = world.session(world.ana, autocommit=True), 0
    for column, value, code, at, words in BAD:
        if not code.startswith("CQ") or column == "tags" or value == "null":
            continue
        text = str(value) if column in ("parameters", "note") else json.dumps(value)
        others = json.dumps({name: each for name, each in good.items() if name != column})
        with pytest.raises(psycopg.Error) as refused:
            session.execute(MANY, (f'[{others[:-1]}, "{column}": {text}}}]',))
        assert (refused.value.sqlstate, refused.value.diag.column_name) == (code, at), (column, value)
        assert re.search(words, str(refused.value)), (column, value)
        count += 1
    assert count > len(BAD) / 2


def test_dedup_keys_are_told_apart_within_the_call_too(world: QueueWorld) -> None:
    chip_id = world.chip()
    keys = [None, "one", None, "two", "one"]
    with pytest.raises(DuplicateJobError, match=r'^jobs\[4\]: dedup_key "one" is that of jobs\[1\]'):
        world.ana.queue.submit_many([request(chip_id, dedup_key=key) for key in keys])
    taken = world.ana.queue.submit_request(request(chip_id, dedup_key="two"))
    with pytest.raises(
        DuplicateJobError, match=rf'^jobs\[3\]: dedup_key "two" is taken by job {taken.job_id}'
    ):
        world.ana.queue.submit_many([request(chip_id, dedup_key=key) for key in keys[:4]])


def test_the_backlog_counts_all_that_come(world: QueueWorld) -> None:
    one, two = world.chip(), world.chip()
    world.admin.set_chip(one, 5)
    world.ana.queue.submit_many([request(one), request(one)])
    four = [request(two), *(request(one, priority=number) for number in range(4))]
    with pytest.raises(
        BacklogFullError, match=rf'^jobs\[1\]: chip "{one}" has 2 jobs waiting and takes no more'
    ):
        world.ana.queue.submit_many(four)
    world.ana.queue.submit_many(four[:4])
    with pytest.raises(BacklogFullError, match=f'^chip "{one}" has 5 jobs waiting and takes no more$'):
        world.ana.queue.submit_request(request(one))


def test_it_needs_the_right_to_submit_to_each_project(world: QueueWorld) -> None:
    chip_id, before = world.chip(), stored(world)
    world.admin.add_project("closed")
    foreign = request(chip_id).model_copy(update={"project_id": "closed"})
    with pytest.raises(QueueError) as refused:
        world.ana.queue.submit_many([request(chip_id), foreign])
    assert refused.value.code == "CQ003"
    assert str(refused.value).startswith("jobs[1]: ")
    assert stored(world) == before


def test_an_idle_chip_is_woken_once(world: QueueWorld) -> None:
    one, two = world.chip(), world.chip()
    for chip_id in (one, two):
        world.ready(chip_id)
    with world.ana.database.raw_connection() as listener:
        for chip_id in (one, two):
            listener.execute(f'LISTEN "calib_{chip_id}"'.encode())
        world.ana.queue.submit_many([request(one), request(two), request(one), request(one, priority=1)])
        heard = sorted(notice.channel for notice in listener.notifies(timeout=2, stop_after=2))
    assert heard == sorted([f"calib_{one}", f"calib_{two}"])


def test_a_key_that_is_taken_meanwhile_refuses_all(world: QueueWorld) -> None:
    """Checked as free, and taken by a session that commits before it is stored."""
    chip_id, before = world.chip(), stored(world)
    world.owner.execute(
        "CREATE FUNCTION calib_private.test_rival() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.dedup_key = 'contested' THEN RETURN NULL; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER test_rival BEFORE INSERT ON calib_private.jobs FOR EACH ROW"
        " EXECUTE FUNCTION calib_private.test_rival()"
    )
    try:
        with pytest.raises(DuplicateJobError, match="nothing was stored: submit them again"):
            world.ana.queue.submit_many([request(chip_id), request(chip_id, dedup_key="contested")])
    finally:
        world.owner.execute("DROP FUNCTION calib_private.test_rival CASCADE")
    assert stored(world) == before
