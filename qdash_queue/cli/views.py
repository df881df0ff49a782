"""Tables and sentences on standard output, with colour on a terminal."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pydantic import JsonValue
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from qdash_queue.cli.amounts import amount, between, clock, moment
from qdash_queue.cli.doctor.findings import Finding, Level
from qdash_queue.cli.escapes import one_line, printable
from qdash_queue.client.models import (
    CancelAnswer,
    Chip,
    ExecutorRow,
    Job,
    JobEvent,
    Parameter,
    Stage,
    TaskRow,
    TaskRun,
)

# Wide enough for all tables where no terminal limits the width.
WIDTH_OF_A_FILE = 200
MOST_TARGETS = 4
"""How many targets of a stage are named; of more, their number is shown."""
COLOURS = {
    "scheduled": "yellow",
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "cancelled": "magenta",
    "skipped": "dim",
}

LEVEL_COLOURS = {Level.OK: "green", Level.NOTE: "yellow", Level.PROBLEM: "bold red"}


class PrintableConsole(Console):
    """A console on which only the program itself uses control sequences."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of ``renderable``, each with a printable text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def make_console(*, stderr: bool = False) -> Console:
    """A console that prints text as it is: without markup and control sequences."""
    console = PrintableConsole(markup=False, emoji=False, highlight=False, stderr=stderr)
    if not console.is_terminal:
        console.width = max(console.width, WIDTH_OF_A_FILE)
    return console


def state_text(state: str) -> Text:
    """A state or status in its colour."""
    return Text(state, style=COLOURS.get(state, ""))


def compact(value: JsonValue) -> str:
    """JSON on one line; nothing for an empty object."""
    return json.dumps(value, ensure_ascii=False) if value else ""


def outputs_of(run: TaskRun) -> str:
    """A task run's outputs, a line for each; of a failed one they were measured and refused."""
    return "\n".join(f"{name} = {_output(output)}" for name, output in run.output_parameters.items()) + (
        " (refused)" if run.output_parameters and run.status == "failed" else ""
    )


def _output(output: JsonValue) -> str:
    if not isinstance(output, Mapping):
        return compact(output)
    value, error = output.get("value"), output.get("error")
    return amount(
        float(value) if isinstance(value, int | float) else None,
        float(error) if isinstance(error, int | float) else 0.0,
        str(output.get("unit") or ""),
    )


class Views:
    """Prints results for people."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or make_console()

    def say(self, words: str) -> None:
        """One line of text."""
        self.console.print(one_line(words), soft_wrap=True)

    def say_lines(self, lines: Iterable[str]) -> None:
        """Several of them."""
        for line in lines:
            self.say(line)

    def jobs(self, jobs: Sequence[Job]) -> None:
        """A line for each job."""
        table = _table(
            "job",
            "state",
            "chip",
            "project",
            "user",
            "flow",
            "tasks",
            "submitted",
            "took",
            "reason",
        )
        for job in jobs:
            table.add_row(
                str(job.job_id),
                state_text(job.state),
                job.chip_id,
                job.project_id,
                job.username,
                job.flow,
                _progress(job),
                moment(job.submitted_at),
                between(job.started_at, job.finished_at),
                _why(job),
            )
        self._print(table, "no jobs")

    def job(
        self, job: Job, stages: Sequence[Stage], runs: Sequence[TaskRun], events: Sequence[JobEvent]
    ) -> None:
        """Everything about one job."""
        line = Text.assemble(f"job {job.job_id}: ", state_text(job.state))
        if job.waiting_for:
            line.append(f", waiting: {job.waiting_for}")
        self.console.print(line)
        for name, value in _facts(job).items():
            self.say(f"  {name:<12} {value}")
        if stages:
            self.stages(stages)
        if runs:
            self.task_runs(runs)
        self.events(events)

    def stages(self, stages: Iterable[Stage]) -> None:
        """The steps of its pipeline."""
        table = _table("attempt", "stage", "step", "mode", "targets", "status", "took", "message")
        for stage in stages:
            many = len(stage.targets) > MOST_TARGETS
            table.add_row(
                str(stage.attempt),
                stage.name,
                stage.step,
                stage.mode or "-",
                str(len(stage.targets)) if many else ", ".join(stage.targets),
                state_text(stage.status),
                between(stage.started_at, stage.ended_at),
                stage.message,
            )
        self._print(table, "no stages")

    def task_runs(self, runs: Iterable[TaskRun]) -> None:
        """What was measured."""
        table = _table("attempt", "task", "qid", "status", "took", "hardware", "outputs", "error")
        for run in runs:
            hardware = "-" if run.hardware_seconds is None else f"{run.hardware_seconds:.3g} s"
            table.add_row(
                str(run.attempt),
                run.task,
                run.qid,
                state_text(run.status),
                between(run.started_at, run.ended_at),
                hardware,
                outputs_of(run),
                _trouble(run),
            )
        self._print(table, "no tasks")

    def events(self, events: Sequence[JobEvent]) -> None:
        """The log, oldest first."""
        table = _table("at", "event", "attempt", "by", "detail")
        for event in events:
            table.add_row(
                clock(event.at), event.event, str(event.attempt or "-"), event.actor, compact(event.detail)
            )
        self._print(table, "no events")

    def cancel_answers(self, answers: Sequence[CancelAnswer]) -> None:
        """A sentence for each job, and how many of each answer."""
        for answer in answers:
            self.say(answer.message)
        counts = Counter(answer.answer for answer in answers)
        self.say(", ".join(f"{name}: {n}" for name, n in counts.items()) or "no unfinished job matches")

    def chips(self, chips: Sequence[Chip], executors: Sequence[ExecutorRow] | None = None) -> None:
        """A line for each chip, with the conditions of its living executors if these are given."""
        more = [] if executors is None else ["executor"]
        table = _table("chip", "backend", "topology", "qubits", "waiting", "running job", "paused", *more)
        for chip in chips:
            paused = f"{chip.pause_reason} (by {chip.paused_by})" if chip.paused else "no"
            if chip.retired_at is not None:
                paused = f"retired (by {chip.retired_by})"
            waiting = f"{chip.jobs_waiting} of {chip.max_waiting}"
            if chip.max_waiting_per_project is not None:
                waiting += f" ({chip.max_waiting_per_project} a project)"
            running = "-" if chip.running_job_id is None else str(chip.running_job_id)
            cells = [chip.chip_id, chip.backend, chip.topology, str(chip.n_qubits), waiting, running, paused]
            if executors is not None:
                alive = {row.condition for row in executors if row.alive and row.chip_id == chip.chip_id}
                cells.append("\n".join(sorted(alive)) or "none alive")
            table.add_row(*cells)
        self._print(table, "no chips: qdash-queue chips add makes one")

    def tasks(self, tasks: Sequence[TaskRow]) -> None:
        """A line for each task."""
        table = _table("task", "type", "inputs", "outputs", "description")
        for task in tasks:
            table.add_row(
                task.task,
                task.task_type,
                "\n".join(task.input_parameters),
                "\n".join(task.output_parameters),
                task.description,
            )
        self._print(table, "no tasks: no executor has registered for this chip yet")

    def executors(self, executors: Sequence[ExecutorRow]) -> None:
        """A line for each executor that has not stopped cleanly."""
        table = _table("executor", "chip", "role", "host", "version", "last seen", "condition", "job")
        for row in executors:
            table.add_row(
                row.executor_id,
                row.chip_id,
                row.role_name,
                f"{row.host} ({row.pid})",
                row.version,
                moment(row.last_seen_at),
                row.condition if row.alive else "lost",
                "-" if row.job_id is None else str(row.job_id),
            )
        self._print(table, "no executor runs")

    def parameters(self, parameters: Sequence[Parameter]) -> None:
        """A line for each value, with where it came from."""
        table = _table(
            "qid", "parameter", "value", "valid from", "valid to", "source", "by", "execution", "reason"
        )
        for each in parameters:
            table.add_row(
                each.qid,
                each.name,
                amount(each.value, each.error, each.unit),
                moment(each.valid_from),
                moment(each.valid_to) if each.valid_to else "now",
                each.source,
                each.actor,
                each.execution_id or "-",
                each.reason,
            )
        self._print(table, "no values")

    def measured(self, parameters: Sequence[Parameter]) -> None:
        """Values side by side: a line for each parameter, a column for each qubit."""
        qids = list(dict.fromkeys(each.qid for each in parameters))
        table = _table("parameter", *(f"qubit {qid}" for qid in qids))
        values = {(each.name, each.qid): amount(each.value, each.error, each.unit) for each in parameters}
        for name in dict.fromkeys(each.name for each in parameters):
            table.add_row(name, *(values.get((name, qid), "-") for qid in qids))
        self._print(table, "no values")

    def findings(self, findings: Sequence[Finding]) -> None:
        """A line for each check, and below it what to do."""
        for finding in findings:
            mark = Text(f"{finding.level:<8}", style=LEVEL_COLOURS[finding.level])
            self.console.print(Text.assemble(mark, f"{finding.about}: {finding.words}"), soft_wrap=True)
            if finding.remedy:
                self.say(f"         {finding.remedy}")

    def records(self, records: Sequence[Mapping[str, JsonValue]], nothing: str) -> None:
        """A table of plain records that have the same names."""
        names = list(records[0]) if records else []
        table = _table(*names)
        for record in records:
            table.add_row(*(_cell(record[name]) for name in names))
        self._print(table, nothing)

    def _print(self, table: Table, nothing: str) -> None:
        if table.row_count:
            self.console.print(table)
        else:
            self.say(nothing)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _cell(value: JsonValue) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _progress(job: Job) -> str:
    failed = f", {job.tasks_failed} failed" if job.tasks_failed else ""
    return f"{job.tasks_done}/{job.tasks_total}{failed}" if job.tasks_total else "-"


def _why(job: Job) -> str:
    if job.state == "failed":
        return f"{job.failure_kind}: {job.failure_message}"
    if job.cancel_requested:
        return f"cancelled by {job.cancel_requested_by}: {job.cancel_reason or 'no reason given'}"
    return job.waiting_for or ""


def _facts(job: Job) -> dict[str, str]:
    """What is worth a line of its own; empty ones are omitted."""
    who = f"{job.username} ({job.submitted_by})"
    facts = {
        "submitted": f"{who} for project {job.project_id}, {moment(job.submitted_at)}",
        "chip, flow": f"{job.chip_id}, {job.flow}",
        "parameters": compact(job.parameters),
        "repeats": f"job {job.source_job_id}" if job.source_job_id else "",
        "execution": f"{job.execution_id}, attempt {job.attempt} of {job.max_attempts}"
        if job.execution_id
        else "",
        "flow run": str(job.flow_run_id or ""),
        "executor": job.executor_id or "",
        "ran": f"{moment(job.started_at)}, {between(job.started_at, job.finished_at)}"
        if job.started_at
        else "",
        "tasks": _progress(job) if job.tasks_total else "",
        "failure": f"{job.failure_kind}: {job.failure_message}" if job.failure_kind else "",
        "cancel": _cancel_words(job),
        "tags": ", ".join(job.tags),
        "note": compact(job.note),
    }
    return {name: words for name, words in facts.items() if words}


def _cancel_words(job: Job) -> str:
    if not job.cancel_requested:
        return ""
    seen = f", seen {moment(job.cancel_seen_at)}" if job.cancel_seen_at else ""
    reason = job.cancel_reason or "no reason given"
    asked = f"requested by {job.cancel_requested_by} {moment(job.cancel_requested_at)}"
    return f"{asked} ({job.cancel_mode}: {reason}){seen}"


def _trouble(run: TaskRun) -> str:
    if run.failure_kind is None:
        return run.message if run.status in ("cancelled", "skipped") else ""
    remedy = f"; {run.remedy}" if run.remedy else ""
    return f"{run.failure_kind}: {run.message}{remedy}"
