"""The page on backends: its example, run as it is written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from calibtasks.task import REGISTRY
from executors.backends.base import BackendSession
from executors.engine.gate import judge, judge_data

PAGE = (Path(__file__).parents[2] / "docs" / "backends.md").read_text()


class StopError(Exception):
    """A checkpoint stops the job."""


@pytest.fixture
def names() -> Any:
    found: dict[str, Any] = {"__name__": "page"}
    exec(re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)[0], found)
    yield found
    REGISTRY.forget("CheckPopulation")


def test_its_task_is_measured_and_judged(names: Any, tmp_path: Path) -> None:
    session = BackendSession("LAB1", 4, ("0",), {}, tmp_path)
    with names["CounterBackend"](session) as backend:
        task = names["CheckPopulation"]()
        task.prepare(backend, "0")
        result = task.measure(backend, ["0"])["0"]
        assert backend.hardware_seconds == pytest.approx(0.1)
        assert backend.wiring() is None
    outcome = task.analyse("20240101-001", "0", result)
    assert judge_data(task, "0", result) is None
    assert judge(task, "0", outcome) is None
    assert outcome.output_parameters["population"].value == 0.25


def test_a_checkpoint_stops_its_measurement(names: Any, tmp_path: Path) -> None:
    def stop() -> None:
        raise StopError

    session = BackendSession("LAB1", 4, ("0",), {}, tmp_path, checkpoint=stop)
    with names["CounterBackend"](session) as backend, pytest.raises(StopError):
        names["CheckPopulation"]().measure(backend, ["0"])
