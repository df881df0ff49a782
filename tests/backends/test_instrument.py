"""The simulated instrument: stop points, busy states, faults."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from calibtasks.tasks.rabi.check_rabi import CheckRabi
from executors.backends.base import BackendSession, BaseBackend
from executors.backends.registry import make_backend
from executors.backends.simchip.options import SimulationOptions
from qdash_queue.domain import CalibrationError, FailureKind
from tests.backends.measuring import measure, refusal
from tests.support.waiting import PATIENCE, until_while_running

Connect = Callable[..., BaseBackend]
MakeSession = Callable[..., BackendSession]


def test_checkpoint_is_called_before_each_execution(connected: Connect) -> None:
    calls = 0

    def checkpoint() -> None:
        nonlocal calls
        calls += 1
        if calls == 10:
            raise KeyboardInterrupt

    backend = connected(checkpoint=checkpoint)
    with pytest.raises(KeyboardInterrupt):
        measure(backend, CheckRabi())
    assert calls == 10
    # Nine sixteenths of the undriven qubit's shots, each a readout of 552 ns and the interval.
    assert backend.hardware_seconds == pytest.approx(9 * 2048 / 16 * (552 + 153_600) * 1e-9)


def test_an_instrument_error_leaves_it_busy_until_it_is_quiesced(connected: Connect, tmp_path: Path) -> None:
    backend = connected(instrument_dir=tmp_path / "i", error_at_execution=5)
    for cause in ("simulated_fault", "instrument_busy"):
        with pytest.raises(CalibrationError) as failed:
            measure(backend, CheckRabi())
        assert (failed.value.failure.kind, failed.value.failure.cause) == (FailureKind.INSTRUMENT, cause)
    backend.quiesce()
    assert refusal(measure(backend, CheckRabi())) is None


CHILD = """
import sys
from pathlib import Path
from calibtasks.tasks.rabi.check_rabi import CheckRabi
from executors.backends.base import BackendSession
from executors.backends.fake import FakeBackend
from executors.backends.simchip.device import design_parameters
from executors.backends.simchip.options import SimulationOptions
folder = Path(sys.argv[1])
session = BackendSession("SIM16", 16, ("0",), design_parameters("SIM16", 16), folder / "scratch")
backend = FakeBackend(session, SimulationOptions(folder / "instruments", 7, hang_at_execution=3))
backend.connect()
task = CheckRabi()
task.call_preprocess(backend, "0")
task.call_run(backend, "0")
"""


def ignores_sigterm(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process ignores SIGTERM by now: the simulated driver hangs."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    ignored = re.search(r"^SigIgn:\s*(\w+)$", status, re.MULTILINE)
    return ignored is not None and bool(int(ignored[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_a_killed_process_leaves_a_busy_instrument_that_a_fresh_one_quiesces(
    connected: Connect, new_backend: Connect, tmp_path: Path
) -> None:
    state = tmp_path / "instruments" / "SIM16.busy.json"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], cwd=Path(__file__).parents[2])
    try:
        until_while_running(child, lambda: ignores_sigterm(child), "the third execution hung")
        os.kill(child.pid, signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(1)
    finally:
        child.kill()
        child.wait(PATIENCE)
    assert state.exists()
    backend = connected(instrument_dir=tmp_path / "instruments")
    with pytest.raises(CalibrationError, match="simulated instrument of SIM16 is busy"):
        measure(backend, CheckRabi())
    backend.close()
    new_backend((), instrument_dir=tmp_path / "instruments").quiesce()
    assert not state.exists()
    assert refusal(measure(connected(instrument_dir=tmp_path / "instruments"), CheckRabi())) is None


def test_a_quiesce_can_fail(new_backend: Connect) -> None:
    backend = new_backend(error_at_quiesce=True)
    with pytest.raises(CalibrationError, match="does not answer"):
        backend.quiesce()


def test_faults_can_be_switched_on_from_outside(connected: Connect, tmp_path: Path) -> None:
    (tmp_path / "SIM16.faults.json").write_text('{"wall_seconds_per_run": 0.01, "error_at_execution": 20}')
    backend = connected(instrument_dir=tmp_path)
    begin = time.monotonic()
    with pytest.raises(CalibrationError, match="reported an error in execution 20"):
        measure(backend, CheckRabi())
    assert time.monotonic() - begin > 0.19


def test_use_before_connect_and_a_bad_topology_are_refused(
    new_session: MakeSession, new_backend: Connect, tmp_path: Path
) -> None:
    backend = new_backend()
    with pytest.raises(CalibrationError, match="not connected"):
        backend.get_instance()
    backend.close()
    session, simulation = new_session(), SimulationOptions(tmp_path)
    odd = BackendSession("ODD", 5, ("0",), session.parameters, session.scratch)
    with pytest.raises(CalibrationError, match="cannot simulate ODD"):
        make_backend("fake", odd, simulation, None).connect()
    with pytest.raises(CalibrationError, match='unknown backend "real"'):
        make_backend("real", session, simulation, None)
