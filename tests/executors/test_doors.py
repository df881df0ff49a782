"""A short mixed form of ``benchmarks/cancel_doors.py``: three doors, all moments of a job's life."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from prefect.states import Cancelling

from qdash_queue.domain import CancelMode, JobState
from tests.executors.crew import Crew
from tests.executors.doors import Aim, Canceller, Door, Doors

SUBMITTED = Aim("submitted", 0.03)
CLAIMED = Aim("claimed", 0.05)
CREATED = Aim("flow_run_created", 0.2)
STARTED = Aim("flow_started", 0.5)
BORDER = Aim("task_completed", 0.02, times=2)
LAST = Aim("task_completed", 0.1, times=5)
ENDED = Aim("completed", 0.2)


@pytest.fixture
def canceller(crew: Crew, tmp_path: Path) -> Iterator[Canceller]:
    crew.need(1)
    with psycopg.connect(crew.queue.database.conninfo, autocommit=True) as connection:
        doors = Doors(connection, crew.prefect, crew.environment)
        yield Canceller(crew, doors, tmp_path, random.Random(1))


def test_mixed_cancels_keep_every_promise(canceller: Canceller) -> None:
    for aim in (SUBMITTED, CLAIMED, CREATED, STARTED, BORDER, LAST, ENDED):
        for mode in CancelMode:
            canceller.walk(Door.ROW, mode, aim)
    for door in (Door.PREFECT, Door.QDASH):
        for aim in (CREATED, STARTED, BORDER, LAST, ENDED):
            canceller.walk(door, CancelMode.NOW, aim)
    assert canceller.settle() == []


def test_the_command_of_prefect_cancels(canceller: Canceller) -> None:
    cancel = canceller.walk(Door.PREFECT_CLI, CancelMode.NOW, STARTED, count=3000)
    assert cancel.answer.is_taken, cancel.answer.words
    assert cancel.job.state is JobState.CANCELLED
    assert canceller.settle() == []


@pytest.mark.parametrize("door", [Door.ROW, Door.PREFECT, Door.QDASH])
def test_too_late_is_said_in_words(canceller: Canceller, door: Door) -> None:
    cancel = canceller.walk(door, CancelMode.NOW, Aim("completed", 0.0), count=1, seconds=0.0)
    assert cancel.job.state is JobState.COMPLETED
    assert canceller.settle() == []


def test_a_flow_run_that_is_forced_back_after_its_end_is_put_right(canceller: Canceller) -> None:
    """QDash's API looks at the run's state first, but the job may end between its look and its order."""
    cancel = canceller.walk(Door.QDASH, CancelMode.NOW, ENDED, count=1, seconds=0.0)
    assert canceller.settle() == []
    assert cancel.job.flow_run_id is not None
    canceller.crew.prefect.set_flow_run_state(cancel.job.flow_run_id, Cancelling(), force=True)
    canceller.crew.settle()
    assert canceller.settle() == []
