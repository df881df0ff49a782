"""Waiting for a condition, never for a time."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import AnyStr, TypeVar

T = TypeVar("T")

PATIENCE = 600.0
"""The seconds that a test waits for anything: on the busiest machine only what never comes takes them."""
_PAUSE_SECONDS = 0.02


def until(ask: Callable[[], T | None], what: str = "the condition to come true") -> T:
    """The first answer of `ask` that is neither None nor false; AssertionError if none comes."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {PATIENCE:g} s in vain for {what}"
        time.sleep(_PAUSE_SECONDS)


def until_while_running(process: subprocess.Popen[AnyStr], ask: Callable[[], object], what: str) -> None:
    """Wait for what a process brings about; its early end fails the test at once."""

    def seen() -> bool:
        ended = process.poll()
        if ask():
            return True
        assert ended is None, f"the process ended with status {ended} before {what}"
        return False

    until(seen, what)
