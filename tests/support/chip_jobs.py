"""Jobs of one chip, run by an executor's verbs alone, with results that a task would store."""

from __future__ import annotations

import json
import struct
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from qdash_queue.client.database import Database
from qdash_queue.client.leases import Executor, Lease
from qdash_queue.client.models import Job
from qdash_queue.client.queue import Queue
from qdash_queue.client.records import FigureRecord, PlannedTask, RawDataRecord, TaskRecord
from qdash_queue.domain import (
    Failure,
    FailureKind,
    JobState,
    ParameterModel,
    RunParameterModel,
    TaskStatus,
    TaskType,
)
from tests.support.queue_world import PROJECT, QueueWorld, open_flow, qubit_task

CHIP = "SIM16"
USER = "alice"
TASKS = ("CheckRabi", "CreateHPIPulse", "CheckT1", "CheckRamsey")
OUTPUTS = {
    "CheckRabi": ("rabi_frequency", "MHz", 12.5),
    "CreateHPIPulse": ("hpi_amplitude", "a.u.", 0.031),
    "CheckT1": ("t1", "μs", 41.5),
    "CheckRamsey": ("t2_star", "μs", 22.25),
}


def figure_json(title: str, points: int = 51) -> str:
    """A measured decay and its fit, with axes, as Plotly JSON."""
    times = [i * 2.0 for i in range(points)]
    measured = [2.718 ** (-t / 41.5) + 0.02 * ((i * 7919) % 11 - 5) / 5 for i, t in enumerate(times)]
    fitted = [2.718 ** (-t / 41.5) for t in times]
    return json.dumps(
        {
            "data": [
                {"type": "scatter", "mode": "markers", "name": "data", "x": times, "y": measured},
                {"type": "scatter", "mode": "lines", "name": "fit", "x": times, "y": fitted},
            ],
            "layout": {
                "title": {"text": title},
                "xaxis": {"title": {"text": "Delay (μs)"}},
                "yaxis": {"title": {"text": "Population of |1⟩"}},
            },
        }
    )


def passing(task: str, *, value: float | None = None, figures: int = 1) -> TaskRecord:
    """The record of a task that passed."""
    name, unit, usual = OUTPUTS[task]
    return TaskRecord(
        status=TaskStatus.COMPLETED,
        hardware_seconds=1.25,
        input_parameters={"qubit_frequency": ParameterModel(value=4.8, unit="GHz")},
        output_parameters={
            name: ParameterModel(value=usual if value is None else value, error=0.5, unit=unit)
        },
        run_parameters={"shots": RunParameterModel(value=1024, value_type="int")},
        quality_metrics={"r2": 0.98},
        figures=[FigureRecord(name=f"{task}_{i}", plotly=figure_json(f"{task} {i}")) for i in range(figures)],
        raw_data=[
            RawDataRecord(
                name="iq", dtype="complex128", shape=(3,), unit="a.u.", data=struct.pack("<6d", *range(6))
            )
        ],
    )


def failing(task: str) -> TaskRecord:
    """The record of a task whose fit was rejected."""
    good = passing(task)
    return good.model_copy(
        update={
            "status": TaskStatus.FAILED,
            "failure_kind": FailureKind.BAD_FIT,
            "message": "R² 0.31 is below 0.7",
            "cause": "r2",
            "remedy": "check the drive frequency",
            "quality_metrics": {"r2": 0.31},
        }
    )


Record = Callable[[str, str], TaskRecord]


def all_pass(task: str, _qid: str) -> TaskRecord:
    """Every task passes."""
    return passing(task)


def always(record: TaskRecord) -> Record:
    """Every task has this record."""
    return lambda _task, _qid: record


@dataclass
class ChipJobs:
    """The jobs of one chip: an operator's queue and an executor."""

    world: QueueWorld
    chip_id: str = CHIP
    queue: Queue = field(init=False)
    executor: Executor = field(init=False)

    def __post_init__(self) -> None:
        self.queue = self.world.person(USER, "calib_operator", access="operator").queue
        self.executor = self.world.executor(self.chip_id)

    @property
    def database(self) -> Database:
        """The queue for the overseer."""
        return self.world.database

    def submit(self, qids: Sequence[str] = ("0", "1"), tasks: Sequence[str] = TASKS) -> Job:
        return self.queue.submit(
            PROJECT,
            self.chip_id,
            {"qids": list(qids), "tasks": list(tasks)},
            tags=["cooldown-7"],
            note={"why": "demo", "odd.key": {"$set": 2**70}},
        )

    def start(self, job: Job) -> Lease:
        _, lease = self.world.claim(self.executor, job.job_id)
        lease.set_flow_run(uuid.uuid4())
        return lease

    def plan(self, lease: Lease, qids: Sequence[str], tasks: Sequence[str]) -> list[PlannedTask]:
        planned = [
            PlannedTask(task=task, qid=qid, task_type=TaskType.COUPLING if "-" in qid else TaskType.QUBIT)
            for qid in qids
            for task in tasks
        ]
        lease.plan_tasks(planned)
        return planned

    def run(
        self, qids: Sequence[str] = ("0", "1"), tasks: Sequence[str] = TASKS, record: Record = all_pass
    ) -> Job:
        """A whole job; it fails if any of its tasks does."""
        job = self.submit(qids, tasks)
        lease = self.start(job)
        upstream: uuid.UUID | None = None
        failed = False
        for planned in self.plan(lease, qids, tasks):
            upstream = lease.start_task(planned, upstream_id=upstream)
            outcome = record(planned.task, planned.qid)
            lease.record_task(upstream, outcome)
            failed = failed or outcome.status is TaskStatus.FAILED
        if failed:
            lease.conclude(JobState.FAILED, Failure(kind=FailureKind.BAD_FIT, message="1 task failed"))
        else:
            lease.conclude(JobState.COMPLETED)
        lease.finish()
        return self.queue.get(job.job_id)


def make_chip(world: QueueWorld, chip_id: str) -> ChipJobs:
    """A chip in the queue with its executor and catalogue."""
    world.add_chip(chip_id)
    jobs = ChipJobs(world, chip_id)
    jobs.executor.register()
    tasks = [qubit_task(task, OUTPUTS[task][0]) for task in TASKS]
    jobs.executor.register_catalogue([open_flow("calibrate", repeatable=True)], tasks)
    return jobs
