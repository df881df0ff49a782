"""QDash's flow of one task on one target, also as the repeat of an earlier task run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from calibtasks.base import PostProcessResult
from calibtasks.task import REGISTRY
from executors.job.context import use_job
from qdash_queue.client.models import TaskRun
from qdash_queue.domain import CalibrationError, ParameterModel
from tests.engine.tasks import ShortFormTask
from tests.engine.test_replay import edit
from tests.engine.world import World
from tests.service.flow_jobs import refusal, run, setting, take


def test_one_task_runs_on_one_qubit_and_its_value_is_kept(world: World) -> None:
    job_id, _ = run(world, "single-task-executor", qid="5", task_name="GoodTask")
    assert world.statuses(job_id) == {("GoodTask", "5"): "completed"}
    kept = world.value("5", "t1")
    assert kept is not None
    assert kept.value == 2.0


@pytest.mark.parametrize("staging", ["update_params", "persist_output_parameters"])
def test_a_task_may_run_without_changing_a_parameter(world: World, staging: str) -> None:
    run(world, "single-task-executor", qid="5", task_name="GoodTask", **{staging: False})
    assert world.value("5", "t1") is None


def test_one_task_runs_on_one_coupling(world: World) -> None:
    job_id, _ = run(world, "single-task-executor", qid="0-1", task_name="PairTask")
    assert world.statuses(job_id) == {("PairTask", "0-1"): "completed"}


def test_a_task_run_is_repeated_with_its_run_parameters_and_those_overridden(world: World) -> None:
    steps = [{"type": "CustomOneQubit", "tasks": ["GoodTask"]}]
    given = {"GoodTask": {"slope": 3.0, "points": 7}}
    job_id, _ = run(world, "pipeline", targets={"qids": ["5"]}, steps=steps, task_run_parameters=given)
    (source,) = world.queue.task_runs(job_id)
    job_id, _ = run(
        world,
        "single-task-executor",
        qid="5",
        task_name="GoodTask",
        source_execution_id=world.queue.get(source.job_id).execution_id,
        source_task_id=str(source.task_run_id),
        parameter_overrides={"run": {"slope": 5.0}},
    )
    (again,) = world.queue.task_runs(job_id)
    assert [setting(again, name) for name in ("slope", "points")] == [5.0, 7]
    assert again.note["source_task_id"] == str(source.task_run_id)


class ConfigureTask(ShortFormTask, register=False):
    """Has no parameters, as QDash's."""

    name = "Configure"
    output_parameters: Mapping[str, ParameterModel] = {}

    def postprocess(self, backend: Any, result: Any) -> PostProcessResult:  # type: ignore[override]
        return PostProcessResult({})


@pytest.fixture
def source(world: World, monkeypatch: pytest.MonkeyPatch) -> TaskRun:
    """A task run with a value that is in force no longer, where there is a task Configure."""
    monkeypatch.setitem(REGISTRY._classes, ("tests", ConfigureTask.name), ConfigureTask)
    world.set_values({"5": {"qubit_frequency": 4.1}})
    steps = [{"type": "CustomOneQubit", "tasks": ["GoodTask"]}]
    given = {"GoodTask": {"slope": 3.0, "points": 7}}
    job_id, _ = run(world, "pipeline", targets={"qids": ["5"]}, steps=steps, task_run_parameters=given)
    world.set_values({"5": {"qubit_frequency": 4.3}})
    return world.task_runs(job_id)["GoodTask", "5", 0]


def repeat(source: TaskRun, **others: Any) -> dict[str, Any]:
    """The parameters of a job that configures and repeats the task run."""
    given = {"qid": "5", "task_name": "GoodTask", "source_task_id": str(source.task_run_id)}
    return {**given, "reconfigure": True, **others}


@pytest.mark.parametrize(
    ("overrides", "values"),
    [
        (None, [4.1, 3.0, 7]),
        ({"input": {"qubit_frequency": 4.2}, "run": {"slope": 5.0}}, [4.2, 5.0, 7]),
    ],
)
def test_a_task_run_is_repeated_on_a_qubit_that_is_configured_before(
    world: World, source: TaskRun, overrides: dict[str, Any] | None, values: list[float]
) -> None:
    parameters = repeat(source, parameter_overrides=overrides)
    job_id, found = run(world, "single-task-executor", **parameters)
    assert list(found["single_task"]["5"]) == ["Configure", "GoodTask", "status"]
    runs = world.task_runs(job_id)
    again = runs["GoodTask", "5", 0]
    frequency = ParameterModel.model_validate(again.input_parameters["qubit_frequency"])
    assert [frequency.value, *(setting(again, name) for name in ("slope", "points"))] == values
    assert again.note["source_task_id"] == str(source.task_run_id)
    assert "source_task_id" not in runs["Configure", "5", 0].note


@pytest.mark.parametrize(
    ("column", "name", "words"),
    [
        ("input_parameters", "qubit_frequency", "the input qubit_frequency"),
        ("run_parameters", "slope", "the run parameter slope"),
    ],
)
def test_a_task_run_that_was_not_recorded_whole_is_not_repeated(
    world: World, source: TaskRun, column: str, name: str, words: str
) -> None:
    edit(world, f"UPDATE calib_private.task_runs SET {column} = {column} - '{name}'")
    expected = f"task run {source.task_run_id} of GoodTask was recorded without {words}"
    with (
        use_job(world.claim_job("single-task-executor", repeat(source))) as job,
        pytest.raises(CalibrationError, match=f"source_task_id: {expected}") as refused,
    ):
        take(job)
    assert refused.value.failure.kind == "invalid_request"
    assert job.lease.finish() == "failed"
    assert ("GoodTask", "5") not in {
        (each.task, each.qid) for each in world.queue.task_runs(job.claimed.job_id) if each.started_at
    }


def test_another_task_run_is_refused_before_the_qubit_is_configured(world: World, source: TaskRun) -> None:
    given = repeat(source, task_name="CheckRabi")
    with (
        use_job(world.claim_job("single-task-executor", given)) as job,
        pytest.raises(CalibrationError, match="is GoodTask on qubit 5, not CheckRabi on qubit 5"),
    ):
        take(job)
    assert world.queue.task_runs(job.claimed.job_id) == []


def test_an_execution_without_a_task_run_is_refused(world: World) -> None:
    given = {"qid": "5", "task_name": "GoodTask", "source_execution_id": "20261130-001"}
    words = "source_task_id is required: an execution alone does not say which task run"
    assert refusal(world, "single-task-executor", **given) == words
