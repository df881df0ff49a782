"""The wheel: what it holds, that it works installed, and that a client loads little."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import qdash_queue
from tests.support.databases import CalibDatabase

ROOT = Path(__file__).parents[1]
PACKAGES = ("qdash_queue", "executors", "calibtasks")
HEAVY = ("prefect", "qubex", "scipy", "numpy", "plotly", "pymongo", "fastapi", "calibtasks", "executors")


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files as an installation would lay them."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def _python(code: str, *, path: Path, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(path), "PATH": "/usr/bin:/bin"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_top_level_holds_the_three_packages_only(unpacked: Path) -> None:
    names = {entry.name for entry in unpacked.iterdir()}
    (info,) = (name for name in names if name.endswith(".dist-info"))
    assert names - {info} == set(PACKAGES)
    assert info.startswith("qdash_queue-")


def test_holds_every_source_file_and_no_other(unpacked: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if tracked.returncode != 0:
        pytest.skip("the tree is no git repository")
    expected = {
        name.replace("migrations/", "qdash_queue/_migrations/", 1) if name.startswith("migrations/") else name
        for name in tracked.stdout.splitlines()
        if name.startswith(("qdash_queue/", "executors/", "calibtasks/", "migrations/"))
        and (ROOT / name).exists()
    }
    held = {
        str(file.relative_to(unpacked))
        for file in unpacked.rglob("*")
        if file.is_file() and ".dist-info" not in str(file)
    }
    assert held == expected
    assert {f"{package}/py.typed" for package in PACKAGES} <= held


def test_names_its_commands_and_its_licence(unpacked: Path) -> None:
    (info,) = unpacked.glob("*.dist-info")
    distribution = metadata.Distribution.at(info)
    scripts = {entry.name: entry.value for entry in distribution.entry_points.select(group="console_scripts")}
    assert scripts == {"qdash-queue": "qdash_queue.cli:app", "qdash-executor": "executors.main:app"}
    assert distribution.metadata["License-Expression"] == "Apache-2.0"
    assert (info / "licenses" / "LICENSE").exists()


def test_installed_it_finds_its_migrations(
    unpacked: Path, empty_database: CalibDatabase, tmp_path: Path
) -> None:
    code = (
        "from qdash_queue import migrate\n"
        f"assert migrate.script_location().is_relative_to({str(unpacked)!r}), migrate.script_location()\n"
        f"print(migrate.upgrade({empty_database.url!r}) == migrate.head())"
    )
    assert _python(code, path=unpacked, folder=tmp_path) == "True"


@pytest.mark.parametrize(
    "module",
    [
        "qdash_queue",
        "qdash_queue.client.queue",
        "qdash_queue.client.leases",
        "qdash_queue.client.parameters",
        "qdash_queue.cli",
    ],
)
def test_client_loads_little(module: str, unpacked: Path, tmp_path: Path) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert _python(code, path=unpacked, folder=tmp_path) == "[]"


def test_public_names_are_loaded_when_they_are_used(unpacked: Path, tmp_path: Path) -> None:
    code = (
        "import sys, qdash_queue\n"
        "assert not {'pydantic', 'psycopg', 'sqlalchemy'} & set(sys.modules)\n"
        "assert not set(qdash_queue.__all__) & set(vars(qdash_queue))\n"
        "found = {name: getattr(qdash_queue, name) for name in qdash_queue.__all__}\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], found['Queue'].__module__)"
    )
    assert _python(code, path=unpacked, folder=tmp_path) == "[] qdash_queue.client.queue"
    with pytest.raises(AttributeError, match="no attribute 'Queues'"):
        getattr(qdash_queue, "Queues")  # noqa: B009 - mypy knows that it is missing


def test_every_exception_has_one_root() -> None:
    sources = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    root = re.compile(r"^class (\w+)\(Exception\)", re.MULTILINE)
    roots = [name for file in sources for name in root.findall(file.read_text())]
    assert roots == ["QdashQueueError"]


def test_client_needs_little() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert not {Requirement(line).name for line in project["dependencies"]} & {*HEAVY, "pytest", "kaleido"}


def test_constraints_pin_every_requirement_to_an_allowed_version() -> None:
    pins = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if line]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in chain(project["dependencies"], *project["optional-dependencies"].values()):
        requirement = Requirement(line)
        found = [pin for pin in pins if pin.name == requirement.name]
        assert found, f"constraints.txt does not pin {requirement.name}: make lock"
        for pin in found:
            (exact,) = pin.specifier
            assert exact.operator == "=="
            assert requirement.specifier.contains(exact.version, prereleases=True), (
                f"{pin} is not {requirement}"
            )
