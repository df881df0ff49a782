"""Follows jobs until they end: progress bars on a terminal, a line for each event elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from qdash_queue.cli.amounts import between, clock
from qdash_queue.cli.escapes import one_line
from qdash_queue.cli.views import make_console, outputs_of
from qdash_queue.client.models import Job, JobEvent, TaskRun
from qdash_queue.client.queue import Queue
from qdash_queue.domain import JobState
from qdash_queue.errors import DatabaseUnreachableError

POLL_SECONDS = 0.25
AWAY_SECONDS = 2.0
# The job's own bar and the line below stay in sight.
ROWS_KEPT_FREE = 4
OUTPUTS_ON_A_LINE = 3


@dataclass(frozen=True)
class Glance:
    """What a job looked like at one moment, with the events since the glance before."""

    job: Job
    task_runs: Sequence[TaskRun]
    events: Sequence[JobEvent]


class Watcher(Protocol):
    """Shows how jobs go on."""

    def see(self, glance: Glance) -> None:
        """Show a job's present."""

    def lose_sight(self, words: str) -> None:
        """Say why there is nothing to see at the moment."""


def follow(queue: Queue, job_ids: Sequence[int], watcher: Watcher) -> list[Job]:
    """Watch until all the jobs have ended; once they were found, an outage of the database is waited out.

    Returns:
        The jobs as they ended, in the order they were asked for.

    Raises:
        UnknownNameError: one of them does not exist.
        DatabaseUnreachableError: the database does not answer at the start.
    """
    last_event = dict.fromkeys(job_ids, 0)
    ended: dict[int, Job] = {}
    for job_id in last_event:
        # Outside the waiting: a wrong address or password is no outage, and would be retried indefinitely.
        queue.get(job_id)
    while len(ended) < len(last_event):
        try:
            for job_id in [job_id for job_id in last_event if job_id not in ended]:
                glance = look(queue, job_id, last_event[job_id])
                if glance.events:
                    last_event[job_id] = glance.events[-1].event_id
                watcher.see(glance)
                if glance.job.state.is_terminal:
                    ended[job_id] = glance.job
        except DatabaseUnreachableError as error:
            watcher.lose_sight(str(error))
            time.sleep(AWAY_SECONDS)
        else:
            time.sleep(POLL_SECONDS if len(ended) < len(last_event) else 0)
    return [ended[job_id] for job_id in last_event]


def look(queue: Queue, job_id: int, after_event: int) -> Glance:
    """A job's present: the job first, so that one that has ended comes with all that it left."""
    job = queue.get(job_id)
    # Before the task runs, so that a task of which an event tells is found as it ended.
    events = queue.events(job_id, after_event)
    runs = [run for run in queue.task_runs(job_id) if run.attempt == job.attempt]
    return Glance(job, runs, events)


def exit_status(ended: Sequence[Job]) -> int:
    """0 if all completed, 1 if one failed, else 2: one was cancelled."""
    states = {job.state for job in ended}
    if JobState.FAILED in states:
        return 1
    return 2 if JobState.CANCELLED in states else 0


@contextmanager
def watcher(console: Console, *, silent: bool) -> Iterator[Watcher]:
    """Bars on a terminal, lines elsewhere; silent ones tell of outages only."""
    if silent:
        yield Lines(make_console(stderr=True), with_events=False)
    elif console.is_terminal:
        with Bars.make_progress(console) as progress:
            yield Bars(progress)
    else:
        yield Lines(console, with_events=True)


class Lines:
    """A line for each event."""

    def __init__(self, console: Console, *, with_events: bool) -> None:
        self._console = console
        self._with_events = with_events
        self._waiting_for: dict[int, str | None] = {}

    def see(self, glance: Glance) -> None:
        """Print the events, and why the job is waiting whenever that changes."""
        if not self._with_events:
            return
        job = glance.job
        for event in glance.events:
            self._print(f"{clock(event.at)} job {job.job_id}: {_event_words(event, glance.task_runs)}")
        if job.waiting_for and job.waiting_for != self._waiting_for.get(job.job_id):
            self._print(f"             job {job.job_id}: waiting: {job.waiting_for}")
        self._waiting_for[job.job_id] = job.waiting_for

    def lose_sight(self, words: str) -> None:
        """Print the words."""
        self._print(f"{words}; still trying")

    def _print(self, words: str) -> None:
        self._console.print(one_line(words), soft_wrap=True)


class Bars:
    """A bar for each job, and below it one for each task run, or for each task where those are too many."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[tuple[int, str], TaskID] = {}

    @staticmethod
    def make_progress(console: Console) -> Progress:
        """The display that the bars stand in."""
        return Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}", style="bold", markup=False),
            TimeElapsedColumn(),
            TextColumn(
                "{task.fields[words]}",
                markup=False,
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
            console=console,
            expand=True,
            refresh_per_second=8,
        )

    def see(self, glance: Glance) -> None:
        """Bring the bars up to date."""
        job = glance.job
        over = sum(run.ended_at is not None for run in glance.task_runs)
        self._bar(
            (job.job_id, ""), f"job {job.job_id}", over, len(glance.task_runs), job.state, _job_words(job)
        )
        room = self._progress.console.height - ROWS_KEPT_FREE
        for name, runs in groups(glance.task_runs, room).items():
            done = sum(run.ended_at is not None for run in runs)
            self._bar((job.job_id, name), f"  {name}", done, len(runs), *_group_state(runs))

    def lose_sight(self, words: str) -> None:
        """Print the words above the bars."""
        self._progress.console.print(f"{words}; still trying")

    def _bar(self, key: tuple[int, str], name: str, done: int, total: int, state: str, words: str) -> None:
        if key not in self._bars:
            self._bars[key] = self._progress.add_task(name, total=None, start=False, state="", words="")
        bar = self._bars[key]
        if state != "scheduled" and not self._progress.tasks[self._progress.task_ids.index(bar)].started:
            self._progress.start_task(bar)
        # Without a total the bar pulses: something runs, and its progress is unknown.
        pulsing = state == "running" and total <= 1
        self._progress.update(
            bar, completed=done, total=None if pulsing else max(total, 1), state=state, words=words
        )
        if state in ("completed", "failed", "cancelled", "skipped"):
            self._progress.stop_task(bar)


def groups(runs: Sequence[TaskRun], room: int) -> dict[str, list[TaskRun]]:
    """The task runs one by one if there is room for so many lines, else together by task."""
    grouped: dict[str, list[TaskRun]] = {}
    for run in runs:
        name = f"{run.task} {run.qid}" if len(runs) <= room else run.task
        grouped.setdefault(name, []).append(run)
    return grouped


def outcome_of(run: TaskRun) -> str:
    """What a task run gave, on one line: the reason of a failure, or its first outputs."""
    if run.failure_kind is not None:
        return f"{run.failure_kind}: {run.message}"
    outputs = outputs_of(run).split("\n")
    more = f" and {len(outputs) - OUTPUTS_ON_A_LINE} more" if len(outputs) > OUTPUTS_ON_A_LINE else ""
    return ", ".join(outputs[:OUTPUTS_ON_A_LINE]) + more


def _group_state(runs: Sequence[TaskRun]) -> tuple[str, str]:
    if len(runs) == 1:
        return runs[0].status, outcome_of(runs[0])
    states = [str(run.status) for run in runs]
    failed = states.count("failed")
    state = next((word for word in ("running", "scheduled") if word in states), "completed")
    return state, f"{sum(run.ended_at is not None for run in runs)}/{len(runs)}, {failed} failed"


def _job_words(job: Job) -> str:
    if job.failure_kind:
        return f"{job.failure_kind}: {job.failure_message}"
    if job.cancel_requested:
        return f"cancel asked by {job.cancel_requested_by}: {job.cancel_reason}"
    return f"waiting: {job.waiting_for}" if job.waiting_for else f"{job.tasks_done}/{job.tasks_total}"


def _event_words(event: JobEvent, runs: Sequence[TaskRun]) -> str:
    """The event, with the outputs where it ends a task."""
    words = event.event
    if not event.event.startswith("task_"):
        told = ", ".join(f"{name} {value}" for name, value in event.detail.items() if value not in ("", None))
        return f"{words} ({told})" if told else words
    task, qid = event.detail.get("task"), event.detail.get("qid")
    for run in runs:
        if (run.task, run.qid) == (task, qid) and run.attempt == event.attempt:
            return f"{words} {task} {qid} in {between(run.started_at, run.ended_at)}: {outcome_of(run)}"
    return f"{words} {task} {qid}"
