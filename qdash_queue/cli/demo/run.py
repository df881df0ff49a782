"""The demo from its first line to its last."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path

from pydantic import JsonValue

from qdash_queue.cli.demo.accounts import CHIP, EXECUTOR, MIRROR, OPERATOR, PROJECT, SUBMITTER, set_up
from qdash_queue.cli.demo.mirror_steps import show_mirror, wait_for_mirror
from qdash_queue.cli.demo.processes import DemoStage, new_stage, stop_kept
from qdash_queue.cli.demo.queue_steps import ask_too_late, bad_rows, calibrate_by_sql, cancel_by_sql
from qdash_queue.cli.demo.report import LOOK_EVERY_SECONDS, Story
from qdash_queue.cli.embedded_servers import exports
from qdash_queue.client.database import Database
from qdash_queue.client.queue import Queue

__all__ = ["play", "stop_kept"]

GONE_WITHIN_SECONDS = 10.0


def play(story: Story, output: Path, *, keep: bool) -> dict[str, JsonValue]:
    """Show everything.

    Returns:
        What was seen, in figures.

    Raises:
        NotSeenError: something that it claims did not happen; everything is stopped then.
    """
    with new_stage(output, keep=keep) as stage:
        try:
            summary = _scenes(story, stage)
        except Exception:
            for line in stage.log_ends():
                story.say(line)
            raise
        if keep:
            _tell_how_to_go_on(story, stage)
        else:
            story.step("Stop everything")
    if not keep:
        _see_nobody_left(story, stage)
        story.say("executor, mirror, Prefect, MongoDB and PostgreSQL have ended: no process is left")
    story.say(f"\nThe demo is over; all that it claimed was seen. Wall time: {story.seconds:.1f} s")
    return summary | {"wall_seconds": round(story.seconds, 1)}


def _scenes(story: Story, stage: DemoStage) -> dict[str, JsonValue]:
    story.step("Start PostgreSQL, MongoDB and Prefect's server")
    story.say(f"in {stage.folder}")
    stage.start_servers(lambda kind, seconds: story.say(f"  {kind} answers after {seconds:.1f} s"))
    set_up(story, stage)
    _start_programs(story, stage)
    queue = Queue(Database(stage.url_of(SUBMITTER), application_name="qdash-queue demo"))
    try:
        first = calibrate_by_sql(story, stage, queue)
        second = cancel_by_sql(story, stage, queue)
        bad_rows(story, stage, queue)
        ask_too_late(story, stage, first)
        wait_for_mirror(story, queue)
        counts = show_mirror(story, stage, queue, completed=first, cancelled=second)
    finally:
        queue.database.close()
    return {"completed_job": first.job_id, "cancelled_job": second.job_id, **counts}


def _start_programs(story: Story, stage: DemoStage) -> None:
    story.step(f"Start an executor for {CHIP} and the mirror")
    commands = {
        EXECUTOR: ["qdash-executor", "--chip", CHIP],
        MIRROR: ["qdash-queue", "mirror", "run"],
    }
    for role, name in ((EXECUTOR, "executor"), (MIRROR, "mirror")):
        story.say(f"$ {shlex.join(commands[role])}     (as {role})")
        stage.start_process(name, commands[role], role)
    database = Database(stage.url_of(SUBMITTER))
    ready = (
        "SELECT true FROM calib.executors e WHERE e.chip_id = :chip_id AND e.alive"
        " AND EXISTS (SELECT FROM calib.tasks t WHERE t.chip_id = e.chip_id)"
    )
    try:
        stage.wait_for("executor", lambda: bool(database.rows(ready, chip_id=CHIP)), seconds=300)
        tasks = [task.task for task in Queue(database).tasks(CHIP)]
    finally:
        database.close()
    story.say(f"the executor is alive; on {CHIP} one may ask for {', '.join(tasks)}")


def _see_nobody_left(story: Story, stage: DemoStage) -> None:
    """A process that was told to end may take a moment to be gone."""
    deadline = story.seconds + GONE_WITHIN_SECONDS
    while left := stage.left_over():
        story.see(story.seconds < deadline, f"expected no process left, found {'; '.join(left)}")
        time.sleep(LOOK_EVERY_SECONDS)


def _this_program() -> str:
    """As it was called, which need not be on the path."""
    called = Path(sys.argv[0])
    return str(called) if called.name == "qdash-queue" else "qdash-queue"


def _tell_how_to_go_on(story: Story, stage: DemoStage) -> None:
    story.step("Everything stays up")
    story.say(
        f"{exports(stage.variables(SUBMITTER))}\n\n"
        f"plain SQL as {SUBMITTER}, who may submit to project {PROJECT}:\n"
        f"  {shlex.quote(str(stage.psql))} {shlex.quote(stage.url_of(SUBMITTER))}\n"
        f"as {OPERATOR}, who may cancel everybody's jobs:\n"
        f"  {shlex.quote(str(stage.psql))} {shlex.quote(stage.url_of(OPERATOR))}\n"
        f"Prefect's pages: {stage.servers.prefect.ui_url}\n"
        f"MongoDB:         {stage.servers.mongo.url}qdash\n"
        f"figures:         {stage.output}\n\n"
        f"stop it all:     {shlex.quote(_this_program())} demo --stop {shlex.quote(str(stage.folder))}"
    )
