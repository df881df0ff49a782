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
from tests.executors.fleet import ExecutorProcess
from tests.support.waiting import until
from tests.upgrade.laboratory import Laboratory, Upgrade
from tests.upgrade.release import CHIP, PROJECT, QUBITS, TASKS, TOPOLOGY, USER

# Enough for a job to be met in its middle.
SOME_QUBITS = ("0", "1", "2", "3")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("upgrade")]


def test_a_job_lives_through_the_upgrade_and_the_next_one_runs(lab: Laboratory, upgrade: Upgrade) -> None:
    assert upgrade.state_afterwards == "running", "the schema changed in the middle of the job"
    job = lab.job(upgrade.running)
    assert (job["state"], job["attempt"]) == ("completed", 1), job
    assert job["tasks_done"] == job["tasks_total"] == 18
    assert lab.job(upgrade.following)["state"] == "completed"
    assert lab.released.prefect_state(upgrade.running) == "COMPLETED"
    served = lab.released.owner.rows("SELECT DISTINCT version FROM calib.executors")
    assert [row["version"] for row in served] == [lab.release.version], "the released code was at work"


def test_a_client_stays_connected_across_the_upgrade(upgrade: Upgrade) -> None:
    assert upgrade.onlooker.status == 0
    assert upgrade.onlooker.looks > 10
    assert upgrade.onlooker.refused == 0, "a view has grown that this release's client reads with SELECT *"


def test_released_commands(lab: Laboratory) -> None:
    waiting = lab.command("submit", PROJECT, CHIP, *ONE_QUBIT, "--not-before", "2100-01-01T00:00:00")
    job_id = waiting["job_id"]
    assert waiting["state"] == "scheduled"
    assert lab.command("jobs", "--state", "scheduled")[0]["job_id"] == job_id
    cancelled = lab.command("cancel", str(job_id), "--reason", "beam time")
    assert (cancelled["state"], cancelled["cancel_reason"]) == ("cancelled", "beam time")
    assert [event["event"] for event in lab.command("events", str(job_id))][-1] == "cancelled"
    again = lab.command("requeue", str(job_id), "--reason", "beam time is over")
    watched = lab.command("watch", str(again["job_id"]))
    assert watched["state"] == "completed"
    shown = lab.command("show", str(again["job_id"]))
    assert [run["status"] for run in shown["task_runs"]] == ["completed"] * 3
    found = lab.command("parameters", "show", CHIP, "--qids", "0")
    assert any(value["name"] == "t1" and value["job_id"] == again["job_id"] for value in found)
    assert lab.command("pause", CHIP, "--reason", "cooldown")["paused"]
    assert not lab.command("resume", CHIP)["paused"]
    assert {task["task"] for task in lab.command("tasks", CHIP)} >= set(TASKS)


ONE_QUBIT = ("--qids", "0", "--tasks", ",".join(TASKS))


def test_a_cancel_reaches_the_released_executor(lab: Laboratory) -> None:
    lab.released.need(1)
    job_id = lab.ask(*SOME_QUBITS)
    lab.measuring(job_id)
    lab.command("cancel", str(job_id))
    job = lab.ended(job_id)
    assert (job["state"], job["failure_kind"]) == ("cancelled", None)
    assert lab.released.prefect_state(job_id) == "CANCELLED"
    assert "hook_ran" in lab.released.events(job_id)


def test_the_released_mirror(lab: Laboratory, mongo_url: str, mongo_database: str, tmp_path: Path) -> None:
    job_id = lab.ask("1")
    assert lab.ended(job_id)["state"] == "completed"
    execution_id = lab.present.queue.get(job_id).execution_id
    settings = {
        "database_url": lab.mirror.url,
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
        cwd=lab.release.folder,
        env=lab.release.environment(**settings),
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            until(lambda: _nothing_waits(lab), "the mirror to catch up")
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


def _nothing_waits(lab: Laboratory) -> bool:
    rows = lab.present.owner.rows("SELECT count(*) AS n FROM calib.mirror_lag")
    unrendered = lab.present.owner.rows("SELECT count(*) AS n FROM calib.unrendered_figures(1)")
    return not rows[0]["n"] and not unrendered[0]["n"]


@contextmanager
def frozen(hand: ExecutorProcess) -> Iterator[None]:
    """Keep an executor that stands by from claiming."""
    hand.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        hand.signal(signal.SIGCONT)


def test_old_and_new_take_over_from_each_other(lab: Laboratory) -> None:
    """A rolling update, and its way back: two executors stand by for one chip, the one at work is killed."""
    (old,), (new,) = lab.released.need(1), lab.present.need(1)
    with frozen(new):
        job_id = lab.ask(*SOME_QUBITS, max_attempts=2)
        lab.measuring(job_id)
    old.signal(signal.SIGKILL)
    old.leave()
    job = lab.ended(job_id)
    assert (job["state"], job["attempt"]) == ("completed", 2), job
    assert lab.present.holder(job_id) is new

    (old,) = lab.released.need(1)
    with frozen(old):
        lost_id = lab.ask(*SOME_QUBITS)
        lab.measuring(lost_id)
        next_id = lab.ask("0")
    new.signal(signal.SIGKILL)
    new.leave()
    lost = lab.ended(lost_id)
    assert (lost["state"], lost["failure_kind"]) == ("failed", "lost"), lost
    assert lab.ended(next_id)["state"] == "completed"
    assert lab.released.holder(next_id) is old
