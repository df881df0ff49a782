"""QDash's templates and pipelines as jobs on a simulated chip."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from executors.engine import ConfigError
from executors.flows import load_flows
from executors.job.context import use_job
from executors.service import CalibService
from executors.service.targets import MuxTargets, QubitTargets, Target
from executors.service.task_lists import (
    BRINGUP_TASKS,
    CHECK_1Q_TASKS,
    FULL_1Q_TASKS_AFTER_CHECK,
    FULL_2Q_TASKS,
)
from qdash_queue.domain import CalibrationError, TaskStatus
from tests.engine.tasks import RefusedTask
from tests.engine.world import CHIP, PROJECT, USERNAME, World
from tests.service.flow_jobs import refusal, run, setting, stages, take

EXISTING = ("CheckRabi", "CreateHPIPulse", "CreatePIPulse", "CheckT1", "CheckT2Echo", "CheckRamsey")
SLOW = ("CheckT1Average", "CheckT2EchoAverage", "Check1QGateCoherenceLimit")


@pytest.mark.parametrize(
    ("flow", "parameters", "tasks"),
    [
        ("bringup", {"mux_ids": [0]}, ("ConfigureAll", *BRINGUP_TASKS)),
        ("experimental_simultaneous_bringup", {"qids": ["0"]}, BRINGUP_TASKS),
        ("check_waveform", {"qids": ["0"]}, ("CheckWaveform",)),
        ("simple", {"qids": ["0"]}, ("CheckHPIPulse",)),
        ("one_qubit", {"qids": ["0"], "check_only": True}, CHECK_1Q_TASKS),
        ("one_qubit", {"mux_ids": [0]}, CHECK_1Q_TASKS + FULL_1Q_TASKS_AFTER_CHECK),
        ("fake_calibration", {}, ("CheckFineChevron",)),
        ("parallel_retry", {}, ("CheckHPIPulse", "CheckPIPulse")),
        ("two_qubit", {"qids": ["0", "1"]}, FULL_2Q_TASKS),
        ("two_qubit_scheduled", {"schedule": [[["0", "1"]]]}, FULL_2Q_TASKS),
        ("coherence_limit", {"mux_ids": [0]}, ("Check1QGateCoherenceLimit", "Check2QGateCoherenceLimit")),
        (
            "full_calibration",
            {"mux_ids": [0]},
            ("ConfigureAll", *CHECK_1Q_TASKS, *FULL_1Q_TASKS_AFTER_CHECK, *FULL_2Q_TASKS),
        ),
        (
            "fast_full_calibration",
            {"mux_ids": [0]},
            (
                *("ConfigureAll", "CheckHPIPulse"),
                *(task for task in FULL_1Q_TASKS_AFTER_CHECK if task not in SLOW),
                *FULL_2Q_TASKS,
            ),
        ),
        ("single-task-executor", {"qid": "0", "task_name": "CheckT1", "reconfigure": True}, ("Configure",)),
    ],
)
def test_a_template_names_its_tasks_that_do_not_exist(
    world: World, flow: str, parameters: dict[str, Any], tasks: tuple[str, ...]
) -> None:
    missing = ", ".join(dict.fromkeys(task for task in tasks if task not in EXISTING))
    words = f"the steps need tasks that this executor does not have: {missing} (it has: "
    assert refusal(world, flow, **parameters).startswith(words)


def test_simple_runs_its_tasks_on_the_qubits_named(world: World) -> None:
    tasks = ["CheckRabi", "CreateHPIPulse"]
    job_id, found = run(world, "simple", qids=["5", "10"], tasks=tasks)
    assert stages(world, job_id) == [("simple_tasks", "CustomOneQubit", "scheduled")]
    assert set(world.statuses(job_id)) == {(task, qid) for task in tasks for qid in ("5", "10")}
    assert {each["status"] for each in found["simple_tasks"].values()} == {"success"}
    (hpi,) = [each for each in world.queue.task_runs(job_id) if (each.task, each.qid) == (tasks[1], "5")]
    assert [setting(hpi, name) for name in ("hpi_duration", "interval")] == [32, 153600]


def test_muxes_are_taken_whole_but_for_those_excluded(world: World) -> None:
    job_id, _ = run(world, "simple", mux_ids=[1], exclude_qids=["4"], tasks=["GoodTask"])
    assert sorted(world.statuses(job_id)) == [("GoodTask", qid) for qid in ("5", "6", "7")]


@pytest.mark.parametrize("flow", ["bringup", "full_calibration", "fast_full_calibration"])
def test_a_whole_calibration_is_of_the_qubits_named(flow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Target] = []
    monkeypatch.setattr(CalibService, "run", lambda _self, targets, _steps: taken.append(targets))
    function = load_flows()[flow].flow.fn
    function(USERNAME, CHIP, PROJECT, qids=["0", "5"])
    function(USERNAME, CHIP, PROJECT, mux_ids=[1], exclude_qids=["5"])
    assert taken == [QubitTargets(["0", "5"]), MuxTargets([1], ["5"])]
    with pytest.raises(CalibrationError, match="mux_ids and qids: expected one of them, got both"):
        function(USERNAME, CHIP, PROJECT, mux_ids=[1], qids=["5"])


@pytest.mark.parametrize("mode", ["serial", "synchronized", "scheduled", "simultaneous_spectroscopy"])
def test_every_mode_of_qdash_is_taken(world: World, mode: str) -> None:
    job_id, _ = run(world, "simple", qids=["0", "1"], tasks=["GoodTask"], mode=mode)
    assert [stage.mode for stage in world.queue.stages(job_id)] == [mode]
    assert len(world.statuses(job_id)) == 2


def test_fake_calibration_takes_the_first_four_qubits_and_only_the_chips_backend(world: World) -> None:
    job_id, _ = run(world, "fake_calibration", tasks=["GoodTask"], backend_name="fake")
    assert sorted(world.statuses(job_id)) == [("GoodTask", qid) for qid in "0123"]
    given = {"tasks": ["GoodTask"], "backend_name": "qubex"}
    with (
        use_job(world.claim_job("fake_calibration", given)) as job,
        pytest.raises(ConfigError, match='backend_name: expected job 2\'s "fake", got "qubex"'),
    ):
        take(job)


def test_couplings_are_planned_or_taken_as_they_are_scheduled(world: World) -> None:
    job_id, found = run(world, "two_qubit", qids=["0", "1", "2"], tasks=["PairTask"])
    assert sorted(world.statuses(job_id)) == [("PairTask", "0-1"), ("PairTask", "0-2")]
    assert stages(world, job_id)[1][:2] == ("two_qubit", "CustomTwoQubit")
    schedule = [[["0", "2"]], [["0", "1"]]]
    job_id, found = run(world, "two_qubit_scheduled", schedule=schedule, tasks=["PairTask"])
    assert found["candidate_couplings"] == [["0-2"], ["0-1"]]
    assert sorted(world.statuses(job_id)) == [("PairTask", "0-1"), ("PairTask", "0-2")]


# ---------------------------------------------------------------- parallel_retry

GROUPS = [["0", "1"], ["2"]]


def qualities(monkeypatch: pytest.MonkeyPatch, *first: float) -> None:
    """The fits of RefusedTask: these, then good ones."""
    rest = itertools.chain(first, itertools.repeat(0.99))
    monkeypatch.setattr(RefusedTask, "quality", lambda _: next(rest))


def test_a_qubit_that_failed_begins_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # Qubit 0 fails twice; 2 runs beside it, 1 after it.
    qualities(monkeypatch, 0.1, 0.99, 0.99, 0.1)
    job_id, found = run(world, "parallel_retry", groups=GROUPS, tasks=["GoodTask", "RefusedTask"])
    assert {qid: each["status"] for qid, each in found["parallel_retry"].items()} == dict.fromkeys(
        "012", "success"
    )
    runs = [each for each in world.queue.task_runs(job_id) if each.qid == "0"]
    assert sorted((each.task, each.repetition, each.status) for each in runs) == [
        ("GoodTask", 0, TaskStatus.COMPLETED),
        ("GoodTask", 1, TaskStatus.COMPLETED),
        ("GoodTask", 2, TaskStatus.COMPLETED),
        ("RefusedTask", 0, TaskStatus.FAILED),
        ("RefusedTask", 1, TaskStatus.FAILED),
        ("RefusedTask", 2, TaskStatus.COMPLETED),
    ]
    assert len(world.queue.task_runs(job_id)) == 10


def test_a_qubit_is_given_up_after_its_retries(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    qualities(monkeypatch, 0.1, 0.99, 0.99, 0.1, 0.1)
    job_id, found = run(world, "parallel_retry", groups=GROUPS, tasks=["RefusedTask"], retries=1)
    assert found["parallel_retry"]["0"]["status"] == "failed"
    assert len(world.queue.task_runs(job_id)) == 4
    (stage,) = world.queue.stages(job_id)
    assert (stage.status, stage.result["passed"]) == ("completed", ["2", "1"])


def test_nothing_is_tried_again_without_retries_and_none_that_passes_is_a_failure(world: World) -> None:
    given = {"groups": GROUPS, "tasks": ["RefusedTask"], "retries": 0}
    with (
        use_job(world.claim_job("parallel_retry", given)) as job,
        pytest.raises(CalibrationError, match="parallel_retry: none of 3 targets passed; first: RefusedTask"),
    ):
        take(job)
    assert job.lease.finish() == "failed"
    assert len(world.queue.task_runs(job.claimed.job_id)) == 3


def test_a_qubit_of_two_groups_is_refused(world: World) -> None:
    words = refusal(world, "parallel_retry", groups=[["0", "1"], ["1"]], tasks=["GoodTask"])
    assert words == 'groups: expected each qubit once, got "1" again'


# ---------------------------------------------------------------- pipeline


def test_a_pipelines_steps_are_stages_with_its_run_parameters(world: World) -> None:
    job_id, found = run(
        world,
        "pipeline",
        name="coarse-then-coherence",
        targets={"mux_ids": [0], "exclude_qids": ["2", "3"]},
        steps=[
            {"type": "OneQubitCheck", "mode": "serial", "tasks": ["GoodTask"]},
            {"type": "FilterByMetric", "metric": "t1", "threshold": 1.0},
            {"type": "CustomOneQubit", "step_name": "again", "tasks": ["GoodTask", "CheckRabi"]},
            {"type": "GenerateCRSchedule", "max_parallel_ops": 1},
            {"type": "CustomTwoQubit", "tasks": ["PairTask"]},
        ],
        task_run_parameters={"GoodTask": {"slope": 3.0}},
        default_run_parameters={"slope": 4.0, "shots": 512},
    )
    assert stages(world, job_id) == [
        ("one_qubit_check", "OneQubitCheck", "serial"),
        ("filter_by_metric", "FilterByMetric", None),
        ("again", "CustomOneQubit", "synchronized"),
        ("generate_cr_schedule", "GenerateCRSchedule", None),
        ("custom_two_qubit", "CustomTwoQubit", None),
    ]
    assert found["candidate_couplings"] == [["0-1"]]
    runs = world.task_runs(job_id)
    assert setting(runs["GoodTask", "0", 0], "slope") == 3.0
    assert setting(runs["CheckRabi", "1", 0], "shots") == 512
    assert ("PairTask", "0-1", 0) in runs


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (
            [{"type": "FilterByStatus"}],
            "steps[0] (FilterByStatus): a filter needs a step before it that measures qubits",
        ),
        (
            [{"type": "CustomOneQubit", "tasks": ["PairTask"]}],
            "steps[0] (CustomOneQubit): expected tasks of type global, mux, qubit, system, got PairTask",
        ),
        (
            [
                {"type": "CustomOneQubit", "tasks": ["GoodTask"]},
                {"type": "FilterByMetric", "metric": "t2"},
            ],
            "steps[1] (FilterByMetric): metric: expected an output of the step before the filter (t1), got",
        ),
    ],
)
def test_steps_that_do_not_fit_each_other_are_refused_before_anything_runs(
    world: World, steps: list[dict[str, Any]], words: str
) -> None:
    assert refusal(world, "pipeline", targets={"qids": ["0"]}, steps=steps).startswith(words)
