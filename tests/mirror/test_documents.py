"""Rows to documents: pure functions, no database."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from uuid import UUID

import pytest

from qdash_queue.client.models import Job, JsonObject, Parameter, Stage, TaskRun
from qdash_queue.domain import FailureKind, JobState, TaskStatus, TaskType
from qdash_queue.mirror.artifacts.artifact_writer import task_artifacts
from qdash_queue.mirror.documents.bson_values import bson_object
from qdash_queue.mirror.documents.build import (
    elapsed_seconds,
    execution_document,
    parameter_document,
    task_result_document,
)
from qdash_queue.mirror.documents.layout import Layout, execution_folder, path_part, task_stem
from qdash_queue.mirror.documents.models import TaskResultHistory
from qdash_queue.mirror.read.rows import FigureRow, JobSnapshot
from tests.mirror.qdash_lint import lint_document

AT = datetime(2026, 1, 31, 16, 30, tzinfo=UTC)
USER_ID = "usr_" + "0" * 32
RUN_ID = UUID("11111111-2222-4333-8444-555555555555")
LAYOUT = Layout(base=Path("/data"), base_in_qdash=PurePosixPath("/app/calib_data"))

JOB = Job(
    job_id=42,
    project_id="demo",
    username="alice",
    chip_id="SIM16",
    flow="calibrate",
    parameters={"qids": ["0"]},
    priority=0,
    not_before=AT,
    not_after=None,
    timeout_seconds=60,
    max_attempts=2,
    dedup_key=None,
    tags=["calibrate", "night"],
    note={},
    state=JobState.RUNNING,
    attempt=1,
    execution_id="20260201-q007",
    flow_run_id=None,
    executor_id="e1",
    submitted_by="alice",
    submitted_at=AT,
    started_at=AT + timedelta(seconds=1),
    finished_at=None,
    waiting_for=None,
    tasks_total=1,
    tasks_done=0,
    tasks_failed=0,
    failure_kind=None,
    failure_message=None,
    cancel_requested=False,
    cancel_mode=None,
    cancel_reason=None,
    cancel_requested_by=None,
    cancel_requested_at=None,
    cancel_seen_at=None,
    version=9,
)
T1: JsonObject = {"t1": {"value": 41.5, "error": 0.5, "unit": "μs", "value_type": "float"}}
RUN = TaskRun(
    task_run_id=RUN_ID,
    job_id=42,
    attempt=1,
    task="CheckT1",
    qid="0",
    repetition=0,
    task_type=TaskType.QUBIT,
    status=TaskStatus.COMPLETED,
    ordinal=1,
    upstream_id=None,
    started_at=AT + timedelta(seconds=2),
    ended_at=AT + timedelta(seconds=3.5),
    hardware_seconds=0.2,
    message="",
    failure_kind=None,
    cause="",
    remedy="",
    stack_trace="",
    input_parameters={"qubit_frequency": {"value": 4.8, "unit": "GHz"}, "unknown": None},
    output_parameters=T1,
    run_parameters={"shots": {"value": 1024, "value_type": "int", "unit": "", "description": ""}},
    quality_metrics={"r2": 0.98},
    note={},
    sweep_id=None,
)


def document(run: TaskRun, job: Job = JOB, figures: list[FigureRow] | None = None) -> TaskResultHistory:
    snapshot = JobSnapshot(job=job, task_runs=[run], figures=figures or [])
    return task_result_document(job, run, task_artifacts(snapshot, run, LAYOUT), USER_ID, LAYOUT)


def changed(row: Job | TaskRun, **fields: object) -> dict[str, object]:
    return row.model_dump() | fields


def run_with(**fields: object) -> TaskRun:
    return TaskRun.model_validate(changed(RUN, **fields))


def job_with(**fields: object) -> Job:
    return Job.model_validate(changed(JOB, **fields))


def test_completed_task_shows_its_outputs_and_their_origin() -> None:
    shown = document(RUN)
    t1 = shown.output_parameters["t1"]
    assert (t1.value, t1.error, t1.unit, t1.parameter_name) == (41.5, 0.5, "μs", "t1")
    assert (t1.execution_id, t1.task_id) == ("20260201-q007", str(RUN_ID))
    assert t1.calibrated_at == RUN.ended_at
    assert shown.elapsed_time == 1.5
    assert shown.message == "CheckT1 is completed"
    assert shown.tags == ["calibrate", "night"]


def test_refused_outputs_go_under_the_note_with_their_names_kept() -> None:
    refused = run_with(
        status=TaskStatus.FAILED, failure_kind=FailureKind.BAD_FIT, message="R² 0.3", remedy="look again"
    )
    shown = document(refused)
    assert shown.status == "failed"
    assert shown.output_parameters == {}
    assert shown.output_parameter_names == ["t1"]
    note = shown.note.qdash_queue
    assert note.refused_output_parameters == T1
    assert note.failure is not None
    assert (note.failure.kind, note.failure.remedy) == ("bad_fit", "look again")


def test_skipped_shows_as_cancelled_not_started() -> None:
    skipped = run_with(
        status=TaskStatus.SKIPPED, started_at=None, message="", output_parameters={}, ended_at=AT
    )
    shown = document(skipped)
    assert (shown.status, shown.message) == ("cancelled", "not started")
    assert shown.elapsed_time is None
    assert shown.note.qdash_queue.status == "skipped"


@pytest.mark.parametrize("value", [None, "41", True, math.inf, {"nested": 1}])
def test_output_without_a_finite_number_is_never_shown_as_one(value: object) -> None:
    shown = document(run_with(output_parameters={"t1": {"value": value}}))
    assert shown.output_parameters == {}
    assert shown.output_parameter_names == ["t1"]


def test_dates_and_numbers_stay_within_what_qdash_reads() -> None:
    backwards = document(run_with(started_at=AT + timedelta(seconds=9), ended_at=AT))
    assert backwards.elapsed_time == 0.0
    assert elapsed_seconds(AT, AT + timedelta(days=900)) == 365 * 86400
    assert len(document(run_with(stack_trace="x" * 20_000)).stack_trace) == 10_000


def test_input_without_a_date_has_no_field_for_it() -> None:
    inputs = document(RUN).model_dump()["input_parameters"]
    assert "calibrated_at" not in inputs["qubit_frequency"]
    assert inputs["unknown"]["value"] is None


def test_running_execution_carries_the_flow_run_for_the_cancel_button() -> None:
    shown = execution_document(job_with(flow_run_id=RUN_ID), USER_ID, LAYOUT)
    assert shown.status == "running"
    assert shown.note.flow_run_id == str(RUN_ID)
    assert shown.calib_data_path == "/app/calib_data/alice/20260201/q007"
    assert shown.end_at is None


def test_results_of_stages_stand_by_their_names() -> None:
    stage = Stage(
        job_id=1,
        attempt=1,
        position=0,
        name="look.1",
        step="OneQubitCheck",
        mode=None,
        targets=["0"],
        status="completed",
        result={"a.b": 2**70},
        message="",
        started_at=AT,
        ended_at=AT,
    )
    shown = execution_document(JOB, USER_ID, LAYOUT, [stage, stage.model_copy(update={"name": "tune"})])
    assert shown.note.stage_results == {"look．1": {"a．b": str(2**70)}, "tune": {"a．b": str(2**70)}}
    assert "stage_results" not in execution_document(JOB, USER_ID, LAYOUT).note.model_dump()


def test_failed_execution_says_why() -> None:
    failed = job_with(
        state=JobState.FAILED, finished_at=AT, failure_kind=FailureKind.TIMEOUT, failure_message="60 s passed"
    )
    shown = execution_document(failed, USER_ID, LAYOUT)
    assert shown.message == "60 s passed"
    assert shown.note.qdash_queue.failure is not None
    assert shown.elapsed_time == 0.0


def test_job_that_never_started_has_no_execution() -> None:
    with pytest.raises(ValueError, match="never started"):
        execution_document(job_with(execution_id=None), USER_ID, LAYOUT)


def test_documents_pass_the_lint_but_for_the_id_that_mongodb_gives() -> None:
    for shown, collection in (
        (document(RUN), "task_result_history"),
        (document(run_with(task_type=TaskType.MUX, qid="3")), "task_result_history"),
        (execution_document(JOB, USER_ID, LAYOUT), "execution_history"),
    ):
        fields = shown.model_dump()
        if fields["note"].get("flow_run_id", "") is None:
            del fields["note"]["flow_run_id"]
        problems = list(lint_document(collection, fields | {"cooldown_id": ""}))
        assert [problem.field for problem in problems] == ["_id"]


def test_figure_without_a_picture_stands_last_so_that_pairs_stay_pairs() -> None:
    figures = [
        FigureRow(figure_id=1, task_run_id=RUN_ID, ordinal=0, has_png=False, render_error="not rendered"),
        FigureRow(figure_id=2, task_run_id=RUN_ID, ordinal=1, has_png=True),
    ]
    shown = document(RUN, figures=figures)
    folder = "/app/calib_data/alice/20260201/q007/fig"
    assert shown.figure_path == [f"{folder}/CheckT1_0_1.png"]
    assert shown.json_figure_path == [f"{folder}/CheckT1_0_1.json", f"{folder}/CheckT1_0_0.json"]
    assert shown.note.qdash_queue.figures_not_rendered == {"CheckT1_0_0": "not rendered"}


def test_names_of_files_tell_attempts_and_repetitions_apart() -> None:
    stems = {
        task_stem(run_with(attempt=attempt, repetition=repetition))
        for attempt in (1, 2)
        for repetition in (0, 1)
    }
    assert len(stems) == 4
    assert task_stem(RUN) == "CheckT1_0"
    assert task_stem(run_with(task_type=TaskType.COUPLING, qid="0-1")) == "CheckT1_0-1"
    assert task_stem(run_with(task_type=TaskType.GLOBAL, qid="")) == "CheckT1"
    assert task_stem(run_with(task_type=TaskType.MUX, qid="0")) == "CheckT1_mux0"


def test_a_multiplexer_is_not_taken_for_the_qubit_of_its_number() -> None:
    run = run_with(task_type=TaskType.MUX, qid="3", output_parameters={})
    shown = document(run)
    assert (shown.task_type, shown.qid) == ("global", "")
    assert JobSnapshot(job=JOB, task_runs=[RUN, run]).qids == {"0"}


@pytest.mark.parametrize("word", ["..", ".", "../../etc", "a/b", "a b;c"])
def test_no_word_leaves_its_folder(word: str) -> None:
    part = path_part(word)
    assert part not in {"", ".", ".."}
    assert "/" not in part


def test_execution_id_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match='expected an execution id like "20260131-q001"'):
        execution_folder("alice", "../../x")


def test_values_that_mongodb_refuses_become_ones_it_takes() -> None:
    deep: JsonObject = {}
    for _ in range(200):
        deep = {"a": deep}
    made = bson_object({"a.b": 1, "$c": 2**64, "d": math.inf, "e": [True, None, "x"], "deep": deep})
    assert made["a．b"] == 1
    assert made["＄c"] == str(2**64)
    assert made["d"] == "inf"
    assert made["e"] == [True, None, "x"]


@pytest.mark.parametrize(("source", "prefix"), [("import", "seed-import-"), ("edit", "manual-edit-")])
def test_value_that_no_execution_measured_has_qdashs_kind_of_origin(source: str, prefix: str) -> None:
    row = Parameter(
        chip_id="SIM16",
        qid="0",
        name="qubit_frequency",
        value=4.8,
        error=0.0,
        unit="GHz",
        value_type="float",
        description="",
        valid_from=AT,
        source=source,
        task_run_id=None,
        job_id=None,
        execution_id=None,
        actor="alice",
        reason="design",
    )
    made = parameter_document(row)
    assert made.execution_id.startswith(prefix)
    assert len(made.execution_id) == len(prefix) + 8
    assert parameter_document(row) == made
    assert parameter_document(row.model_copy(update={"value_type": "int", "value": 24.0})).value == 24
