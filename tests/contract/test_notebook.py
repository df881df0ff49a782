"""A notebook claims interactive jobs of its own, and sees no other project."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from qdash_queue.client.leases import Executor, Lease
from qdash_queue.domain import JobState
from qdash_queue.errors import (
    ExecutorRefusedError,
    NotPermittedError,
)
from tests.support.queue_world import PROJECT, Person, QueueWorld

JOBS = "SELECT job_id FROM calib.jobs"


@dataclass(frozen=True)
class Notebook:
    """A notebook's login, allowed on one chip, with its executor registered."""

    world: QueueWorld
    person: Person
    executor: Executor

    def ask(self, flow: str = "interactive") -> int:
        return self.person.queue.submit(PROJECT, self.executor.chip_id, {}, flow=flow).job_id


@pytest.fixture
def notebook(own_world: QueueWorld) -> Notebook:
    chip_id = own_world.chip()
    person = own_world.person("nora", "calib_notebook", access="submitter")
    own_world.admin.allow_executor(person.name, chip_id)
    executor = Executor(person.database, chip_id, "fake", "1.0")
    executor.register()
    return Notebook(own_world, person, executor)


def test_a_notebook_claims_its_own_interactive_job_and_ends_it(notebook: Notebook) -> None:
    claimed = notebook.executor.claim(30.0, notebook.ask())
    assert claimed is not None
    lease = Lease(notebook.person.database, claimed.job_id, claimed.claim)
    assert lease.heartbeat() is None
    lease.conclude(JobState.COMPLETED)
    assert lease.finish() is JobState.COMPLETED


def test_a_notebook_claims_no_other_job(notebook: Notebook) -> None:
    world, chip_id = notebook.world, notebook.executor.chip_id
    others = world.ana.queue.submit(PROJECT, chip_id, {}, flow="interactive").job_id
    for job_id in (others, notebook.ask("repeat"), None):
        with pytest.raises(NotPermittedError, match="may claim only interactive jobs of its own"):
            notebook.executor.claim(30.0, job_id)
    elsewhere = Executor(notebook.person.database, world.chip(), "fake", "1.0")
    for refused in (elsewhere.register, elsewhere.claim):
        with pytest.raises(ExecutorRefusedError, match="may not execute on chip"):
            refused()


def test_a_notebook_writes_for_no_other_executor(notebook: Notebook) -> None:
    claimed = notebook.world.ready(notebook.executor.chip_id).claim(
        30.0, notebook.world.submit(notebook.executor.chip_id)
    )
    assert claimed is not None
    lease = Lease(notebook.person.database, claimed.job_id, claimed.claim)
    for refused in (lease.heartbeat, lambda: lease.conclude(JobState.COMPLETED), lease.finish):
        with pytest.raises(NotPermittedError, match="may not act for executor"):
            refused()


def test_a_notebook_sees_nothing_of_another_project(notebook: Notebook) -> None:
    world = notebook.world
    world.admin.add_project("other")
    world.admin.grant_member("other", world.ben.name, "ben", "submitter")
    world.ben.queue.submit("other", notebook.executor.chip_id, {}, flow="repeat")
    mine = notebook.ask()
    assert [job.job_id for job in notebook.person.queue.list()] == [mine]
    projects = notebook.person.database.rows("SELECT project_id FROM calib.projects")
    assert [row["project_id"] for row in projects] == [PROJECT]
