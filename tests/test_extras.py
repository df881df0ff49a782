"""An installation without extras: what needs one says so in one sentence."""

from __future__ import annotations

import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from qdash_queue.extras import PACKAGES, MissingExtraError, require_extras
from tests.support.databases import CalibDatabase

ROOT = Path(__file__).parents[1]


EXECUTOR = "qdash-executor needs the extra \"executor\": pip install 'qdash-queue[executor]'"
MIRROR = "the mirror needs the extra \"mirror\": pip install 'qdash-queue[mirror]'"

DEMO = (
    'the demo needs the extras "executor", "mirror", "embedded":'
    " pip install 'qdash-queue[executor,mirror,embedded]'"
)
UP = (
    "Prefect is not installed: install qdash-queue[embedded],"
    " or set QDASH_QUEUE_PREFECT_API_URL to the URL of a server's API"
)


@pytest.mark.parametrize(
    ("command", "needs"),
    [
        ("qdash-executor --chip SIM16", EXECUTOR),
        ("qdash-executor register --chip SIM16", EXECUTOR),
        ("qdash-queue mirror run", MIRROR),
        ("qdash-queue mirror lag", MIRROR),
        ("qdash-queue mirror rebuild", MIRROR),
        (
            "qdash-queue demo",
            DEMO,
        ),
        (
            "qdash-queue up",
            UP,
        ),
    ],
)
def test_a_command_that_needs_an_extra_says_so(
    command: str, needs: str, client_programs: Path, database: CalibDatabase, tmp_path: Path
) -> None:
    """Without a traceback, with a status that tells it, although the servers that it needs are named."""
    program, *words = command.split()
    settings = {"QDASH_QUEUE_DATABASE_URL": database.url, "QDASH_QUEUE_MONGO_URL": "mongodb://127.0.0.1:1"}
    if "up" not in words:
        settings["QDASH_QUEUE_PREFECT_API_URL"] = "http://127.0.0.1:1/api"
    done = subprocess.run(
        [str(client_programs / program), *words],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (4, ""), done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("starting: ")]
    assert lines == [needs]


def test_what_is_installed_here_misses_nothing() -> None:
    require_extras("this", *PACKAGES)


def test_packages_of_an_extra_are_those_that_it_declares() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    owners = metadata.packages_distributions()
    for extra, packages in PACKAGES.items():
        declared = {Requirement(line).name for line in extras[extra]}
        for package in packages:
            assert declared & {name.lower().replace("_", "-") for name in owners[package]}, package


def test_one_missing_package_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdash_queue.extras.PACKAGES", {**PACKAGES, "mirror": ("pymongo", "no_such_package")})
    with pytest.raises(MissingExtraError, match=r"qdash-queue\[mirror\]"):
        require_extras("the mirror", "mirror", "executor")
