"""A job that runs while the database is migrated from release 0.6.0, which knew no stages, goes on."""

from __future__ import annotations

from pathlib import Path

from qdash_queue import migrate
from qdash_queue.client.records import StageRecord, SweepTask
from qdash_queue.domain import JobState
from tests.contract.test_results import RECORD
from tests.support.databases import CalibDatabase
from tests.support.queue_world import open_queue_world
from tests.upgrade.release import FIXTURES, Release

WHEEL = FIXTURES / "qdash_queue-0.6.0-py3-none-any.whl"


def test_an_attempt_that_began_without_stages(empty_database: CalibDatabase, tmp_path: Path) -> None:
    Release.unpack(WHEEL, tmp_path).command(empty_database.url, "migrate")
    assert migrate.current(empty_database.url) == "0007"
    with open_queue_world(empty_database) as world:
        claimed, lease = world.running(world.chip())
        run = lease.start_sweep([SweepTask(task="CheckRabi", qid="0")]).task_ids["0"]
        migrate.upgrade(empty_database.url)
        lease.record_stage(0, StageRecord(name="late", step="OneQubitCheck", status="running"))
        lease.record_task(run, RECORD)
        lease.conclude(JobState.COMPLETED)
        assert lease.finish() == JobState.COMPLETED
        assert [stage.status for stage in world.ana.queue.stages(claimed.job_id)] == ["cancelled"]
        assert world.ana.queue.get(claimed.job_id).source_job_id is None
