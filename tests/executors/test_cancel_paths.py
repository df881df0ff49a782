"""Cancels by every path, at all moments of a job's life, judged by every promise about them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from prefect.states import Cancelling

from qdash_queue.domain import CancelMode, JobState
from tests.executors.cancel_paths import Aim, Canceller, CancelPath, CancelPaths
from tests.executors.fleet import Fleet

SUBMITTED = Aim("submitted", 0.03)
CLAIMED = Aim("claimed", 0.05)
CREATED = Aim("flow_run_created", 0.2)
STARTED = Aim("flow_started", 0.5)
BORDER = Aim("task_completed", 0.02, times=2)
LAST = Aim("task_completed", 0.1, times=5)
ENDED = Aim("completed", 0.2)


@pytest.fixture
def canceller(fleet: Fleet, tmp_path: Path) -> Iterator[Canceller]:
    fleet.need(1)
    with psycopg.connect(fleet.queue.database.conninfo, autocommit=True) as connection:
        paths = CancelPaths(connection, fleet.prefect, fleet.environment)
        yield Canceller(fleet, paths, tmp_path, random.Random(1))


def test_mixed_cancels_keep_every_promise(canceller: Canceller) -> None:
    for aim in (SUBMITTED, CLAIMED, CREATED, STARTED, BORDER, LAST, ENDED):
        for mode in CancelMode:
            canceller.walk(CancelPath.ROW, mode, aim)
    for path in (CancelPath.PREFECT, CancelPath.QDASH):
        for aim in (CREATED, STARTED, BORDER, LAST, ENDED):
            canceller.walk(path, CancelMode.NOW, aim)
    assert canceller.settle() == []


def test_the_command_of_prefect_cancels(canceller: Canceller) -> None:
    cancel = canceller.walk(CancelPath.PREFECT_CLI, CancelMode.NOW, STARTED, count=3000)
    assert cancel.answer.is_taken, cancel.answer.words
    assert cancel.job.state is JobState.CANCELLED
    assert canceller.settle() == []


@pytest.mark.parametrize("path", [CancelPath.ROW, CancelPath.PREFECT, CancelPath.QDASH])
def test_too_late_is_said_in_words(canceller: Canceller, path: CancelPath) -> None:
    cancel = canceller.walk(path, CancelMode.NOW, Aim("completed", 0.0), count=1, seconds=0.0)
    assert cancel.job.state is JobState.COMPLETED, cancel.job.failure_message
    assert canceller.settle() == []


def test_a_flow_run_that_is_forced_back_after_its_end_is_put_right(canceller: Canceller) -> None:
    """QDash's API looks at the run's state first, but the job may end between its look and its order."""
    cancel = canceller.walk(CancelPath.QDASH, CancelMode.NOW, ENDED, count=1, seconds=0.0)
    assert canceller.settle() == []
    assert cancel.job.flow_run_id is not None
    canceller.fleet.prefect.set_flow_run_state(cancel.job.flow_run_id, Cancelling(), force=True)
    canceller.fleet.settle()
    assert canceller.settle() == []
