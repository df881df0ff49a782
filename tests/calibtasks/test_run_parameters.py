from __future__ import annotations

import copy
from typing import Any

import pytest

from calibtasks.parameters.overrides import (
    check_defaults,
    check_task_run_parameters,
    overridden,
    overrides_for,
)
from qdash_queue.domain import CalibrationError, RunParameterModel

DECLARED = {
    "shots": RunParameterModel(value=1024, value_type="int"),
    "interval": RunParameterModel(value=153600, value_type="int", unit="ns"),
    "value": RunParameterModel(value=1.0, value_type="float"),
}
TASKS = {"CheckT1": DECLARED, "CheckRabi": {"shots": RunParameterModel(value=2048, value_type="int")}}

PRECEDENCE: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "nothing given": ({}, {}, {}),
    "flat": ({"shots": 1}, {}, {"shots": 1}),
    "flat, in QDash's form": (
        {"shots": {"value": 1, "value_type": "int"}},
        {},
        {"shots": {"value": 1, "value_type": "int"}},
    ),
    "per task beats flat": ({"shots": 1, "CheckT1": {"shots": 2}}, {}, {"shots": 2}),
    "the call beats both": (
        {"shots": 1, "CheckT1": {"shots": 2, "interval": 5}},
        {"CheckT1": {"run_parameters": {"shots": 3}}},
        {"shots": 3, "interval": 5},
    ),
    "QDash's older key": ({}, {"CheckT1": {"input_parameters": {"shots": 3}}}, {"shots": 3}),
    "a flat name that the task does not know": ({"time_range": 1}, {}, {}),
    "another task's block": (
        {"CheckRabi": {"shots": 7}},
        {"CheckRabi": {"run_parameters": {"shots": 8}}},
        {},
    ),
    "a parameter called value": ({"CheckT1": {"value": 2.5}}, {}, {"value": 2.5}),
}


@pytest.mark.parametrize(("defaults", "details", "expected"), PRECEDENCE.values(), ids=PRECEDENCE.keys())
def test_precedence(defaults: dict[str, Any], details: dict[str, Any], expected: dict[str, Any]) -> None:
    before = copy.deepcopy((defaults, details))
    assert overrides_for("CheckT1", DECLARED, defaults, details) == expected
    assert (defaults, details) == before, "the caller's dicts were changed"


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({}, {"shots": 4, "interval": 5}),
        ({"CheckT1": {"run_parameters": {"shots": 3}}}, {"shots": 3, "interval": 5}),
    ],
)
def test_a_tasks_own_block_is_between_call_and_defaults(
    details: dict[str, Any], expected: dict[str, Any]
) -> None:
    defaults = {"shots": 1, "CheckT1": {"shots": 2, "interval": 5}}
    own = {"CheckT1": {"shots": 4}, "CheckRabi": {"shots": 9}}
    assert overrides_for("CheckT1", DECLARED, defaults, details, own) == expected


def test_a_value_for_the_task_itself_is_never_dropped() -> None:
    given = overrides_for("CheckT1", DECLARED, {}, {"CheckT1": {"run_parameters": {"shotz": 1}}})
    with pytest.raises(CalibrationError, match="CheckT1 has no run parameter 'shotz'"):
        overridden("CheckT1", DECLARED, given)


REFUSED = {
    "unknown flat name": ({"shotz": 1}, 'no task has a run parameter "shotz": did you mean "shots"?'),
    "unknown name of a task": (
        {"CheckT1": {"shotz": 1}},
        'CheckT1 has no run parameter "shotz": did you mean "shots"?',
    ),
    "unknown task": (
        {"CheckRaby": {"shots": 1}},
        'run parameters for unknown task "CheckRaby": did you mean "CheckRabi"?',
    ),
    "no mapping": ({"CheckT1": 3}, "run parameters of CheckT1: expected {name: value}, got 3"),
}


@pytest.mark.parametrize(("defaults", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_defaults_of_no_task_are_refused(defaults: dict[str, Any], words: str) -> None:
    with pytest.raises(CalibrationError) as caught:
        check_defaults(defaults, TASKS)
    assert str(caught.value) == words
    assert caught.value.failure.kind == "invalid_request"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"CheckRaby": {}}, 'run parameters for unknown task "CheckRaby": did you mean "CheckRabi"?'),
        ({"shots": {"value": 1}}, 'run parameters for unknown task "shots"'),
        ({"CheckRabi": {"interval": 1}}, 'CheckRabi has no run parameter "interval"'),
        ({"CheckT1": None}, "run parameters of CheckT1: expected {name: value}, got None"),
    ],
)
def test_blocks_of_unknown_tasks_and_names_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(CalibrationError) as caught:
        check_task_run_parameters(given, TASKS)
    assert str(caught.value) == words
    assert caught.value.failure.kind == "invalid_request"


@pytest.mark.parametrize(
    "details",
    [{"CheckT1": 5}, {"CheckT1": {"run_parameter": {}}}, {"CheckT1": {"run_parameters": [1]}}],
)
def test_malformed_details_are_refused(details: dict[str, Any]) -> None:
    with pytest.raises(CalibrationError):
        overrides_for("CheckT1", DECLARED, {}, details)
