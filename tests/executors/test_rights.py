"""An executor whose right is revoked while it runs a job."""

from __future__ import annotations

import pytest

from executors.main import EXIT_LOST
from qdash_queue.client.admin import Admin
from qdash_queue.domain import FailureKind, JobState
from tests.executors.fleet import Fleet, is_alive
from tests.support.waiting import until


@pytest.mark.slow
def test_an_executor_that_may_not_serve_any_more_stops_its_job_and_leaves(fleet: Fleet) -> None:
    fleet.need(1)
    fleet.settle()
    job_id = fleet.submit("sleep", {"seconds": 600})
    child, executor = fleet.started(job_id), fleet.holder(job_id)
    admin = Admin(fleet.owner)
    row = fleet.owner.row(
        "SELECT role_name FROM calib.executor_permissions WHERE chip_id = %(c)s", c=fleet.chip_id
    )
    assert row is not None
    admin.disallow_executor(row["role_name"], fleet.chip_id)
    try:
        assert executor.wait() == EXIT_LOST
        assert not is_alive(child)
        assert "may not execute on chip" in executor.log.read_text()
    finally:
        admin.allow_executor(row["role_name"], fleet.chip_id)
    fleet.need(1)
    until(lambda: fleet.queue.get(job_id).state.is_terminal, "the job to be swept")
    job = fleet.queue.get(job_id)
    assert (job.state, job.failure_kind) == (JobState.FAILED, FailureKind.LOST)
