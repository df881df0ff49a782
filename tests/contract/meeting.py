"""Two sessions that meet: what one leaves open, what the other does meanwhile, and who may not wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from qdash_queue.client.models import ClaimedJob
from qdash_queue.client.records import PlannedTask, TaskRecord
from qdash_queue.domain import JobState, ParameterModel, TaskStatus
from tests.support.queue_world import Connection, QueueWorld

VALUE = ParameterModel(parameter_name="rabi_frequency", value=12.5, error=0.1, unit="MHz")
RECORD = TaskRecord(status=TaskStatus.COMPLETED, output_parameters={"rabi_frequency": VALUE})


@contextmanager
def open_transaction(session: Connection) -> Iterator[Connection]:
    """What is done in it stays uncommitted while the block runs."""
    yield session
    session.rollback()


def full_life(world: QueueWorld, claimed: ClaimedJob, state: JobState = JobState.COMPLETED) -> None:
    """All that an executor writes from the claim to the end."""
    lease = world.lease(claimed)
    lease.heartbeat()
    lease.plan_tasks([PlannedTask(task="CheckRabi", qid="0"), PlannedTask(task="CheckT1", qid="0")])
    lease.record_task(lease.start_task(PlannedTask(task="CheckRabi", qid="0")), RECORD)
    lease.log_event("flow_started")
    lease.heartbeat()
    lease.conclude(state)
    assert lease.finish() == state


def cancel(job_id: int) -> tuple[str, tuple[int]]:
    return "UPDATE calib.jobs SET cancel_requested = true WHERE job_id = %s", (job_id,)


def ask_cancel(client: Connection, job_id: int) -> int:
    return client.execute(*cancel(job_id)).rowcount


def in_thread(target: Callable[[], Any]) -> Future[Any]:
    pool = ThreadPoolExecutor(1)
    future = pool.submit(target)
    pool.shutdown(wait=False)
    return future


def be_impatient(world: QueueWorld) -> None:
    """The executors' login gives up on any lock it has to wait for: a wait is a failure."""
    world.owner.execute(f"ALTER ROLE {world.machine.name} SET lock_timeout = '300ms'".encode())
