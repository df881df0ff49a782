"""What the demo shows of the queue: a job, a cancel, refusals."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from qdash_queue.cli.amounts import clock
from qdash_queue.cli.demo.accounts import CHIP, OPERATOR, PROJECT, SUBMITTER
from qdash_queue.cli.demo.processes import DemoProcesses
from qdash_queue.cli.demo.report import DemoReport, Psql
from qdash_queue.cli.watch import follow, watcher
from qdash_queue.client.models import Job, Parameter
from qdash_queue.client.parameters import Parameters
from qdash_queue.client.queue import Queue
from qdash_queue.domain import JobState, TaskStatus

QIDS = ("0", "1", "2", "3")
TASKS = ("CheckRabi", "CreateHPIPulse", "CheckT1", "CheckRamsey")
TASK_RUNS = len(QIDS) * len(TASKS)
DONE_BEFORE_CANCEL = 3

_PARAMETERS = """{"qids": ["0", "1", "2", "3"],
                           "tasks": ["CheckRabi", "CreateHPIPulse", "CheckT1", "CheckRamsey"]}"""
INSERT = f"""INSERT INTO calib.jobs (project_id, chip_id, parameters)
  VALUES ('{PROJECT}', '{CHIP}', '{_PARAMETERS}')
  RETURNING job_id, state;"""  # noqa: S608 - the demo's own words
CANCEL = """UPDATE calib.jobs SET cancel_requested = true, cancel_reason = 'the beam time is over'
  WHERE job_id = {job_id};"""
BAD_ROWS = {
    "a chip that does not exist": (
        "CQ001",
        """INSERT INTO calib.jobs (project_id, chip_id, parameters)
  VALUES ('demo', 'SIM17', '{"qids": ["0"], "tasks": ["CheckRabi"]}');""",
    ),
    "a task that is spelt wrong": (
        "CQ001",
        """INSERT INTO calib.jobs (project_id, chip_id, parameters)
  VALUES ('demo', 'SIM16', '{"qids": ["0"], "tasks": ["CheckRaby"]}');""",
    ),
    "a column that only the queue sets": (
        "CQ005",
        """INSERT INTO calib.jobs (project_id, chip_id, parameters, state)
  VALUES ('demo', 'SIM16', '{"qids": ["0"], "tasks": ["CheckRabi"]}', 'completed');""",
    ),
}


def calibrate_by_sql(report: DemoReport, processes: DemoProcesses, queue: Queue) -> Job:
    """Insert a job by plain SQL, follow it, show what it measured."""
    report.step(f"Ask for a calibration of {len(QIDS)} qubits by plain SQL, and watch it")
    with report.psql(SUBMITTER, processes.url_of(SUBMITTER)) as terminal:
        job_id = _insert(terminal)
    job = _follow(report, queue, job_id)
    report.check(
        job.state is JobState.COMPLETED,
        f"expected job {job_id} to complete, it ended {job.state}: {job.failure_kind}: {job.failure_message}",
    )
    runs = Counter(run.status for run in queue.task_runs(job_id))
    report.check(
        runs == {TaskStatus.COMPLETED: TASK_RUNS},
        f"expected {TASK_RUNS} completed tasks, found {dict(runs)}",
    )
    report.step("Its results: the parameters in force, with one standard deviation")
    measured = [
        each for each in Parameters(queue.database, CHIP).current(list(QIDS)) if each.job_id == job_id
    ]
    _check_outputs(report, queue, measured)
    report.views.measured(measured)
    return job


def _check_outputs(report: DemoReport, queue: Queue, measured: list[Parameter]) -> None:
    """What the tasks declare to give is in force for each qubit, and what was fitted has an error."""
    declared = {name for task in queue.tasks(CHIP) if task.task in TASKS for name in task.output_parameters}
    found = {(each.qid, each.name) for each in measured}
    missing = sorted({(qid, name) for qid in QIDS for name in declared} - found)
    report.check(not missing, f"expected all declared outputs in force, missing {missing}")
    for qid in QIDS:
        report.check(
            any(each.error > 0 for each in measured if each.qid == qid),
            f"expected fitted errors for qubit {qid}, found none",
        )


def cancel_by_sql(report: DemoReport, processes: DemoProcesses, queue: Queue) -> Job:
    """Insert a second job, flip its cancel flag in the middle, show how it stopped."""
    report.step("A second job, cancelled by plain SQL in the middle")
    with report.psql(SUBMITTER, processes.url_of(SUBMITTER)) as terminal:
        job_id = _insert(terminal)

    def in_the_middle() -> Job | None:
        job = queue.get(job_id)
        report.check(not job.state.is_terminal, f"expected job {job_id} to run on, it ended {job.state}")
        return job if job.tasks_done >= DONE_BEFORE_CANCEL else None

    job = report.wait_for(in_the_middle, f"{DONE_BEFORE_CANCEL} finished tasks of job {job_id}")
    report.say(f"job {job_id} is {job.state}, {job.tasks_done} of {job.tasks_total} tasks are done")
    with report.psql(OPERATOR, processes.url_of(OPERATOR)) as terminal:
        _, tag = terminal.run(CANCEL.format(job_id=job_id))
    report.check(tag == "UPDATE 1", f"expected UPDATE 1, got {tag}")
    job = _follow(report, queue, job_id, quiet=True)
    report.check(job.state is JobState.CANCELLED, f"expected job {job_id} cancelled, it ended {job.state}")
    _show_cancel(report, queue, job)
    return job


def _show_cancel(report: DemoReport, queue: Queue, job: Job) -> None:
    asked, seen, ended = job.cancel_requested_at, job.cancel_seen_at, job.finished_at
    if asked is None or seen is None or ended is None:
        report.check(False, f"expected the times of the cancel on the row, found {asked}, {seen}, {ended}")  # noqa: FBT003
        return
    report.check(
        asked <= seen <= ended, f"expected asked, seen, ended in this order, found {asked}, {seen}, {ended}"
    )
    report.say("from the row:")
    report.say(f"  asked     {clock(asked)}  by {job.cancel_requested_by}: {job.cancel_reason}")
    report.say(f"  seen      {clock(seen)}  {_later(asked, seen)}")
    report.say(f"  honoured  {clock(ended)}  {_later(asked, ended)}: job {job.job_id} is {job.state}")
    report.say("from its events:")
    events = queue.events(job.job_id)
    for event in events:
        if event.at >= asked:
            report.say(f"  {clock(event.at)}  {_later(asked, event.at)}  {event.event}")
    names = [event.event for event in events]
    report.check(
        "cancel_seen" in names and names[-1] == "cancelled" and names.count("cancelled") == 1,
        f"expected the events cancel_seen and, once and last, cancelled, found {', '.join(names)}",
    )
    runs = Counter(str(run.status) for run in queue.task_runs(job.job_id))
    report.check(
        runs["completed"] >= DONE_BEFORE_CANCEL and runs["failed"] == 0 and runs["skipped"] > 0,
        f"expected finished tasks kept, none failed, later ones skipped, found {dict(runs)}",
    )
    counted = ", ".join(f"{count} {status}" for status, count in runs.items())
    report.say(f"its tasks: {counted}; what was finished is kept")


def show_refused_rows(report: DemoReport, processes: DemoProcesses, queue: Queue) -> None:
    """Show what a bad row gets."""
    report.step("Three rows that the database refuses, one sentence each")
    before = len(queue.list(limit=1000))
    with report.psql(SUBMITTER, processes.url_of(SUBMITTER)) as terminal:
        for what, (code, statement) in BAD_ROWS.items():
            report.say(f"{what}:")
            answer = terminal.refused(statement)
            report.check(answer.code == code, f"expected {code}, got {answer.code}")
    after = len(queue.list(limit=1000))
    report.check(after == before, f"expected {before} jobs as before, found {after}")
    report.say(f"there are {after} jobs as before: nothing was stored")


def cancel_too_late(report: DemoReport, processes: DemoProcesses, job: Job) -> None:
    """Cancel a job that has ended."""
    report.step("A cancel that comes too late changes nothing")
    with report.psql(OPERATOR, processes.url_of(OPERATOR)) as terminal:
        _, tag = terminal.run(CANCEL.format(job_id=job.job_id))
        codes = [notice.code for notice in terminal.notices]
    report.check(tag == "UPDATE 0", f"expected UPDATE 0, got {tag}")
    report.check(codes == ["CQ011"], f"expected one warning CQ011, got {codes}")


def _insert(terminal: Psql) -> int:
    rows, _ = terminal.run(INSERT)
    return int(str(rows[0][0]))


def _follow(report: DemoReport, queue: Queue, job_id: int, *, quiet: bool = False) -> Job:
    with watcher(report.console, silent=quiet) as shown:
        return follow(queue, [job_id], shown)[0]


def _later(start: datetime, end: datetime) -> str:
    return f"+{(end - start).total_seconds() * 1000:.0f} ms"
