"""Requests to stop, at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from qdash_queue.stopping import StopSign, stopped_by_signals
from tests.support.waiting import PATIENCE

# Signals hit the main thread while it goes into its sleep and out of it again, thousands of times.
UNDER_FIRE = """
import os, signal, threading, time
from qdash_queue.stopping import StopSign, stopped_by_signals

def fire():
    while True:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)

sign = StopSign()
with stopped_by_signals(sign):
    threading.Thread(target=fire, daemon=True).start()
    until = time.monotonic() + 1
    while time.monotonic() < until:
        assert sign.wait(0.001) or not sign.is_set()
    os._exit(0 if sign.wait() else 1)
"""


def test_signals_at_any_moment_stop_and_never_hang() -> None:
    done = subprocess.run([sys.executable, "-c", UNDER_FIRE], timeout=PATIENCE, check=False)
    assert done.returncode == 0


def test_a_signal_ends_a_sleep_and_the_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    sign = StopSign()
    with stopped_by_signals(sign):
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        assert sign.wait(PATIENCE)
    assert sign.is_set()
    assert signal.getsignal(signal.SIGTERM) is before


def test_without_a_request_a_sleep_takes_its_time() -> None:
    sign = StopSign()
    began = time.monotonic()
    assert not sign.wait(0.02)
    assert time.monotonic() - began >= 0.02


@pytest.mark.parametrize("times", [1, 100_000])
def test_asking_again_does_no_harm(times: int) -> None:
    sign = StopSign()
    for _ in range(times):
        sign.set()
    assert sign.wait()
