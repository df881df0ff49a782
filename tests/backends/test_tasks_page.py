"""The examples of the page on tasks, run as they are written on the simulated chip."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from calibtasks.task import REGISTRY, Task
from executors.engine.gate import judge, judge_data
from qdash_queue.domain import ParameterModel
from tests.backends.conftest import MakeBackend
from tests.backends.measuring import measure

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text()
EXAMPLES = re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)
CALIBRATED = {"hpi_amplitude": 0.0275, "hpi_length": 32.0}


@pytest.fixture(params=EXAMPLES, ids=lambda code: re.findall(r"class (\w+)", code)[0])
def task(request: pytest.FixtureRequest) -> Iterator[type[Task]]:
    names: dict[str, Any] = {"__name__": "page"}
    exec(request.param, names)
    found = [item for item in names.values() if isinstance(item, type) and item.__module__ == "page"]
    (task,) = (item for item in found if issubclass(item, Task))
    yield task
    REGISTRY.forget(task.name)


def test_an_example_measures_what_it_says(task: type[Task], new_backend: MakeBackend) -> None:
    backend = new_backend(stored={"0": CALIBRATED})
    backend.connect()
    try:
        found = measure(backend, task())
    finally:
        backend.close()
    assert judge_data(found.task, "0", found.run) is None
    assert judge(found.task, "0", found.result) is None
    assert found.result.output_parameters.keys() == task.output_parameters.keys()
    for given in found.result.output_parameters.values():
        assert isinstance(given, ParameterModel)
        assert given.value is not None
        assert 0 < given.error < given.value


def test_both_forms_are_shown() -> None:
    assert len(EXAMPLES) == 2
