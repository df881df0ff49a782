"""A job that runs while the database is migrated from release 0.5.0, which knew no sweeps, goes on."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from qdash_queue import migrate
from qdash_queue.client.models import SweepTask
from qdash_queue.domain import JobState
from qdash_queue.errors import IllegalTransitionError
from tests.contract.test_results import RECORD
from tests.support.databases import CalibDatabase
from tests.support.queue_world import QueueWorld, open_queue_world
from tests.upgrade.release import FIXTURES, Release

WHEEL = FIXTURES / "qdash_queue-0.5.0-py3-none-any.whl"
START = "SELECT calib.start_task(%s, %s, 'CheckRabi', %s, 'qubit', 0, NULL, '{}', '{}') AS task_run_id"


def test_tasks_that_were_started_without_a_sweep(empty_database: CalibDatabase, tmp_path: Path) -> None:
    Release.unpack(WHEEL, tmp_path).command(empty_database.url, "migrate")
    assert migrate.current(empty_database.url) == "0006"
    with open_queue_world(empty_database) as world:
        claimed, lease = world.running(world.chip())

        session = world.session(world.machine, autocommit=True)

        def start(qid: str) -> UUID:
            [row] = session.execute(START, (claimed.job_id, claimed.claim, qid)).fetchall()
            return UUID(str(row["task_run_id"]))

        running, ended = start("0"), start("1")
        lease.record_task(ended, RECORD)
        migrate.upgrade(empty_database.url)
        assert _sweeps(world, claimed.job_id) == []
        assert start("0") == running, "the answer was lost"
        [sweep] = world.ana.queue.sweeps(claimed.job_id)
        assert _sweeps(world, claimed.job_id) == [sweep.sweep_id]
        assert sweep.targets == ["0"]
        with pytest.raises(IllegalTransitionError, match=r'on qid "1" has already ended \(completed\)'):
            lease.start_sweep([SweepTask(task="CheckRabi", qid="1")])
        lease.record_task(running, RECORD)
        lease.conclude(JobState.COMPLETED)
        assert lease.finish() == JobState.COMPLETED


def _sweeps(world: QueueWorld, job_id: int) -> list[object]:
    runs = world.rows("SELECT sweep_id FROM calib.task_runs WHERE job_id = %s ORDER BY ordinal", job_id)
    return [run["sweep_id"] for run in runs if run["sweep_id"] is not None]
