"""The demo from its first line to its last."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path

from pydantic import JsonValue

from qdash_queue.cli.demo.accounts import CHIP, EXECUTOR, MIRROR, OPERATOR, PROJECT, SUBMITTER, set_up
from qdash_queue.cli.demo.mirror_steps import show_mirror, wait_for_mirror
from qdash_queue.cli.demo.processes import DemoProcesses, demo_processes, stop_kept
from qdash_queue.cli.demo.queue_steps import (
    calibrate_by_sql,
    cancel_by_sql,
    cancel_too_late,
    show_refused_rows,
)
from qdash_queue.cli.demo.report import POLL_SECONDS, DemoReport
from qdash_queue.cli.embedded_servers import exports
from qdash_queue.client.database import Database
from qdash_queue.client.queue import Queue

__all__ = ["run_demo", "stop_kept"]

GONE_WITHIN_SECONDS = 10.0


def run_demo(report: DemoReport, output: Path, *, keep: bool) -> dict[str, JsonValue]:
    """Show everything.

    Returns:
        What was seen, in figures.

    Raises:
        DemoFailedError: something that it claims did not happen; everything is stopped then.
    """
    with demo_processes(output, keep=keep) as processes:
        try:
            summary = _run_steps(report, processes)
        except Exception:
            for line in processes.log_ends():
                report.say(line)
            raise
        if keep:
            _show_next_steps(report, processes)
        else:
            report.step("Stop everything")
    if not keep:
        _check_no_process_left(report, processes)
        report.say("executor, mirror, Prefect, MongoDB and PostgreSQL have ended: no process is left")
    report.say(f"\nThe demo is over; all that it claimed was seen. Wall time: {report.seconds:.1f} s")
    return summary | {"wall_seconds": round(report.seconds, 1)}


def _run_steps(report: DemoReport, processes: DemoProcesses) -> dict[str, JsonValue]:
    report.step("Start PostgreSQL, MongoDB and Prefect's server")
    report.say(f"in {processes.folder}")
    processes.start_servers(lambda kind, seconds: report.say(f"  {kind} answers after {seconds:.1f} s"))
    set_up(report, processes)
    _start_programs(report, processes)
    queue = Queue(Database(processes.url_of(SUBMITTER), application_name="qdash-queue demo"))
    try:
        first = calibrate_by_sql(report, processes, queue)
        second = cancel_by_sql(report, processes, queue)
        show_refused_rows(report, processes, queue)
        cancel_too_late(report, processes, first)
        wait_for_mirror(report, queue)
        counts = show_mirror(report, processes, queue, completed=first, cancelled=second)
    finally:
        queue.database.close()
    return {"completed_job": first.job_id, "cancelled_job": second.job_id, **counts}


def _start_programs(report: DemoReport, processes: DemoProcesses) -> None:
    report.step(f"Start an executor for {CHIP} and the mirror")
    commands = {
        EXECUTOR: ["qdash-executor", "--chip", CHIP],
        MIRROR: ["qdash-queue", "mirror", "run"],
    }
    for role, name in ((EXECUTOR, "executor"), (MIRROR, "mirror")):
        report.say(f"$ {shlex.join(commands[role])}     (as {role})")
        processes.start_process(name, commands[role], role)
    database = Database(processes.url_of(SUBMITTER))
    ready = (
        "SELECT true FROM calib.executors e WHERE e.chip_id = %(chip_id)s AND e.alive"
        " AND EXISTS (SELECT FROM calib.tasks t WHERE t.chip_id = e.chip_id)"
    )
    try:
        processes.wait_for("executor", lambda: bool(database.rows(ready, chip_id=CHIP)), seconds=300)
        tasks = [task.task for task in Queue(database).tasks(CHIP)]
    finally:
        database.close()
    report.say(f"the executor is alive; on {CHIP} one may ask for {', '.join(tasks)}")


def _check_no_process_left(report: DemoReport, processes: DemoProcesses) -> None:
    """A process that was told to end may take a moment to be gone."""
    deadline = report.seconds + GONE_WITHIN_SECONDS
    while left := processes.left_over():
        report.check(report.seconds < deadline, f"expected no process left, found {'; '.join(left)}")
        time.sleep(POLL_SECONDS)


def _this_program() -> str:
    """As it was called, which need not be on the path."""
    called = Path(sys.argv[0])
    return str(called) if called.name == "qdash-queue" else "qdash-queue"


def _show_next_steps(report: DemoReport, processes: DemoProcesses) -> None:
    report.step("Everything stays up")
    report.say(
        f"{exports(processes.variables(SUBMITTER))}\n\n"
        f"plain SQL as {SUBMITTER}, who may submit to project {PROJECT}:\n"
        f"  {shlex.quote(str(processes.psql))} {shlex.quote(processes.url_of(SUBMITTER))}\n"
        f"as {OPERATOR}, who may cancel everybody's jobs:\n"
        f"  {shlex.quote(str(processes.psql))} {shlex.quote(processes.url_of(OPERATOR))}\n"
        f"Prefect's pages: {processes.servers.prefect.ui_url}\n"
        f"MongoDB:         {processes.servers.mongo.url}qdash\n"
        f"figures:         {processes.output}\n\n"
        f"stop it all:     {shlex.quote(_this_program())} demo --stop {shlex.quote(str(processes.folder))}"
    )
