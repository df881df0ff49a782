"""What an import of QDash's names gives in this process."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib import resources
from pathlib import Path
from types import ModuleType

import pytest
from qdash_queue_compat.served import SERVED

LEFT_OUT = "it serves what authors of tasks and flows import (its README lists it), anything else needs QDash"
COMPAT = Path(__file__).parents[2] / "compat"


@pytest.mark.parametrize("module", sorted(SERVED))
def test_every_served_name_is_what_it_stands_for(served: None, module: str) -> None:
    found = importlib.import_module(module)
    for origin, names in SERVED[module].items():
        for name in names:
            assert getattr(found, name) is getattr(importlib.import_module(origin), name)
            assert name in dir(found)
    assert {name for names in SERVED[module].values() for name in names} == set(vars(found)["__all__"])


def test_packages_and_modules_can_be_imported_in_every_form(served: None) -> None:
    import qdash.workflow.service.targets  # type: ignore[import-not-found]
    from qdash.workflow.service import targets

    assert qdash.workflow.service.targets is targets
    assert getattr(qdash.workflow, "no_such_name", None) is None


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("import qdash.repository", "qdash.repository"),
        ("from qdash.repository import MongoQubitCalibrationRepository", "qdash.repository"),
        ("import qdash.workflow._internal.scheduling_tasks", "qdash.workflow._internal"),
        ("from qdash.workflow.engine import TaskContext", "qdash.workflow.engine.TaskContext"),
        ("from qdash.workflow import cli", "qdash.workflow.cli"),
    ],
)
def test_a_name_that_is_left_out_is_refused_in_one_sentence(served: None, statement: str, name: str) -> None:
    with pytest.raises(ImportError) as refused:
        exec(statement, {})
    assert str(refused.value).startswith(f"qdash-queue-compat does not serve {name}: {LEFT_OUT}")
    assert "\n" not in str(refused.value)


def test_below_a_real_qdash_nothing_is_served(served: None, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ModuleType("qdash")
    real.__path__ = []
    monkeypatch.setitem(sys.modules, "qdash", real)
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'qdash.workflow'$"):
        importlib.import_module("qdash.workflow")


def test_other_imports_load_nothing_of_it(tmp_path: Path) -> None:
    """The line of the .pth file costs one small module in every interpreter of the environment."""
    (line,) = (COMPAT / "qdash_queue_compat.pth").read_text().splitlines()
    code = (
        "import sys; before = set(sys.modules)\n"
        f"{line}\n"
        "try: import no_such_module\n"
        "except ImportError: pass\n"
        "loaded = set(sys.modules)\n"
        "print(*sorted(loaded - before))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(COMPAT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["__future__", "qdash_queue_compat"]


def test_it_is_typed() -> None:
    assert resources.files("qdash_queue_compat").joinpath("py.typed").is_file()
