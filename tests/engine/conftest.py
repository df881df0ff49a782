from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from calibtasks.task import REGISTRY
from tests.engine import world as engine_world
from tests.engine.many_tasks import MANY_TASKS
from tests.engine.tasks import NOTEBOOK_TASKS
from tests.engine.world import World
from tests.support.databases import CalibDatabase


@pytest.fixture
def world(database: CalibDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world on a database of this test's own, in which the tests' tasks are defined."""
    for task in (*NOTEBOOK_TASKS, *MANY_TASKS):
        monkeypatch.setitem(REGISTRY._classes, ("tests", task.name), task)
    found = engine_world.build(database, tmp_path / "state")
    yield found
    found.close()
