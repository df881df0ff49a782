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
from tests.contract.lab import PROJECT, Lab, Person

JOBS = "SELECT job_id FROM calib.jobs"


@dataclass(frozen=True)
class Notebook:
    """A notebook's login, allowed on one chip, with its executor registered."""

    lab: Lab
    person: Person
    executor: Executor

    def ask(self, flow: str = "interactive") -> int:
        return self.person.queue.submit(PROJECT, self.executor.chip_id, {}, flow=flow).job_id


@pytest.fixture
def notebook(own_lab: Lab) -> Notebook:
    chip_id = own_lab.chip()
    person = own_lab.person("nora", "calib_notebook", access="submitter")
    own_lab.admin.allow_executor(person.name, chip_id)
    executor = Executor(person.database, chip_id, "fake", "1.0")
    executor.register()
    return Notebook(own_lab, person, executor)


def test_a_notebook_claims_its_own_interactive_job_and_ends_it(notebook: Notebook) -> None:
    claimed = notebook.executor.claim(30.0, notebook.ask())
    assert claimed is not None
    lease = Lease(notebook.person.database, claimed.job_id, claimed.claim)
    assert lease.heartbeat() is None
    lease.conclude(JobState.COMPLETED)
    assert lease.finish() is JobState.COMPLETED


def test_a_notebook_claims_no_other_job(notebook: Notebook) -> None:
    lab, chip_id = notebook.lab, notebook.executor.chip_id
    others = lab.ana.queue.submit(PROJECT, chip_id, {}, flow="interactive").job_id
    for job_id in (others, notebook.ask("repeat"), None):
        with pytest.raises(NotPermittedError, match="may claim only interactive jobs of its own"):
            notebook.executor.claim(30.0, job_id)
    elsewhere = Executor(notebook.person.database, lab.chip(), "fake", "1.0")
    for refused in (elsewhere.register, elsewhere.claim):
        with pytest.raises(ExecutorRefusedError, match="may not execute on chip"):
            refused()


def test_a_notebook_writes_for_no_other_executor(notebook: Notebook) -> None:
    claimed = notebook.lab.ready(notebook.executor.chip_id).claim(
        30.0, notebook.lab.submit(notebook.executor.chip_id)
    )
    assert claimed is not None
    lease = Lease(notebook.person.database, claimed.job_id, claimed.claim)
    for refused in (lease.heartbeat, lambda: lease.conclude(JobState.COMPLETED), lease.finish):
        with pytest.raises(NotPermittedError, match="may not act for executor"):
            refused()


def test_a_notebook_sees_nothing_of_another_project(notebook: Notebook) -> None:
    lab = notebook.lab
    lab.admin.add_project("other")
    lab.admin.grant_member("other", lab.ben.name, "ben", "submitter")
    lab.ben.queue.submit("other", notebook.executor.chip_id, {}, flow="repeat")
    mine = notebook.ask()
    assert [job.job_id for job in notebook.person.queue.list()] == [mine]
    projects = notebook.person.database.rows("SELECT project_id FROM calib.projects")
    assert [row["project_id"] for row in projects] == [PROJECT]
