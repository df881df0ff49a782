"""An executor with a folder of files in QDash's manner: two tasks, a template, the quickstart's flow."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from qdash_queue.cli.inputs import design_values
from qdash_queue.client.models import TaskRun
from qdash_queue.client.parameters import Parameters
from qdash_queue.domain import JobState, ParameterModel, RunParameterModel
from qdash_queue.errors import QueueError
from tests.compat.quickstart import FILLED_FLOW, FLOW_IMPORTS
from tests.executors.conftest import fleet
from tests.executors.fleet import Fleet
from tests.support.executor_world import ROOT
from tests.support.queue_world import PROJECT
from tests.support.waiting import until

__all__ = ["fleet"]
CHIP = "COMPAT-16"
FILES = Path(__file__).parent / "qdash_files"
TASKS: list[JsonValue] = ["CheckRabi", "CreateHPIPulse", "CheckT1", "CheckRabiRate"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A chip with one executor, for which the finder is installed as the .pth file does it."""
    installed, flows = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("flows")
    (installed / "sitecustomize.py").write_text((ROOT / "compat/qdash_queue_compat.pth").read_text())
    for file in FILES.glob("*.py"):
        shutil.copy(file, flows)
    (flows / "quickstart.py").write_text(FLOW_IMPORTS + FILLED_FLOW)
    fleet.world.add_chip(CHIP)
    Parameters(fleet.owner, CHIP).import_values(design_values(), "design values")
    made = replace(fleet, chip_id=CHIP, members=[], code=(ROOT, ROOT / "compat", installed))
    started = made.start("--flows", str(flows))
    made.members.append(started)

    def is_ready() -> bool:
        assert started.is_alive, started.log.read_text()
        return any(row.condition == "ready" for row in made.queue.executors() if row.chip_id == CHIP)

    try:
        until(is_ready, "the executor to be ready, with nothing to report")
        yield made
    finally:
        made.close()


def runs(fleet: Fleet, job_id: int) -> dict[str, TaskRun]:
    return {run.task: run for run in fleet.queue.task_runs(job_id)}


def setting(run: TaskRun, name: str) -> object:
    return RunParameterModel.model_validate(run.run_parameters[name]).value


def given(run: TaskRun, name: str) -> ParameterModel:
    return ParameterModel.model_validate(run.input_parameters[name])


def test_the_list_says_whose_task_is_active(own: Fleet) -> None:
    rows = own.owner.rows("SELECT task, description FROM calib.tasks WHERE chip_id = %(c)s", c=CHIP)
    listed = {row["task"]: row["description"] for row in rows}
    assert listed["CheckT1"] == "Measure the relaxation time by qubex's own experiment. [of check_t1.py]"
    assert listed["CheckRabiRate"].endswith("[of check_rabi_rate.py]")
    assert "[of" not in listed["CheckRabi"]


def test_a_template_runs_tasks_of_both_contracts(own: Fleet) -> None:
    job = own.ended(
        own.submit("coarse_calibration", {"mux_ids": [0], "exclude_qids": ["2", "3"], "tasks": TASKS})
    )
    assert job.state is JobState.COMPLETED, job.failure_message
    everything = own.queue.task_runs(job.job_id)
    assert {(run.task, run.qid) for run in everything} == {
        (task, qid) for task in TASKS for qid in ("0", "1")
    }
    assert {run.status.value for run in everything} == {"completed"}
    found = runs(own, job.job_id)
    relaxation, rate = found["CheckT1"], found["CheckRabiRate"]
    assert [run.note.get("task_source") for run in (relaxation, rate, found["CheckRabi"])] == [
        "check_t1.py",
        "check_rabi_rate.py",
        None,
    ]
    assert setting(relaxation, "shots") == 600
    assert given(relaxation, "readout_length").value == 384.0
    # Nothing has set a control_frequency, so what stands in for it was read.
    assert given(rate, "control_frequency").parameter_name == "qubit_frequency"
    assert setting(rate, "interval") == 150 * 1024
    assert {name for run in (relaxation, rate) for name in run.output_parameters} == {"t1", "rabi_rate"}
    (stage,) = own.queue.stages(job.job_id)
    assert (stage.name, stage.status) == ("coarse", "completed")


def test_values_figures_and_raw_data_are_stored(own: Fleet) -> None:
    job = own.ended(own.submit("coarse_calibration", {"qids": ["4"], "tasks": TASKS, "mode": "serial"}))
    assert job.state is JobState.COMPLETED, job.failure_message
    relaxation = runs(own, job.job_id)["CheckT1"]
    stored = {item.name: item for item in Parameters(own.owner, CHIP).current(["4"])}
    assert (stored["t1"].unit, stored["t1"].task_run_id) == ("μs", relaxation.task_run_id)
    assert 5 < (stored["t1"].value or 0) < 500
    # A drive at half the amplitude that gives 12.5 MHz.
    assert stored["rabi_rate"].value == pytest.approx(6.25, rel=0.1)
    figures = own.owner.rows(
        "SELECT name FROM calib.figures WHERE task_run_id = %(t)s", t=relaxation.task_run_id
    )
    assert [row["name"] for row in figures] == ["figure_0_raw"]
    arrays = own.owner.rows(
        "SELECT name FROM calib.raw_data WHERE task_run_id = %(t)s", t=relaxation.task_run_id
    )
    assert {row["name"].rpartition(".")[2] for row in arrays} == {"data", "sweep_range", "raw_data_0"}


def test_a_missing_input_fails_the_task_and_nothing_is_made_of_it(own: Fleet) -> None:
    job = own.ended(own.submit("coarse_calibration", {"qids": ["8"], "tasks": ["CheckT1"]}))
    assert (job.state, job.failure_kind) == (JobState.FAILED, "missing_input")
    assert "qubit 8 of COMPAT-16 has no hpi_amplitude" in (job.failure_message or "")


def test_the_quickstarts_flow_runs(own: Fleet) -> None:
    job = own.ended(own.submit("my_calibration_flow", {"qids": ["12"]}))
    assert job.state is JobState.COMPLETED, job.failure_message
    assert runs(own, job.job_id)["CheckRabi"].status == "completed"


def test_the_database_knows_the_files_parameters(own: Fleet) -> None:
    with pytest.raises(QueueError, match="expected array"):
        own.queue.submit(PROJECT, CHIP, {"qids": "0"}, flow="coarse_calibration")
