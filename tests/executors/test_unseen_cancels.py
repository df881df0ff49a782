"""Cancels that Prefect or QDash took while no executor could see them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from qdash_queue.domain import CancelMode, JobState
from tests.executors.cancel_paths import CancelPath, CancelPaths
from tests.executors.fleet import Fleet
from tests.support.executor_world import StartedProcess

pytestmark = pytest.mark.timeout(900)  # Each starts an executor anew.
START = ["submitted", "claimed", "flow_run_created", "flow_started"]
REQUEUED = [*START, "lease_expired", "requeued", "claimed"]
CANCEL = ["cancel_requested", "cancel_seen", "stop_requested", "quiesced", "concluded"]
PREFECT_PATHS = [CancelPath.PREFECT, CancelPath.QDASH]


@pytest.fixture
def paths(fleet: Fleet) -> Iterator[CancelPaths]:
    with psycopg.connect(fleet.queue.database.conninfo, autocommit=True) as connection:
        yield CancelPaths(connection, fleet.prefect, fleet.environment)


@pytest.fixture
def alone(fleet: Fleet) -> Iterator[StartedProcess]:
    """The only executor."""
    (executor, *others) = fleet.need(1)
    for other in others:
        other.signal(signal.SIGTERM)
        assert other.wait() == 0
    fleet.need(1)
    fleet.settle()
    yield executor
    if executor.is_alive:
        executor.signal(signal.SIGCONT)


@contextmanager
def _held(fleet: Fleet, event: str) -> Iterator[None]:
    """Sessions that write the event wait, and are ended before the hold is: the event is never there."""
    with psycopg.connect(fleet.owner.conninfo, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(77)")
        holder.execute(
            "CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN NEW; END'"
        )
        holder.execute(
            "CREATE TRIGGER hold BEFORE INSERT ON calib_private.job_events FOR EACH ROW"
            f" WHEN (NEW.event = '{event}') EXECUTE FUNCTION public.hold()".encode()
        )
        try:
            yield
        finally:
            holder.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_locks WHERE locktype = 'advisory'"
                " AND objid = 77 AND NOT granted"
            )
            holder.execute("DROP FUNCTION public.hold() CASCADE")


def _power_off(executor: StartedProcess) -> None:
    """Kill all its processes at once; a job that outlived the supervisor would end its flow run first."""
    executor.signal(signal.SIGSTOP)
    for process in executor.family():
        with suppress(psutil.NoSuchProcess):
            process.kill()
    executor.wait()


def _cancel(fleet: Fleet, paths: CancelPaths, path: CancelPath, job_id: int) -> None:
    answer = paths.cancel(path, fleet.queue.get(job_id), CancelMode.NOW)
    assert answer.is_taken, answer.words


@pytest.mark.parametrize("path", PREFECT_PATHS)
def test_a_cancel_taken_while_the_executor_is_dead(
    fleet: Fleet, paths: CancelPaths, alone: StartedProcess, tmp_path: Path, path: CancelPath
) -> None:
    mark = tmp_path / "mark"
    job_id = fleet.submit("patient", {"seconds": 60, "mark": str(mark)}, max_attempts=2)
    fleet.started(job_id)
    _power_off(alone)
    _cancel(fleet, paths, path, job_id)
    fleet.need(1)
    job = fleet.ended(job_id)
    assert (job.state, job.attempt) == (JobState.CANCELLED, 2)
    assert fleet.events(job_id) == [*REQUEUED, *CANCEL, "hook_ran", "cancelled"]
    assert mark.read_text().split() == [str(fleet.flow_run(job_id).id)]
    assert fleet.prefect_state(job_id) == "CANCELLED"


def test_a_cancel_of_a_flow_that_never_started_runs_no_hook(
    fleet: Fleet, paths: CancelPaths, alone: StartedProcess
) -> None:
    with _held(fleet, "flow_started"):
        job_id = fleet.submit("patient", {"seconds": 60}, max_attempts=2)
        fleet.logged(job_id, "flow_run_created")
        _power_off(alone)
        _cancel(fleet, paths, CancelPath.QDASH, job_id)
    fleet.need(1)
    assert fleet.ended(job_id).state is JobState.CANCELLED
    assert fleet.events(job_id) == [*START[:3], *REQUEUED[4:], *CANCEL, "cancelled"]


def test_housekeeping_keeps_a_cancel(fleet: Fleet, paths: CancelPaths, alone: StartedProcess) -> None:
    """It brings the flow run in line with its attempt before the job is claimed again."""
    job_id = fleet.submit("patient", {"seconds": 60}, max_attempts=2)
    fleet.started(job_id)
    _power_off(alone)
    _cancel(fleet, paths, CancelPath.QDASH, job_id)
    fleet.queue.pause_chip(fleet.chip_id, "a test")
    try:
        fleet.need(1)
        assert fleet.prefect_state(job_id) == "CANCELLED"
        assert fleet.queue.get(job_id).state is JobState.SCHEDULED
    finally:
        fleet.queue.resume_chip(fleet.chip_id)
    assert fleet.ended(job_id).state is JobState.CANCELLED


@pytest.mark.parametrize("end", ["complete", "fail", "die"])
@pytest.mark.parametrize("path", PREFECT_PATHS)
def test_a_cancel_taken_just_before_the_verdict(
    fleet: Fleet, paths: CancelPaths, alone: StartedProcess, tmp_path: Path, path: CancelPath, end: str
) -> None:
    """The executor is frozen, so that it cannot hear of the cancel until its job's process has ended."""
    mark, gate = tmp_path / "mark", tmp_path / "gate"
    job_id = fleet.submit("held", {"gate": str(gate), "end": end, "mark": str(mark)})
    fleet.started(job_id)
    alone.signal(signal.SIGSTOP)
    _cancel(fleet, paths, path, job_id)
    gate.touch()
    if end != "die":
        fleet.logged(job_id, "concluded")
    alone.signal(signal.SIGCONT)
    assert fleet.ended(job_id).state is JobState.CANCELLED
    assert fleet.events(job_id).count("hook_ran") == 1
    assert mark.read_text().split() == [str(fleet.flow_run(job_id).id)]
    assert fleet.prefect_state(job_id) == "CANCELLED"
