"""A project, a member who may execute, a simulated chip and jobs on a real database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from executors.backends.simchip.device import design_parameters
from executors.engine import CalibConfig, CalibOrchestrator
from executors.engine.catalogue import task_entry
from executors.flows import catalogue_flows, catalogue_tasks, load_flows
from executors.job.context import JobContext, instruments_folder, new_scratch_folder, use_job
from executors.job.stop import StopFlag
from qdash_queue.client.admin import Admin
from qdash_queue.client.database import Database
from qdash_queue.client.leases import Executor, Lease
from qdash_queue.client.models import Job, Parameter, TaskRun
from qdash_queue.client.parameters import Parameters
from qdash_queue.client.queue import Queue
from qdash_queue.settings import Settings
from tests.engine.many_tasks import MANY_TASKS
from tests.engine.tasks import NOTEBOOK_TASKS
from tests.support.databases import CalibDatabase, LoginRole

CHIP = "SIM16"
PROJECT = "demo"
USERNAME = "alice"
STORED = {"value", "error", "unit"}
ROLES = ("calib_operator", "calib_executor")


@dataclass
class World:
    """Starts jobs and reads what they recorded."""

    url: str
    state_path: Path
    role: str
    admin_url: str
    notebook: LoginRole
    database: Database = field(init=False)
    queue: Queue = field(init=False)
    executor: Executor = field(init=False)
    _sessions: list[CalibOrchestrator] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.database = Database(self.url)
        self.queue = Queue(self.database)
        self.executor = Executor(self.database, CHIP, "fake", "test")

    @property
    def settings(self) -> Settings:
        """The settings of a script or notebook, whose login is one for notebooks."""
        return Settings(database_url=self.notebook.url, state_path=self.state_path, heartbeat_seconds=0.2)

    def add_chip(self, chip_id: str, topology: str) -> None:
        """Make a simulated chip that the world's role may serve."""
        admin = Admin(Database(self.admin_url))
        admin.add_chip(chip_id, "fake", topology)
        admin.allow_executor(self.role, chip_id)
        admin.allow_executor(self.notebook.name, chip_id)
        admin.database.close()

    def offer(self, chip_id: str = CHIP) -> None:
        """Register an executor with the flows, the active tasks and the tests' own."""
        executor = self.executor if chip_id == CHIP else Executor(self.database, chip_id, "fake", "test")
        executor.register()
        own = [task_entry(task) for task in (*NOTEBOOK_TASKS, *MANY_TASKS)]
        tasks = {entry.task: entry for entry in [*catalogue_tasks(), *own]}
        executor.register_catalogue(catalogue_flows(load_flows().values()), list(tasks.values()))

    def claim(self, tasks: list[str], qids: list[str], **parameters: Any) -> JobContext:
        """Insert and claim a job of flow ``calibrate``."""
        return self.claim_job("calibrate", {"qids": qids, "tasks": tasks, **parameters})

    def claim_job(self, flow: str, parameters: Mapping[str, Any]) -> JobContext:
        """Insert and claim a job of any flow."""
        self.offer()
        job = self.queue.submit(PROJECT, CHIP, parameters, flow=flow)
        claimed = self.executor.claim(30.0, job.job_id)
        assert claimed is not None
        return JobContext(
            claimed=claimed,
            lease=Lease(self.database, claimed.job_id, claimed.claim),
            database=self.database,
            backend_kind="fake",
            scratch=new_scratch_folder(self.state_path, claimed.job_id),
            stop=StopFlag(),
            instrument_dir=instruments_folder(self.state_path),
            seed=0,
        )

    @contextmanager
    def job(self, tasks: list[str], qids: list[str], **parameters: Any) -> Iterator[JobContext]:
        """A claimed job, current in the block, as a child of the executor has it."""
        with use_job(self.claim(tasks, qids, **parameters)) as context:
            yield context

    def session(self, qids: list[str], **config: Any) -> CalibOrchestrator:
        """An open session in the current job; closed after the test, because a process may hold only one."""
        orchestrator = CalibOrchestrator(
            CalibConfig(username=USERNAME, chip_id=CHIP, qids=qids, project_id=PROJECT, **config)
        )
        orchestrator.initialize()
        self._sessions.append(orchestrator)
        return orchestrator

    def close(self) -> None:
        """Close what the test left open."""
        for orchestrator in self._sessions:
            orchestrator.complete()
        self.database.close()

    def task_runs(self, job_id: int) -> dict[tuple[str, str, int], TaskRun]:
        """The job's task runs by task, qid and repetition."""
        return {(run.task, run.qid, run.repetition): run for run in self.queue.task_runs(job_id)}

    def statuses(self, job_id: int) -> dict[tuple[str, str], str]:
        """The statuses of the job's tasks by task and qid."""
        return {(run.task, run.qid): run.status.value for run in self.queue.task_runs(job_id)}

    def value(self, qid: str, name: str) -> Parameter | None:
        """The value in force."""
        found = [item for item in Parameters(self.database, CHIP).current([qid]) if item.name == name]
        return found[0] if found else None

    def set_values(self, values: Mapping[str, Mapping[str, float]]) -> None:
        """Put values in force by hand, in the unit they have."""
        for qid, named in values.items():
            for name, value in named.items():
                present = self.value(qid, name)
                unit = "" if present is None else present.unit
                Parameters(self.database, CHIP).set(qid, name, value, unit=unit, reason="for the test")


def script_session(
    world: World, settings: Mapping[str, float] | None = None, **changes: Any
) -> CalibOrchestrator:
    """A session as a plain script makes it, with ``settings`` and other changes; not open yet."""
    given: dict[str, Any] = {"username": USERNAME, "chip_id": CHIP, "qids": ["0"], **changes}
    changed = world.settings.model_copy(update=dict(settings or {}))
    orchestrator = CalibOrchestrator(CalibConfig(**given), changed)
    world._sessions.append(orchestrator)
    return orchestrator


def only_job(world: World) -> Job:
    """The one job that there is."""
    (job,) = world.queue.list()
    return job


def build(database: CalibDatabase, state_path: Path) -> World:
    """A world with the chip's design values imported."""
    role, notebook = database.login(*ROLES), database.login("calib_notebook")
    world = World(role.url, state_path, role.name, database.overseer.url, notebook)
    admin = Admin(Database(database.overseer.url))
    admin.add_project(PROJECT)
    admin.grant_member(PROJECT, role.name, USERNAME, "operator")
    admin.grant_member(PROJECT, notebook.name, USERNAME, "submitter")
    admin.database.close()
    world.add_chip(CHIP, "square-lattice-mux-16")
    design = {
        qid: {
            name: value.model_dump(mode="json", include={"value", "error", "unit"})
            for name, value in named.items()
        }
        for qid, named in design_parameters(CHIP, 16).items()
    }
    Parameters(world.database, CHIP).import_values(design, "design values")
    return world
