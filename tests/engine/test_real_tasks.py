"""The four tasks on the simulated chip, through the whole engine."""

from __future__ import annotations

import json

import numpy as np
import pytest

from calibtasks.active_protocols import active_tasks
from calibtasks.dataset import Dataset, RawArray
from calibtasks.results import RunResult
from calibtasks.task import REGISTRY
from executors.engine import TaskFailedError
from executors.flows.calibrate import calibrate
from qdash_queue.client.models import TaskRun
from qdash_queue.domain import ParameterModel
from tests.engine.world import CHIP, PROJECT, USERNAME, World

TASKS = ["CheckRabi", "CreateHPIPulse", "CheckT1", "CheckRamsey"]


def test_four_tasks_calibrate_a_qubit_and_can_be_analysed_again(world: World) -> None:
    with world.job(TASKS, ["5"]) as job:
        calibrate.fn(USERNAME, CHIP, PROJECT, ["5"], TASKS)
        assert job.lease.finish() == "completed"
    job_id = job.claimed.job_id
    runs = world.task_runs(job_id)
    for name in TASKS:
        run = runs[name, "5", 0]
        assert run.status == "completed", run.message
        assert run.hardware_seconds is not None
        assert run.hardware_seconds > 0
        assert run.quality_metrics["r2"] > 0.9
        expect_same_analysis(world, run)
    for name in active_tasks()["CheckT1"].output_parameters:
        value = world.value("5", name)
        assert value is not None
        assert value.error > 0
    for figure in world.queue.figures(job_id):
        text = json.dumps(figure.plotly)
        assert "bdata" not in text, "arrays have to be plain lists"
        assert figure.plotly["data"]


def expect_same_analysis(world: World, run: TaskRun) -> None:
    """``analyse`` on the stored data, without an instrument, gives the stored outputs."""
    stored = [raw for raw in world.queue.raw_data(run.job_id) if raw.task_run_id == run.task_run_id]
    arrays = [RawArray(raw.name, raw.dtype, tuple(raw.shape), raw.unit, raw.data) for raw in stored]
    task = REGISTRY.find(run.task).from_record(
        run.qid,
        {name: ParameterModel.model_validate(given) for name, given in run.input_parameters.items()},
        dict(run.run_parameters.items()),
    )
    result = task.analyse("again", run.qid, RunResult(Dataset.from_raw(arrays)))
    assert result.failure is None
    assert set(result.output_parameters) == set(run.output_parameters)
    for name, given in run.output_parameters.items():
        recorded = ParameterModel.model_validate(given)
        again = result.output_parameters[name]
        assert np.isclose(again.value or 0.0, recorded.value or 0.0, rtol=1e-9, atol=0.0)
        assert np.isclose(again.error, recorded.error, rtol=1e-6, atol=0.0)


def test_a_wrong_frequency_is_refused_and_the_good_values_stay(world: World) -> None:
    with world.job(TASKS[:1], ["5"]) as job:
        calibrate.fn(USERNAME, CHIP, PROJECT, ["5"], TASKS[:1])
        job.lease.finish()
    good = world.value("5", "control_amplitude")
    assert good is not None
    frequency = world.value("5", "qubit_frequency")
    assert frequency is not None
    world.set_values({"5": {"qubit_frequency": frequency.value + 0.1}})
    with world.job(TASKS[:1], ["5"]) as job:
        with pytest.raises(TaskFailedError) as caught:
            world.session(["5"]).run_task("CheckRabi", "5")
        job.lease.give_back("over")
    run = world.task_runs(job.claimed.job_id)["CheckRabi", "5", 0]
    assert caught.value.failure.kind in ("no_signal", "bad_fit", "out_of_range")
    assert run.status == "failed"
    assert len(list(world.queue.figures(job.claimed.job_id))) == 2
    assert world.value("5", "control_amplitude") == good
