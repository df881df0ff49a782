"""Jobs of a flow, run in this process as an executor's child runs them, without Prefect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import JsonValue

from executors.flows import load_flows
from executors.job.context import JobContext, use_job
from executors.prefect.flow_runs import flow_arguments
from qdash_queue.client.models import TaskRun
from qdash_queue.domain import CalibrationError
from tests.engine.world import World


def take(job: JobContext) -> Mapping[str, Any]:
    """Run the job's flow as the executor's child does, without Prefect."""
    flow = load_flows()[job.claimed.flow].flow
    found: Mapping[str, Any] = flow.fn(**flow.validate_parameters(flow_arguments(job.claimed)))
    return found


def run(world: World, flow: str, **parameters: Any) -> tuple[int, Mapping[str, Any]]:
    """The number of a job that completed, and what its flow returned."""
    with use_job(world.claim_job(flow, parameters)) as job:
        found = take(job)
        assert job.lease.finish() == "completed"
    return job.claimed.job_id, found


def refusal(world: World, flow: str, **parameters: Any) -> str:
    """Why a job was refused before it touched anything."""
    with use_job(world.claim_job(flow, parameters)) as job, pytest.raises(CalibrationError) as refused:
        take(job)
    assert refused.value.failure.kind == "invalid_request"
    assert world.queue.task_runs(job.claimed.job_id) == []
    assert world.queue.stages(job.claimed.job_id) == []
    return str(refused.value)


def setting(run: TaskRun, name: str) -> JsonValue:
    """A run parameter that a task ran with."""
    given = run.run_parameters[name]
    return given["value"] if isinstance(given, dict) else given


def stages(world: World, job_id: int) -> list[tuple[str, str, str | None]]:
    return [(stage.name, stage.step, stage.mode) for stage in world.queue.stages(job_id)]
