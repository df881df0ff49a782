"""A short history with every kind of end, made with the real verbs and without any process."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from executors.engine.catalogue import task_entry
from qdash_queue.client.leases import Executor, Lease
from qdash_queue.client.models import Job, JsonObject
from qdash_queue.client.queue import Queue
from qdash_queue.client.records import PlannedTask
from qdash_queue.domain import Failure, FailureKind, JobState
from tests.chaos.flows import DRILL, DRILL_TASKS, drill_record
from tests.chaos.installation import USER
from tests.support.queue_world import PROJECT, QueueWorld

CHIP = "SIM-0"
_TRIES = 10
_PAUSE_SECONDS = 0.5
LOST = Failure(kind=FailureKind.NO_SIGNAL, message="nothing but noise")

MakeFlowRun = Callable[[JobState], uuid.UUID]


@dataclass
class JobHistory:
    """A chip with two executors, and what happens to its jobs."""

    world: QueueWorld
    make_flow_run: MakeFlowRun
    executors: list[Executor] = field(init=False)
    queue: Queue = field(init=False)
    fences: dict[Lease, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.queue = self.world.person(USER, "calib_operator", access="operator").queue
        self.executors = [self.world.executor(CHIP, uuid.uuid4().hex) for _ in range(2)]

    def register(self) -> None:
        """Register both executors."""
        for executor in self.executors:
            executor.register()
            executor.register_catalogue([DRILL.entry()], [task_entry(task) for task in DRILL_TASKS])

    def submit(self, tasks: int = 2, manner: str = "well", max_attempts: int = 1) -> Job:
        parameters: JsonObject = {"tasks": tasks, "seconds": 0.0, "manner": manner, "qid": "0"}
        note = {"ticket": uuid.uuid4().hex}
        return self.queue.submit(
            PROJECT, CHIP, parameters, flow="drill", max_attempts=max_attempts, note=note
        )

    def start(self, job: Job, by: int = 0, ends: JobState = JobState.COMPLETED) -> Lease:
        """Claim; ``ends`` is the state in which Prefect is left."""
        claimed, lease = self.world.claim(self.executors[by], job.job_id)
        self.fences[lease] = claimed.fence
        lease.set_flow_run(self.make_flow_run(ends))
        return lease

    def measure(self, lease: Lease, number: int) -> None:
        """Record one task run, with the fence of the lease as evidence."""
        task = PlannedTask(task=f"Drill{number}", qid="0")
        lease.record_task(lease.start_task(task), drill_record(self.fences[lease], number))

    def lose(self) -> None:
        """Let the present lease run out, and sweep."""
        self.world.database.execute(
            "UPDATE calib_private.leases SET expires_at = now() - interval '1 s' WHERE job_id IS NOT NULL"
        )
        assert len(self.executors[1].sweep()) == 1

    def end(self, lease: Lease, state: JobState, failure: Failure | None = None) -> JobState:
        lease.conclude(state, failure)
        return lease.finish()

    def settle(self) -> None:
        """Mark all flow runs as synced."""
        for run in self.executors[0].unsynced_flow_runs():
            self.executors[0].flow_run_synced(run.job_id, run.attempt)

    def run_all(self) -> None:
        """One job of each kind."""
        self.register()
        self._completed()
        self._cancelled_while_running()
        self._lost_and_repeated()
        self.queue.cancel(self.submit().job_id)
        self.end(self.start(self.submit(), ends=JobState.FAILED), JobState.FAILED, LOST)
        self._poisoned()
        self.settle()

    def _completed(self) -> None:
        lease = self.start(self.submit())
        for number in range(2):
            self.measure(lease, number)
        self.end(lease, JobState.COMPLETED)

    def _cancelled_while_running(self) -> None:
        self.end(self.cancel_seen(ends=JobState.CANCELLED), JobState.CANCELLED)

    def cancel_seen(self, ends: JobState) -> Lease:
        """A running job whose cancel was seen by its executor."""
        job = self.submit()
        lease = self.start(job, ends=ends)
        self.measure(lease, 0)
        self.queue.cancel(job.job_id)
        assert lease.heartbeat(60.0) is not None
        return lease

    def _lost_and_repeated(self) -> None:
        job = self.submit(max_attempts=2)
        self.measure(self.start(job, ends=JobState.FAILED), 0)
        self.lose()
        lease = self.start(job, by=1)
        for number in range(2):
            self.measure(lease, number)
        self.end(lease, JobState.COMPLETED)

    def _poisoned(self) -> None:
        job = self.submit(manner="poison", max_attempts=2)
        for by in range(2):
            self.start(job, by=by, ends=JobState.FAILED)
            self.lose()


class FlowRuns:
    """Flow runs made in Prefect in given states, under a tag of their own."""

    def __init__(self, api_url: str) -> None:
        self.tag = f"history-{uuid.uuid4().hex}"
        self._client = httpx.Client(base_url=api_url, timeout=20)
        self._flow_id = self._post("/flows/", {"name": self.tag})["id"]

    def make(self, state: JobState) -> uuid.UUID:
        """One flow run in this state."""
        run = {"flow_id": self._flow_id, "tags": [self.tag], "state": {"type": "PENDING", "name": "Pending"}}
        flow_run_id = uuid.UUID(self._post("/flow_runs/", run)["id"])
        self.force(flow_run_id, state.value.upper())
        return flow_run_id

    def force(self, flow_run_id: uuid.UUID, state_type: str) -> None:
        """Bring a flow run into a state."""
        state = {"state": {"type": state_type, "name": state_type.title()}, "force": True}
        self._post(f"/flow_runs/{flow_run_id}/set_state", state)

    def _post(self, path: str, body: object) -> Any:
        """The answer; asked again while Prefect's database is busy, as Prefect's own client does."""
        for _ in range(_TRIES):
            answer = self._client.post(path, json=body)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(_PAUSE_SECONDS)
        return answer.raise_for_status().json()

    def close(self) -> None:
        self._client.close()
