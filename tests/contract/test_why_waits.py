"""Why a job waits: SQL against an oracle that is written apart from it, over a thousand generated states."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from qdash_queue.errors import UnknownNameError
from tests.support.queue_world import QueueWorld, Row

SEED, CHIPS, JOBS = 20261201, 100, 10
INSERT = (
    "INSERT INTO calib_private.jobs (project_id, username, chip_id, flow, parameters, priority, not_before,"
    " not_after, timeout_seconds, max_attempts, repeatable, tags, note, state, attempt, fence, submitted_by,"
    " submitted_at, started_at, finished_at) VALUES (%(project_id)s, 'ana', %(chip_id)s, %(flow)s, '{}',"
    " %(priority)s, %(not_before)s, %(not_after)s, %(timeout_seconds)s, 3, true, '{}', '{}', %(state)s,"
    " %(attempt)s, %(fence)s, 'ana', %(not_before)s, %(started_at)s, %(finished_at)s) RETURNING job_id"
)


@dataclass
class ChipState:
    """One chip with what a test has put there: the oracle knows nothing else."""

    chip_id: str
    paused: str | None
    executors: list[Row]
    jobs: list[Row]
    cancelled: set[int]


def generated(world: QueueWorld, dice: random.Random, number: int) -> ChipState:
    """A chip in some state with ten jobs, written past the triggers."""
    now, chip_id = world.now(), f"STATE{number}"
    world.add_chip(chip_id, "linear-2")
    paused = dice.choice([None, None, None, "beam time"])
    if paused:
        world.owner.execute(
            "UPDATE calib_private.chips SET paused = true, pause_reason = %s WHERE chip_id = %s",
            (paused, chip_id),
        )
    executors = [
        {
            "condition": dice.choice(["ready", "ready; not offered (1): lab.py", "Prefect does not answer"]),
            "last_seen_at": now - timedelta(seconds=dice.choice([1, 5, 29, 31]), milliseconds=n),
            "stopped_at": dice.choice([None, None, None, now]),
        }
        for n in range(dice.randrange(4))
    ]
    for n, executor in enumerate(executors):
        world.owner.execute(
            "INSERT INTO calib_private.executors"
            " VALUES (%s, %s, 'calib_executor', 'here', 1, '1', %s, %s, %s, %s)",
            (f"{chip_id}/{n}", chip_id, executor["condition"], now, *list(executor.values())[1:]),
        )
    running = dice.random() < 0.5
    jobs = [_job(dice, now, chip_id, "running" if running and n == 0 else None) for n in range(JOBS)]
    dice.shuffle(jobs)
    for job in jobs:
        job["job_id"] = _stored(world, job)
    cancelled = {job["job_id"] for job in jobs if job["attempt"] == 1 and dice.random() < 0.5}
    for job_id in cancelled:
        world.owner.execute(
            "INSERT INTO calib_private.cancel_requests VALUES (%s, 'client', 'now', '', 'ana', %s)",
            (job_id, now),
        )
    return ChipState(chip_id, paused, executors, jobs, cancelled)


def _job(dice: random.Random, now: datetime, chip_id: str, state: str | None) -> Row:
    state = state or dice.choice(["scheduled"] * 8 + ["completed"])
    later, earlier = now + timedelta(hours=dice.randrange(1, 9)), now - timedelta(hours=1)
    started = None if state == "scheduled" else now - timedelta(seconds=dice.randrange(1, 60))
    return {
        "project_id": dice.choice(["demo", "demo", "foreign"]),
        "chip_id": chip_id,
        "flow": dice.choice(["calibrate"] * 5 + ["interactive"]),
        "priority": dice.choice([-1, 0, 0, 5]),
        "not_before": dice.choice([earlier, earlier, earlier, later]) if state == "scheduled" else earlier,
        "not_after": dice.choice([None] * 8 + [later + timedelta(hours=9), now]),
        "timeout_seconds": dice.choice([60, 3600]),
        "state": state,
        "attempt": 0 if state == "scheduled" and dice.random() < 0.8 else 1,
        "fence": None if state == "scheduled" else 1,
        "started_at": started,
        "finished_at": now if state == "completed" else None,
    }


def _stored(world: QueueWorld, job: Row) -> int:
    job_id = next(iter((world.owner.execute(INSERT.encode(), job).fetchone() or {}).values()))
    if job["state"] == "running":
        world.owner.execute(
            "INSERT INTO calib_private.attempts (job_id, attempt, fence, executor_id, started_at, claim)"
            " VALUES (%s, 1, 1, 'one', %s, gen_random_uuid())",
            (job_id, job["started_at"]),
        )
        world.owner.execute(
            "UPDATE calib_private.leases SET job_id = %s, executor_id = 'one', fence = 1, expires_at = %s"
            " WHERE chip_id = %s",
            (job_id, job["started_at"], job["chip_id"]),
        )
    return int(job_id)


def oracle(chip: ChipState, job: Row, now: datetime, readable: set[str]) -> tuple[Any, ...]:
    """kind, sentence, blocking job and when it clears, of what the chip was given."""
    held = _held(chip, job, now)
    if held:
        return (*held, None, job["not_before"] if held[0] == "not_before" else None)
    ahead = [] if job["flow"] == "interactive" else _ahead(chip, job, now)
    words = [f"jobs ahead: {len(ahead)}"] if ahead else []
    for running in chip.jobs:
        if running["state"] == "running":
            shown = running["project_id"] in readable
            who = f"job {running['job_id']}" if shown else "a job of another project"
            until = running["started_at"] + timedelta(seconds=running["timeout_seconds"])
            sentence = "; ".join([f"{who} to end", *words])
            return "job_running", sentence, running["job_id"] if shown else None, until
    if ahead:
        blocking = ahead[0]["job_id"] if ahead[0]["project_id"] in readable else None
        return "jobs_ahead", words[0], blocking, None
    waits_for = "its session to claim it" if job["flow"] == "interactive" else "an executor to pick it up"
    return "ready", waits_for, None, None


def _held(chip: ChipState, job: Row, now: datetime) -> tuple[str, str] | None:
    if job["state"] != "scheduled":
        return "not_waiting", f"job {job['job_id']} does not wait: it is {job['state']}"
    if (job["not_after"] and job["not_after"] <= now) or job["job_id"] in chip.cancelled:
        return "ending", "the next sweep to end it"
    if chip.paused:
        return "chip_paused", f"chip paused: {chip.paused}"
    if job["not_before"] > now:
        return "not_before", f"not before {job['not_before']:%Y-%m-%d %H:%M:%S} UTC"
    return None if job["flow"] == "interactive" else _not_served(chip, now)


def _not_served(chip: ChipState, now: datetime) -> tuple[str, str] | None:
    alive = [
        each
        for each in chip.executors
        if each["stopped_at"] is None and now - each["last_seen_at"] < timedelta(seconds=30)
    ]
    if not alive:
        return "no_executor", "no executor is alive"
    if not any(each["condition"].startswith("ready") for each in alive):
        return "executor_not_ready", max(alive, key=lambda each: each["last_seen_at"])["condition"]
    return None


def _ahead(chip: ChipState, job: Row, now: datetime) -> list[Row]:
    def turn(each: Row) -> tuple[int, int]:
        return -each["priority"], each["job_id"]

    due = [
        each
        for each in chip.jobs
        if each["state"] == "scheduled"
        and each["not_before"] <= now
        and (each["not_after"] is None or each["not_after"] > now)
        and each["flow"] != "interactive"
    ]
    return sorted((each for each in due if turn(each) < turn(job)), key=turn)


def test_a_thousand_states_against_the_oracle(own_timed: QueueWorld) -> None:
    world, dice = own_timed, random.Random(SEED)
    world.owner.execute("SET TIME ZONE 'UTC'")
    world.admin.add_project("foreign")
    world.owner.execute("SET session_replication_role = replica")
    chips = [generated(world, dice, number) for number in range(CHIPS)]
    now, kinds = world.now(), Counter[str]()
    reader = world.session(world.ana)
    reader.execute("SET TIME ZONE 'UTC'")
    for chip in chips:
        for job in chip.jobs:
            for session, readable in ((world.owner, {"demo", "foreign"}), (reader, {"demo"})):
                expected = oracle(chip, job, now, readable)
                if job["project_id"] not in readable:
                    continue
                row = session.execute("SELECT * FROM calib.why_waits(%s)", (job["job_id"],)).fetchone()
                assert row is not None
                found = row["kind"], row["sentence"], row["blocking_job_id"], row["clears_at"]
                assert (found, row["chip_id"]) == (expected, chip.chip_id), (chip, job)
                kinds[row["kind"]] += 1
            shown = world.job(job["job_id"])["waiting_for"]
            sentence = oracle(chip, job, now, {"demo", "foreign"})[1]
            assert shown == (sentence if job["state"] == "scheduled" else None)
    assert set(kinds) == {
        *("chip_paused", "not_before", "no_executor", "executor_not_ready", "job_running", "jobs_ahead"),
        *("ready", "ending", "not_waiting"),
    }, kinds


def test_only_the_first_of_a_long_queue_are_counted(own_timed: QueueWorld) -> None:
    """So that a list of a queue does not count it once for each row; jobs of the future hide no others."""
    world = own_timed
    chip_id = world.chip()
    world.ready(chip_id)
    last = [
        world.owner.execute(
            "INSERT INTO calib_private.jobs (project_id, username, chip_id, flow, parameters, priority,"
            " not_before, timeout_seconds, max_attempts, repeatable, tags, note, submitted_by, submitted_at)"
            " SELECT 'demo', 'ana', %s, 'repeat', '{}', %s, %s, 60, 1, true, '{}', '{}', 'ana', %s"
            " FROM generate_series(1, %s) RETURNING job_id",
            (chip_id, priority, world.now() + timedelta(hours=hours), world.now(), count),
        ).fetchall()[-1]["job_id"]
        for priority, hours, count in ((2, 1, 150), (1, 0, 99), (1, 0, 2), (0, 1, 2000), (-1, 0, 1))
    ]
    assert [world.ana.queue.why(job_id).sentence for job_id in (last[1], last[2], last[4])] == [
        "jobs ahead: 98",
        "jobs ahead: 100",
        "jobs ahead: 101 or more",
    ]
    assert world.ana.queue.why(last[4]).blocking_job_id == last[1] - 98
    assert world.job(last[4])["waiting_for"] == "jobs ahead: 101 or more"
    world.owner.execute("UPDATE calib_private.jobs SET priority = 0 WHERE priority = 2")
    assert world.job(last[4])["waiting_for"] == "jobs ahead: 20 or more"
    assert world.job(last[1] - 79)["waiting_for"] == "jobs ahead: 19"


def test_an_unknown_job_and_one_of_another_project_are_told_alike(world: QueueWorld) -> None:
    job_id = world.submit(world.chip())
    stranger = world.person("stranger", "calib_reader")
    for number in (job_id, job_id + 1000):
        with pytest.raises(UnknownNameError, match=f"^unknown job {number}$"):
            stranger.queue.why(number)
    with psycopg.connect(stranger.url) as session, pytest.raises(psycopg.Error, match="unknown job nothing"):
        session.execute("SELECT * FROM calib.why_waits(NULL)")
