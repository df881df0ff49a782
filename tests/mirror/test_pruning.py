"""The mirror is the queue's housekeeper: when it is idle it prunes, and never what it has not mirrored."""

from __future__ import annotations

import pytest

from qdash_queue.client.database import Database
from qdash_queue.mirror import Mirror
from qdash_queue.mirror.write.qdash_lookup import QDashDatabase
from tests.mirror.conftest import MirrorMaker
from tests.mirror.running_mirror import running
from tests.support.chip_jobs import ChipJobs
from tests.support.waiting import until


@pytest.fixture
def old_job(world: ChipJobs, owner: Database) -> int:
    """A job that ended long ago, of which QDash shows nothing yet; jobs are kept for an hour."""
    job = world.run(("0",), ("CheckRabi",))
    owner.execute("UPDATE calib_private.attempts SET prefect_synced = true")
    owner.execute("UPDATE calib_private.jobs SET finished_at = finished_at - interval '2 hours'")
    owner.execute("SELECT calib.set_retention('1 hour', NULL, NULL, NULL)")
    return job.job_id


def is_there(owner: Database, job_id: int) -> bool:
    return owner.row("SELECT FROM calib.jobs WHERE job_id = %(job_id)s", job_id=job_id) is not None


def test_an_idle_mirror_prunes_what_it_has_mirrored(
    old_job: int, mirror: Mirror, qdash: QDashDatabase, owner: Database
) -> None:
    with running(mirror):
        until(lambda: not is_there(owner, old_job))
    shown = qdash["execution_history"].find_one({"note.qdash_queue.job_id": old_job})
    assert shown is not None
    assert shown["status"] == "completed"
    assert len(qdash["task_result_history"].find_one({})["figure_path"]) == 1  # type: ignore[index]


def test_what_qdash_cannot_show_yet_is_kept(
    old_job: int, make_mirror: MirrorMaker, empty_qdash: QDashDatabase, owner: Database
) -> None:
    """QDash knows neither project nor chip: the mark waits."""
    mirror = make_mirror()
    with running(mirror):
        until(lambda: any(mark.attempts and mark.last_error for mark in mirror.lag().marks))
        # The mirror has been idle since, and has looked for what is old.
        until(lambda: mirror._next_prune > 0)
    assert is_there(owner, old_job)
