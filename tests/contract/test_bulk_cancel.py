"""`cancel_jobs`: one answer for each job, and a refused one stops no other."""

from __future__ import annotations

from collections import Counter

import psycopg
import pytest

from qdash_queue.domain import CancelMode, JobState
from qdash_queue.errors import BadValueError
from tests.contract.meeting import in_thread, open_transaction
from tests.support.queue_world import PROJECT, QueueWorld, insert
from tests.support.waiting import PATIENCE

NOBODYS_JOB = 2**62


def test_each_kind_of_job_has_its_answer(world: QueueWorld) -> None:
    chip_id = world.chip()
    running, _ = world.running(chip_id)
    before = world.running(world.chip())[0].job_id
    world.ana.queue.cancel(before, CancelMode.NOW)
    ended = world.submit(chip_id)
    world.ana.queue.cancel(ended)
    untouched = world.events(ended)
    jobs = {
        world.submit(chip_id): ("cancelled", "cancelled"),
        running.job_id: ("requested", "running"),
        before: ("requested_before", "running"),
        ended: ("ended", "cancelled"),
        world.submit(chip_id, world.ben): ("forbidden", "scheduled"),
        NOBODYS_JOB: ("unknown", None),
    }
    for dry_run in (True, False):
        answers = world.ana.queue.cancel_jobs(
            job_ids=list(jobs), reason="beam time", mode=CancelMode.AFTER_TASK, dry_run=dry_run
        )
        assert [a.job_id for a in answers] == sorted(jobs)
        assert {a.job_id: a.answer for a in answers} == {n: answer for n, (answer, _) in jobs.items()}
        states = {a.job_id: a.state for a in answers}
        if dry_run:
            assert world.events(running.job_id)[-1] == "claimed"
    assert states == {n: state for n, (_, state) in jobs.items()}
    assert world.events(ended) == untouched
    assert world.job(before)["cancel_mode"] == "now"
    assert world.job(running.job_id)["cancel_reason"] == "beam time"
    again = world.ana.queue.cancel_jobs(job_ids=[running.job_id], mode=CancelMode.NOW)
    assert [a.answer for a in again] == ["requested"]
    assert world.job(running.job_id)["cancel_mode"] == "now"


def test_a_job_that_one_may_not_read_answers_as_one_that_does_not_exist(world: QueueWorld) -> None:
    job_id = world.submit(world.chip())
    world.admin.add_project("other", "Other")
    stranger = world.person("stranger", "calib_submitter")
    world.admin.grant_member("other", stranger.name, "stranger", "operator")
    answers = stranger.queue.cancel_jobs(job_ids=[job_id, NOBODYS_JOB])
    shapes = {(a.answer, a.state, a.message.replace(str(a.job_id), "N")) for a in answers}
    assert shapes == {("unknown", None, "unknown job N")}
    assert stranger.queue.cancel_jobs(project_id=PROJECT) == []
    assert world.job(job_id)["state"] == "scheduled"


@pytest.mark.parametrize(
    "filters",
    [
        {"tags": ["night"]},
        {"state": JobState.SCHEDULED, "tags": ["night", "x"]},
        {"submitted_by": "ben", "tags": ["night"]},
        {"project_id": PROJECT, "tags": ["night"], "chip_id": "the chip"},
    ],
)
def test_filters_are_met_together(world: QueueWorld, filters: dict[str, object]) -> None:
    chip_id = world.chip()
    hit = world.submit(chip_id, world.ben, tags=["x", "night"])
    miss = [world.submit(chip_id, world.ben, tags=["day"]), world.submit(chip_id, world.ben)]
    given = {**filters}
    if "submitted_by" in given:
        given["submitted_by"] = world.ben.name
    if "chip_id" in given:
        given["chip_id"] = chip_id
    answers = world.olga.queue.cancel_jobs(**given)  # type: ignore[arg-type]
    assert [(a.job_id, a.answer) for a in answers] == [(hit, "cancelled")]
    assert [world.job(job_id)["state"] for job_id in miss] == ["scheduled"] * 2
    named = world.olga.queue.cancel_jobs(job_ids=[hit, *miss], chip_id=chip_id, tags=["night"])
    assert [a.answer for a in named] == ["ended", "not_matching", "not_matching"]
    world.olga.queue.cancel_jobs(chip_id=chip_id)


def test_ended_jobs_are_not_looked_for(world: QueueWorld) -> None:
    chip_id = world.chip()
    world.ana.queue.cancel(world.submit(chip_id))
    waiting = world.submit(chip_id)
    assert [a.job_id for a in world.ana.queue.cancel_jobs(chip_id=chip_id)] == [waiting]


def test_without_a_filter_nothing_is_cancelled(world: QueueWorld) -> None:
    with pytest.raises(BadValueError, match="which jobs: expected a chip"):
        world.ana.queue.cancel_jobs(reason="all of it")
    with pytest.raises(psycopg.Error, match="state: expected scheduled"):
        world.session(world.ana).execute("SELECT calib.cancel_jobs(p_state => 'waiting')")


def test_thousands_at_once(world: QueueWorld) -> None:
    chip_id = world.chip()
    world.admin.set_chip(chip_id, 10_000)
    session = world.session(world.ana, autocommit=True)
    rows = session.execute(
        "INSERT INTO calib.jobs (project_id, chip_id, flow) SELECT %s, %s, 'repeat'"
        " FROM generate_series(1, 500) RETURNING job_id",
        (PROJECT, chip_id),
    ).fetchall()
    mine = [int(row["job_id"]) for row in rows]
    foreign = [world.submit(chip_id, world.ben) for _ in range(5)]
    world.ana.queue.cancel_jobs(job_ids=mine[:250])
    answers = world.ana.queue.cancel_jobs(job_ids=[*mine, *foreign, NOBODYS_JOB])
    assert Counter(a.answer for a in answers) == {
        "ended": 250,
        "cancelled": 250,
        "forbidden": 5,
        "unknown": 1,
    }
    world.olga.queue.cancel_jobs(chip_id=chip_id)


def test_a_job_that_is_claimed_meanwhile_is_told_to_stop(world: QueueWorld) -> None:
    chip_id = world.chip()
    job_id = world.submit(chip_id)
    later = world.submit(chip_id)
    executor = world.ready(chip_id)
    with open_transaction(world.session(world.machine)) as claiming:
        claiming.execute("SELECT calib.claim(%s, %s, gen_random_uuid())", (chip_id, executor.executor_id))
        asked = in_thread(lambda: world.olga.queue.cancel_jobs(chip_id=chip_id))
        world.wait_until_blocked(world.olga)
        claiming.commit()
    answers = asked.result(timeout=PATIENCE)
    assert [(a.job_id, a.answer, a.state) for a in answers] == [
        (job_id, "requested", "running"),
        (later, "cancelled", "cancelled"),
    ]


def test_a_reader_may_not(world: QueueWorld) -> None:
    reader = world.person("rita", "calib_reader", access="reader")
    row = insert(
        world.session(world.ana, autocommit=True), project_id=PROJECT, chip_id=world.chip(), flow="repeat"
    )
    with pytest.raises(Exception, match="permission denied"):
        reader.queue.cancel_jobs(job_ids=[row["job_id"]])
