from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from calibtasks.base import BaseTask
from tests.engine import lab as laboratory
from tests.engine.lab import Lab
from tests.engine.tasks import NOTEBOOK_TASKS
from tests.support.databases import CalibDatabase


@pytest.fixture
def lab(database: CalibDatabase, tmp_path: Path) -> Iterator[Lab]:
    """A laboratory on a database of this test's own, which also knows the tests' tasks."""
    for task in NOTEBOOK_TASKS:
        BaseTask._registry[task.name] = task
    found = laboratory.build(database, tmp_path / "state")
    yield found
    found.close()
    for task in NOTEBOOK_TASKS:
        BaseTask.forget(task.name)
