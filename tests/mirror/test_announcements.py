"""Starts and ends of jobs on the channel `calibration_jobs`: hints that the mirror sends after the commit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from qdash_queue.client.database import Database
from qdash_queue.client.records import TaskRecord
from qdash_queue.mirror import Mirror
from tests.mirror.conftest import MirrorMaker
from tests.mirror.running_mirror import running
from tests.support.chip_jobs import ChipJobs, passing
from tests.support.databases import CalibDatabase
from tests.support.killable_servers import FailingMongo
from tests.support.queue_world import QueueWorld
from tests.support.waiting import PATIENCE

Told = list[tuple[int, str]]


@pytest.fixture
def listener(database: CalibDatabase) -> Iterator[psycopg.Connection[Any]]:
    """A login without any right in the queue."""
    with psycopg.connect(database.login().url, autocommit=True) as connection:
        connection.execute("LISTEN calibration_jobs")
        yield connection


def heard(listener: psycopg.Connection[Any], least: int) -> Told:
    """What is announced until there are that many; nothing more is waited for."""
    found: Told = []
    for notice in listener.notifies(timeout=PATIENCE):
        found += [(one["job_id"], one["state"]) for one in json.loads(notice.payload)]
        if len(found) >= least:
            break
    return found


def silent(listener: psycopg.Connection[Any]) -> bool:
    return list(listener.notifies(timeout=0.0)) == []


def test_start_and_end_are_told_once_each(
    world: ChipJobs, listener: psycopg.Connection[Any], mirror: Mirror
) -> None:
    told: Told = []

    def passing_slowly(task: str, qid: str) -> TaskRecord:
        if not told:
            told.extend(heard(listener, 1))
        return passing(task)

    with running(mirror):
        job = world.run(["0"], ["CheckT1", "CheckRabi"], record=passing_slowly)
        assert told == [(job.job_id, "running")]
        assert heard(listener, 1) == [(job.job_id, "completed")]
    assert silent(listener), "what was recorded in between is neither a start nor an end"


def test_the_executor_sends_none_of_it(world: ChipJobs, listener: psycopg.Connection[Any]) -> None:
    world.run(["0"], ["CheckT1"])
    listener.execute("SELECT 1")
    assert silent(listener)


def test_mongodb_need_not_answer(
    world: ChipJobs, listener: psycopg.Connection[Any], make_mirror: MirrorMaker, own_mongo: FailingMongo
) -> None:
    away = make_mirror(own_mongo.url)
    own_mongo.stop()
    with running(away):
        job = world.run(["0"], ["CheckT1"])
        told = heard(listener, 1)
        while told[-1] != (job.job_id, "completed"):
            told += heard(listener, 1)


def test_many_are_told_in_notices_of_a_hundred(
    queue: QueueWorld, listener: psycopg.Connection[Any], owner: Database
) -> None:
    chip_ids = [queue.chip() for _ in range(3)]
    jobs = [queue.running(chip_id)[0].job_id for chip_id in chip_ids]
    many = jobs * 50
    owner.execute("SELECT calib_private.announce(%(many)s)", many=many)
    listener.execute("SELECT 1")
    notices = [json.loads(notice.payload) for notice in listener.notifies(timeout=0.0)]
    assert sorted(len(notice) for notice in notices) == [51, 99]
    assert {(one["job_id"], one["state"]) for notice in notices for one in notice} == {
        (job_id, "running") for job_id in jobs
    }
    assert owner.value("SELECT calib.announce_jobs()") == len(jobs)
    assert owner.value("SELECT calib.announce_jobs()") == 0


def test_a_mirror_that_never_announces_still_tells(
    world: ChipJobs, listener: psycopg.Connection[Any], mirror: Mirror
) -> None:
    """The mirror of release 0.7.0; and a state that changed after the announcements of a round."""
    job = world.run(["0"], ["CheckT1"])
    mirror.run_once()
    assert (job.job_id, "completed") in heard(listener, 1)
