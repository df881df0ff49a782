"""Whole calibrations: steps as stages of the job, candidates, and the order in which targets are measured."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from executors.flows.calibrate import calibrate
from executors.job.context import JobContext
from executors.service import CalibService
from executors.service.modes import Mode
from executors.service.steps import (
    CustomOneQubit,
    CustomTwoQubit,
    FilterByMetric,
    FilterByStatus,
    GenerateCRSchedule,
    OneQubitCheck,
    SetCRSchedule,
    Step,
    TwoQubitCalibration,
)
from executors.service.steps import __all__ as step_names
from executors.service.targets import AllMuxTargets, CouplingTargets, MuxTargets, QubitTargets, Target
from qdash_queue.domain import CalibrationError
from tests.engine.test_sweeps import give
from tests.engine.world import CHIP, PROJECT, USERNAME, World

MANY = {"MisfitTask", "ManyTask"}


def run(targets: Target, steps: Sequence[Step]) -> dict[str, Any]:
    """A calibration in the current job."""
    return CalibService(USERNAME, CHIP, project_id=PROJECT).run(targets, steps)


def measured(world: World, job: JobContext) -> list[str]:
    """The sweeps in order, each as ``task targets``."""
    return [f"{sweep.task} {' '.join(sweep.targets)}" for sweep in world.queue.sweeps(job.claimed.job_id)]


def stages(world: World, job: JobContext) -> list[tuple[str, str]]:
    """Name and status of the stages in order."""
    return [(stage.name, stage.status) for stage in world.queue.stages(job.claimed.job_id)]


ORDERS: Mapping[str, list[str]] = {
    # Multiplexer 0 has qubits 0 to 3; multiplexer 1, beside it, 4 to 7: it begins with its lower row.
    "serial": [
        *("ManyTask 0", "PlainTask 0", "ManyTask 1", "PlainTask 1"),
        *("ManyTask 6", "PlainTask 6", "ManyTask 7", "PlainTask 7"),
    ],
    "synchronized": ["ManyTask 0 6", "PlainTask 0 6", "ManyTask 1 7", "PlainTask 1 7"],
    "scheduled": ["ManyTask 0 6", "PlainTask 0 6", "ManyTask 1 7", "PlainTask 1 7"],
    "simultaneous": ["ManyTask 0 6", "ManyTask 1 7", "PlainTask 0 6", "PlainTask 1 7"],
}


@pytest.mark.parametrize("mode", ORDERS)
def test_the_mode_says_in_which_order_qubits_are_measured(world: World, mode: Any) -> None:
    qids = ["0", "1", "6", "7"]
    give(world, qids, pi_amplitude=0.1)
    with world.job(["GoodTask"], qids) as job:
        calibrate.fn(USERNAME, CHIP, PROJECT, qids, ["ManyTask", "PlainTask"], mode=mode)
    assert measured(world, job) == ORDERS[mode]


def test_a_multiplexer_that_is_behind_waits_until_most_want_its_task(world: World) -> None:
    # Qubit 4 fails at once: multiplexer 1 wants the first task again while the others want the second.
    qids = ["0", "1", "4", "5", "8", "9"]
    give(world, qids, pi_amplitude=0.1)
    steps = [CustomOneQubit("scan", ["MisfitTask", "PlainTask"], "scheduled")]
    with world.job(["GoodTask"], qids) as job:
        found = run(QubitTargets(qids), steps)
    assert measured(world, job) == [
        "MisfitTask 0 4 8",
        "PlainTask 0 8",
        "MisfitTask 1 5 9",
        "PlainTask 1 5 9",
    ]
    assert found["scan"]["4"]["status"] == "failed"


def test_each_step_is_a_stage_and_filters_narrow_what_follows(world: World) -> None:
    qids = ["0", "4", "8", "12"]
    give(world, qids, pi_amplitude=0.1)
    steps = [
        CustomOneQubit("first", ["MisfitTask"]),
        FilterByStatus(),
        CustomOneQubit("second", ["ManyTask"]),
        FilterByMetric("t1", 10.0),
        CustomOneQubit("third", ["PlainTask"]),
    ]
    with world.job(["GoodTask"], qids) as job:
        found = run(AllMuxTargets([str(qid) for qid in range(16) if str(qid) not in qids]), steps)
        assert job.lease.finish() == "completed"
    assert stages(world, job) == [
        ("first", "completed"),
        ("filter_by_status", "completed"),
        ("second", "completed"),
        ("filter_by_metric", "completed"),
        ("third", "completed"),
    ]
    assert found["candidate_qids"] == ["12"]
    assert found["filters"] == [
        {"kept": ["0", "8", "12"], "dropped": ["4"]},
        {"kept": ["12"], "dropped": ["0", "8"]},
    ]
    first, _, second, _, third = world.queue.stages(job.claimed.job_id)
    assert first.result["passed"] == ["0", "8", "12"]
    assert str(first.result["failed"]).startswith("{'4': 'MisfitTask on qubit 4: internal: ")
    assert (second.targets, third.targets) == (["0", "8", "12"], ["12"])
    ended = world.queue.get(job.claimed.job_id)
    assert (ended.tasks_total, ended.tasks_done, ended.tasks_failed) == (8, 7, 1)


def test_the_same_task_in_two_steps_is_counted_twice(world: World) -> None:
    steps = [CustomOneQubit(name, ["GoodTask"]) for name in ("one", "two")]
    with world.job(["GoodTask"], ["0"]) as job:
        run(QubitTargets(["0"]), steps)
    ended = world.queue.get(job.claimed.job_id)
    assert (ended.tasks_total, ended.tasks_done) == (2, 2)


def test_a_step_of_which_nothing_passes_fails_the_job(world: World) -> None:
    steps = [CustomOneQubit("check", ["RefusedTask"]), CustomOneQubit("fine", ["GoodTask"])]
    with world.job(["GoodTask"], ["0", "1"]) as job:
        with pytest.raises(CalibrationError, match="check: none of 2 targets passed; first: RefusedTask on"):
            run(QubitTargets(["0", "1"]), steps)
        assert job.lease.finish() == "failed"
    assert stages(world, job) == [("check", "failed")]
    ended = world.queue.get(job.claimed.job_id)
    assert ended.failure_kind == "bad_fit"
    assert "GoodTask" not in {task.task for task in world.queue.task_runs(job.claimed.job_id)}


def test_no_candidates_means_none(world: World) -> None:
    steps = [
        CustomOneQubit("check", ["GoodTask"]),
        FilterByMetric("t1", 1000.0),
        CustomOneQubit("fine", ["GoodTask"]),
        GenerateCRSchedule(),
        TwoQubitCalibration(["PairTask"]),
    ]
    with world.job(["GoodTask"], ["0", "1"]) as job:
        found = run(QubitTargets(["0", "1"]), steps)
        assert job.lease.finish() == "completed"
    assert [status for _, status in stages(world, job)] == ["completed", "completed", *3 * ["skipped"]]
    assert len(world.queue.task_runs(job.claimed.job_id)) == 2
    assert (found["candidate_qids"], found["candidate_couplings"]) == ([], [])


def test_couplings_are_measured_group_by_group(world: World) -> None:
    steps = [
        CustomOneQubit("check", ["GoodTask"]),
        GenerateCRSchedule(),
        CustomTwoQubit("pairs", ["PairTask"]),
    ]
    with world.job(["GoodTask"], ["0"]) as job:
        found = run(MuxTargets([0, 1], exclude_qids=["7"]), steps)
        assert job.lease.finish() == "completed"
    couplings = [each for group in found["candidate_couplings"] for each in group]
    assert len(couplings) == len(set(couplings)) == 8
    assert list(found["pairs"]) == couplings
    assert {each["status"] for each in found["pairs"].values()} == {"success"}
    generated = world.queue.stages(job.claimed.job_id)[1]
    assert generated.result["groups"] == found["candidate_couplings"]


@pytest.mark.parametrize(
    ("inverse", "couplings"), [(False, {"0-1", "0-2", "4-1"}), (True, {"1-0", "2-0", "1-4"})]
)
def test_inverse_exchanges_control_and_target(world: World, couplings: set[str], *, inverse: bool) -> None:
    steps = [GenerateCRSchedule(inverse=inverse), CustomTwoQubit("pairs", ["PairTask"])]
    with world.job(["GoodTask"], ["0"]) as job:
        found = run(QubitTargets(["0", "1", "2", "4"]), steps)
        assert job.lease.finish() == "completed"
    assert {each for group in found["candidate_couplings"] for each in group} == couplings
    statuses = {target: each["status"] for target, each in found["pairs"].items()}
    assert statuses == dict.fromkeys(couplings, "success")


def test_a_session_of_a_coupling_works_with_the_values_of_both_directions(world: World) -> None:
    world.set_values({"0-1": {"zx_rotation_rate": 1.0}, "1-0": {"zx_rotation_rate": 2.0}})
    with world.job(["GoodTask"], ["0"]):
        session = world.session(["0-1"])
        rates = {qid: session.get_parameter(qid, "zx_rotation_rate").value for qid in ("0-1", "1-0")}
    assert rates == {"0-1": 1.0, "1-0": 2.0}


def test_a_filter_also_narrows_the_couplings_that_were_grouped_before(world: World) -> None:
    qids = ["0", "1", "4", "5"]
    give(world, qids, pi_amplitude=0.1)
    steps = [
        CustomOneQubit("check", ["MisfitTask"]),
        GenerateCRSchedule(),
        FilterByStatus(),
        CustomTwoQubit("pairs", ["PairTask"]),
    ]
    with world.job(["GoodTask"], ["0"]):
        found = run(QubitTargets(qids), steps)
    # Qubit 4 failed, so 4-1 and 4-5 are not measured.
    assert list(found["pairs"]) == ["0-1"]


def test_a_flows_own_stage_stands_before_those_of_its_steps(world: World) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        cal = CalibService(USERNAME, CHIP, ["0"], project_id=PROJECT)
        cal.record_stage_result("weather", {"kelvin": 0.012})
        cal.run(QubitTargets(["0"]), [CustomOneQubit("scan", ["GoodTask"])])
    assert cal.get_stage_result("weather") == {"kelvin": 0.012}
    assert stages(world, job) == [("weather", "completed"), ("scan", "completed")]


def test_given_couplings_are_measured_as_they_are_given(world: World) -> None:
    schedule: list[list[Any]] = [[("0", "1")], ["3-2"], [("2", "0")]]
    with world.job(["GoodTask"], ["0"]) as job:
        found = run(
            CouplingTargets([("1", "0"), ("2", "3"), ("2", "0")]),
            [SetCRSchedule(schedule), CustomTwoQubit("pairs", ["PairTask"])],
        )
    assert measured(world, job) == ["PairTask 0-1", "PairTask 3-2", "PairTask 2-0"]
    assert found["candidate_qids"] == ["0", "1", "2", "3"]


WRONG: list[tuple[Target, list[Any], str]] = [
    (QubitTargets(["0"]), [], "steps: expected at least one, got none"),
    (QubitTargets(["0"]), ["OneQubitCheck"], r"steps\[0\]: expected a step such as OneQubitCheck, got str"),
    (
        QubitTargets(["0"]),
        [CustomOneQubit("a", ["CheckRaby", "GoodTask"]), CustomOneQubit("b", ["CheckSpin"])],
        r"the steps need tasks that this executor does not have: CheckRaby, CheckSpin \(it has: ",
    ),
    (QubitTargets(["0", "99"]), [CustomOneQubit("a", ["GoodTask"])], "qubit '99' is not on chip SIM16"),
    (QubitTargets(["0"]), [FilterByStatus()], r"steps\[0\] \(FilterByStatus\): a filter needs a step before"),
    (
        QubitTargets(["0"]),
        [CustomOneQubit("a", ["GoodTask"], "parallel")],
        'mode: expected one of serial, synchronized, scheduled, simultaneous, got "parallel"',
    ),
    (
        QubitTargets(["0"]),
        [CustomOneQubit("a", ["GoodTask"]), FilterByMetric("t2")],
        r'expected an output of the step before the filter \(t1\), got "t2"',
    ),
    (
        QubitTargets(["0"]),
        [CustomOneQubit("a", ["GoodTask"]), FilterByMetric("t1", float("nan"))],
        "threshold: expected a finite number, got nan",
    ),
    (
        QubitTargets(["0"]),
        [CustomOneQubit("a", ["PairTask"])],
        r"expected tasks of type global, mux, qubit, system, got PairTask \(coupling\)",
    ),
    (
        QubitTargets(["0", "1"]),
        [CustomTwoQubit("a", ["GoodTask"])],
        r"expected tasks of type coupling, global, system, got GoodTask \(qubit\)",
    ),
    (
        QubitTargets(["0"]),
        [OneQubitCheck()],
        "the steps need tasks that this executor does not have: CheckHPIPulse ",
    ),
]


@pytest.mark.parametrize(("targets", "steps", "words"), WRONG)
def test_what_cannot_be_done_is_refused_before_anything_is_touched(
    world: World, targets: Target, steps: list[Any], words: str
) -> None:
    with world.job(["GoodTask"], ["0"]) as job, pytest.raises(CalibrationError, match=words) as caught:
        run(targets, steps)
    assert caught.value.failure.kind == "invalid_request"
    assert not world.queue.task_runs(job.claimed.job_id)
    assert stages(world, job) == []
    assert not list(job.scratch.iterdir())


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ([[("0", "15")]], 'schedule: coupling "0-15" is not on the chip'),
        ([[("0", "1")], [("0", "1")]], "schedule: expected each coupling once, got 0-1 again"),
    ],
)
def test_a_given_schedule_is_checked(world: World, schedule: Any, words: str) -> None:
    steps = [SetCRSchedule(schedule), CustomTwoQubit("pairs", ["PairTask"])]
    with world.job(["GoodTask"], ["0"]), pytest.raises(CalibrationError, match=words):
        run(QubitTargets(["0", "1"]), steps)


def test_a_plain_script_runs_steps_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.offer()
    monkeypatch.setenv("QDASH_QUEUE_DATABASE_URL", world.notebook.url)
    monkeypatch.setenv("QDASH_QUEUE_STATE_PATH", str(world.state_path))
    found = run(QubitTargets(["0"]), [CustomOneQubit("scan", ["GoodTask"])])
    assert found["scan"]["0"]["status"] == "success"
    (job,) = world.queue.list()
    assert job.state == "completed"
    assert [stage.name for stage in world.queue.stages(job.job_id)] == ["scan"]


def test_the_wiring_is_that_of_the_instruments_configuration(world: World) -> None:
    with world.job(["GoodTask"], ["0"]):
        wiring = world.session(["0"]).wiring()
    assert wiring is not None
    assert {row.mux: row.modules for row in wiring.muxes} == {mux: {f"B{mux}"} for mux in range(4)}


def test_the_pages_flow_runs_as_it_is_written(world: World) -> None:
    page = (Path(__file__).parents[2] / "docs" / "steps.md").read_text()
    (example,) = re.findall(r"```python\n(.+?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    with world.job(["CheckRabi"], ["0", "4"]) as job:
        names["long_lived"].fn(USERNAME, CHIP, PROJECT, ["0", "4"], 1.0)
        assert job.lease.finish() == "completed"
    assert stages(world, job) == [
        (name, "completed") for name in ("pulse", "filter_by_status", "filter_by_metric", "fine")
    ]
    value = world.value("4", "pi_amplitude")
    assert value is not None
    assert value.error > 0


def test_the_page_names_every_step_and_mode() -> None:
    page = (Path(__file__).parents[2] / "docs" / "steps.md").read_text()
    for name in (*(set(step_names) - {"Step", "StepContext"}), *Mode):
        assert f"`{name}" in page
