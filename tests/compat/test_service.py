"""QDash's keywords: what is accepted, and what is refused because it cannot be honoured."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from qdash_queue_compat import service
from qdash_queue_compat.engine import CalibConfig, CalibOrchestrator
from qdash_queue_compat.service import CalibService, finish_calibration, get_session, init_calibration

from executors.engine import ConfigError
from qdash_queue.domain import RunParameterModel
from tests.engine.world import CHIP, USERNAME, World

REFUSED = [
    ("force_update_params", True, "a value that was refused is never stored"),
    ("parameter_overrides", {"input": {"t1": 1}}, "put the values in force"),
    ("source_execution_id", "20260101-000", "qdash-queue rerun"),
    ("source_task_id", "x", "qdash-queue rerun"),
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


def test_run_parameters_of_single_tasks_stand_before_the_defaults(world: World) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        config = CalibConfig(
            username=USERNAME,
            chip_id=CHIP,
            qids=["0"],
            default_run_parameters={"slope": 3.0, "GoodTask": {"points": 4, "slope": 4.0}},
            task_run_parameters={"GoodTask": {"slope": 5.0}},  # type: ignore[call-arg]
            enable_github_pull=True,
            enable_provenance_tracking=True,
        )
        orchestrator = CalibOrchestrator(config)
        orchestrator.initialize()
        assert orchestrator.run_task_batch("GoodTask", ["0"])["0"]["status"] == "completed"
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
        outcomes = made.execute_task_batch("GoodTask", ["0"])
        assert outcomes["0"]["t1"].value == 2.0
        failed = made.execute_task_batch("RefusedTask", ["0"])["0"]
        assert failed["status"] == "failed"
        assert failed["error"].startswith("RefusedTask on qubit 0: bad_fit: ")
        assert finish_calibration(update_chip_history=True, push_to_github=None) == "completed"
