"""QDash's keywords: what is accepted, and what is refused because it cannot be honoured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from qdash_queue_compat import service
from qdash_queue_compat.engine import CalibConfig, CalibOrchestrator
from qdash_queue_compat.parameters import OutputParameterSpec
from qdash_queue_compat.results import PostProcessResult, RunResult
from qdash_queue_compat.service import CalibService, finish_calibration, get_session, init_calibration
from qdash_queue_compat.tasks import QubexTask

from executors.engine import ConfigError
from qdash_queue.client.parameters import Parameters
from qdash_queue.domain import ParameterModel, RunParameterModel
from tests.compat.test_tasks import Specified
from tests.engine.world import CHIP, USERNAME, World

REFUSED = [
    ("force_update_params", True, "a value that was refused is never stored"),
    ("source_execution_id", "20260101-000", "name the task run in source_task_id"),
    ("configuration_mode", "ge-cr-cr", "the instruments are configured by the executor"),
]


@pytest.fixture
def no_session() -> Iterator[None]:
    token = service._SESSION.set(None)
    yield
    service._SESSION.reset(token)


@pytest.mark.parametrize(("keyword", "value", "words"), REFUSED)
def test_what_would_change_the_result_is_refused(keyword: str, value: object, words: str) -> None:
    for made, name in ((CalibConfig, "CalibConfig"), (CalibService, "CalibService")):
        given = {"username": USERNAME, "chip_id": CHIP, "qids": ["0"], keyword: value}
        with pytest.raises(
            ConfigError, match=rf"^{name}\.{keyword}: cannot be honoured here, got .*: {words}"
        ):
            made(**given)  # type: ignore[arg-type]


def test_an_unknown_keyword_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"CalibConfig\.qidz: there is no such field"):
        CalibConfig(username=USERNAME, chip_id=CHIP, qidz=["0"])  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="qidz"):
        CalibService(USERNAME, CHIP, qidz=["0"])


def test_a_session_with_qdashs_keywords(world: World) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        config = CalibConfig(
            username=USERNAME,
            chip_id=CHIP,
            qids=["0"],
            default_run_parameters={"slope": 3.0, "GoodTask": {"points": 4, "slope": 4.0}},
            task_run_parameters={"GoodTask": {"slope": 5.0}},
            enable_github_pull=True,  # type: ignore[call-arg]
            enable_provenance_tracking=True,
        )
        orchestrator = CalibOrchestrator(config)
        orchestrator.initialize()
        assert orchestrator.run_task_batch("GoodTask", ["0"])["0"]["status"] == "success"
        assert orchestrator.complete(update_chip_history=False, export_note_to_file=True) == "completed"
    (run,) = world.queue.task_runs(job.claimed.job_id)
    settings = {
        name: RunParameterModel.model_validate(each).value for name, each in run.run_parameters.items()
    }
    assert settings == {"slope": 5.0, "points": 4}


def test_a_calibration_with_qdashs_keywords(world: World, no_session: None) -> None:
    with pytest.raises(RuntimeError, match=r"call init_calibration\(\) first"):
        get_session()
    with world.job(["GoodTask"], ["0"]):
        made = init_calibration(
            USERNAME,
            CHIP,
            ["0"],
            flow_name="night",
            use_lock=True,
            enable_github=True,
            github_push_config=object(),
            user_repo=object(),
            force_update_params=False,
            source_execution_id=None,
        )
        assert get_session() is made
        (passed,) = made.execute_task_batch("GoodTask", ["0"]).values()
        assert isinstance(passed["t1"], ParameterModel)
        assert passed["t1"].value == 2.0
        failed = made.execute_task_batch("RefusedTask", ["0"])["0"]
        assert failed["status"] == "failed"
        assert str(failed["error"]).startswith("RefusedTask on qubit 0: bad_fit: ")
        assert finish_calibration(update_chip_history=True, push_to_github=None) == "completed"


def test_a_task_run_is_repeated_with_its_inputs(world: World, served: None, no_session: None) -> None:
    class Repeated(Specified):
        name = "Repeated"
        output_spec: ClassVar = {}

    world.set_values({"0": {"qubit_frequency": 4.1}})
    with world.job(["GoodTask"], ["0"]) as job:
        cal = CalibService(USERNAME, CHIP, ["0"])
        cal.execute_task("Repeated", "0", {"Repeated": {"run_parameters": {"shots": 7}}})
        cal.finish_calibration()
        job.lease.finish()
    (first,) = world.queue.task_runs(job.claimed.job_id)
    world.set_values({"0": {"qubit_frequency": 4.3}})
    # The chip's executor has not registered the task that reads it.
    Parameters(world.database, CHIP).set("0", "scale", 2.0, unit="", reason="for the test", force=True)
    with world.job(["GoodTask"], ["0"]) as job:
        cal = CalibService(
            USERNAME,
            CHIP,
            ["0"],
            source_execution_id=job.claimed.execution_id,
            source_task_id=str(first.task_run_id),
            parameter_overrides={"input": {"shift": 5.0}},
        )
        cal.execute_task("Repeated", "0")
        cal.finish_calibration()
    (again,) = world.queue.task_runs(job.claimed.job_id)
    inputs = {
        name: ParameterModel.model_validate(each).value for name, each in again.input_parameters.items()
    }
    assert inputs == {"control_frequency": 4.1, "scale": 0.0, "shift": 5.0}
    assert again.run_parameters == first.run_parameters


def test_a_task_about_a_multiplexer_is_named_with_one_of_its_qubits(world: World, served: None) -> None:
    class Levels(QubexTask):
        name = "Levels"
        is_mux_level = True
        output_spec: ClassVar = {"level": OutputParameterSpec()}

        def run(self, backend: Any, qid: str) -> RunResult:
            return RunResult(raw_result=[float(qid)])

        def postprocess(self, backend: Any, execution_id: str, run_result: Any, qid: str) -> Any:
            self.output_parameters["level"].value = float(qid)
            return PostProcessResult(self.attach_execution_id(execution_id))

    qids = ["4", "5"]
    with world.job(["GoodTask"], qids) as job:
        cal = CalibService(USERNAME, CHIP, qids)
        assert {"4_level", "5_level"} < cal.execute_task("Levels", "5").keys()
        assert {each["status"] for each in cal.execute_task_batch("Levels", qids).values()} == {"success"}
        cal.finish_calibration()
    runs = world.queue.task_runs(job.claimed.job_id)
    assert [(run.task_type, run.qid) for run in runs] == [("mux", "1")] * 2
    stored = [world.value(qid, "level") for qid in qids]
    assert [value and value.value for value in stored] == [4.0, 5.0]
