"""Sessions in a plain script: no executor, no Prefect, the chip taken and given back by the script itself."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from executors.engine import (
    CalibConfig,
    CalibOrchestrator,
    ConfigError,
    SessionRefusedError,
    TaskFailedError,
)
from executors.job.stop import Stopped, StopReason
from qdash_queue.domain import CalibrationError, CancelMode
from qdash_queue.errors import ExecutorRefusedError, QueueError
from qdash_queue.settings import Settings
from tests.engine.world import CHIP, USERNAME, World, only_job, script_session
from tests.support.databases import CalibDatabase
from tests.support.waiting import PATIENCE, until

QUICKSTART = """
from executors.engine import CalibOrchestrator, CalibConfig

# Configure the session
config = CalibConfig(
    username="alice",
    chip_id="SIM16",
    qids=["0", "1"],
    execution_id="20240101-001",
)

# Initialize and run
orchestrator = CalibOrchestrator(config)
orchestrator.initialize()

# Execute a task
result = orchestrator.run_task("CheckRabi", qid="0")

# Complete the session
orchestrator.complete()
"""


@pytest.fixture(autouse=True)
def _registered(world: World) -> None:
    """An executor has registered for the chip once, and has left."""
    world.offer()
    world.executor.stopped()


# A session outside a flow needs no Prefect, and does not wait for its import.
AND_LOOK = """
import sys
assert "prefect" not in sys.modules
print(result["task_id"], result["rabi_frequency"].unit)
"""


def run_script(world: World, text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    script = folder / "script.py"
    script.write_text(text)
    environment = {
        **os.environ,
        "QDASH_QUEUE_DATABASE_URL": world.notebook.url,
        "QDASH_QUEUE_STATE_PATH": str(world.state_path),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    return subprocess.run(
        [sys.executable, str(script)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def expect_everything_given_back(world: World) -> None:
    assert world.queue.chip(CHIP).running_job_id is None
    assert [row for row in world.queue.executors() if row.alive] == []
    assert list((world.state_path / "jobs").glob("*")) == []


def test_the_quickstart_as_it_is_written(world: World, tmp_path: Path) -> None:
    done = run_script(world, QUICKSTART + AND_LOOK, tmp_path)
    assert done.returncode == 0, done.stderr
    job = only_job(world)
    assert (job.flow, job.state, job.username, job.flow_run_id) == (
        "interactive",
        "completed",
        USERNAME,
        None,
    )
    assert job.note == {"label": "20240101-001"}
    assert job.parameters == {"qids": ["0", "1"]}
    (run,) = world.queue.task_runs(job.job_id)
    assert done.stdout.split() == [str(run.task_run_id), "MHz"]
    value = world.value("0", "rabi_frequency")
    assert value is not None
    assert value.execution_id == job.execution_id
    expect_everything_given_back(world)


def test_a_script_that_breaks_fails_its_job(world: World, tmp_path: Path) -> None:
    begin = QUICKSTART.partition("# Execute")[0]
    done = run_script(world, begin + "raise SystemExit(3)\n", tmp_path)
    assert done.returncode == 3, done.stderr
    job = only_job(world)
    assert (job.state, job.failure_kind) == ("failed", "internal")
    assert job.failure_message == "the script ended without complete(), fail() or cancel()"
    expect_everything_given_back(world)


def test_initialize_twice_is_once(world: World) -> None:
    with script_session(world) as session:
        session.initialize()
        assert session.is_initialized
        session.run_task("GoodTask", "0")
    assert only_job(world).state == "completed"
    assert session.complete() == "completed"
    with pytest.raises(RuntimeError, match=r"has ended \(completed\)"):
        session.initialize()


def test_two_sessions_one_after_the_other(world: World) -> None:
    for _ in range(2):
        with script_session(world) as session:
            session.run_task("CheckRabi", "0")
    assert [job.state for job in world.queue.list()] == ["completed", "completed"]
    expect_everything_given_back(world)


def test_the_exception_that_leaves_the_block_is_the_verdict(world: World) -> None:
    with pytest.raises(TaskFailedError), script_session(world) as session:
        session.run_task("RefusedTask", "0")
    job = only_job(world)
    assert (job.state, job.failure_kind) == ("failed", "bad_fit")
    assert job.failure_message is not None
    assert job.failure_message.startswith("RefusedTask on qubit 0: bad_fit: ")
    assert "quiesced" in [event.event for event in world.queue.events(job.job_id)]
    expect_everything_given_back(world)


def test_from_the_keyboard(world: World) -> None:
    def interrupted() -> None:
        with script_session(world) as session:
            session.run_task("GoodTask", "0")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    job = only_job(world)
    assert (job.state, job.cancel_reason) == ("cancelled", "interrupted from the keyboard")


def test_cancel_by_the_session(world: World) -> None:
    session = script_session(world)
    session.initialize()
    assert session.cancel("enough") == "cancelled"
    assert only_job(world).cancel_reason == "enough"
    expect_everything_given_back(world)


def test_cancel_from_outside_stops_the_script(world: World) -> None:
    def is_measuring() -> bool:
        runs = [run for job in world.queue.list() for run in world.queue.task_runs(job.job_id)]
        return any(run.status == "running" for run in runs)

    def cancel() -> None:
        until(is_measuring)
        world.queue.cancel(only_job(world).job_id, CancelMode.NOW, "beam time")

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(Stopped), script_session(world) as session:
        session.run_task("SlowTask", "0")
    thread.join()
    job = only_job(world)
    assert (job.state, job.cancel_reason) == ("cancelled", "beam time")
    assert world.statuses(job.job_id) == {("SlowTask", "0"): "cancelled"}
    expect_everything_given_back(world)


def test_a_busy_chip_is_refused(world: World) -> None:
    with world.job(["GoodTask"], ["0"]) as job:
        pass
    with pytest.raises(SessionRefusedError, match=f"chip SIM16 is busy with job {job.claimed.job_id}: wait"):
        script_session(world).initialize()
    assert len(world.queue.list()) == 1


def test_a_paused_chip_is_refused(world: World) -> None:
    world.queue.pause_chip(CHIP, "warming up")
    with pytest.raises(SessionRefusedError, match="chip SIM16 is paused: warming up"):
        script_session(world).initialize()
    assert world.queue.list() == []


def test_no_database_is_refused() -> None:
    config = CalibConfig(username=USERNAME, chip_id=CHIP, qids=["0"])
    with pytest.raises(SessionRefusedError, match="set QDASH_QUEUE_DATABASE_URL"):
        CalibOrchestrator(config, Settings(database_url="")).initialize()


def test_no_permission_is_refused(world: World, database: CalibDatabase) -> None:
    stranger = database.login("calib_notebook")
    config = CalibConfig(username=USERNAME, chip_id=CHIP, qids=["0"])
    with pytest.raises(ExecutorRefusedError, match=f"{stranger.name} may not execute on chip"):
        CalibOrchestrator(config, Settings(database_url=stranger.url)).initialize()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"chip_id": "SIM17"}, QueueError, 'unknown chip "SIM17"'),
        ({"qids": ["99"]}, QueueError, "99"),
        ({"project_id": "nobody"}, QueueError, 'unknown project "nobody"'),
        ({"backend_name": "qubex"}, ConfigError, 'expected "fake"'),
        ({"muxes": [77]}, ConfigError, "got 77"),
        ({"skip_execution": True}, ConfigError, "expected a running job to write to"),
        ({"default_run_parameters": {"shotz": 1}}, CalibrationError, 'did you mean "shots"'),
    ],
)
def test_a_wrong_configuration_takes_nothing(
    world: World, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        script_session(world, **changes).initialize()
    assert [job for job in world.queue.list() if job.state == "running"] == []
    assert world.queue.chip(CHIP).running_job_id is None
    assert [row for row in world.queue.executors() if row.alive] == []


def test_a_chip_of_no_executor_is_refused(world: World) -> None:
    world.add_chip("SIM4", "square-lattice-mux-4")
    with pytest.raises(QueueError, match="no executor has registered for SIM4: start one"):
        script_session(world, chip_id="SIM4").initialize()
    assert world.queue.list() == []


def test_muxes_name_their_qubits(world: World) -> None:
    with script_session(world, qids=["0"], muxes=[1]) as session:
        assert session.qids == ("0", "4", "5", "6", "7")


def test_a_qubit_outside_the_session_is_refused(world: World) -> None:
    with script_session(world) as session:
        with pytest.raises(
            CalibrationError, match=r'qid "7" does not belong to this session \(its qubits: 0\)'
        ):
            session.run_task("GoodTask", "7")
        with pytest.raises(CalibrationError, match='unknown task "GoodTusk": did you mean "GoodTask"'):
            session.run_task("GoodTusk", "0")
    assert world.queue.task_runs(only_job(world).job_id) == []


def test_an_instrument_that_cannot_be_connected_fails_the_job(world: World) -> None:
    world.add_chip("SIM4", "square-lattice-mux-4")
    world.offer("SIM4")
    second = script_session(world, chip_id="SIM4")
    # One process can hold one Experiment only: a second chip in the same script is refused.
    with script_session(world), pytest.raises(CalibrationError, match="already holds the instrument"):
        second.initialize()
    job = next(job for job in world.queue.list() if job.chip_id == "SIM4")
    assert (job.state, job.failure_kind) == ("failed", "instrument")
    assert world.queue.chip("SIM4").running_job_id is None


def test_a_session_that_cannot_be_prepared_gives_the_chip_back(world: World) -> None:
    world.state_path.parent.mkdir(exist_ok=True)
    world.state_path.write_text("a file where the folder should be")
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        script_session(world).initialize()
    job = only_job(world)
    assert job.state == "failed"
    assert job.failure_message is not None
    assert job.failure_message.startswith("the session could not be prepared: ")
    assert world.queue.chip(CHIP).running_job_id is None


def test_the_time_limit_of_the_job_stops_the_script(world: World) -> None:
    with script_session(world) as session:
        session.run_task("GoodTask", "0")
        session._open().context.stop.request_now(StopReason.DEADLINE)
        with pytest.raises(Stopped):
            session.run_task("GoodTask", "0")
        session.fail("over time")
    assert only_job(world).failure_message == "over time"


def test_a_database_that_hangs_stops_the_script_while_the_lease_is_its_own(
    world: World, database: CalibDatabase
) -> None:
    settings = world.settings.model_copy(update={"lease_seconds": 3.0})
    config = CalibConfig(username=USERNAME, chip_id=CHIP, qids=["0"])
    expires = "SELECT expires_at > clock_timestamp() FROM calib_private.leases WHERE job_id IS NOT NULL"
    with CalibOrchestrator(config, settings) as session, database.connect() as other:

        def goes_on() -> bool:
            session._open().context.stop.raise_if_at_once()
            return False

        with other.transaction():
            other.execute("SELECT FROM calib_private.leases FOR UPDATE")  # A heartbeat waits for this one.
            with pytest.raises(Stopped, match="lease lost"):
                until(goes_on)
            assert other.execute(expires).fetchone() == (True,)
        session.fail("the database hangs")


def test_before_initialize_nothing_runs(world: World) -> None:
    with pytest.raises(RuntimeError, match=r"call initialize\(\) first"):
        script_session(world).run_task("GoodTask", "0")
