"""The simulated instrument: stop points, busy states, faults."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from qubex.pulse import FlatTop, PulseSchedule

from calibtasks.tasks.rabi.check_rabi import CheckRabi
from executors.backends.base import BackendSession, BaseBackend
from executors.backends.registry import make_backend
from executors.backends.simchip.options import SimulationOptions
from qdash_queue.domain import CalibrationError, FailureKind
from tests.backends.measuring import measure, refusal
from tests.support.waiting import PATIENCE, until_while_running

Connect = Callable[..., BaseBackend]
MakeSession = Callable[..., BackendSession]


def sweep(backend: BaseBackend, *qids: str) -> None:
    """Three points of qubex's own sweep, one batch of 100 shots each, that drive and read the qubits."""
    labels = [backend.label(qid) for qid in qids]

    def point(time_ns: float) -> PulseSchedule:
        with PulseSchedule(labels) as schedule:
            for label in labels:
                schedule.add(label, FlatTop(duration=time_ns, amplitude=0.03, tau=12))
        return schedule

    asyncio.run(
        backend.get_instance().run_sweep_measurement(
            point, sweep_values=np.array([32.0, 64.0, 96.0]), n_shots=100, final_measurement=True, plot=False
        )
    )


def test_a_batch_has_one_checkpoint_and_is_not_stopped_within(connected: Connect) -> None:
    calls = 0

    def checkpoint() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt

    backend = connected(checkpoint=checkpoint)
    sweep(backend, "0")
    assert calls == 1
    seconds = backend.hardware_seconds
    assert seconds > 3 * 100 * 1e-4
    sweep(backend, "0")
    with pytest.raises(KeyboardInterrupt):
        sweep(backend, "0")
    assert calls == 3
    assert backend.hardware_seconds == pytest.approx(2 * seconds)


def test_single_executions_have_a_checkpoint_each(connected: Connect) -> None:
    calls = 0

    def checkpoint() -> None:
        nonlocal calls
        calls += 1

    backend = connected(checkpoint=checkpoint)
    for _ in range(2):
        with PulseSchedule(["Q00"]) as schedule:
            schedule.add("Q00", FlatTop(duration=32, amplitude=0.03, tau=12))
        backend.get_instance().measure(schedule, mode="avg", n_shots=100)
    assert calls == 2


def test_a_fault_counts_the_executions_of_a_batch(connected: Connect) -> None:
    backend = connected(error_at_execution=5)
    sweep(backend, "0")
    with pytest.raises(CalibrationError, match="reported an error in execution 5"):
        sweep(backend, "0")


def test_a_broken_box_is_named_and_stops_only_what_touches_it(connected: Connect) -> None:
    backend = connected(("0", "5", "6", "9"), error_box="B1", error_at_execution=4)
    sweep(backend, "5")
    for qids, broken in ((("0", "9"), False), (("5",), True), (("0", "6"), True), (("9",), False)):
        if broken:
            with pytest.raises(CalibrationError, match=r"box B1 reported an error") as failed:
                sweep(backend, *qids)
            assert (failed.value.failure.kind, failed.value.failure.cause) == (
                FailureKind.INSTRUMENT,
                "simulated_fault",
            )
            backend.quiesce()
        else:
            sweep(backend, *qids)


def test_the_boxes_of_a_qubit_are_those_that_a_drivers_error_names(
    connected: Connect, new_backend: Connect
) -> None:
    backend = connected(("0", "5", "6"))
    assert [backend.boxes(qid) for qid in ("0", "5", "6", "0-5")] == [("B0",), ("B1",), ("B1",), ("B0", "B1")]
    with pytest.raises(CalibrationError, match="not connected"):
        new_backend().boxes("0")


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
task.prepare(backend, "0")
task.measure(backend, ["0"])
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
