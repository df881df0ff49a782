"""An executor whose right is taken away while it runs a job."""

from __future__ import annotations

import pytest

from executors.main import EXIT_LOST
from qdash_queue.client.admin import Admin
from qdash_queue.domain import FailureKind, JobState
from tests.executors.crew import Crew, is_alive
from tests.support.waiting import until


@pytest.mark.slow
def test_an_executor_that_may_not_serve_any_more_stops_its_job_and_leaves(crew: Crew) -> None:
    crew.need(1)
    crew.settle()
    job_id = crew.submit("sleep", {"seconds": 600})
    child, hand = crew.started(job_id), crew.holder(job_id)
    admin = Admin(crew.owner)
    row = crew.owner.row(
        "SELECT role_name FROM calib.executor_permissions WHERE chip_id = :c", c=crew.chip_id
    )
    assert row is not None
    admin.disallow_executor(row["role_name"], crew.chip_id)
    try:
        assert hand.leave() == EXIT_LOST
        assert not is_alive(child)
        assert "may not execute on chip" in hand.log.read_text()
    finally:
        admin.allow_executor(row["role_name"], crew.chip_id)
    crew.need(1)
    until(lambda: crew.queue.get(job_id).state.is_terminal, "the job to be swept")
    job = crew.queue.get(job_id)
    assert (job.state, job.failure_kind) == (JobState.FAILED, FailureKind.LOST)
