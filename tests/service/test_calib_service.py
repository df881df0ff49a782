"""The service as a flow author uses it, in a job of a real database and under a real Prefect server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Cancelling

from executors.engine import ConfigError, TaskFailedError
from executors.job.context import JobContext, use_job
from executors.job.stop import StopReason
from executors.prefect.runtime import flush
from executors.prefect.task_runs import _shown
from executors.service.calib_service import CalibService, _is_cancellation, on_flow_cancellation
from qdash_queue.domain import CancelMode, ParameterModel
from tests.engine.test_sweeps import give
from tests.engine.world import CHIP, PROJECT, USERNAME, World
from tests.support.waiting import until


# The example of the workflow engine's guide, with this project's names.
@flow(on_cancellation=[on_flow_cancellation])
def my_calibration_flow(
    username: str,
    chip_id: str,
    project_id: str | None = None,
    flow_name: str | None = None,
    tasks: list[str] | None = None,
) -> None:
    cal = CalibService(username, chip_id, ["0"], project_id=project_id, flow_name=flow_name)
    try:
        for task in tasks or []:
            cal.execute_task(task, "0")
        cal.finish_calibration()
    except BaseException as e:
        from executors.service.calib_service import _is_cancellation

        if _is_cancellation(e):
            cal.cancel_calibration()
        else:
            cal.fail_calibration(str(e))
        raise


def verdict(world: World, job: JobContext) -> str | None:
    return world.queue.attempts(job.claimed.job_id)[0].verdict


def test_the_guides_flow_completes(world: World) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        my_calibration_flow.fn(USERNAME, CHIP, PROJECT, tasks=["GoodTask"])
    assert verdict(world, job) == "completed"


def test_the_guides_flow_fails_with_the_tasks_kind(world: World) -> None:
    with world.job(["RefusedTask"], ["0"]) as job:
        with pytest.raises(TaskFailedError):
            my_calibration_flow.fn(USERNAME, CHIP, PROJECT, tasks=["RefusedTask"])
        job.lease.finish()
    ended = world.queue.get(job.claimed.job_id)
    assert (ended.state, ended.failure_kind) == ("failed", "bad_fit")
    assert ended.failure_message is not None
    assert ended.failure_message.startswith("RefusedTask on qubit 0: bad_fit: ")


def test_a_fault_of_the_program_is_internal(world: World) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        with pytest.raises(TypeError):
            my_calibration_flow.fn(USERNAME, CHIP, PROJECT, tasks=[None])  # type: ignore[list-item]
        job.lease.finish()
    assert world.queue.get(job.claimed.job_id).failure_kind == "internal"


def test_the_first_verdict_stands(world: World) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        cal = CalibService(USERNAME, CHIP, ["0"])
        assert cal.fail_calibration("no helium") == "failed"
        assert cal.finish_calibration() == "failed"
        assert CalibService(USERNAME, CHIP).finish_calibration() == "failed"
        job.lease.finish()
    assert world.queue.get(job.claimed.job_id).failure_message == "no helium"


def test_a_cancel_that_was_seen_wins(world: World) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        world.queue.cancel(job.claimed.job_id, CancelMode.AFTER_TASK, "lunch")
        job.lease.heartbeat(30.0)
        assert CalibService(USERNAME, CHIP, ["0"]).finish_calibration() == "cancelled"


def test_without_qids_it_opens_at_the_first_use_for_the_jobs_qubits(world: World) -> None:
    with world.job(["GoodTask"], ["2", "3"]):
        cal = CalibService(USERNAME, CHIP)
        assert not cal.orchestrator.is_initialized
        cal.execute_task("GoodTask", "3")
        assert cal.get_parameter("3", "t1").value == 2.0
        cal.set_parameter("3", "t1", 4.0)
        assert cal.get_parameter("3", "t1").value == 4.0
        assert cal.orchestrator.qids == ("2", "3")
        cal.finish_calibration()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((USERNAME, "SIM17", ["0"]), 'chip_id: expected job .* "SIM16", got "SIM17"'),
        (("bob", CHIP, ["0"]), 'username: expected job .* "alice", got "bob"'),
    ],
)
def test_a_disagreement_with_the_row_is_refused(world: World, arguments: tuple[Any, ...], words: str) -> None:
    with world.job(["GoodTask"], ["0"]), pytest.raises(ConfigError, match=words):
        CalibService(*arguments)


def test_outside_a_job_it_asks_for_qubits() -> None:
    with pytest.raises(ConfigError, match="qids: expected the session's qubits"):
        CalibService(USERNAME, CHIP).execute_task("GoodTask", "0")


def test_a_session_that_only_writes_gives_no_verdict(world: World) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        cal = CalibService(USERNAME, CHIP, ["0"], skip_execution=True)
        cal.execute_task("GoodTask", "0")
        assert cal.finish_calibration() is None
    assert verdict(world, job) is None


@pytest.mark.parametrize("reason", list(StopReason))
def test_a_cancel_is_recognised_by_the_reason_only(world: World, reason: StopReason) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        if reason is not StopReason.NONE:
            job.stop.request_now(reason)
        assert _is_cancellation(TimeoutError()) is (reason is StopReason.CANCEL)
    assert not _is_cancellation(KeyboardInterrupt())


def test_tasks_on_many_qubits_give_the_outcome_of_each(world: World) -> None:
    give(world, ["0", "8"], pi_amplitude=0.1)
    with world.job(["ManyTask"], ["0", "4", "8"]):
        cal = CalibService(USERNAME, CHIP, ["0", "4", "8"])
        results = cal.execute_tasks("ManyTask", ["8", "4", "0"])
        cal.finish_calibration()
    assert list(results) == ["8", "4", "0"]
    assert isinstance(results["4"], TaskFailedError)
    passed = results["8"]
    assert isinstance(passed, dict)
    value = passed["t1"]
    assert isinstance(value, ParameterModel)
    assert (value.value, value.task_id) == (8.0, passed["task_id"])


# ---------------------------------------------------------------------- the hook


def flow_run_of(context: JobContext, **tags: int) -> FlowRun:
    named = {"job": context.claimed.job_id, "attempt": context.claimed.attempt, **tags}
    return FlowRun(flow_id=uuid4(), tags=[CHIP, *(f"{name}:{value}" for name, value in named.items())])


def test_the_hook_records_the_cancel_once(world: World) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        world.queue.cancel(job.claimed.job_id, CancelMode.NOW, "beam time")
        for _ in range(2):
            on_flow_cancellation(my_calibration_flow, flow_run_of(job), Cancelling())
        assert job.lease.finish() == "cancelled"
        on_flow_cancellation(my_calibration_flow, flow_run_of(job), Cancelling())
    events = [event.event for event in world.queue.events(job.claimed.job_id)]
    assert events.count("concluded") == 1


def test_the_hook_leaves_other_attempts_alone(world: World) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        world.queue.cancel(job.claimed.job_id, CancelMode.NOW, "beam time")
        on_flow_cancellation(my_calibration_flow, flow_run_of(job, attempt=2), Cancelling())
        on_flow_cancellation(my_calibration_flow, flow_run_of(job, job=999), Cancelling())
        on_flow_cancellation(my_calibration_flow, FlowRun(flow_id=uuid4()), Cancelling())
        assert verdict(world, job) is None


def test_the_hook_outside_a_job_does_nothing() -> None:
    on_flow_cancellation(
        my_calibration_flow, FlowRun(flow_id=uuid4(), tags=["job:1", "attempt:1"]), Cancelling()
    )


# ---------------------------------------------------------------------- under Prefect


@pytest.fixture
def prefect(prefect_api_url: str) -> Iterator[None]:
    updates = {PREFECT_API_URL: prefect_api_url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with temporary_settings(updates=updates):
        yield
        # While the server is there to take them.
        flush(10.0)


def test_in_a_flow_run_prefect_shows_every_task_by_name(world: World, prefect: None) -> None:
    context = world.claim(["GoodTask", "RefusedTask"], ["0"])
    with use_job(context):
        state = my_calibration_flow(
            USERNAME, CHIP, PROJECT, tasks=["GoodTask", "RefusedTask"], return_state=True
        )
    assert state.is_failed()
    assert verdict(world, context) == "failed"
    flow_run_id = state.state_details.flow_run_id
    assert flow_run_id is not None

    until(lambda: shown(flow_run_id) == {"GoodTask-0": "Completed", "RefusedTask-0": "Failed"})


def test_in_a_flow_run_prefect_shows_a_sweep_as_one_task(world: World, prefect: None) -> None:
    qids = ["0", "4", "1"]
    give(world, ["0", "1"], pi_amplitude=0.1)

    @flow
    def sweeping() -> None:
        cal = CalibService(USERNAME, CHIP, qids)
        cal.execute_tasks("ManyTask", ["0", "1"])
        cal.execute_tasks("GoodTask", ["0", "4"])
        cal.execute_tasks("ManyTask", ["0", "4"])
        cal.finish_calibration()

    with use_job(world.claim(["ManyTask"], qids)):
        state = sweeping(return_state=True)
    assert state.is_completed()
    flow_run_id = state.state_details.flow_run_id
    assert flow_run_id is not None
    expected = {
        "ManyTask-0": "Completed",
        "ManyTask-1": "Completed",
        "GoodTask-0": "Completed",
        "GoodTask-4": "Completed",
        # One of its targets has failed.
        "ManyTask-0,4": "Failed",
    }
    until(lambda: shown(flow_run_id) == expected)


def shown(flow_run_id: UUID) -> dict[str, str]:
    """Prefect's states of a flow run's task runs, by name."""
    wanted = FlowRunFilter.model_validate({"id": {"any_": [flow_run_id]}})
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(flow_run_filter=wanted)
    return {run.name: run.state_name or "" for run in runs}


@pytest.mark.parametrize(
    ("count", "name"),
    [
        (1, "0"),
        (8, "0,1,2,3,4,5,6,7"),
        (64, "0,1,2,3,4,5,6,7 and 56 more"),
    ],
)
def test_a_long_list_of_targets_is_shortened(count: int, name: str) -> None:
    assert _shown([str(qid) for qid in range(count)]) == name
