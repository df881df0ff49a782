from __future__ import annotations

from typing import Any

import pytest

from executors.engine import CalibConfig, ConfigError

GOOD: dict[str, Any] = {"username": "alice", "chip_id": "64Qv3", "qids": ["0", "1", "0-1"]}


def test_the_fields_of_the_quickstart() -> None:
    config = CalibConfig(username="alice", chip_id="64Qv3", qids=["0", "1"], execution_id="20240101-001")
    assert config.backend_name is None
    assert config.persist_output_parameters
    assert config.project_id is None


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("username", "Al", "CalibConfig.username: expected 3 to 64 of a-z, 0-9, _ and -"),
        ("username", "../etc", "got '../etc'"),
        ("username", None, "got None"),
        ("chip_id", "a/b", "CalibConfig.chip_id: expected"),
        ("qids", "01", "CalibConfig.qids: expected a list such as"),
        ("qids", ["Q00"], "got 'Q00'"),
        ("qids", ["00"], "got '00'"),
        ("qids", [0], "got 0"),
        ("qids", ["0", "1", "0"], "each qubit or coupling once, got ['0', '1', '0']"),
        ("muxes", ["0"], "CalibConfig.muxes: expected a list of numbers or None"),
        ("muxes", [True], "got True"),
        ("tags", "a", "CalibConfig.tags: expected a list of texts or None"),
        ("execution_id", "", "CalibConfig.execution_id: expected a text or None"),
        ("backend_name", 3, "got 3"),
        ("skip_execution", "no", "CalibConfig.skip_execution: expected True or False"),
        ("note", [1], "CalibConfig.note: expected a mapping"),
        ("qid", ["0"], "CalibConfig.qid: there is no such field"),
        ("default_run_parameters", 7, "CalibConfig.default_run_parameters: expected a mapping"),
        (
            "task_run_parameters",
            {"CheckT1": 1},
            "task_run_parameters: expected a mapping {task: {name: value}}",
        ),
        ("source_task_id", "q007", "CalibConfig.source_task_id: expected the id of a task run or None, got"),
        ("parameter_overrides", {"outputs": {}}, 'expected {"input": {name: value}, "run": {name: value}}'),
        ("parameter_overrides", {"run": {"shots": 1}}, "beside a source_task_id, got {'run': {'shots': 1}}"),
    ],
)
def test_a_wrong_field_is_named_in_one_sentence(field: str, value: object, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        CalibConfig(**{**GOOD, field: value})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
