"""Tells which processes came from this test session, wherever they hang in the process tree by now."""

from __future__ import annotations

import os
import time
import uuid

import psutil

TAG = "QDASH_TEST_SESSION"


def tag_session() -> None:
    """Mark every process that is started from now on; the mark is inherited by all that those start."""
    os.environ[TAG] = uuid.uuid4().hex


def left_over(seconds: float) -> list[psutil.Process]:
    """The marked processes that are still alive when the time is over; empty as soon as there is none."""
    deadline = time.monotonic() + seconds
    while True:
        alive = [process for process in psutil.process_iter() if _is_marked(process)]
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(0.05)


def end(processes: list[psutil.Process]) -> None:
    """Kill them."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def describe(process: psutil.Process) -> str:
    """Number and command line."""
    try:
        return f"{process.pid}: {' '.join(process.cmdline())[:200]}"
    except psutil.Error:
        return str(process.pid)


def _is_marked(process: psutil.Process) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(TAG) == os.environ.get(TAG)
    except psutil.Error:
        return False
