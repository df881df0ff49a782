"""An executor with this project's flows: the page's pipeline, and templates of QDash, as jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from qdash_queue.cli.inputs import design_values
from qdash_queue.client.parameters import Parameters
from qdash_queue.domain import JobState, TaskStatus
from tests.executors.fleet import Fleet

pytestmark = pytest.mark.slow

CHIP = "SIM16"
PAGE = (Path(__file__).parents[2] / "docs" / "flows.md").read_text()
(STATEMENT,) = re.findall(r"```sql\n(.+?)```", PAGE.partition("## Pipelines")[2], re.DOTALL)
(MISSING,) = re.findall(r"```\n(the steps need tasks .+?), …\n```", PAGE)
WRONG = {
    '{"type": "FilterByState"}': '{"type": "FilterByStatus"}',
    '"exclude_qids": ["2", "99"]': '"exclude_qids": ["2", "3"]',
    '"tasks": ["CheckT3"], "mode": "scheduled"': '"tasks": ["CheckT1"], "mode": "scheduled"',
}


@pytest.fixture(scope="module")
def served(fleet: Fleet) -> Iterator[Fleet]:
    """The page's chip with an executor."""
    fleet.world.add_chip(CHIP)
    Parameters(fleet.owner, CHIP).import_values(design_values(), "design values")
    made = replace(fleet, chip_id=CHIP, members=[])
    try:
        made.need(1)
        yield made
    finally:
        made.close()


def insert(fleet: Fleet, statement: str) -> int:
    """What a person pastes into psql."""
    with psycopg.connect(fleet.world.person("alice").url) as connection:
        row = connection.execute(
            f"{statement.rstrip().removesuffix(';')} RETURNING job_id".encode()
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_the_pages_pipeline_runs_through_its_stages(served: Fleet) -> None:
    job = served.ended(insert(served, STATEMENT))
    assert job.state is JobState.COMPLETED, job.failure_message
    assert [(stage.name, stage.status, stage.targets) for stage in served.queue.stages(job.job_id)] == [
        ("pulse", "completed", ["0", "1"]),
        ("filter_by_status", "completed", ["0", "1"]),
        ("coherence", "completed", ["0", "1"]),
    ]
    runs = served.queue.task_runs(job.job_id)
    assert {run.status for run in runs} == {TaskStatus.COMPLETED}
    assert len(runs) == 6
    assert served.prefect_state(job.job_id) == "COMPLETED"


@pytest.mark.parametrize("wrong", WRONG)
def test_the_database_refuses_a_wrong_one_in_the_pages_words(served: Fleet, wrong: str) -> None:
    (words,) = re.findall(rf"INSERT … {re.escape(wrong)} …\nERROR:  (.+)", PAGE)
    statement = STATEMENT.replace(WRONG[wrong], wrong)
    assert statement != STATEMENT
    with pytest.raises(psycopg.Error, match=re.escape(words)):
        insert(served, statement)


def test_a_template_without_its_tasks_fails_before_it_starts(served: Fleet) -> None:
    job = served.ended(served.submit("bringup", {"mux_ids": [0]}))
    assert (job.state, job.failure_kind) == (JobState.FAILED, "invalid_request")
    assert (job.failure_message or "").startswith(MISSING)
    assert served.queue.task_runs(job.job_id) == []


def test_flows_with_hyphens_and_retries_run(served: Fleet) -> None:
    jobs = [
        served.submit("single-task-executor", {"qid": "5", "task_name": "CheckRabi"}),
        served.submit("parallel_retry", {"groups": [["4", "6"], ["9"]], "tasks": ["CheckRabi"]}),
        served.submit("simple", {"qids": ["7", "8"], "tasks": ["CheckRabi", "CreateHPIPulse"]}),
        served.submit("fake_calibration", {"qids": ["10"], "tasks": ["CheckRabi"]}),
    ]
    for job in map(served.ended, jobs):
        assert job.state is JobState.COMPLETED, job.failure_message
    assert served.flow_run(jobs[0]).name.endswith(f" job {jobs[0]}.1")
