"""Executor, mirror and client of every release, as real processes, while and after the schema is upgraded."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymongo
import pytest

from qdash_queue.mirror.connection import connect_mongo, open_qdash
from qdash_queue.mirror.qdash_setup import ChipPlan, QDashSetup
from tests.support.executor_world import StartedProcess
from tests.support.waiting import until
from tests.upgrade.release import CHIP, PROJECT, QUBITS, TASKS, TOPOLOGY, USER
from tests.upgrade.upgrade_world import Upgrade, UpgradeWorld

# Enough for a job to be met in its middle.
SOME_QUBITS = ("0", "1", "2", "3")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("upgrade")]


def test_a_job_lives_through_the_upgrade_and_the_next_one_runs(world: UpgradeWorld, upgrade: Upgrade) -> None:
    assert upgrade.state_afterwards == "running", "the schema changed in the middle of the job"
    job = world.job(upgrade.running)
    assert (job["state"], job["attempt"]) == ("completed", 1), job
    assert job["tasks_done"] == job["tasks_total"] == 18
    assert world.job(upgrade.following)["state"] == "completed"
    assert world.released.prefect_state(upgrade.running) == "COMPLETED"
    served = world.released.owner.rows("SELECT DISTINCT version FROM calib.executors")
    assert [row["version"] for row in served] == [world.release.version], "the released code was at work"


def test_a_client_stays_connected_across_the_upgrade(upgrade: Upgrade) -> None:
    assert upgrade.connected_client.status == 0
    assert upgrade.connected_client.reads > 10
    assert upgrade.connected_client.refused == 0, (
        "a view has grown that this release's client reads with SELECT *"
    )


def test_released_commands(world: UpgradeWorld) -> None:
    waiting = world.command("submit", PROJECT, CHIP, *ONE_QUBIT, "--not-before", "2100-01-01T00:00:00")
    job_id = waiting["job_id"]
    assert waiting["state"] == "scheduled"
    assert world.command("jobs", "--state", "scheduled")[0]["job_id"] == job_id
    cancelled = world.command("cancel", str(job_id), "--reason", "beam time")
    assert (cancelled["state"], cancelled["cancel_reason"]) == ("cancelled", "beam time")
    assert [event["event"] for event in world.command("events", str(job_id))][-1] == "cancelled"
    again = world.command("requeue", str(job_id), "--reason", "beam time is over")
    watched = world.command("watch", str(again["job_id"]))
    assert watched["state"] == "completed"
    shown = world.command("show", str(again["job_id"]))
    assert [run["status"] for run in shown["task_runs"]] == ["completed"] * 3
    found = world.command("parameters", "show", CHIP, "--qids", "0")
    assert any(value["name"] == "t1" and value["job_id"] == again["job_id"] for value in found)
    assert world.command("pause", CHIP, "--reason", "cooldown")["paused"]
    assert not world.command("resume", CHIP)["paused"]
    assert {task["task"] for task in world.command("tasks", CHIP)} >= set(TASKS)


ONE_QUBIT = ("--qids", "0", "--tasks", ",".join(TASKS))


def test_a_cancel_reaches_the_released_executor(world: UpgradeWorld) -> None:
    world.released.need(1)
    job_id = world.submit(*SOME_QUBITS)
    world.measuring(job_id)
    world.command("cancel", str(job_id))
    job = world.ended(job_id)
    assert (job["state"], job["failure_kind"]) == ("cancelled", None)
    assert world.released.prefect_state(job_id) == "CANCELLED"
    assert "hook_ran" in world.released.events(job_id)


def test_the_released_mirror(
    world: UpgradeWorld, mongo_url: str, mongo_database: str, tmp_path: Path
) -> None:
    job_id = world.submit("1")
    assert world.ended(job_id)["state"] == "completed"
    execution_id = world.present.queue.get(job_id).execution_id
    settings = {
        "database_url": world.mirror.url,
        "mongo_url": mongo_url,
        "mongo_database": mongo_database,
        "data_path": str(tmp_path),
    }
    client = connect_mongo(mongo_url)
    qdash = open_qdash(client, mongo_database)
    setup = QDashSetup(qdash)
    setup.make_indexes()
    setup.make_user(USER)
    setup.make_project(PROJECT, USER)
    qids = [str(number) for number in range(QUBITS)]
    setup.make_chip(PROJECT, USER, ChipPlan(chip_id=CHIP, topology_id=TOPOLOGY, qids=qids, edges=[]))
    with subprocess.Popen(
        [sys.executable, "-m", "qdash_queue.cli", "mirror", "run"],
        cwd=world.release.folder,
        env=world.release.environment(**settings),
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            until(lambda: _nothing_waits(world), "the mirror to catch up")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    database = pymongo.MongoClient[dict[str, object]](mongo_url)[mongo_database]
    found = database["execution_history"].find_one({"execution_id": execution_id})
    assert found is not None
    assert found["status"] == "completed"
    results = list(database["task_result_history"].find({"execution_id": execution_id}))
    assert sorted(str(result["name"]) for result in results) == sorted(TASKS)
    assert list(tmp_path.rglob("*.png")), "figures are there as files"
    database.client.close()
    client.close()


def _nothing_waits(world: UpgradeWorld) -> bool:
    rows = world.present.owner.rows("SELECT count(*) AS n FROM calib.mirror_lag")
    unrendered = world.present.owner.rows("SELECT count(*) AS n FROM calib.unrendered_figures(1)")
    return not rows[0]["n"] and not unrendered[0]["n"]


@contextmanager
def frozen(hand: StartedProcess) -> Iterator[None]:
    """Keep an executor that stands by from claiming."""
    hand.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        hand.signal(signal.SIGCONT)


def test_old_and_new_take_over_from_each_other(world: UpgradeWorld) -> None:
    """A rolling update, and its way back: two executors stand by for one chip, the one at work is killed."""
    (old,), (new,) = world.released.need(1), world.present.need(1)
    with frozen(new):
        job_id = world.submit(*SOME_QUBITS, max_attempts=2)
        world.measuring(job_id)
    old.signal(signal.SIGKILL)
    old.wait()
    job = world.ended(job_id)
    assert (job["state"], job["attempt"]) == ("completed", 2), job
    assert world.present.holder(job_id) is new

    (old,) = world.released.need(1)
    with frozen(old):
        lost_id = world.submit(*SOME_QUBITS)
        world.measuring(lost_id)
        next_id = world.submit("0")
    new.signal(signal.SIGKILL)
    new.wait()
    lost = world.ended(lost_id)
    assert (lost["state"], lost["failure_kind"]) == ("failed", "lost"), lost
    assert world.ended(next_id)["state"] == "completed"
    assert world.released.holder(next_id) is old
