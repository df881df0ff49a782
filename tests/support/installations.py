"""The project as a user installs it: its wheel, and an environment with only what a client needs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent


def run(*words: str | Path) -> None:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def build_wheel(folder: Path) -> Path:
    """The wheel built from the tree as it is, without a network."""
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


def install_client(wheel: Path, folder: Path) -> Path:
    """The programs of an installation of the wheel without extras, its requirements linked from this one."""
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    run(PROGRAMS / "uv", "pip", "install", "--offline", "--no-deps", "--python", folder / "bin/python", wheel)
    (site,) = folder.glob("lib/python*/site-packages")
    requirements = metadata.Distribution.at(next(site.glob("qdash_queue-*.dist-info"))).requires or []
    for distribution in _needed(map(Requirement, requirements), set()):
        for name in {file.parts[0] for file in distribution.files or [] if file.parts[0] != ".."}:
            (site / name).unlink(missing_ok=True)
            (site / name).symlink_to(Path(str(distribution.locate_file(name))))
    return folder / "bin"


def _needed(requirements: Iterator[Requirement], seen: set[str]) -> Iterator[metadata.Distribution]:
    for requirement in requirements:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        distribution = metadata.distribution(requirement.name)
        yield distribution
        inner = [Requirement(line) for line in distribution.requires or []]
        for extra in requirement.extras:
            named = [each for each in inner if each.marker and each.marker.evaluate({"extra": extra})]
            yield from _needed((Requirement(str(each).partition(";")[0]) for each in named), seen)
        yield from _needed(iter(inner), seen)
