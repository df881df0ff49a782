"""A task run repeated with the inputs and run parameters of an earlier one."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from calibtasks.task import Read
from executors.engine import TaskFailedError
from executors.engine.replay import Source
from executors.service import CalibService
from executors.service.steps import CustomOneQubit
from executors.service.targets import QubitTargets
from qdash_queue.client.admin import Admin
from qdash_queue.client.database import Database
from qdash_queue.client.models import TaskRun
from qdash_queue.domain import CalibrationError, ParameterModel
from tests.engine.test_sweeps import give
from tests.engine.world import CHIP, PROJECT, USERNAME, World


def measured(world: World, task: str, qid: str, **config: Any) -> TaskRun:
    """The task's record after it ran in a job of its own, whether it passed or not."""
    with world.job([task], [qid]) as job:
        session = world.session([qid], **config)
        session.run_tasks(task, [qid])
        session.complete()
        job.lease.finish()
    return world.task_runs(job.claimed.job_id)[task, qid, 0]


def in_units(stored: Mapping[str, Any]) -> dict[str, tuple[object, object]]:
    """Value and unit by name."""
    return {name: (given["value"], given["unit"]) for name, given in stored.items()}


def test_the_measurement_uses_the_inputs_of_the_source(world: World) -> None:
    source = measured(world, "CheckRabi", "5", default_run_parameters={"shots": 2000})
    assert source.status == "completed"
    right = world.value("5", "qubit_frequency")
    assert right is not None
    world.set_values({"5": {"qubit_frequency": right.value + 0.1}})
    assert measured(world, "CheckRabi", "5").status == "failed", "it depends on the frequency"
    again = measured(
        world,
        "CheckRabi",
        "5",
        source_task_id=str(source.task_run_id),
        default_run_parameters={"shots": 100},
        task_run_parameters={"CheckRabi": {"shots": 200}},
        persist_output_parameters=False,
    )
    assert again.status == "completed", again.message
    assert in_units(again.input_parameters) == in_units(source.input_parameters)
    assert in_units(again.run_parameters) == in_units(source.run_parameters)
    assert again.note["source_task_id"] == str(source.task_run_id)
    in_force = world.value("5", "qubit_frequency")
    assert in_force is not None
    assert in_force.value == right.value + 0.1


def test_overrides_are_above_the_source_and_the_call_above_these(world: World) -> None:
    source = measured(world, "GoodTask", "0", task_run_parameters={"GoodTask": {"slope": 3.0, "points": 7}})
    overrides = {"input": {"qubit_frequency": 4.25}, "run": {"slope": 5.0}}
    given: dict[str, Any] = {"source_task_id": str(source.task_run_id), "parameter_overrides": overrides}
    with world.job(["GoodTask"], ["0"]) as job:
        session = world.session(["0"], **given)
        session.run_task("GoodTask", "0")
        session.run_task("GoodTask", "0", {"GoodTask": {"run_parameters": {"slope": 6.0}}})
    first, second = world.task_runs(job.claimed.job_id).values()
    assert in_units(first.run_parameters) == {"slope": (5.0, ""), "points": (7, "")}
    assert in_units(second.run_parameters) == {"slope": (6.0, ""), "points": (7, "")}
    for run in (first, second):
        assert in_units(run.input_parameters) == {"qubit_frequency": (4.25, "GHz")}
        assert run.input_parameters["qubit_frequency"]["error"] == 0.0  # type: ignore[index, call-overload]
        assert run.input_parameters["qubit_frequency"]["task_id"] == ""  # type: ignore[index, call-overload]
    in_force = world.value("0", "qubit_frequency")
    assert in_force is not None
    assert in_force.value != 4.25


def test_what_the_first_repeat_measured_is_no_input_of_the_second(world: World) -> None:
    """A session's own outputs would be newer than the source's inputs."""
    source = measured(world, "GoodTask", "0")
    with world.job(["GoodTask"], ["0"]) as job:
        session = world.session(["0"], source_task_id=str(source.task_run_id))
        session.set_parameter("0", "qubit_frequency", 4.0)
        session.run_task("GoodTask", "0")
    run = world.task_runs(job.claimed.job_id)["GoodTask", "0", 0]
    assert in_units(run.input_parameters) == in_units(source.input_parameters)


SPOILED = {
    "an input": ("input_parameters = '{}'", "was recorded without the input qubit_frequency"),
    "a value": (
        """input_parameters = '{"qubit_frequency": {"value": null}}'""",
        "expected a finite number as input qubit_frequency, got {'value': None}",
    ),
    "no parameter": ("""input_parameters = '{"qubit_frequency": 4}'""", "input qubit_frequency, got 4"),
    "a run parameter": (
        "run_parameters = run_parameters - 'slope'",
        "was recorded without the run parameter slope",
    ),
}


@pytest.mark.parametrize(("change", "words"), SPOILED.values(), ids=SPOILED)
def test_a_source_that_lacks_something_is_refused_by_name(world: World, change: str, words: str) -> None:
    source = measured(world, "GoodTask", "0")
    edit(world, f"UPDATE calib_private.task_runs SET {change}")
    expect_refusal(world, words, source_task_id=str(source.task_run_id))


def test_a_source_on_another_chip_or_of_another_project_is_refused(world: World) -> None:
    source = measured(world, "GoodTask", "0")
    world.add_chip("OTHER", "linear-2")
    edit(world, "UPDATE calib_private.jobs SET chip_id = 'OTHER'")
    words = f"source_task_id: expected a task run on chip {CHIP}, got one on OTHER"
    expect_refusal(world, words, source_task_id=str(source.task_run_id))
    admin = Admin(Database(world.admin_url))
    admin.add_project("theirs")
    admin.database.close()
    edit(world, "UPDATE calib_private.jobs SET project_id = 'theirs' WHERE chip_id = 'OTHER'")
    words = f'unknown task run {source.task_run_id} of project "{PROJECT}"'
    expect_refusal(world, words, source_task_id=str(source.task_run_id))


def test_an_unknown_source_is_refused(world: World) -> None:
    unknown = str(uuid4())
    expect_refusal(world, f"source_task_id: unknown task run {unknown}", source_task_id=unknown)


def test_a_run_of_another_task_or_on_another_qubit_is_refused(world: World) -> None:
    source = measured(world, "GoodTask", "1")
    expect_refusal(
        world, "is GoodTask on qubit 1, not GoodTask on qubit 0", source_task_id=source.task_run_id
    )
    source = measured(world, "RefusedTask", "0")
    expect_refusal(world, "is RefusedTask on qubit 0, not GoodTask on", source_task_id=source.task_run_id)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"input": {"qubit_frequencie": 4.0}}, 'has no input "qubit_frequencie": did you mean "qubit_freq'),
        ({"input": {"t1": 4.0}}, r'has no input "t1" (it has: qubit_frequency)'),
        (
            {"input": {"qubit_frequency": float("nan")}},
            "expected a finite number as qubit_frequency, got nan",
        ),
        ({"input": {"qubit_frequency": True}}, "expected a finite number as qubit_frequency, got True"),
        ({"run": {"slop": 1.0}}, "GoodTask has no run parameter 'slop'"),
        ({"run": {"points": "many"}}, "run parameter 'points': expected"),
    ],
)
def test_a_wrong_override_is_refused(world: World, overrides: dict[str, Any], words: str) -> None:
    source = measured(world, "GoodTask", "0")
    expect_refusal(world, words, source_task_id=source.task_run_id, parameter_overrides=overrides)


def expect_refusal(world: World, words: str, **config: Any) -> None:
    """A run of GoodTask on qubit 0 is refused before anything is recorded."""
    with world.job(["GoodTask"], ["0"]) as job:
        session = world.session(["0"], **config)
        with pytest.raises(CalibrationError) as refused:
            session.run_task("GoodTask", "0")
        session.complete()
        job.lease.finish()
    assert words in str(refused.value)
    assert refused.value.failure.kind == "invalid_request"
    assert world.task_runs(job.claimed.job_id) == {}


def edit(world: World, statement: str) -> None:
    """Change rows behind the queue's back."""
    with psycopg.connect(world.admin_url) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute(statement.encode())


def test_a_value_goes_under_the_name_it_had_and_hides_the_others() -> None:
    now: dict[tuple[str, str], float | None] = {}

    def update_note(holder: str, values: Mapping[str, ParameterModel]) -> None:
        now.update({(holder, name): value.value for name, value in values.items()})

    reads = [
        Read("frequency", "0", ("frequency", "carrier")),
        Read("pulse", "0", ("pulse",), is_optional=True),
        Read("target_length", "1", ("length",)),
    ]
    inputs = {
        "frequency": ParameterModel(parameter_name="carrier", value=4.5),
        "target_length": ParameterModel(parameter_name="", value=32.0),
    }
    backend: Any = SimpleNamespace(update_note=update_note)
    task: Any = SimpleNamespace(reads=lambda _backend, _qid: reads)
    Source(UUID(int=0), "T", "0-1", inputs, {}).put_into(backend, task)
    assert now == {
        ("0", "frequency"): None,
        ("0", "carrier"): 4.5,
        ("0", "pulse"): None,
        ("1", "length"): 32.0,
    }
    now.clear()
    with pytest.raises(CalibrationError, match="recorded without the input target_length"):
        Source(UUID(int=0), "T", "0-1", {"frequency": inputs["frequency"]}, {}).put_into(backend, task)
    assert now == {}


# ------------------------------------------------------------------ staging, and batches in QDash's shape


def test_staging_holds_for_everything_below(world: World) -> None:
    source = measured(world, "GoodTask", "0", persist_output_parameters=False)
    assert source.status == "completed"
    give(world, ["0", "4"], pi_amplitude=0.1)
    before = history(world)
    measured(world, "GoodTask", "0", persist_output_parameters=False, source_task_id=source.task_run_id)
    with world.job(["ManyTask"], ["0", "4"]) as job:
        session = world.session(["0", "4"], persist_output_parameters=False)
        session.run_tasks("ManyTask", ["0", "4"])
        session.run_task_batch("ManyTask", ["0", "4"])
        assert session.get_parameter("4", "t1").value == 4.0, "the session works with it"
        session.complete()
        job.lease.finish()
    with world.job(["ManyTask"], ["0", "4"]) as job:
        service = CalibService(USERNAME, CHIP, project_id=PROJECT, persist_output_parameters=False)
        service.run(QubitTargets(["0", "4"]), [CustomOneQubit("t1", ["ManyTask"], mode="simultaneous")])
    assert set(world.statuses(job.claimed.job_id).values()) == {"completed"}
    assert history(world) == before


def history(world: World) -> object:
    """Every version of every parameter."""
    columns = "qid, name, value, valid_from, job_id"
    rows = world.database.rows(f"SELECT {columns} FROM calib.parameter_history ORDER BY 1, 2, 4")
    return [tuple(row.values()) for row in rows]


def test_a_batch_returns_what_failed_beside_what_passed(world: World) -> None:
    give(world, ["0"], pi_amplitude=0.1)
    with world.job(["ManyTask"], ["0", "4"]) as job:
        session = world.session(["0", "4"])
        upstream = str(session.run_task("GoodTask", "0")["task_id"])
        assert session.run_task_batch("ManyTask", []) == {}
        found = session.run_task_batch("ManyTask", ["4", "0"], upstream_id=upstream)
        with pytest.raises(CalibrationError, match='unknown task "ManyTasc"'):
            session.run_task_batch("ManyTask", ["0"], {"ManyTasc": {"run_parameters": {}}})
    runs = world.task_runs(job.claimed.job_id)
    failed, passed = runs["ManyTask", "4", 0], runs["ManyTask", "0", 0]
    assert list(found) == ["4", "0"]
    assert found["4"] == {
        "task_id": str(failed.task_run_id),
        "status": "failed",
        "error": f"ManyTask on qubit 4: missing_input: {failed.message}",
    }
    assert found["0"].keys() == {"t1", "task_id", "status"}
    assert (found["0"]["task_id"], found["0"]["status"]) == (str(passed.task_run_id), "success")
    assert {str(run.upstream_id) for run in (failed, passed)} == {upstream}


def test_a_session_with_unknown_run_parameters_takes_nothing(world: World) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        for given, words in (
            ({"GoodTasc": {}}, 'run parameters for unknown task "GoodTasc": did you mean "GoodTask"?'),
            ({"GoodTask": {"slop": 1}}, 'GoodTask has no run parameter "slop": did you mean "slope"?'),
        ):
            with pytest.raises(CalibrationError) as refused:
                CalibService(USERNAME, CHIP, ["0"], project_id=PROJECT, task_run_parameters=given)
            assert str(refused.value) == words
            assert not isinstance(refused.value, TaskFailedError)
    assert world.task_runs(job.claimed.job_id) == {}
