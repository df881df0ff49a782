"""What an installation of the distribution holds, and what each import gives beside a QDash."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.installations import ROOT, run

PROBE = """
import importlib
for name in ("qdash", "qdash.workflow.engine", "qdash.workflow.calibtasks.base", "qdash.repository"):
    try:
        module = importlib.import_module(name)
        print(name, getattr(module, "WHOSE", "served"))
    except ImportError as error:
        print(name, type(error).__name__, str(error).partition(":")[0])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT / "compat")
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture
def site(wheel: Path, tmp_path: Path) -> Path:
    """The packages of an environment with the wheel, and the ways to this project and its requirements."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    ways = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    (site / "a_requirements.pth").write_text("\n".join(ways))
    return site


def answers(site: Path) -> list[str]:
    done = subprocess.run(
        [site.parents[2] / "bin" / "python", "-c", PROBE],
        cwd=site.parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_the_wheel_holds_its_license_and_no_package_called_qdash(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.partition("/")[0] for name in names}
    (info,) = (name for name in top if name.endswith(".dist-info"))
    assert top - {info} == {"qdash_queue_compat", "qdash_queue_compat.pth"}
    assert f"{info}/licenses/LICENSE" in names


def test_without_a_qdash_its_names_are_served(site: Path) -> None:
    assert answers(site) == [
        "qdash served",
        "qdash.workflow.engine served",
        "qdash.workflow.calibtasks.base served",
        "qdash.repository ModuleNotFoundError qdash-queue-compat does not serve qdash.repository",
    ]


def test_beside_a_qdash_every_import_gives_that_one(site: Path) -> None:
    for package in ("qdash", "qdash/workflow", "qdash/workflow/engine", "qdash/repository"):
        (site / package).mkdir()
        (site / package / "__init__.py").write_text("WHOSE = 'real'\n")
    assert answers(site) == [
        "qdash real",
        "qdash.workflow.engine real",
        "qdash.workflow.calibtasks.base ModuleNotFoundError No module named 'qdash.workflow.calibtasks'",
        "qdash.repository real",
    ]


def test_a_damaged_installation_stops_no_interpreter(site: Path) -> None:
    (site / "qdash_queue_compat" / "__init__.py").write_text("raise RuntimeError('damaged')\n")
    done = subprocess.run(
        [site.parents[2] / "bin" / "python", "-c", "print('runs')"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "runs\n"
    assert "qdash_queue_compat.pth" in done.stderr
