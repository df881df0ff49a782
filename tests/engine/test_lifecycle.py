from __future__ import annotations

import json
import math

import numpy as np
import pytest

from executors.engine import TaskFailedError
from tests.engine.world import World


def test_a_passing_task_leaves_everything_in_one_commit(world: World) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        orchestrator = world.session(["0"])
        outputs = orchestrator.run_task("GoodTask", "0")
        orchestrator.complete()
    job_id = job.claimed.job_id
    run = world.task_runs(job_id)["GoodTask", "0", 0]
    assert outputs["task_id"] == str(run.task_run_id)
    assert run.status == "completed"
    assert run.quality_metrics == {"r2": 0.99, "chi2": 1.0}
    assert run.note == {"library_values": {"slope": 1.0}, "task_source": "tests"}
    assert run.run_parameters["slope"] == {"value": 2.0, "value_type": "float", "unit": "", "description": ""}
    assert set(run.input_parameters) == {"qubit_frequency"}
    assert [figure.name for figure in world.queue.figures(job_id)] == ["line"]
    stored = {raw.name: raw for raw in world.queue.raw_data(job_id)}
    assert [(raw.dtype, raw.shape, raw.unit) for raw in stored.values()] == [
        ("<f8", [5], "ns"),
        ("<c16", [5], "a.u."),
    ]
    iq = np.frombuffer(stored["iq"].data, stored["iq"].dtype)
    assert iq.tolist() == [0, 2, 4, 6, 8]
    value = world.value("0", "t1")
    assert value is not None
    assert (value.value, value.error, value.unit, value.task_run_id) == (2.0, 0.1, "μs", run.task_run_id)
    assert value.execution_id == job.claimed.execution_id


REFUSED = [
    ("RefusedTask", "bad_fit", "r2_low", {"line"}, 2),
    ("NanTask", "bad_fit", "output_not_finite", {"line"}, 2),
    ("NanDataTask", "instrument", "data_not_finite", set(), 1),
    ("BrokenTask", "internal", "ZeroDivisionError", set(), 0),
    ("NeedyTask", "missing_input", "no_value", set(), 0),
    ("ImpatientTask", "timeout", "task_timeout", set(), 0),
    ("HugeTask", "internal", "TooLargeError", set(), 0),
    ("OddUnitTask", "internal", "refused", {"line"}, 2),
]


@pytest.mark.parametrize(("task", "kind", "cause", "figures", "arrays"), REFUSED)
def test_a_failure_is_recorded_and_the_good_value_stays(
    world: World, task: str, kind: str, cause: str, figures: set[str], arrays: int
) -> None:
    with world.job(["GoodTask", task], ["0"]) as job:
        orchestrator = world.session(["0"])
        orchestrator.run_task("GoodTask", "0")
        good = world.value("0", "t1")
        with pytest.raises(TaskFailedError) as caught:
            orchestrator.run_task(task, "0")
        orchestrator.complete()
    assert (caught.value.failure.kind, caught.value.failure.cause) == (kind, cause)
    run = world.task_runs(job.claimed.job_id)[task, "0", 0]
    assert caught.value.task_id == str(run.task_run_id)
    assert (run.status, run.failure_kind, run.cause) == ("failed", kind, cause)
    assert run.message == caught.value.failure.message
    assert world.value("0", "t1") == good
    of_this = [figure for figure in world.queue.figures(job.claimed.job_id) if figure.task == task]
    assert {figure.name for figure in of_this} == figures
    assert len([raw for raw in world.queue.raw_data(job.claimed.job_id) if raw.task == task]) == arrays


def test_refused_outputs_are_kept_as_measured(world: World) -> None:
    with world.job(["RefusedTask", "NanTask"], ["0"]) as job:
        orchestrator = world.session(["0"])
        for task in ("RefusedTask", "NanTask"):
            with pytest.raises(TaskFailedError):
                orchestrator.run_task(task, "0")
    runs = world.task_runs(job.claimed.job_id)
    refused = runs["RefusedTask", "0", 0].output_parameters["t1"]
    assert isinstance(refused, dict)
    assert (refused["value"], refused["error"]) == (2.0, 0.1)
    odd = runs["NanTask", "0", 0].output_parameters["t1"]
    assert isinstance(odd, dict)
    assert odd["value"] is None
    assert "value was nan; error was inf" in json.dumps(odd["description"])


def test_stack_traces_are_kept_for_accidents_only(world: World) -> None:
    with world.job(["BrokenTask", "RefusedTask"], ["0"]) as job:
        orchestrator = world.session(["0"])
        for task in ("BrokenTask", "RefusedTask"):
            with pytest.raises(TaskFailedError):
                orchestrator.run_task(task, "0")
    runs = world.task_runs(job.claimed.job_id)
    assert "ZeroDivisionError: ab" in runs["BrokenTask", "0", 0].stack_trace
    assert runs["RefusedTask", "0", 0].stack_trace == ""


def test_settings_of_the_call_reach_the_measurement(world: World) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        orchestrator = world.session(["0"], default_run_parameters={"points": 4, "GoodTask": {"slope": 3.0}})
        orchestrator.run_task("GoodTask", "0")
        details = {"GoodTask": {"run_parameters": {"slope": 7.0}}}
        orchestrator.run_task("GoodTask", "0", task_details=details)
    runs = world.task_runs(job.claimed.job_id)
    first, second = (runs["GoodTask", "0", n].run_parameters for n in (0, 1))
    assert [first["slope"]["value"], second["slope"]["value"]] == [3.0, 7.0]  # type: ignore[index, call-overload]
    assert first["points"]["value"] == 4  # type: ignore[index, call-overload]
    assert details == {"GoodTask": {"run_parameters": {"slope": 7.0}}}


def test_each_task_names_the_one_before_it_on_its_qubit(world: World) -> None:
    with world.job(["GoodTask", "RefusedTask"], ["0", "1"]) as job:
        orchestrator = world.session(["0", "1"])
        first = orchestrator.run_task("GoodTask", "0")["task_id"]
        orchestrator.run_task("GoodTask", "1")
        with pytest.raises(TaskFailedError):
            orchestrator.run_task("RefusedTask", "0")
        orchestrator.run_task("GoodTask", "0")
    runs = world.task_runs(job.claimed.job_id)
    assert runs["GoodTask", "1", 0].upstream_id is None
    assert str(runs["RefusedTask", "0", 0].upstream_id) == first
    assert str(runs["GoodTask", "0", 1].upstream_id) == first


def test_staging_changes_no_parameter(world: World) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        world.session(["0"], persist_output_parameters=False).run_task("GoodTask", "0")
    assert world.value("0", "t1") is None
    run = world.task_runs(job.claimed.job_id)["GoodTask", "0", 0]
    assert run.status == "completed"
    assert set(run.output_parameters) == {"t1"}


def test_a_task_in_the_quickstarts_short_form_runs(world: World) -> None:
    with world.job(["ShortFormTask"], ["2"]):
        world.session(["2"]).run_task("ShortFormTask", "2")
    value = world.value("2", "t2_echo")
    assert value is not None
    assert value.value == 2.0


def test_outputs_are_the_inputs_of_what_follows(world: World) -> None:
    with world.job(["GoodTask"], ["0"]):
        orchestrator = world.session(["0"])
        orchestrator.run_task("GoodTask", "0")
        assert orchestrator.get_parameter("0", "t1").value == 2.0
        orchestrator.set_parameter("0", "t1", 5.0)
        assert orchestrator.get_parameter("0", "t1").unit == "μs"
        with pytest.raises(ValueError, match="t1 of qubit 0: expected a finite number, got nan"):
            orchestrator.set_parameter("0", "t1", math.nan)
        assert orchestrator.get_parameter("0", "t1").value == 5.0
    stored = world.value("0", "t1")
    assert stored is not None
    assert stored.value == 2.0
