"""What QDash gets to see of jobs, and what the mirror leaves alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from qdash_queue.client.database import Database
from qdash_queue.client.parameters import Parameters
from qdash_queue.client.queue import Queue
from qdash_queue.client.records import StageRecord
from qdash_queue.domain import CancelMode, Failure, FailureKind, JobState
from qdash_queue.mirror import Mirror, NothingToMirrorError
from qdash_queue.mirror.artifacts.artifact_writer import task_artifacts
from qdash_queue.mirror.documents.build import execution_document, task_result_document
from qdash_queue.mirror.documents.layout import Layout
from qdash_queue.mirror.qdash_setup import QDashSetup
from qdash_queue.mirror.read.queue_database import QueueDatabase
from qdash_queue.mirror.write.qdash_lookup import QDashDatabase, QDashLookup
from qdash_queue.mirror.write.writer import WriteMode, Writer
from tests.mirror.qdash import make_plan
from tests.mirror.reading import MIRRORED, assert_readable, execution_of, qubit_of, result_of, state_of
from tests.support.chip_jobs import CHIP, TASKS, USER, ChipJobs, failing, passing
from tests.support.queue_world import PROJECT


def test_shows_a_whole_job(world: ChipJobs, mirror: Mirror, qdash: QDashDatabase, layout: Layout) -> None:
    job = world.run()
    report = mirror.run_once()
    assert (report.figures, report.waiting) == (8, {})
    execution = execution_of(qdash, job.execution_id)
    assert (execution["status"], execution["name"]) == ("completed", "calibrate")
    assert execution["note"]["flow_run_id"] == str(job.flow_run_id)
    assert qdash["task_result_history"].count_documents({}) == 8
    assert qubit_of(qdash)["data"]["t1"]["value"] == 41.5
    day = str(job.execution_id)[:8]
    assert qdash["execution_counter"].distinct("date") == [day]
    history = qdash["qubit_history"].find_one({"qid": "0"})
    assert history is not None
    assert history["recorded_date"] == day
    assert history["data"] == qubit_of(qdash)["data"]
    for path in result_of(qdash, "CheckT1")["figure_path"]:
        shown = layout.base / path.removeprefix("/app/calib_data/")
        assert shown.read_bytes().startswith(b"\x89PNG")
    assert mirror.lag().marks == []
    assert_readable(qdash)


def test_stages_of_the_newest_attempt_show_in_the_note(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase
) -> None:
    job = world.submit()
    lease = world.start(job)
    lease.record_stage(0, StageRecord(name="check", step="OneQubitCheck", status="running"))
    mirror.run_once()
    execution_id = world.queue.get(job.job_id).execution_id
    assert execution_of(qdash, execution_id)["note"]["stage_results"] == {"check": {}}
    found = {"passed": ["0"], "failed": []}
    lease.record_stage(0, StageRecord(name="check", step="OneQubitCheck", status="completed", result=found))
    mirror.run_once()
    assert execution_of(qdash, execution_id)["note"]["stage_results"] == {"check": found}
    assert_readable(qdash)


def test_a_job_without_stages_has_no_results_of_them(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase
) -> None:
    job = world.run(["0"])
    mirror.run_once()
    assert set(execution_of(qdash, job.execution_id)["note"]) == {"flow_run_id", "qdash_queue"}


def test_twice_is_once(world: ChipJobs, mirror: Mirror, qdash: QDashDatabase, layout: Layout) -> None:
    job = world.run()
    mirror.run_once()
    once = state_of(qdash, layout)
    world.database.execute("SELECT calib.mark_all()")
    assert mirror.run_once().mirrored == 2
    assert state_of(qdash, layout) == once
    mirror.rebuild(job.job_id)
    assert state_of(qdash, layout) == once


def test_a_read_that_runs_out_of_time_keeps_no_other_job_back(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase
) -> None:
    slow, other = world.run(["0"]), world.run(["1"])
    world.database.execute(
        "CREATE FUNCTION calib.readable(p_job_id bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN"
        f" IF p_job_id = {slow.job_id} THEN RAISE 'out of time' USING ERRCODE = 'query_canceled'; END IF;"
        " RETURN true; END $$"
    )
    seen = world.database.value("SELECT rtrim(pg_get_viewdef('calib.task_runs'), ';')")
    world.database.execute(
        f"CREATE OR REPLACE VIEW calib.task_runs AS SELECT * FROM ({seen}) t WHERE calib.readable(t.job_id)"
    )
    report = mirror.run_once()
    assert report.waiting == {f"job {slow.job_id}": "PostgreSQL cannot do it now: out of time"}
    assert execution_of(qdash, other.execution_id)["status"] == "completed"
    (mark,) = mirror.lag().marks
    assert (mark.job_id, mark.last_error) == (slow.job_id, "PostgreSQL cannot do it now: out of time")


def test_rebuild_into_an_emptied_mongodb_gives_the_same(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase, layout: Layout
) -> None:
    world.run(["0"])
    world.run(["1", "2"], record=lambda task, qid: failing(task) if qid == "2" else passing(task, value=0.7))
    Parameters(world.database, CHIP).set("0", "t1", 40.0, error=1.0, unit="μs", reason="looked at it")
    mirror.run_once()
    before = state_of(qdash, layout)
    for collection in MIRRORED:
        qdash.drop_collection(collection)
    for collection in ("qubit", "coupling"):
        qdash.drop_collection(collection)
    for path in layout.base.rglob("*.*"):
        path.unlink()
    created = before["qubit"][0]["system_info"]["created_at"]
    QDashSetup(qdash, created).make_chip(PROJECT, USER, make_plan(CHIP))
    report = mirror.rebuild()
    assert (report.mirrored, report.waiting) == (3, {})
    assert state_of(qdash, layout) == before
    assert_readable(qdash)


def test_running_job_shows_from_its_start(world: ChipJobs, mirror: Mirror, qdash: QDashDatabase) -> None:
    job = world.submit()
    lease = world.start(job)
    planned = world.plan(lease, ["0"], TASKS)
    run_id = lease.start_task(planned[0])
    mirror.run_once()
    execution = execution_of(qdash, world.queue.get(job.job_id).execution_id)
    assert (execution["status"], execution["end_at"]) == ("running", None)
    assert execution["note"]["flow_run_id"]
    assert result_of(qdash, "CheckRabi")["status"] == "running"
    assert result_of(qdash, "CheckT1")["status"] == "scheduled"
    assert_readable(qdash)

    lease.record_task(run_id, passing("CheckRabi"))
    world.queue.cancel(job.job_id, CancelMode.AFTER_TASK, "beam time")
    lease.heartbeat(60.0)
    lease.conclude(JobState.CANCELLED)
    lease.finish()
    mirror.run_once()
    execution = execution_of(qdash, world.queue.get(job.job_id).execution_id)
    assert execution["status"] == "cancelled"
    assert execution["note"]["qdash_queue"]["cancel"]["reason"] == "beam time"
    assert result_of(qdash, "CheckRabi")["status"] == "completed"
    late = result_of(qdash, "CheckT1")
    assert (late["status"], late["message"], late["start_at"]) == ("cancelled", "not started", None)
    assert_readable(qdash)


def test_every_attempt_keeps_its_results(world: ChipJobs, mirror: Mirror, qdash: QDashDatabase) -> None:
    job = world.queue.submit(PROJECT, CHIP, {"qids": ["0"], "tasks": ["CheckT1"]}, max_attempts=2)
    for value in (30.0, 40.0):
        lease = world.start(job)
        planned = world.plan(lease, ["0"], ["CheckT1"])
        lease.record_task(lease.start_task(planned[0]), passing("CheckT1", value=value))
        if value == 30.0:
            lease.give_back("the executor leaves")
            mirror.run_once()
            assert execution_of(qdash, world.queue.get(job.job_id).execution_id)["status"] == "scheduled"
        else:
            lease.conclude(JobState.COMPLETED)
            lease.finish()
    mirror.run_once()
    results = list(qdash["task_result_history"].find({"name": "CheckT1"}))
    assert len({result["figure_path"][0] for result in results}) == 2
    assert qdash["execution_history"].count_documents({}) == 1
    assert qubit_of(qdash)["data"]["t1"]["value"] == 40.0
    assert_readable(qdash)


def test_leaves_alone_what_users_wrote(world: ChipJobs, mirror: Mirror, qdash: QDashDatabase) -> None:
    job = world.run(["0"], ["CheckT1"])
    mirror.run_once()
    at = datetime(2026, 1, 1, tzinfo=UTC)
    theirs = {
        "user_note": {"content": "odd", "updated_by": "bob", "updated_at": at},
        "ai_review": {"status": "done"},
        "ai_review_note": {"content": "fine", "updated_by": "model", "updated_at": at},
        "excluded": True,
        "excluded_reason": "warm fridge",
        "excluded_by": "bob",
        "excluded_at": at,
        "cooldown_id": "cd-1",
    }
    qdash["task_result_history"].update_one({}, {"$set": theirs | {"note.mine": "kept"}})
    qdash["execution_history"].update_one({}, {"$set": {"note.stage_results": {"a": 1}}})
    qdash["qubit"].update_one({"qid": "0"}, {"$set": {"data.of_another": {"value": 1.0}, "status": "ready"}})
    mirror.rebuild()
    result = result_of(qdash, "CheckT1")
    assert {name: result[name] for name in theirs} == theirs
    assert result["note"]["mine"] == "kept"
    assert execution_of(qdash, job.execution_id)["note"]["stage_results"] == {"a": 1}
    qubit = qubit_of(qdash)
    assert (qubit["data"]["of_another"], qubit["status"]) == ({"value": 1.0}, "ready")


def test_older_rows_never_replace_newer_ones(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase, layout: Layout, owner: Database
) -> None:
    job = world.submit()
    lease = world.start(job)
    planned = world.plan(lease, ["0"], ["CheckT1"])
    run_id = lease.start_task(planned[0])
    stale = QueueDatabase(owner).job_snapshot(job.job_id)
    assert stale is not None
    lease.record_task(run_id, passing("CheckT1"))
    lease.conclude(JobState.COMPLETED)
    lease.finish()
    mirror.run_once()
    before = state_of(qdash, layout)

    place = QDashLookup(qdash).place_of(PROJECT, CHIP, USER)
    writer = Writer(qdash)
    # What a mirror that stood still since then would write now.
    execution = execution_document(stale.job, place.user_id, layout)
    results = [
        task_result_document(
            stale.job, task_run, task_artifacts(stale, task_run, layout), place.user_id, layout
        )
        for task_run in stale.task_runs
    ]
    assert writer.write_execution(execution, WriteMode.NEWER_ONLY) == []
    # Whether or not it saw that they are there.
    for stored in ([], [result.task_id for result in results]):
        assert writer.write_task_results(results, [], stored, place, WriteMode.NEWER_ONLY) == []
    assert state_of(qdash, layout) == before


def test_rebuild_overrules_a_newer_version_after_a_restored_backup(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase
) -> None:
    job = world.run(["0"], ["CheckT1"])
    mirror.run_once()
    from_the_future = {"note.qdash_queue.version": 10_000, "status": "failed"}
    for collection in ("execution_history", "task_result_history"):
        qdash[collection].update_one({}, {"$set": from_the_future})
    world.database.execute("SELECT calib.mark_all()")
    mirror.run_once()
    assert execution_of(qdash, job.execution_id)["status"] == "failed"
    mirror.rebuild(job.job_id)
    assert execution_of(qdash, job.execution_id)["status"] == "completed"
    assert result_of(qdash, "CheckT1")["status"] == "completed"


def test_job_that_never_started_is_done_without_a_word(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase
) -> None:
    job = world.submit()
    world.queue.cancel(job.job_id, CancelMode.NOW, "changed my mind")
    assert mirror.run_once().waiting == {}
    assert qdash["execution_history"].count_documents({}) == 0
    for job_id in (job.job_id, 4711):
        with pytest.raises(NothingToMirrorError, match=f"job {job_id} does not exist or never started"):
            mirror.rebuild(job_id)


def test_failed_job_without_any_task_shows(world: ChipJobs, mirror: Mirror, qdash: QDashDatabase) -> None:
    job = world.submit()
    lease = world.start(job)
    lease.conclude(JobState.FAILED, Failure(kind=FailureKind.INSTRUMENT, message="no answer"))
    lease.finish()
    mirror.run_once()
    shown = execution_of(qdash, Queue(world.database).get(job.job_id).execution_id)
    assert (shown["status"], shown["message"]) == ("failed", "no answer")
    assert_readable(qdash)
