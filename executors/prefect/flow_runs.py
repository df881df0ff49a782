"""What Prefect's flow runs are called and tagged, and how their tags are read again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from prefect.client.schemas.objects import FlowRun

from qdash_queue.client.models import ClaimedJob, JsonObject


@dataclass(frozen=True, slots=True)
class Origin:
    """The attempt for which a flow run was made."""

    job_id: int
    attempt: int
    executor_id: str

    @property
    def tags(self) -> tuple[str, ...]:
        """How it is written on the flow run."""
        return (job_tag(self.job_id), f"attempt:{self.attempt}", f"executor:{self.executor_id}")

    @classmethod
    def of(cls, flow_run: FlowRun) -> Self | None:
        """What the tags say; ``None`` if they are not ours."""
        found = dict(tag.split(":", 1) for tag in flow_run.tags if ":" in tag)
        try:
            return cls(int(found["job"]), int(found["attempt"]), found["executor"])
        except (KeyError, ValueError):
            return None


def job_tag(job_id: int) -> str:
    """How a job is written on its flow runs."""
    return f"job:{job_id}"


def chip_tag(chip_id: str) -> str:
    """How a chip is written on its flow runs and deployments."""
    return f"chip:{chip_id}"


@dataclass(frozen=True)
class FlowRunRequest:
    """What a job's flow run shows in Prefect; equal keys make one flow run."""

    name: str
    tags: tuple[str, ...]
    parameters: JsonObject
    idempotency_key: str

    @classmethod
    def of(cls, claimed: ClaimedJob, executor_id: str) -> Self:
        """What an attempt asks for."""
        origin = Origin(claimed.job_id, claimed.attempt, executor_id)
        return cls(
            name=f"{claimed.execution_id} job {claimed.job_id}.{claimed.attempt}",
            tags=(chip_tag(claimed.chip_id), *origin.tags),
            parameters=flow_arguments(claimed),
            # Not the execution id: a server may outlive the database, or serve two queues.
            idempotency_key=" ".join(origin.tags),
        )


def flow_arguments(claimed: ClaimedJob) -> dict[str, Any]:
    """What the flow's function is called with: the job's parameters and the columns that every flow takes."""
    return {
        **claimed.parameters,
        "username": claimed.username,
        "chip_id": claimed.chip_id,
        "project_id": claimed.project_id,
    }
