"""What find_jobs, waiting_jobs and job_counts show: all that may be read, and nothing else."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from qdash_queue.client.records import PlannedTask
from qdash_queue.domain import JobState, TaskType
from tests.contract.retention_world import RetentionWorld
from tests.support.queue_world import Connection, QueueWorld, Row

FIND = "SELECT * FROM calib.find_jobs(%s)"
KEYS = "SELECT count(*) FROM calib_private.job_keys WHERE job_id = %s"


def found(session: Connection, limit: int = 1000, **criteria: object) -> list[int]:
    given = {f"p_{name}": value for name, value in {**criteria, "limit": limit}.items()}
    arguments = ", ".join(f"{name} => %({name})s" for name in given)
    statement = FIND.replace("%s", arguments)
    return [row["job_id"] for row in session.execute(statement.encode(), given).fetchall()]


@pytest.fixture(scope="module")
def many(world: QueueWorld) -> list[Row]:
    """Some hundred jobs of two projects on two chips, as the overseer sees them."""
    dice = random.Random(7)
    world.admin.add_project("other")
    for person in (world.ana, world.ben):
        world.admin.grant_member("other", person.name, "both", "submitter")
    chips = [world.chip(), world.chip()]
    for n in range(150):
        job_id = (
            dice.choice([world.ana, world.ben])
            .queue.submit(
                dice.choice(["demo", "other"]),
                dice.choice(chips),
                {},
                flow=dice.choice(["repeat", "interactive"]),
                priority=dice.randrange(3),
                tags=dice.sample(["a", "b", "$PROJECT", "it's %s"], dice.randrange(3)),
                note=dice.choice([{}, {"n": 1}, {"n": 1.0, "x": "'; --"}, {"n": True}, {"deep": {"n": 1}}]),
                dedup_key=dice.choice([None, f"key {n}"]),
            )
            .job_id
        )
        if dice.random() < 0.4:
            _cancel(world, job_id)
    return world.rows("SELECT * FROM calib.jobs")


def _cancel(world: QueueWorld, job_id: int) -> None:
    world.owner.execute("UPDATE calib.jobs SET cancel_requested = true WHERE job_id = %s", (job_id,))


CRITERIA: dict[str, tuple[list[Any], Callable[[Row, Any], bool]]] = {
    "project_id": (["demo", "other", "none"], lambda job, value: job["project_id"] == value),
    "chip_id": (["CHIP1", "CHIP2", "NONE"], lambda job, value: job["chip_id"] == value),
    "state": (
        ["scheduled", "cancelled", "failed", "live"],
        lambda job, value: job["state"] == value or (value == "live" and job["state"] == "scheduled"),
    ),
    "tag": (["a", "b", "$PROJECT", "it's %s", "c"], lambda job, value: value in job["tags"]),
    "note": (
        ['{"n": 1.00}', '{"n": true}', '{"x": "\'; --", "n": 1}', '{"n": "1"}'],
        lambda job, value: _contains(job["note"], value),
    ),
    "flow": (["repeat", "interactive"], lambda job, value: job["flow"] == value),
    "dedup_key": (["key 3", "key 50", "nothing"], lambda job, value: job["dedup_key"] == value),
    "before_job_id": ([30, 100], lambda job, value: job["job_id"] < value),
}


def _contains(note: Row, text: str) -> bool:
    def same(found: object, wanted: object) -> bool:
        return found == wanted and isinstance(found, bool) == isinstance(wanted, bool)

    return all(name in note and same(note[name], value) for name, value in json.loads(text).items())


def test_what_is_found_is_what_a_filter_finds(world: QueueWorld, many: list[Row]) -> None:
    dice, session, sizes = random.Random(11), world.session(autocommit=True), Counter[str]()
    for _ in range(400):
        chosen = {
            name: dice.choice(CRITERIA[name][0]) for name in dice.sample(sorted(CRITERIA), dice.randrange(4))
        }
        expected = [
            job["job_id"]
            for job in many
            if all(CRITERIA[name][1](job, value) for name, value in chosen.items())
        ]
        assert found(session, **chosen) == expected, chosen
        assert found(session, limit=3, **chosen) == expected[:3], chosen
        sizes.update(dict.fromkeys(chosen, len(expected)))
    assert all(sizes[name] > 0 for name in CRITERIA), sizes


def test_waiting_jobs_come_in_the_order_of_their_claims(world: QueueWorld, many: list[Row]) -> None:
    waiting = [job for job in many if job["chip_id"] == "CHIP1" and job["state"] == "scheduled"]
    ordered = sorted(waiting, key=lambda job: (-job["priority"], job["job_id"]))
    rows = world.rows("SELECT job_id FROM calib.waiting_jobs('CHIP1', 1000)")
    assert [row["job_id"] for row in rows] == [job["job_id"] for job in ordered] != []


def test_nothing_of_a_project_that_one_may_not_read(world: QueueWorld, many: list[Row]) -> None:
    stranger = world.session(world.person("stranger", "calib_reader"), autocommit=True)
    half = world.session(world.person("half", "calib_reader", access="reader"), autocommit=True)
    world.rows("SELECT * FROM calib.sweep()")
    for name, (values, _) in CRITERIA.items():
        for value in values:
            assert found(stranger, **{name: value}) == []
    readable = [job["job_id"] for job in many if job["project_id"] == "demo"]
    assert found(half) == readable != []
    assert found(half, project_id="other") == []
    for session, projects in ((stranger, set[str]()), (half, {"demo"})):
        for view in ("job_counts", "waiting_jobs('CHIP1', 1000)"):
            rows = session.execute(f"SELECT DISTINCT project_id FROM calib.{view}".encode()).fetchall()
            assert {row["project_id"] for row in rows} == projects, view
    foreign = next(job["job_id"] for job in many if job["project_id"] == "other")
    with pytest.raises(psycopg.Error, match=f"unknown job {foreign}"):
        half.execute("SELECT * FROM calib.why_waits(%s)", (foreign,))


def test_the_newest_events_are_those_that_the_log_has(world: QueueWorld, many: list[Row]) -> None:
    """Of jobs that wait, run, wait once more and have ended."""
    chip_id = world.chip()
    for ending in ("finish", "give_back", "run"):
        _, lease = world.running(chip_id, flow="repeat", parameters={}, max_attempts=2, priority=5)
        if ending == "give_back":
            lease.give_back("stopped")
            world.owner.execute("UPDATE calib_private.jobs SET not_before = 'infinity' WHERE attempt = 1")
        elif ending == "finish":
            lease.conclude(JobState.COMPLETED)
            lease.finish()
    half = world.session(world.person("half", "calib_reader", access="reader"), autocommit=True)
    ends = [row["at"] for row in world.rows("SELECT at FROM calib.job_events ORDER BY at")]
    for session, limit, since in itertools.product(
        (half, world.owner), (1, 7, 60, 1000), (ends[0], ends[len(ends) // 2], ends[-3])
    ):
        expected = session.execute(
            "SELECT * FROM calib.job_events WHERE at >= %s ORDER BY at DESC, event_id DESC LIMIT %s",
            (since, limit),
        ).fetchall()
        found = "SELECT * FROM calib.recent_events(%s, NULL, %s)"
        assert session.execute(found, (since, limit)).fetchall() == expected != []
    stranger = world.session(world.person("stranger", "calib_reader"), autocommit=True)
    assert stranger.execute("SELECT * FROM calib.recent_events('-infinity')").fetchall() == []


@pytest.mark.parametrize(
    ("criteria", "said"),
    [
        ({"state": "ended"}, 'state: expected scheduled, running, .*, got "ended"'),
        ({"task": "CheckRabi"}, "task: expected together with qid and chip_id"),
        ({"note": "[1]"}, "note: expected an object"),
        ({"note": '{"deep": {}}'}, "note: expected an object"),
        ({"note": "{}"}, "note: expected an object"),
        ({"limit": 0}, "limit: expected 1 to 1000, got 0"),
        ({"limit": 1001}, "limit: expected 1 to 1000, got 1001"),
    ],
)
def test_bad_criteria_are_refused_in_words(world: QueueWorld, criteria: Row, said: str) -> None:
    with pytest.raises(psycopg.Error, match=said) as refused:
        found(world.session(autocommit=True), **criteria)
    assert refused.value.sqlstate == "CQ007"


def test_a_job_is_found_by_its_flow_run_and_its_tasks_until_it_is_pruned(aging: RetentionWorld) -> None:
    world = aging.world
    chip_id = world.chip()
    claimed, lease = world.running(chip_id, tags=["x"], note={"a": 1}, dedup_key="k")
    flow_run_id, session = uuid4(), world.session(autocommit=True)
    lease.set_flow_run(flow_run_id)
    lease.plan_tasks([PlannedTask(task="CheckRabi", qid=qid, task_type=TaskType.QUBIT) for qid in "01"])
    of_task = {"chip_id": chip_id, "task": "CheckRabi", "qid": "1"}
    for criteria in (
        of_task,
        {"flow_run_id": flow_run_id},
        {"tag": "x"},
        {"note": '{"a": 1}'},
        {"dedup_key": "k"},
    ):
        assert found(session, **criteria) == [claimed.job_id], criteria
    assert found(session, chip_id=chip_id, task="CheckRabi", qid="2") == []
    world.owner.execute("UPDATE calib_private.jobs SET tags = '{y}' WHERE job_id = %s", (claimed.job_id,))
    assert (found(session, tag="x"), found(session, tag="y")) == ([], [claimed.job_id])
    assert world.value(KEYS, claimed.job_id) == 8
    lease.conclude(JobState.COMPLETED)
    lease.finish()
    world.owner.execute("DELETE FROM calib_private.jobs WHERE job_id = %s", (claimed.job_id,))
    assert world.value(KEYS, claimed.job_id) == 0
