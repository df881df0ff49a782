"""A desk with a terminal: a project, its people, a chip whose jobs are driven by hand, commands typed in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from qdash_queue.cli import app
from qdash_queue.client.leases import Lease
from qdash_queue.client.models import Job
from qdash_queue.client.records import PlannedTask, TaskRecord
from qdash_queue.domain import Failure, FailureKind, JobState, ParameterModel, TaskStatus
from tests.support.queue_world import CALIBRATE, PROJECT, QueueWorld, qubit_task

CHIP = "SIM16"
PASSED = TaskRecord(
    status=TaskStatus.COMPLETED,
    hardware_seconds=1.5,
    output_parameters={"t1": ParameterModel(value=41.8123, error=0.7312, unit="μs")},
)
FAILED = TaskRecord(
    status=TaskStatus.FAILED,
    failure_kind=FailureKind.NO_SIGNAL,
    message="the amplitude is not above the noise",
    remedy="check the drive frequency",
)


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit status, standard output, standard error."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The error as JSON, with nothing on standard output."""
        assert not self.out
        return json.loads(self.err)["error"]

    @property
    def sentence(self) -> str:
        """The refusal: one line on standard error, nothing on standard output, a status that says so."""
        assert self.status not in (0, 1, 2)
        assert not self.out
        assert len(self.err.splitlines()) == 1, self.err
        assert "Traceback" not in self.err
        return self.err.strip()


def type_in(*words: str, environment: Mapping[str, str] | None = None) -> Outcome:
    """Run a command in this process; anything but an exit status is a bug."""
    result = CliRunner().invoke(app, list(words), env=dict(environment or {}))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


class Desk:
    """Everything that a test of a command needs: people with roles; project and chip once furnished."""

    def __init__(self, world: QueueWorld) -> None:
        self.world = world
        self.database = world.calib
        self.roles = {
            "admin": world.person("root", "calib_admin"),
            "submitter": world.person("alice", "calib_submitter"),
            "operator": world.person("olga", "calib_operator"),
            "executor": world.machine,
            "mirror": world.person("mirror", "calib_mirror"),
        }
        self.queue = self.roles["submitter"].queue

    def run(self, *words: str, role: str = "operator", **settings: str) -> Outcome:
        """Type a command as one of the people."""
        environment = {"QDASH_QUEUE_DATABASE_URL": self.roles[role].url}
        environment |= {f"QDASH_QUEUE_{name.upper()}": value for name, value in settings.items()}
        return type_in(*words, environment=environment)

    def furnish(self) -> None:
        """Make the project, its members and the chip."""
        self.world.admin.add_project(PROJECT)
        for person, access in (("alice", "submitter"), ("olga", "operator")):
            self.world.admin.grant_member(PROJECT, self.world.person(person).name, person, access)
        self.world.add_chip(CHIP)
        self.executor = self.world.executor(CHIP)

    def offer(self) -> None:
        """Register an executor with a flow and two tasks."""
        self.executor.register()
        self.executor.seen()
        tasks = [qubit_task(name, "t1") for name in ("CheckRabi", "CheckT1")]
        self.executor.register_catalogue([CALIBRATE.model_copy(update={"repeatable": True})], tasks)

    def submit(self, *qids: str) -> Job:
        """A waiting job."""
        return self.queue.submit(PROJECT, CHIP, {"qids": list(qids or ("0", "1")), "tasks": ["CheckT1"]})

    def start(self, job: Job) -> Lease:
        """Claim a job and plan its tasks."""
        _, lease = self.world.claim(self.executor, job.job_id)
        lease.plan_tasks(_planned(job))
        return lease

    def work(self, lease: Lease, job: Job, record: TaskRecord = PASSED) -> None:
        """Run the job's tasks; each leaves the record."""
        for task in _planned(job):
            lease.record_task(lease.start_task(task), record)

    def end(self, job: Job, state: JobState) -> Job:
        """Bring a waiting job to an end of its own."""
        lease = self.start(job)
        failed = state is JobState.FAILED
        self.work(lease, job, FAILED if failed else PASSED)
        if state is JobState.CANCELLED:
            self.queue.cancel(job.job_id, reason="beam time")
            lease.heartbeat()
        lease.conclude(
            state, Failure(kind=FailureKind.NO_SIGNAL, message="2 of 2 failed") if failed else None
        )
        lease.finish()
        return self.queue.get(job.job_id)


def _planned(job: Job) -> list[PlannedTask]:
    qids = job.parameters["qids"]
    assert isinstance(qids, list)
    return [PlannedTask(task="CheckT1", qid=str(qid)) for qid in qids]
