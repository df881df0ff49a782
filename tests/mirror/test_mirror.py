"""What QDash gets to see of jobs, and what the mirror leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from qdash_queue.database import Database
from qdash_queue.mirror import Mirror, NothingToMirrorError
from qdash_queue.mirror.artifacts import task_artifacts
from qdash_queue.mirror.documents import execution_document, task_result_document
from qdash_queue.mirror.layout import Layout
from qdash_queue.mirror.lint import lint_database, lint_references
from qdash_queue.mirror.qdash import QDashDatabase, QDashLookup
from qdash_queue.mirror.qdash_setup import QDashSetup
from qdash_queue.mirror.source import Source
from qdash_queue.mirror.writer import Guard, Writer
from qdash_queue.models import FigureRecord, RawDataRecord, TaskRecord
from qdash_queue.parameters import Parameters
from qdash_queue.queue import Queue
from qdash_queue.values import CancelMode, Failure, FailureKind, JobState
from tests.mirror.world import (
    CHIP,
    PROJECT,
    TASKS,
    USER,
    QueueWorld,
    always,
    failing,
    make_chip,
    make_plan,
    passing,
    set_up_qdash,
)

MIRRORED = (
    "execution_history",
    "task_result_history",
    "execution_counter",
    "tag",
    "qubit_history",
    "coupling_history",
    "fs.files",
    "fs.chunks",
)
State = dict[str, Any]


def state_of(qdash: QDashDatabase, layout: Layout) -> State:
    """Everything the mirror wrote, but for the ids and dates that MongoDB and GridFS choose."""
    state: State = {}
    for collection in (*MIRRORED, "qubit", "coupling"):
        documents = []
        for document in qdash[collection].find():
            # A file's id is made of its path and content; all others are MongoDB's choice.
            if collection != "fs.files":
                document.pop("_id")
            document.pop("uploadDate", None)
            documents.append(document)
        state[collection] = sorted(documents, key=repr)
    state["files"] = {
        str(path.relative_to(layout.base)): path.read_bytes()
        for path in layout.base.rglob("*")
        if path.is_file()
    }
    return state


def result_of(qdash: QDashDatabase, task: str, qid: str = "0") -> dict[str, Any]:
    found = qdash["task_result_history"].find_one({"name": task, "qid": qid})
    assert found is not None
    return found


def execution_of(qdash: QDashDatabase, execution_id: str | None) -> dict[str, Any]:
    found = qdash["execution_history"].find_one({"execution_id": execution_id})
    assert found is not None
    return found


def qubit_of(qdash: QDashDatabase, qid: str = "0") -> dict[str, Any]:
    found = qdash["qubit"].find_one({"qid": qid, "chip_id": CHIP})
    assert found is not None
    return found


def assert_readable(qdash: QDashDatabase) -> None:
    assert [str(problem) for problem in lint_database(qdash)] == []
    assert [str(problem) for problem in lint_references(qdash)] == []


def test_shows_a_whole_job(world: QueueWorld, mirror: Mirror, qdash: QDashDatabase, layout: Layout) -> None:
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


def test_twice_is_once(world: QueueWorld, mirror: Mirror, qdash: QDashDatabase, layout: Layout) -> None:
    job = world.run()
    mirror.run_once()
    once = state_of(qdash, layout)
    world.database.execute("SELECT calib.mark_all()")
    assert mirror.run_once().mirrored == 2
    assert state_of(qdash, layout) == once
    mirror.rebuild(job.job_id)
    assert state_of(qdash, layout) == once


def test_rebuild_into_an_emptied_mongodb_gives_the_same(
    world: QueueWorld, mirror: Mirror, qdash: QDashDatabase, layout: Layout
) -> None:
    world.run(["0"])
    world.run(["1", "2"], record=lambda task, qid: failing(task) if qid == "2" else passing(task, value=7.0))
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


def test_running_job_shows_from_its_start(world: QueueWorld, mirror: Mirror, qdash: QDashDatabase) -> None:
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


def test_refused_outputs_change_no_parameter(world: QueueWorld, mirror: Mirror, qdash: QDashDatabase) -> None:
    world.run(["0"], ["CheckT1"])
    job = world.run(["0"], ["CheckT1"], record=lambda task, _: failing(task))
    mirror.run_once()
    refused = qdash["task_result_history"].find_one({"execution_id": job.execution_id})
    assert refused is not None
    assert (refused["status"], refused["output_parameters"]) == ("failed", {})
    assert refused["output_parameter_names"] == ["t1"]
    assert refused["note"]["qdash_queue"]["refused_output_parameters"]["t1"]["value"] == 41.5
    assert refused["figure_path"]
    assert refused["raw_data_path"]
    assert execution_of(qdash, job.execution_id)["message"] == "1 task failed"
    assert qubit_of(qdash)["data"]["t1"]["execution_id"] != job.execution_id
    assert_readable(qdash)


def test_every_attempt_keeps_its_results(world: QueueWorld, mirror: Mirror, qdash: QDashDatabase) -> None:
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


def test_leaves_alone_what_users_wrote(world: QueueWorld, mirror: Mirror, qdash: QDashDatabase) -> None:
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
    world: QueueWorld, mirror: Mirror, qdash: QDashDatabase, layout: Layout, owner: Database
) -> None:
    job = world.submit()
    lease = world.start(job)
    planned = world.plan(lease, ["0"], ["CheckT1"])
    run_id = lease.start_task(planned[0])
    stale = Source(owner).job_snapshot(job.job_id)
    assert stale is not None
    lease.record_task(run_id, passing("CheckT1"))
    lease.conclude(JobState.COMPLETED)
    lease.finish()
    mirror.run_once()
    before = state_of(qdash, layout)

    place = QDashLookup(qdash).place_of(PROJECT, CHIP, USER, ["0"])
    writer = Writer(qdash)
    # What a mirror that stood still since then would write now.
    execution = execution_document(stale.job, place.user_id, layout)
    results = [
        task_result_document(
            stale.job, task_run, task_artifacts(stale, task_run, layout), place.user_id, layout
        )
        for task_run in stale.task_runs
    ]
    assert writer.write_execution(execution, Guard.NEWER_ONLY) == []
    # Whether or not it saw that they are there.
    for stored in ([], [result.task_id for result in results]):
        assert writer.write_task_results(results, [], stored, place, Guard.NEWER_ONLY) == []
    assert state_of(qdash, layout) == before


def test_rebuild_overrules_a_newer_version_after_a_restored_backup(
    world: QueueWorld, mirror: Mirror, qdash: QDashDatabase
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


def test_each_day_keeps_what_was_valid_at_its_end(
    world: QueueWorld, mirror: Mirror, qdash: QDashDatabase, owner: Database
) -> None:
    owner.execute("SELECT calib.set_time_zone('Pacific/Kiritimati')")
    # 23:50 and, after it, 00:10 of the next day in that zone, which is 14 hours ahead of UTC.
    for moment, value in (("09:50", 30.0), ("10:10", 40.0)):
        owner.execute(
            "CREATE OR REPLACE FUNCTION calib_private.now() RETURNS timestamptz LANGUAGE sql VOLATILE"
            f" AS $$ SELECT '2026-03-01 {moment}:00+00'::timestamptz $$"
        )
        measured = passing("CheckT1", value=value)
        world.run(["0"], ["CheckT1"], always(measured))
    owner.execute(
        "CREATE OR REPLACE FUNCTION calib_private.now() RETURNS timestamptz LANGUAGE sql VOLATILE"
        " AS $$ SELECT '2026-03-05 00:00:00+00'::timestamptz $$"
    )
    mirror.run_once()
    mirror.rebuild()
    days = {row["recorded_date"]: row["data"]["t1"]["value"] for row in qdash["qubit_history"].find()}
    assert days == {"20260301": 30.0, "20260302": 40.0}
    assert sorted(qdash["execution_counter"].distinct("date")) == ["20260301", "20260302"]
    assert sorted(qdash["execution_history"].distinct("execution_id")) == ["20260301-q001", "20260302-q001"]
    assert qubit_of(qdash)["data"]["t1"]["value"] == 40.0
    assert_readable(qdash)


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_of_two_values_the_later_calibrated_stays(
    world: QueueWorld, mirror: Mirror, qdash: QDashDatabase, seconds: float
) -> None:
    theirs = {"value": 99.0, "unit": "μs", "calibrated_at": datetime.now(UTC) + timedelta(seconds=seconds)}
    qdash["qubit"].update_one({"qid": "0"}, {"$set": {"data.t1": theirs}})
    world.run(["0"], ["CheckT1"])
    mirror.run_once()
    assert qubit_of(qdash)["data"]["t1"]["value"] == (99.0 if seconds > 0 else 41.5)


def test_value_without_a_date_in_qdash_is_replaced(
    world: QueueWorld, mirror: Mirror, qdash: QDashDatabase
) -> None:
    qdash["qubit"].update_one({"qid": "0"}, {"$set": {"data.t1": 12.0}})
    world.run(["0"], ["CheckT1"])
    mirror.run_once()
    assert qubit_of(qdash)["data"]["t1"]["value"] == 41.5


def test_imports_and_edits_show_without_any_job(
    world: QueueWorld, mirror: Mirror, qdash: QDashDatabase
) -> None:
    parameters = Parameters(world.database, CHIP)
    parameters.import_values({"5": {"qubit_frequency": {"value": 4.8, "unit": "GHz"}}}, reason="design")
    mirror.run_once()
    shown = qubit_of(qdash, "5")["data"]["qubit_frequency"]
    assert (shown["value"], shown["execution_id"][:12]) == (4.8, "seed-import-")
    parameters.set("5", "qubit_frequency", 4.9, error=0.1, unit="GHz", reason="by hand")
    mirror.run_once()
    shown = qubit_of(qdash, "5")["data"]["qubit_frequency"]
    assert (shown["value"], shown["execution_id"][:12]) == (4.9, "manual-edit-")
    assert qdash["qubit_history"].count_documents({"qid": "5"}) == 1
    assert_readable(qdash)


def test_coupling_goes_to_its_own_row(world: QueueWorld, mirror: Mirror, qdash: QDashDatabase) -> None:
    world.run(["0-1"], ["CheckT1"])
    mirror.run_once()
    rows = {row["qid"]: row["data"] for row in qdash["coupling"].find({"qid": {"$in": ["0-1", "1-0"]}})}
    assert rows["0-1"]["t1"]["value"] == 41.5
    assert rows["1-0"] == {}
    assert qdash["coupling_history"].distinct("qid") == ["0-1"]
    assert_readable(qdash)


def _no_user(qdash: QDashDatabase) -> None:
    qdash["user"].delete_many({"username": USER})


def _no_project(qdash: QDashDatabase) -> None:
    qdash["project"].delete_many({})


def _no_chip(qdash: QDashDatabase) -> None:
    qdash["chip"].delete_many({"chip_id": CHIP})


def _no_qubit(qdash: QDashDatabase) -> None:
    qdash["qubit"].delete_many({"chip_id": CHIP, "qid": "1"})


@pytest.mark.parametrize(
    ("remove", "words"),
    [
        (_no_user, 'QDash has no user "alice"'),
        (_no_project, 'QDash has no project "demo"'),
        (_no_chip, 'QDash has no chip "SIM16" in project "demo"'),
        (_no_qubit, 'QDash has no qubit "1" of chip "SIM16"'),
    ],
)
def test_missing_in_qdash_waits_in_words(
    world: QueueWorld,
    mirror: Mirror,
    qdash: QDashDatabase,
    remove: Callable[[QDashDatabase], None],
    words: str,
) -> None:
    remove(qdash)
    job = world.run()
    assert list(mirror.run_once().waiting) == [f"job {job.job_id}"]
    (mark,) = mirror.lag().marks
    assert mark.last_error is not None
    assert mark.last_error.startswith(words)
    assert mark.next_try_at > mark.marked_at
    assert qdash["task_result_history"].count_documents({}) == 0
    assert mirror.rebuild().waiting != {}

    set_up_qdash(qdash)
    world.database.execute("SELECT calib.mark_all()")
    assert mirror.run_once().waiting == {}
    assert mirror.lag().marks == []
    assert execution_of(qdash, job.execution_id)["status"] == "completed"


def test_other_chips_pass_one_that_waits(
    world: QueueWorld, mirror: Mirror, qdash: QDashDatabase, owner: Database
) -> None:
    waiting = make_chip(owner, "GHOST").run(["0"], ["CheckT1"])
    shown = world.run(["0"], ["CheckT1"])
    report = mirror.run_once()
    assert list(report.waiting) == [f"job {waiting.job_id}"]
    assert execution_of(qdash, shown.execution_id)["status"] == "completed"
    assert [mark.job_id for mark in mirror.lag().marks] == [waiting.job_id]


def test_figure_that_cannot_be_rendered_stops_nothing(
    world: QueueWorld, mirror: Mirror, qdash: QDashDatabase, layout: Layout
) -> None:
    bad = '{"data": [{"type": "scattermapbox"}], "layout": {"mapbox": {"style": "dark"}}}'

    def record(task: str, _qid: str) -> TaskRecord:
        good = passing(task)
        return good.model_copy(update={"figures": [FigureRecord(name="map", plotly=bad), *good.figures]})

    world.run(["0"], ["CheckT1"], record)
    assert mirror.run_once().waiting == {}
    result = result_of(qdash, "CheckT1")
    assert [path.rsplit("/", 1)[1] for path in result["figure_path"]] == ["CheckT1_0_1.png"]
    assert [path.rsplit("/", 1)[1] for path in result["json_figure_path"]] == [
        "CheckT1_0_1.json",
        "CheckT1_0_0.json",
    ]
    assert "Mapbox" in result["note"]["qdash_queue"]["figures_not_rendered"]["CheckT1_0_0"]
    assert next(layout.base.rglob("CheckT1_0_0.json")).read_text() == bad
    assert mirror.run_once().worked is False
    assert_readable(qdash)


def test_raw_data_that_nobody_can_read_stop_nothing(
    world: QueueWorld, mirror: Mirror, qdash: QDashDatabase
) -> None:
    odd = RawDataRecord(name="odd", dtype="object", shape=(1,), unit="", data=b"12345678")
    good = passing("CheckT1")
    world.run(["0"], ["CheckT1"], always(good.model_copy(update={"raw_data": [odd, *good.raw_data]})))
    assert mirror.run_once().waiting == {}
    result = result_of(qdash, "CheckT1")
    assert [path.rsplit("/", 1)[1] for path in result["raw_data_path"]] == ["CheckT1_0_raw_1.csv"]
    unread, read = result["note"]["qdash_queue"]["raw_data"]
    assert (unread["name"], unread["path"]) == ("odd", "")
    assert 'got "object"' in unread["problem"]
    assert (read["name"], read["problem"]) == ("iq", "")
    assert_readable(qdash)


def test_job_that_never_started_is_done_without_a_word(
    world: QueueWorld, mirror: Mirror, qdash: QDashDatabase
) -> None:
    job = world.submit()
    world.queue.cancel(job.job_id, CancelMode.NOW, "changed my mind")
    assert mirror.run_once().waiting == {}
    assert qdash["execution_history"].count_documents({}) == 0
    for job_id in (job.job_id, 4711):
        with pytest.raises(NothingToMirrorError, match=f"job {job_id} does not exist or never started"):
            mirror.rebuild(job_id)


def test_failed_job_without_any_task_shows(world: QueueWorld, mirror: Mirror, qdash: QDashDatabase) -> None:
    job = world.submit()
    lease = world.start(job)
    lease.conclude(JobState.FAILED, Failure(kind=FailureKind.INSTRUMENT, message="no answer"))
    lease.finish()
    mirror.run_once()
    shown = execution_of(qdash, Queue(world.database).get(job.job_id).execution_id)
    assert (shown["status"], shown["message"]) == ("failed", "no answer")
    assert_readable(qdash)
