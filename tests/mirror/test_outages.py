"""Outages and kills of any process at any time: nothing is missing afterwards, nothing is doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from qdash_queue.client.database import Database
from qdash_queue.domain import JobState
from qdash_queue.mirror import Mirror, MongoUnreachableError
from qdash_queue.mirror.artifacts.figure_renderer import FigureRenderer
from qdash_queue.mirror.connection import connect_mongo
from qdash_queue.mirror.documents.layout import Layout
from qdash_queue.mirror.write.qdash_lookup import QDashDatabase
from tests.mirror.conftest import MirrorMaker
from tests.mirror.qdash_lint import lint_database, lint_references
from tests.mirror.reading import MIRRORED, execution_of, state_of
from tests.mirror.running_mirror import running
from tests.support.chip_jobs import CHIP, ChipJobs, passing
from tests.support.databases import CalibDatabase
from tests.support.killable_servers import FailingMongo, kill
from tests.support.queue_world import PROJECT
from tests.support.waiting import PATIENCE, until, until_while_running

KILLED_MIRROR = Path(__file__).with_name("killed_mirror.py")


@pytest.mark.parametrize("write", range(1, 10))
def test_killed_between_two_steps_then_again(
    write: int,
    world: ChipJobs,
    database: CalibDatabase,
    mongo_url: str,
    qdash: QDashDatabase,
    mirror: Mirror,
    layout: Layout,
) -> None:
    job = world.run(["0"], ["CheckT1"])
    # Rendered beforehand: what is killed here is the mirroring.
    mirror._render_all()
    killed = subprocess.run(
        [
            *(sys.executable, str(KILLED_MIRROR), str(write)),
            *(database.login("calib_mirror").url, mongo_url, qdash.name, str(layout.base)),
        ],
        check=False,
        timeout=PATIENCE,
    )
    assert killed.returncode == -signal.SIGKILL
    # QDash polls: a reader of the execution finds everything it refers to.
    if qdash["execution_history"].count_documents({}):
        assert lint_references(qdash) == []
    assert lint_database(qdash) == []

    assert mirror.run_once().mirrored == 1
    after = state_of(qdash, layout)
    for collection in MIRRORED:
        qdash.drop_collection(collection)
    for path in layout.base.rglob("*.*"):
        path.unlink()
    mirror.rebuild(job.job_id)
    assert state_of(qdash, layout) == after
    assert lint_references(qdash) == []


def test_mongodb_killed_and_started_again(
    world: ChipJobs, own_mongo: FailingMongo, own_qdash: QDashDatabase, make_mirror: MirrorMaker
) -> None:
    mirror = make_mirror(own_mongo.url)
    with running(mirror):
        first = world.run(["0"], ["CheckT1"])
        until(lambda: mirror.lag().marks == [])
        kill(own_mongo)
        jobs = [world.run([qid], ["CheckT1"]) for qid in ("1", "2")]
        assert [job.state for job in jobs] == [JobState.COMPLETED, JobState.COMPLETED]
        lag = mirror.lag()
        assert {mark.job_id for mark in lag.marks} >= {job.job_id for job in jobs}
        assert lag.seconds > 0
        assert lag.mongo_problem is not None
        assert lag.mongo_problem.startswith("MongoDB does not answer: ")
        own_mongo.start()
        until(lambda: mirror.lag().marks == [])
    assert mirror.lag().mongo_problem is None
    for job in (first, *jobs):
        assert execution_of(own_qdash, job.execution_id)["status"] == "completed"
    assert own_qdash["execution_history"].count_documents({}) == 3
    assert lint_database(own_qdash) == []
    assert lint_references(own_qdash) == []


def test_mongodb_away_is_told_in_words(
    world: ChipJobs, own_mongo: FailingMongo, own_qdash: QDashDatabase, make_mirror: MirrorMaker
) -> None:
    kill(own_mongo)
    mirror = make_mirror(own_mongo.url)
    world.run(["0"], ["CheckT1"])
    with pytest.raises(MongoUnreachableError, match="MongoDB does not answer"):
        mirror.run_once()
    with pytest.raises(MongoUnreachableError, match="MongoDB does not answer"):
        mirror.rebuild()
    # Pictures are made all the same: they live in PostgreSQL.
    assert world.database.value("SELECT count(*) FROM calib.figures WHERE png IS NULL") == 0
    with pytest.raises(MongoUnreachableError, match="set QDASH_QUEUE_MONGO_URL"):
        connect_mongo("")
    with pytest.raises(MongoUnreachableError, match="expected a MongoDB URL"):
        connect_mongo("postgresql://host/name")


def test_postgresql_connections_cut(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase, database: CalibDatabase
) -> None:
    with running(mirror):
        first = world.run(["0"], ["CheckT1"])
        until(lambda: qdash["execution_history"].count_documents({"status": "completed"}) == 1)
        with database.connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"  # Waits until each is gone.
                " WHERE datname = current_database() AND usename LIKE 'login_%' AND pid <> pg_backend_pid()"
            )
        second = world.run(["1"], ["CheckT1"])
        until(lambda: qdash["execution_history"].count_documents({"status": "completed"}) == 2)
    assert {execution_of(qdash, job.execution_id)["chip_id"] for job in (first, second)} == {CHIP}


def test_two_mirrors_at_once_make_no_doubles(
    world: ChipJobs, make_mirror: MirrorMaker, mirror: Mirror, qdash: QDashDatabase
) -> None:
    with FigureRenderer() as its_own, running(mirror), running(make_mirror(its_own=its_own)):
        for number in range(4):
            world.run([str(number)], ["CheckT1"])
        until(lambda: mirror.lag().marks == [])
    assert qdash["execution_history"].count_documents({"status": "completed"}) == 4
    assert qdash["task_result_history"].count_documents({"status": "completed"}) == 4
    assert len(qdash["fs.files"].distinct("filename")) == qdash["fs.files"].count_documents({})
    assert lint_database(qdash) == []
    assert lint_references(qdash) == []


def test_expired_jobs_end_where_no_executor_lives(world: ChipJobs, mirror: Mirror, owner: Database) -> None:
    job = world.queue.submit(
        PROJECT, CHIP, {"qids": ["0"]}, not_after=datetime.now(UTC) + timedelta(seconds=0.3)
    )
    with running(mirror):
        until(lambda: world.queue.get(job.job_id).state is JobState.CANCELLED)


def test_lost_job_ends_where_no_executor_lives(world: ChipJobs, mirror: Mirror, qdash: QDashDatabase) -> None:
    job = world.submit(["0"], ["CheckT1"])
    claimed = world.executor.claim(1.0, job.job_id)
    assert claimed is not None
    with running(mirror):
        until(lambda: world.queue.get(job.job_id).state is JobState.FAILED)
        until(lambda: qdash["execution_history"].count_documents({"status": "failed"}) == 1)
    assert execution_of(qdash, claimed.execution_id)["note"]["qdash_queue"]["failure"]["kind"] == "lost"


def test_sigterm_ends_it_cleanly(
    world: ChipJobs, database: CalibDatabase, mongo_url: str, qdash: QDashDatabase, layout: Layout
) -> None:
    world.run(["0"], ["CheckT1"])
    program = (
        "from qdash_queue.mirror import Mirror; from qdash_queue.settings import Settings\n"
        "with Mirror.from_settings(Settings()) as mirror: mirror.run()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={
            **os.environ,
            "QDASH_QUEUE_DATABASE_URL": database.login("calib_mirror").url,
            "QDASH_QUEUE_MONGO_URL": mongo_url,
            "QDASH_QUEUE_MONGO_DATABASE": qdash.name,
            "QDASH_QUEUE_DATA_PATH": str(layout.base),
        },
        cwd=Path(__file__).parents[2],
    )
    try:
        completed = {"status": "completed"}
        until_while_running(
            process, lambda: qdash["execution_history"].count_documents(completed), "it mirrored the job"
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
    assert lint_references(qdash) == []


def test_stale_running_mirror_is_no_danger_to_results(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase
) -> None:
    """Many small changes while the mirror runs: what stands at the end is the end."""
    with running(mirror):
        job = world.run(["0", "1", "2"], ["CheckT1", "CheckRamsey"], lambda task, _: passing(task))
        until(lambda: mirror.lag().marks == [])
    assert execution_of(qdash, job.execution_id)["status"] == "completed"
    assert qdash["task_result_history"].distinct("status") == ["completed"]
