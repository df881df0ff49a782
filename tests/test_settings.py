"""A variable that cannot be read ends either program in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["executors", "--chip", "SIM16"], 2), (["qdash_queue.cli", "jobs"], 3)],
    ids=["qdash-executor", "qdash-queue"],
)
@pytest.mark.parametrize(
    ("name", "value"), [("LEASE_SECONDS", "soon"), ("LOG_LEVEL", "LOUD"), ("SIM_SEED", "-1")]
)
def test_a_wrong_setting_is_named(arguments: list[str], status: int, name: str, value: str) -> None:
    variable = f"QDASH_QUEUE_{name}"
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        env={**os.environ, variable: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{variable}: Input should be ")
    assert line.endswith(f", got '{value}'")
