"""What retention has removed from PostgreSQL after it was mirrored stays in QDash."""

from __future__ import annotations

import pytest

from qdash_queue.mirror import Mirror
from qdash_queue.mirror.documents.layout import Layout
from qdash_queue.mirror.write.qdash_lookup import QDashDatabase
from tests.mirror.reading import assert_readable, result_of, state_of
from tests.support.chip_jobs import ChipJobs

PATHS = ("figure_path", "json_figure_path", "raw_data_path")


@pytest.mark.parametrize("whole", [False, True])
def test_pruned_figures_and_raw_data_stay_in_qdash(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase, layout: Layout, whole: bool
) -> None:
    job = world.run(["0"], ["CheckT1"])
    mirror.run_once()
    before, files = result_of(qdash, "CheckT1"), state_of(qdash, layout)["files"]
    assert all(before[name] for name in PATHS)
    world.database.execute("DELETE FROM calib_private.figures")
    world.database.execute("DELETE FROM calib_private.raw_data")
    world.database.execute("SELECT calib.mark(%(job_id)s)", job_id=job.job_id)
    assert mirror.run_once().mirrored == 1
    mirror.rebuild(None if whole else job.job_id)
    after = result_of(qdash, "CheckT1")
    for document in (before, after):
        # Of what stands in PostgreSQL now.
        document["note"]["qdash_queue"].pop("digest")
    assert after == before
    assert state_of(qdash, layout)["files"] == files
    assert qdash["fs.files"].count_documents({}) == len(files)
    assert_readable(qdash)


def test_a_pruned_job_stays_in_qdash(world: ChipJobs, mirror: Mirror, qdash: QDashDatabase) -> None:
    job = world.run(["0"], ["CheckT1"])
    mirror.run_once()
    before = list(qdash["execution_history"].find()) + list(qdash["task_result_history"].find())
    world.database.execute("SELECT calib.set_retention('1 hour', NULL, NULL, NULL)")
    world.database.execute("UPDATE calib_private.attempts SET prefect_synced = true")
    world.database.execute(
        "UPDATE calib_private.jobs SET finished_at = finished_at - interval '1 day' WHERE job_id ="
        " %(job_id)s",
        job_id=job.job_id,
    )
    assert world.database.value("SELECT jobs FROM calib.prune()") == 1
    mirror.run_once()
    mirror.rebuild()
    assert list(qdash["execution_history"].find()) + list(qdash["task_result_history"].find()) == before
