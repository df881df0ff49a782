"""Cancels that Prefect or QDash took while no executor could see them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from qdash_queue.domain import CancelMode, JobState
from tests.executors.crew import Crew, Hand
from tests.executors.doors import Door, Doors

pytestmark = pytest.mark.timeout(900)  # Each starts an executor anew.
START = ["submitted", "claimed", "flow_run_created", "flow_started"]
REQUEUED = [*START, "lease_expired", "requeued", "claimed"]
CANCEL = ["cancel_requested", "cancel_seen", "stop_requested", "quiesced", "concluded"]
PREFECTS_DOORS = [Door.PREFECT, Door.QDASH]


@pytest.fixture
def doors(crew: Crew) -> Iterator[Doors]:
    with psycopg.connect(crew.queue.database.conninfo, autocommit=True) as connection:
        yield Doors(connection, crew.prefect, crew.environment)


@pytest.fixture
def alone(crew: Crew) -> Iterator[Hand]:
    """The only executor."""
    (hand, *others) = crew.need(1)
    for other in others:
        other.signal(signal.SIGTERM)
        assert other.leave() == 0
    crew.need(1)
    crew.settle()
    yield hand
    if hand.process.poll() is None:
        hand.signal(signal.SIGCONT)


@contextmanager
def _held(crew: Crew, event: str) -> Iterator[None]:
    """Sessions that write the event wait, and are ended before the hold is: the event is never there."""
    with psycopg.connect(crew.owner.conninfo, autocommit=True) as holder:
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


def _cancel(crew: Crew, doors: Doors, door: Door, job_id: int) -> None:
    answer = doors.knock(door, crew.queue.get(job_id), CancelMode.NOW)
    assert answer.is_taken, answer.words


@pytest.mark.parametrize("door", PREFECTS_DOORS)
def test_a_cancel_taken_while_the_executor_is_dead(
    crew: Crew, doors: Doors, alone: Hand, tmp_path: Path, door: Door
) -> None:
    mark = tmp_path / "mark"
    job_id = crew.submit("patient", {"seconds": 60, "mark": str(mark)}, max_attempts=2)
    crew.started(job_id)
    alone.signal(signal.SIGKILL)
    alone.leave()
    _cancel(crew, doors, door, job_id)
    crew.need(1)
    job = crew.ended(job_id)
    assert (job.state, job.attempt) == (JobState.CANCELLED, 2)
    assert crew.events(job_id) == [*REQUEUED, *CANCEL, "hook_ran", "cancelled"]
    assert mark.read_text().split() == [str(crew.flow_run(job_id).id)]
    assert crew.prefect_state(job_id) == "CANCELLED"


def test_a_cancel_of_a_flow_that_never_started_runs_no_hook(crew: Crew, doors: Doors, alone: Hand) -> None:
    with _held(crew, "flow_started"):
        job_id = crew.submit("patient", {"seconds": 60}, max_attempts=2)
        crew.logged(job_id, "flow_run_created")
        alone.signal(signal.SIGKILL)
        alone.leave()
        _cancel(crew, doors, Door.QDASH, job_id)
    crew.need(1)
    assert crew.ended(job_id).state is JobState.CANCELLED
    assert crew.events(job_id) == [*START[:3], *REQUEUED[4:], *CANCEL, "cancelled"]


def test_housekeeping_keeps_a_cancel(crew: Crew, doors: Doors, alone: Hand) -> None:
    """It brings the flow run in line with its attempt before the job is claimed again."""
    job_id = crew.submit("patient", {"seconds": 60}, max_attempts=2)
    crew.started(job_id)
    alone.signal(signal.SIGKILL)
    alone.leave()
    _cancel(crew, doors, Door.QDASH, job_id)
    crew.queue.pause_chip(crew.chip_id, "a test")
    try:
        crew.need(1)
        assert crew.prefect_state(job_id) == "CANCELLED"
        assert crew.queue.get(job_id).state is JobState.SCHEDULED
    finally:
        crew.queue.resume_chip(crew.chip_id)
    assert crew.ended(job_id).state is JobState.CANCELLED


@pytest.mark.parametrize("end", ["complete", "fail", "die"])
@pytest.mark.parametrize("door", PREFECTS_DOORS)
def test_a_cancel_taken_just_before_the_verdict(
    crew: Crew, doors: Doors, alone: Hand, tmp_path: Path, door: Door, end: str
) -> None:
    """The executor is frozen, so that it cannot hear of the cancel until its job's process has ended."""
    mark, gate = tmp_path / "mark", tmp_path / "gate"
    job_id = crew.submit("held", {"gate": str(gate), "end": end, "mark": str(mark)})
    crew.started(job_id)
    alone.signal(signal.SIGSTOP)
    _cancel(crew, doors, door, job_id)
    gate.touch()
    if end != "die":
        crew.logged(job_id, "concluded")
    alone.signal(signal.SIGCONT)
    assert crew.ended(job_id).state is JobState.CANCELLED
    assert crew.events(job_id).count("hook_ran") == 1
    assert mark.read_text().split() == [str(crew.flow_run(job_id).id)]
    assert crew.prefect_state(job_id) == "CANCELLED"
