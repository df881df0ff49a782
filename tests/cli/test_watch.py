"""Following jobs: lines, bars, exit status."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from rich.console import Console

from qdash_queue.cli.error_messages import EXIT_REFUSED, EXIT_UNREACHABLE
from qdash_queue.cli.watch import Bars, follow, groups
from qdash_queue.client.database import Database
from qdash_queue.client.queue import Queue
from qdash_queue.domain import JobState
from tests.cli.desk import PASSED, Desk, type_in
from tests.support.waiting import PATIENCE


@pytest.mark.parametrize(
    ("state", "status"), [(JobState.COMPLETED, 0), (JobState.FAILED, 1), (JobState.CANCELLED, 2)]
)
def test_exit_status_tells_how_the_job_ended(desk: Desk, state: JobState, status: int) -> None:
    job = desk.end(desk.submit(), state)
    outcome = desk.run("watch", str(job.job_id))
    assert outcome.status == status
    assert outcome.out.splitlines()[-1].split()[1:4] == ["job", f"{job.job_id}:", state.value]
    silent = desk.run("watch", str(job.job_id), "--json")
    assert (silent.status, silent.document["state"]) == (status, state.value)


def test_several_jobs_have_one_exit_status(desk: Desk) -> None:
    states = (JobState.COMPLETED, JobState.CANCELLED, JobState.FAILED)
    good, cancelled, failed = (str(desk.end(desk.submit(), state).job_id) for state in states)
    assert desk.run("watch", good, cancelled).status == 2
    assert desk.run("watch", good, failed, cancelled).status == 1
    document = desk.run("watch", good, cancelled, "--json").document
    assert [job["state"] for job in document] == ["completed", "cancelled"]


def test_lines_follow_the_job_until_it_ends(desk: Desk) -> None:
    job = desk.submit("0", "1")

    def work() -> None:
        lease = desk.start(job)
        desk.work(lease, job)
        lease.conclude(JobState.COMPLETED)
        lease.finish()

    worker = threading.Timer(0.5, work)
    worker.start()
    outcome = desk.run("watch", str(job.job_id))
    worker.join()
    assert outcome.status == 0
    said = [line.split(f"job {job.job_id}: ")[1] for line in outcome.out.splitlines()]
    assert said[:2] == ["submitted", "waiting: an executor to pick it up"]
    assert [line.split(" in ")[0] for line in said[3:5]] == [
        "task_completed CheckT1 0",
        "task_completed CheckT1 1",
    ]
    assert said[3].endswith("t1 = 41.81 ± 0.73 μs")
    assert said[-1] == "completed"


def test_bars_show_the_job_and_each_task(desk: Desk) -> None:
    job = desk.submit("0", "1")
    lease = desk.start(job)
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, height=20)
    with Bars.make_progress(console) as progress:
        bars = Bars(progress)
        watching = threading.Thread(target=follow, args=(desk.queue, [job.job_id], bars))
        watching.start()
        desk.work(lease, job, PASSED)
        lease.conclude(JobState.COMPLETED)
        lease.finish()
        watching.join(timeout=PATIENCE)
        assert not watching.is_alive()
        shown = [(task.description, task.fields["state"], task.percentage) for task in progress.tasks]
    assert shown == [
        (f"job {job.job_id}", JobState.COMPLETED, 100.0),
        ("  CheckT1 0", "completed", 100.0),
        ("  CheckT1 1", "completed", 100.0),
    ]
    assert "41.81 ± 0.73 μs" in screen.getvalue()


def test_too_many_tasks_for_the_screen_are_grouped(desk: Desk) -> None:
    job = desk.end(desk.submit("0", "1", "2"), JobState.COMPLETED)
    runs = desk.queue.task_runs(job.job_id)
    assert list(groups(runs, 3)) == ["CheckT1 0", "CheckT1 1", "CheckT1 2"]
    assert {name: len(group) for name, group in groups(runs, 2).items()} == {"CheckT1": 3}


def test_an_outage_of_the_database_is_waited_out(desk: Desk) -> None:
    job = desk.submit()
    queue = Queue(desk.queue.database)
    said: list[str] = []

    class Listener:
        def see(self, _glance: object) -> None:
            said.append("seen")
            if len(said) == 1:
                queue.database = Database("postgresql://nobody@127.0.0.1:1/nothing")

        def lose_sight(self, words: str) -> None:
            said.append(words)
            queue.database = desk.queue.database
            desk.queue.cancel(job.job_id)

    ended = follow(queue, [job.job_id], Listener())
    assert [each.state for each in ended] == [JobState.CANCELLED]
    assert said[0] == "seen"
    assert "PostgreSQL does not answer" in said[1]


def test_a_database_that_refuses_at_the_first_look_is_not_waited_for(desk: Desk) -> None:
    url = urlsplit(desk.roles["submitter"].url)
    wrong = url._replace(path="/no_such_database").geturl()
    outcome = type_in("--database-url", wrong, "watch", "1")
    assert outcome.status == EXIT_UNREACHABLE
    assert "does not exist" in outcome.sentence


@pytest.mark.parametrize("words", [("jobs",), ("jobs", "--json")])
def test_an_answer_that_cannot_be_written_is_told_in_one_sentence(desk: Desk, words: tuple[str, ...]) -> None:
    desk.submit()
    command = [sys.executable, "-m", "qdash_queue.cli", "--database-url", desk.roles["submitter"].url, *words]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=PATIENCE
        )
    assert done.returncode == EXIT_REFUSED
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "the answer could not be written: No space left on device" in done.stderr
