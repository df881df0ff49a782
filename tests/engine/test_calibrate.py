from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from prefect import flow
from prefect.flows import Flow

from executors.flows import FlowDefinition, FlowError, load_flows
from executors.flows.calibrate import CALIBRATE, calibrate
from executors.flows.interactive import INTERACTIVE
from executors.job.context import JobContext, instruments_folder
from qdash_queue.domain import CalibrationError
from qdash_queue.errors import BadParametersError, UnknownNameError
from tests.engine.world import CHIP, PROJECT, USERNAME, World

ROW_PARAMETERS = ("username", "chip_id", "project_id")
"""Arguments of a flow that come from the job's columns and never from its ``parameters``."""


def run(job: JobContext) -> None:
    given: Any = job.claimed.parameters
    calibrate.fn(
        USERNAME, CHIP, PROJECT, given["qids"], given["tasks"], run_parameters=given.get("run_parameters")
    )


def test_a_qubits_failure_ends_its_own_list_only(world: World) -> None:
    settings = {"GoodTask": {"slope": 3.0}}
    with world.job(["GoodTask", "NeedyTask", "GoodTask"], ["0", "1"], run_parameters=settings) as job:
        with pytest.raises(CalibrationError) as caught:
            run(job)
        assert job.lease.finish() == "failed"
    message = (
        "2 of 6 tasks failed; first: NeedyTask on qubit 0: missing_input:"
        " qubit 0 of SIM16 has no pi_amplitude"
    )
    assert str(caught.value) == message
    ended = world.queue.get(job.claimed.job_id)
    assert (ended.failure_kind, ended.failure_message) == ("missing_input", message)
    assert (ended.tasks_total, ended.tasks_done, ended.tasks_failed) == (6, 2, 2)
    runs = world.task_runs(job.claimed.job_id)
    assert {key: run.status.value for key, run in runs.items()} == {
        ("GoodTask", "0", 0): "completed",
        ("NeedyTask", "0", 0): "failed",
        ("GoodTask", "0", 1): "skipped",
        ("GoodTask", "1", 0): "completed",
        ("NeedyTask", "1", 0): "failed",
        ("GoodTask", "1", 1): "skipped",
    }
    for qid in ("0", "1"):
        value = world.value(qid, "t1")
        assert value is not None
        assert value.value == 3.0


def test_an_instruments_error_on_one_qubit_leaves_the_others_an_idle_instrument(world: World) -> None:
    folder = instruments_folder(world.state_path)
    folder.mkdir(parents=True)
    (folder / f"{CHIP}.faults.json").write_text('{"error_at_execution": 5}')
    with world.job(["CheckRabi"], ["4", "5"]) as job:
        with pytest.raises(CalibrationError, match="1 of 2 tasks failed"):
            run(job)
        job.lease.finish()
    assert world.statuses(job.claimed.job_id) == {
        ("CheckRabi", "4"): "failed",
        ("CheckRabi", "5"): "completed",
    }
    assert world.queue.get(job.claimed.job_id).failure_kind == "instrument"


def test_an_instrument_that_stays_busy_fails_every_qubit_by_its_name(world: World) -> None:
    folder = instruments_folder(world.state_path)
    folder.mkdir(parents=True)
    (folder / f"{CHIP}.faults.json").write_text('{"error_at_execution": 5, "error_at_quiesce": true}')
    with world.job(["CheckRabi"], ["4", "5"]) as job:
        with pytest.raises(CalibrationError, match="2 of 2 tasks failed"):
            run(job)
        job.lease.finish()
    causes = [run.cause for run in world.queue.task_runs(job.claimed.job_id)]
    assert causes == ["simulated_fault", "instrument_busy"]


def test_all_is_planned_before_the_first_task(world: World) -> None:
    with world.job(["BrokenTask", "GoodTask"], ["0", "1", "2"]) as job:
        with pytest.raises(CalibrationError):
            run(job)
        order = [(run.qid, run.task) for run in world.queue.task_runs(job.claimed.job_id)]
    assert order == [(qid, task) for qid in ("0", "1", "2") for task in ("BrokenTask", "GoodTask")]


def test_a_job_without_failures_completes(world: World) -> None:
    with world.job(["GoodTask"], ["0", "3"]) as job:
        run(job)
        assert job.lease.finish() == "completed"
    assert world.queue.get(job.claimed.job_id).tasks_done == 2


def test_schema_and_signature_agree() -> None:
    for definition in (CALIBRATE, INTERACTIVE):
        signature = inspect.signature(definition.flow.fn)
        properties = definition.schema["properties"]
        assert isinstance(properties, dict)
        assert [*ROW_PARAMETERS, *properties] == list(signature.parameters)
        required = [
            name
            for name, parameter in signature.parameters.items()
            if parameter.default is inspect.Parameter.empty and name not in ROW_PARAMETERS
        ]
        assert definition.schema["required"] == required


REFUSED = [
    ({"qids": ["0"]}, BadParametersError, '"tasks" is missing'),
    ({"qids": [], "tasks": ["GoodTask"]}, BadParametersError, "at least 1"),
    ({"qids": ["0", "0"], "tasks": ["GoodTask"]}, BadParametersError, "once"),
    ({"qids": ["Q00"], "tasks": ["GoodTask"]}, BadParametersError, "not a qubit id"),
    ({"qids": ["99"], "tasks": ["GoodTask"]}, UnknownNameError, "has no qubit"),
    ({"qids": ["0"], "tasks": ["CheckRaby"]}, UnknownNameError, 'did you mean "CheckRabi"'),
    (
        {"qids": ["0"], "tasks": ["GoodTask"], "run_parameters": {"GoodTask": {"slop": 1}}},
        BadParametersError,
        "slop",
    ),
    ({"qids": ["0"], "tasks": ["GoodTask"], "username": "bob"}, BadParametersError, "username"),
]


@pytest.mark.parametrize(("parameters", "error", "words"), REFUSED)
def test_the_database_refuses_what_the_schema_does(
    world: World, parameters: dict[str, object], error: type[Exception], words: str
) -> None:
    world.offer()
    with pytest.raises(error, match=words):
        world.queue.submit(PROJECT, CHIP, parameters)  # type: ignore[arg-type]


def test_an_interactive_job_in_an_executor_says_why_not() -> None:
    with pytest.raises(CalibrationError, match="runs only inside the script that inserts and claims it"):
        INTERACTIVE.flow.fn(USERNAME, CHIP, PROJECT, ["0"])


def test_every_flow_has_the_hook_and_its_own_name() -> None:
    flows = load_flows()
    assert set(flows) >= {"calibrate", "interactive"}
    for name, definition in flows.items():
        assert definition.name == name == definition.flow.name
        assert "on_flow_cancellation" in definition.hooks


def test_a_definition_under_a_wrong_name_is_refused() -> None:
    with pytest.raises(FlowError, match='flow "calib": expected a Prefect flow'):
        FlowDefinition(name="calib", flow=calibrate, description="", schema={})


@flow(name="odd")
async def awaited() -> None:
    """Would be made and never awaited."""


@flow(name="odd")
def yielding() -> Iterator[int]:
    """Would be made and never run through."""
    yield 1


@flow(name="odd")
async def both() -> AsyncIterator[int]:
    """Would be neither."""
    yield 1


@pytest.mark.parametrize("body", [awaited, yielding, both])
def test_a_flow_that_a_call_does_not_run_is_refused(body: Flow[..., Any]) -> None:
    with pytest.raises(FlowError, match='flow "odd": expected a plain function, got a'):
        FlowDefinition(name="odd", flow=body, description="", schema={})
