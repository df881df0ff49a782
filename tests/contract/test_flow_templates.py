"""QDash's calls of its templates and pipelines as jobs: what the database takes, what it refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from executors.flows import catalogue_flows, catalogue_tasks, load_flows, pipeline
from executors.service import steps
from qdash_queue.errors import QueueError
from tests.support.queue_world import FULL_CHIP, PROJECT, QueueWorld

CHIP = "SIM16"
# QDash's interface sends what was not chosen too.
UNCHOSEN = {"exclude_qids": None, "tags": None, "flow_name": None}
MUXES: dict[str, Any] = {"mux_ids": [0, 3], "exclude_qids": ["1"], "qids": None}
QIDS: dict[str, Any] = {"mux_ids": None, "qids": ["0", "10"]}
PAIRS = [[["0", "1"], ["4", "5"]], [["2", "3"]]]
RABI = {"type": "CustomOneQubit", "step_name": "rabi", "tasks": ["CheckRabi"]}
EVERY_STEP: list[dict[str, Any]] = [
    {"type": "ConfigureAll"},
    {"type": "ConfigureAll", "mux_ids": [0]},
    {"type": "BringUp"},
    {"type": "OneQubitCheck", "mode": "scheduled", "tasks": ["CheckRabi"]},
    {"type": "FilterByStatus"},
    {"type": "OneQubitFineTune", "tasks": None, "configure": True},
    {"type": "FilterByMetric", "metric": "x90_fidelity", "threshold": 0.95},
    {"type": "CustomOneQubit", "tasks": ["CheckT1"], "mode": "simultaneous_spectroscopy"},
    {"type": "GenerateCRSchedule", "max_parallel_ops": 4, "inverse": True},
    {"type": "TwoQubitCalibration"},
    {"type": "CustomTwoQubit", "step_name": "again", "tasks": ["CheckRabi"], "max_parallel_ops": 2},
]


def spec(*taken: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"targets": {"qids": ["0"]}, "steps": list(taken) or [RABI], **others}


ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("bringup", {"mux_ids": [0, 1], **UNCHOSEN, "qids": None, "mode": "scheduled"}),
    ("bringup", {"mux_ids": [0], "resonator_assignment_pattern": "16q"}),
    ("one_qubit", {**MUXES, "check_only": True}),
    ("one_qubit", QIDS | UNCHOSEN),
    ("full_calibration", {**MUXES, "fidelity_threshold": 0.95, "max_parallel_ops": 4, "inverse": True}),
    ("bringup", QIDS | UNCHOSEN),
    ("full_calibration", QIDS | UNCHOSEN),
    ("fast_full_calibration", QIDS),
    ("fast_full_calibration", {"mux_ids": [0, 1, 2, 3]}),
    ("two_qubit", {"qids": ["0", "1", "4"], "tasks": None, "inverse": False, "max_parallel_ops": 10}),
    ("two_qubit_scheduled", {"schedule": PAIRS, "tasks": ["CheckRabi"]}),
    ("check_waveform", MUXES | {"mode": "serial"}),
    ("coherence_limit", QIDS),
    ("simple", {**QIDS, "tasks": ["CheckRabi", "CheckRabi"], "mode": "synchronized"}),
    ("simple", {"mux_ids": [0], "mode": "simultaneous"}),
    ("parallel_retry", {}),
    ("parallel_retry", {"groups": [["0", "1"], ["2"]], "tasks": ["CheckRabi"], "retries": 0}),
    ("fake_calibration", {}),
    ("fake_calibration", {"qids": ["0"], "tasks": ["CheckRabi"], "backend_name": "fake"}),
    ("experimental_simultaneous_bringup", {"mux_ids": [0], "simultaneous_spectroscopy_schedule_mode": "all"}),
    ("experimental_simultaneous_bringup", QIDS),
    ("single-task-executor", {"qid": "0", "task_name": "CheckRabi", "source_execution_id": "20261130-001"}),
    (
        "single-task-executor",
        {
            "qid": "0-1",
            "task_name": "CheckRabi",
            "source_task_id": "0b1cb4de-6c5a-4b5e-a6e8-8f3f29f2f8a7",
            "parameter_overrides": {"run": {"shots": 100}},
            "update_params": False,
            "persist_output_parameters": True,
            "reconfigure": True,
        },
    ),
    ("pipeline", spec(*EVERY_STEP)),
    (
        "pipeline",
        {
            "name": "coarse-then-coherence",
            "targets": {"mux_ids": [0, 1], "exclude_qids": ["3"]},
            "steps": [{"type": "OneQubitCheck"}, {"type": "FilterByStatus"}],
            "task_run_parameters": {"CheckRabi": {"shots": 100}},
            "default_run_parameters": {"shots": 1024},
            "tags": ["a"],
        },
    ),
    ("pipeline", spec(targets={"qids": ["0"], "mux_ids": None, "exclude_qids": []})),
]

BOTH = {"mux_ids": [0], "qids": ["5"]}
REFUSED_BOTH = "parameters.mux_ids: expected null, got array [0]"
EITHER = 'parameters: "qids" is missing: expected "qids"'
MODES = '"scheduled", "synchronized", "serial", "simultaneous", "simultaneous_spectroscopy"'
TYPES = (
    '"ConfigureAll", "BringUp", "OneQubitCheck", "OneQubitFineTune", "CustomOneQubit", "FilterByStatus",'
    ' "FilterByMetric", "GenerateCRSchedule", "TwoQubitCalibration", "CustomTwoQubit"'
)
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("bringup", {}, EITHER),
    ("bringup", {"mux_ids": None}, EITHER),
    ("bringup", BOTH, REFUSED_BOTH),
    ("simple", BOTH, REFUSED_BOTH),
    ("simple", QIDS | {"exclude_qids": ["0"]}, "parameters.exclude_qids: expected at most 0 items, got 1"),
    ("bringup", {"mux_ids": [0, 4]}, 'parameters.mux_ids[1]: chip "SIM16" has no MUX "4": expected 0 to 3'),
    ("bringup", {"mux_ids": ["0"]}, 'parameters.mux_ids[0]: expected integer, got string "0"'),
    ("bringup", {"mux_ids": [0, 0]}, "parameters.mux_ids: expected every item once, got a repeated one"),
    ("one_qubit", {"check_only": True}, EITHER),
    ("one_qubit", {"mux_ids": None, "qids": None}, "parameters.qids: expected array, got null"),
    ("one_qubit", {"qids": []}, "parameters.qids: expected at least 1 items, got 0"),
    ("one_qubit", QIDS | {"check_onyl": True}, 'unknown parameter "check_onyl": did you mean "check_only"?'),
    ("full_calibration", {}, EITHER),
    ("full_calibration", BOTH, REFUSED_BOTH),
    ("fast_full_calibration", BOTH, REFUSED_BOTH),
    (
        "full_calibration",
        {"mux_ids": [0], "fidelity_threshold": 90},
        "parameters.fidelity_threshold: expected at most 1, got 90",
    ),
    ("fast_full_calibration", {"mux_ids": [0], "max_parallel_ops": 0}, "expected at least 1, got 0"),
    ("two_qubit", {"qids": ["0"]}, "parameters.qids: expected at least 2 items, got 1"),
    ("two_qubit_scheduled", {"schedule": []}, "parameters.schedule: expected at least 1 items, got 0"),
    ("two_qubit_scheduled", {"schedule": [[]]}, "parameters.schedule[0]: expected at least 1 items, got 0"),
    (
        "two_qubit_scheduled",
        {"schedule": [[["0", "1", "2"]]]},
        "parameters.schedule[0][0]: expected at most 2 items, got 3",
    ),
    ("check_waveform", {"tags": []}, EITHER),
    (
        "coherence_limit",
        QIDS | {"mode": "paralel"},
        f'parameters.mode: expected one of {MODES}, got "paralel"',
    ),
    ("simple", QIDS | {"tasks": ["CheckRaby"]}, 'unknown task "CheckRaby": did you mean "CheckRabi"?'),
    ("parallel_retry", {"qids": ["0"]}, "parameters.qids: expected at most 0 items, got 1"),
    ("parallel_retry", {"groups": [["0"], []]}, "parameters.groups[1]: expected at least 1 items, got 0"),
    ("fake_calibration", {"backend_name": "real"}, 'expected one of "fake", "qubex", got "real"'),
    (
        "experimental_simultaneous_bringup",
        MUXES | {"simultaneous_spectroscopy_schedule_mode": "none"},
        'expected one of "all", "local_index", got "none"',
    ),
    ("single-task-executor", {"qid": "16", "task_name": "CheckRabi"}, 'parameters.qid: chip "SIM16" has no'),
    (
        "single-task-executor",
        {"qid": "0", "task_name": "CheckRabi", "parameter_overrides": {"runs": {}}},
        'parameters.parameter_overrides: unknown parameter "runs": did you mean "run"?',
    ),
    (
        "single-task-executor",
        {"qid": "0", "task_name": "CheckRabi", "source_task_id": "12"},
        "parameters.source_task_id: expected a text like ^[0-9a-fA-F-]{36}$, got",
    ),
    ("single-task-executor", {"qid": "0"}, 'parameters: "task_name" is missing: expected "qid", "task_name"'),
    # --- pipelines
    ("pipeline", {"steps": [RABI]}, 'parameters: "targets" is missing: expected "targets", "steps"'),
    ("pipeline", spec(stesp=[]), 'parameters: unknown parameter "stesp": did you mean "steps"?'),
    ("pipeline", spec(name="1st"), "parameters.name: expected a text like ^[A-Za-z]"),
    (
        "pipeline",
        spec(targets={"qids": ["0", "99"]}),
        'parameters.targets.qids[1]: chip "SIM16" has no qubit "99": expected "0" to "15"',
    ),
    ("pipeline", spec(targets={}), 'parameters.targets: "qids" is missing: expected "qids"'),
    (
        "pipeline",
        spec(targets={"mux_ids": [9]}),
        'parameters.targets.mux_ids[0]: chip "SIM16" has no MUX "9": expected 0 to 3',
    ),
    (
        "pipeline",
        spec(targets={"qids": ["0"], "mux_ids": [0]}),
        "parameters.targets.mux_ids: expected null, got array [0]",
    ),
    (
        "pipeline",
        spec(targets={"qids": ["0"], "exclude_qids": ["0"]}),
        "parameters.targets.exclude_qids: expected at most 0 items, got 1",
    ),
    ("pipeline", spec() | {"steps": []}, "parameters.steps: expected at least 1 items, got 0"),
    ("pipeline", spec(*[RABI] * 33), "parameters.steps: expected at most 32 items, got 33"),
    (
        "pipeline",
        spec(RABI, {"type": "OneQubitChekc", "mode": "serial"}),
        'parameters.steps[1].type: unknown value "OneQubitChekc": did you mean "OneQubitCheck"?',
    ),
    (
        "pipeline",
        spec(RABI, {"type": "Wait"}),
        f'parameters.steps[1].type: expected one of {TYPES}, got "Wait"',
    ),
    ("pipeline", spec(RABI, {"mode": "serial"}), 'parameters.steps[1]: "type" is missing: expected "type"'),
    ("pipeline", spec("OneQubitCheck"), 'parameters.steps[0]: expected object, got string "OneQubitCheck"'),  # type: ignore[arg-type]
    (
        "pipeline",
        spec(RABI, {"type": "CustomOneQubit", "tasks": ["CheckRaby"]}),
        'parameters.steps[1].tasks[0]: unknown task "CheckRaby": did you mean "CheckRabi"?',
    ),
    (
        "pipeline",
        spec({"type": "CustomTwoQubit"}),
        'parameters.steps[0]: "tasks" is missing: expected "type", "tasks"',
    ),
    (
        "pipeline",
        spec({"type": "FilterByMetric", "treshold": 0.9}),
        'parameters.steps[0]: unknown parameter "treshold": did you mean "threshold"?',
    ),
    (
        "pipeline",
        spec({"type": "OneQubitCheck", "mode": "parallel"}),
        f'parameters.steps[0].mode: expected one of {MODES}, got "parallel"',
    ),
    (
        "pipeline",
        spec(RABI | {"step_name": "Rabi 1"}),
        'parameters.steps[0].step_name: expected a text like ^[a-z][a-z0-9_]{0,63}$, got "Rabi 1"',
    ),
    (
        "pipeline",
        spec(task_run_parameters={"CheckRabi": {"shots": "many"}}),
        'parameters.task_run_parameters.CheckRabi.shots: expected integer, got string "many"',
    ),
]


@pytest.fixture(scope="module")
def offering(world: QueueWorld) -> QueueWorld:
    """The queue with a chip on which an executor offers this project's flows and tasks."""
    world.add_chip(CHIP, FULL_CHIP)
    world.ready(CHIP).register_catalogue(catalogue_flows(load_flows().values()), catalogue_tasks())
    return world


@pytest.mark.parametrize(("flow", "parameters"), ACCEPTED)
def test_qdashs_call_is_taken(offering: QueueWorld, flow: str, parameters: dict[str, Any]) -> None:
    assert offering.ana.queue.submit(PROJECT, CHIP, parameters, flow=flow).flow == flow


@pytest.mark.parametrize(("flow", "parameters", "words"), REFUSED)
def test_a_wrong_one_is_refused_by_name(
    offering: QueueWorld, flow: str, parameters: dict[str, Any], words: str
) -> None:
    with pytest.raises(QueueError) as refused:
        offering.ana.queue.submit(PROJECT, CHIP, parameters, flow=flow)
    assert words in str(refused.value)


def test_all_templates_are_in_the_cases() -> None:
    flows = set(load_flows()) - {"calibrate", "interactive"}
    offered = {name for name in flows if name in {flow for flow, _ in ACCEPTED}}
    assert offered == {flow for flow, _ in ACCEPTED} == {flow for flow, *_ in REFUSED}


@pytest.mark.parametrize("given", EVERY_STEP, ids=lambda given: str(given["type"]))
def test_each_type_is_the_step_of_that_name(given: dict[str, Any]) -> None:
    described = getattr(pipeline, given["type"]).model_validate(given)
    step = described.step()
    assert type(step) is getattr(steps, given["type"])
    for name, value in given.items():
        assert name == "type" or getattr(step, name) == value
    left_out = (
        {field.name: field for field in dataclasses.fields(step)} if dataclasses.is_dataclass(step) else {}
    )
    assert set(left_out) - set(type(described).model_fields) <= {"resonator_assignment_pattern"}
    for name, field in left_out.items():
        if name in type(described).model_fields and name not in given and name != "step_name":
            assert getattr(step, name) == field.default
