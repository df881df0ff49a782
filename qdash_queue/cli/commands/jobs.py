"""Commands about jobs: submit, list, show, watch, edit, cancel, requeue, rerun."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qdash_queue.cli.context import Json, Session
from qdash_queue.cli.error_messages import RefusedError
from qdash_queue.cli.inputs import json_object, settings
from qdash_queue.cli.job_files import job_requests
from qdash_queue.cli.request_options import given_columns

if TYPE_CHECKING:
    from qdash_queue.client.models import Job

JobId = Annotated[int, typer.Argument(help="Job number.", show_default=False)]
Reason = Annotated[str, typer.Option("--reason", help="Reason, kept in the job's history.")]


def submit(
    context: typer.Context,
    project_id: Annotated[
        str | None, typer.Argument(help="Project to submit to.", show_default=False)
    ] = None,
    chip_id: Annotated[str | None, typer.Argument(help="Chip to measure.", show_default=False)] = None,
    *,
    qids: Annotated[list[str] | None, typer.Option(help="Qubits: 0,1,2; may be repeated.")] = None,
    tasks: Annotated[list[str] | None, typer.Option(help="Tasks in order: CheckRabi,CheckT1.")] = None,
    parameters: Annotated[
        str, typer.Option(help="The flow's parameters as a JSON object, or @FILE; qids and tasks are added.")
    ] = "{}",
    file: Annotated[
        Path | None,
        typer.Option(
            help="Many jobs, all or none, instead of one: a JSON array of objects with a job's columns,"
            " or one a line; - for standard input."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Submit a calibration job, or a file of them."""
    session = Session.of(context, as_json=json)
    if file is not None:
        if project_id or qids or tasks or parameters != "{}" or given_columns(context):
            raise RefusedError("--file: expected nothing beside it, for each job in the file says its own")
        ids = session.queue.submit_many(job_requests(file))
        numbers = f": {ids[0]} to {ids[-1]}" if ids else ""
        session.done(f"{len(ids)} jobs submitted{numbers}", job_ids=[*ids])
        return
    for name, value in (("PROJECT_ID", project_id), ("CHIP_ID", chip_id)):
        if value is None:
            context.fail(f"Missing argument '{name}'.")
    given = json_object(parameters, "parameters")
    for name, values in (("qids", qids), ("tasks", tasks)):
        if values:
            given[name] = [word.strip() for value in values for word in value.split(",")]
    job = session.queue.submit(str(project_id), str(chip_id), given, **given_columns(context))
    _submitted(session, job)


def _submitted(session: Session, submitted: Job) -> None:
    job = session.queue.get(submitted.job_id)
    waiting = f", waiting: {job.waiting_for}" if job.waiting_for else ""
    session.answer(job, lambda views: views.say(f"job {job.job_id} is {job.state}{waiting}"))


def jobs(
    context: typer.Context,
    *,
    state: Annotated[
        Literal["scheduled", "running", "completed", "failed", "cancelled"] | None,
        typer.Option(help="Only jobs in this state."),
    ] = None,
    chip: Annotated[str | None, typer.Option(help="Only jobs of this chip.")] = None,
    project: Annotated[str | None, typer.Option(help="Only jobs of this project.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of jobs.")] = 50,
    json: Json = False,
) -> None:
    """List the newest jobs."""
    from qdash_queue.domain import JobState  # noqa: PLC0415 - slow to load

    session = Session.of(context, as_json=json)
    found = session.queue.list(
        state=None if state is None else JobState(state), chip_id=chip, project_id=project, limit=limit
    )
    session.answer(found, lambda views: views.jobs(found))


def show(context: typer.Context, job_id: JobId, *, json: Json = False) -> None:
    """Show a job: its state, tasks, results, errors and events."""
    session = Session.of(context, as_json=json)
    queue = session.queue
    job, stages, runs = queue.get(job_id), queue.stages(job_id), queue.task_runs(job_id)
    attempts, events = queue.attempts(job_id), queue.events(job_id)
    session.answer(
        {"job": job, "attempts": attempts, "stages": stages, "task_runs": runs, "events": events},
        lambda views: views.job(job, stages, runs, events),
    )


def events(
    context: typer.Context,
    job_id: JobId,
    *,
    after: Annotated[int, typer.Option(help="Only events after this event number.")] = 0,
    json: Json = False,
) -> None:
    """Show the event log of a job."""
    session = Session.of(context, as_json=json)
    session.queue.get(job_id)
    found = session.queue.events(job_id, after)
    session.answer(found, lambda views: views.events(found))


def edit(context: typer.Context, job_id: JobId, *, json: Json = False) -> None:
    """Change a job that waits."""
    session = Session.of(context, as_json=json)
    job = session.queue.edit(job_id, **given_columns(context))
    waiting = f"waiting: {job.waiting_for}" if job.waiting_for else f"it is {job.state}"
    session.answer(job, lambda views: views.say(f"job {job_id} is changed; {waiting}"))


def cancel(
    context: typer.Context,
    job_ids: Annotated[list[int] | None, typer.Argument(help="Job numbers.", show_default=False)] = None,
    *,
    chip: Annotated[str | None, typer.Option(help="Only jobs of this chip.")] = None,
    project: Annotated[str | None, typer.Option(help="Only jobs of this project.")] = None,
    submitted_by: Annotated[str | None, typer.Option(help="Only jobs of this database role.")] = None,
    tags: Annotated[list[str] | None, typer.Option(help="Only jobs with this tag; may be repeated.")] = None,
    state: Annotated[
        Literal["scheduled", "running"] | None, typer.Option(help="Only jobs in this state.")
    ] = None,
    mode: Annotated[
        Literal["now", "after_task"],
        typer.Option(help="Stop the process now, or after the running task."),
    ] = "now",
    reason: Reason = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be cancelled.")] = False,
    json: Json = False,
) -> None:
    """Cancel jobs by number, or all unfinished ones that match the options."""
    from qdash_queue.domain import CancelMode, JobState  # noqa: PLC0415 - slow to load

    session = Session.of(context, as_json=json)
    filters = {"chip_id": chip, "project_id": project, "submitted_by": submitted_by, "tags": tags or None}
    if job_ids is not None and len(job_ids) == 1 and not (any(filters.values()) or state or dry_run):
        job = session.queue.cancel(job_ids[0], CancelMode(mode), reason)
        what = "is cancelled" if job.state == "cancelled" else f"is {job.state}, stop requested ({mode})"
        session.answer(job, lambda views: views.say(f"job {job.job_id} {what}"))
        return
    answers = session.queue.cancel_jobs(
        **filters,  # type: ignore[arg-type]
        state=None if state is None else JobState(state),
        job_ids=job_ids or None,
        mode=CancelMode(mode),
        reason=reason,
        dry_run=dry_run,
    )
    session.answer(answers, lambda views: views.cancel_answers(answers))


def requeue(context: typer.Context, job_id: JobId, *, reason: Reason = "", json: Json = False) -> None:
    """Queue a repeat of a job that has ended."""
    session = Session.of(context, as_json=json)
    job = session.queue.requeue(job_id, reason)
    session.answer(job, lambda views: views.say(f"job {job.job_id} queued as a repeat of job {job_id}"))


def rerun(
    context: typer.Context,
    job_id: JobId,
    *,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=JSON",
            help="Another value of a parameter; dots lead into objects: run_parameters.CheckT1.shots=2048."
            " May be repeated.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Submit a job again, with changed parameters."""
    session = Session.of(context, as_json=json)
    _submitted(session, session.queue.rerun(job_id, settings(changes or [], "--set")))


def watch(
    context: typer.Context,
    job_ids: Annotated[list[int], typer.Argument(help="Jobs to follow.", show_default=False)],
    *,
    json: Json = False,
) -> None:
    """Follow jobs until they end. Exit status: 0 all completed, 1 one failed, 2 one was cancelled."""
    from qdash_queue.cli.watch import exit_status, follow, watcher  # noqa: PLC0415 - slow to load

    session = Session.of(context, as_json=json)
    with watcher(session.views.console, silent=json) as shown:
        ended = follow(session.queue, job_ids, shown)
    if json:
        session.answer(ended if len(ended) > 1 else ended[0], lambda _views: None)
    raise typer.Exit(exit_status(ended))
