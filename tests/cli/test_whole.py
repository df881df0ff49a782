"""What holds for all commands together."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from qdash_queue.cli import app
from tests.cli.desk import type_in

SLOW_TO_LOAD = ("alembic", "prefect", "psycopg", "pydantic", "pymongo", "qubex", "rich", "sqlalchemy")
NEVER = ("prefect", "qubex", "calibtasks", "executors", "scipy")
# It writes no answer: it runs until it is told to stop, and logs to standard error.
WITHOUT_JSON = ("mirror run",)


def commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            if command.invoke_without_command:
                yield f"{prefix}{name}", command
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


ALL = dict(commands(typer.main.get_command(app)))


def test_the_commands_are_these() -> None:
    assert set(ALL) == {
        *(
            "up",
            "setup",
            "migrate",
            "doctor",
            "demo",
            "submit",
            "jobs",
            "show",
            "watch",
            "cancel",
            "edit",
            "requeue",
            "rerun",
            "events",
            "why",
        ),
        *("pause", "resume", "tasks", "chips", "chips add", "chips set", "chips retire"),
        *("executors", "executors allow", "executors disallow"),
        *("projects", "projects add", "projects archive", "members", "members grant", "members revoke"),
        *("mirror run", "mirror rebuild", "mirror retry", "mirror lag"),
        *("retention show", "retention set", "retention run"),
        *(
            "parameters show",
            "parameters import",
            "parameters set",
            "parameters revert",
            "parameters history",
        ),
    }


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_command_explains_itself_and_speaks_json(name: str) -> None:
    outcome = type_in(*name.split(), "--help")
    assert outcome.status == 0
    assert ("--json" in outcome.out) == (name not in WITHOUT_JSON)
    for parameter in ALL[name].params:
        assert parameter.name == "help" or parameter.help, parameter.name


def test_without_words_the_help_is_shown() -> None:
    outcome = type_in()
    assert outcome.status == 0
    assert "Usage: " in outcome.out
    assert "Follow jobs until they end" in outcome.out


def test_help_is_there_at_once() -> None:
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-m", "qdash_queue.cli", "--help"], capture_output=True, text=True, check=True
    )
    after = os.times()
    assert "Usage: qdash-queue" in done.stdout
    # Its own time on the processor: the clock on the wall knows what else the machine does.
    assert after.children_user + after.children_system - before.children_user - before.children_system < 0.5


def test_help_loads_nothing_slow_and_commands_no_physics() -> None:
    program = f"""
import sys
from typer.testing import CliRunner
from qdash_queue.cli import app
slow = set({SLOW_TO_LOAD!r}) & set(sys.modules)
assert not slow, slow
for words in (["doctor", "--json"], ["mirror", "lag"], ["jobs"], ["parameters", "show", "SIM16"]):
    CliRunner().invoke(app, words)
import qdash_queue.cli.demo.run, qdash_queue.cli.watch
wrong = set({NEVER!r}) & set(sys.modules)
assert not wrong, wrong
"""
    subprocess.run([sys.executable, "-c", program], check=True)
