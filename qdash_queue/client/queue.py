"""The client's verbs: submit, get, list, edit, cancel, requeue, rerun, pause, resume, and a job's results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from pydantic import JsonValue

from qdash_queue.client.database import Database
from qdash_queue.client.models import (
    Attempt,
    CancelAnswer,
    Chip,
    ExecutorRow,
    Figure,
    Job,
    JobEvent,
    RawData,
    Stage,
    Sweep,
    TaskRow,
    TaskRun,
    WaitReason,
)
from qdash_queue.domain import CancelMode, JobState
from qdash_queue.errors import (
    AlreadyFinalError,
    BadValueError,
    IllegalTransitionError,
    QueueError,
    UnknownNameError,
    unknown_chip,
)
from qdash_queue.requests import JobEdit, JobRequest

_OF_ONE_RUN = {"not_before", "not_after", "dedup_key", "source_job_id"}


class Queue:
    """The client's verbs; refusals arrive as the exceptions of :mod:`qdash_queue.errors`."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def connect(cls, url: str) -> Queue:
        """A queue by its database URL."""
        return cls(Database(url))

    def submit(
        self, project_id: str, chip_id: str, parameters: Mapping[str, JsonValue], **columns: Any
    ) -> Job:
        """Submit a calibration job; ``columns`` are the other fields of :class:`JobRequest`.

        Raises:
            QueueError: the database's answer in words; nothing was stored.
        """
        request = JobRequest.of(
            project_id=project_id, chip_id=chip_id, parameters=dict(parameters), **columns
        )
        return self.submit_request(request)

    def submit_request(self, request: JobRequest) -> Job:
        """Submit a calibration job.

        What the job waits for is not in the answer, because that depends on the whole queue: see `get`.

        Raises:
            QueueError: the database's answer in words; nothing was stored.
        """
        given = {
            name: Jsonb(value) if isinstance(value, dict) else value
            for name, value in request.columns().items()
        }
        statement = (
            f"INSERT INTO calib.jobs ({', '.join(given)})"  # noqa: S608 - names of the model's fields
            f" VALUES ({', '.join(f'%({name})s' for name in given)}) RETURNING *"
        )
        return Job.model_validate(self.database.rows_once(statement, **given)[0])

    def submit_many(self, requests: Sequence[JobRequest]) -> Sequence[int]:
        """Submit many jobs, at most 10,000, all or none; their numbers in the same order.

        Raises:
            QueueError: the database's answer in words, with the row's place from 0 on; nothing was stored.
        """
        jobs = _json_of([request.columns() for request in requests])
        rows = self.database.rows_once(
            "SELECT job_id FROM calib.submit_many(CAST(%(jobs)s AS jsonb)) AS job_id", jobs=jobs
        )
        return [row["job_id"] for row in rows]

    def get(self, job_id: int) -> Job:
        """One job.

        Raises:
            UnknownNameError: there is no such job that you can read.
        """
        row = self.database.row("SELECT * FROM calib.jobs WHERE job_id = %(job_id)s", job_id=job_id)
        if row is None:
            raise UnknownNameError(f"unknown job {job_id}", column="job_id")
        return Job.model_validate(dict(row))

    def list(
        self,
        *,
        state: JobState | None = None,
        chip_id: str | None = None,
        project_id: str | None = None,
        limit: int = 50,
    ) -> Sequence[Job]:
        """The newest jobs first."""
        filters = {"state": state and state.value, "chip_id": chip_id, "project_id": project_id}
        given = {name: value for name, value in filters.items() if value is not None}
        where = " AND ".join(f"{name} = %({name})s" for name in given)
        # In the view's own order: an ORDER BY here would sort all matches before the limit applies.
        statement = f"SELECT * FROM calib.jobs{where and f' WHERE {where}'} LIMIT %(limit)s"  # noqa: S608 - as above
        return self.database.models(Job, statement, **given, limit=limit)

    def cancel(self, job_id: int, mode: CancelMode = CancelMode.NOW, reason: str = "") -> Job:
        """Cancel a job: a waiting one ends at once, a running one within seconds.

        Raises:
            AlreadyFinalError: it had ended before; nothing was changed.
        """
        columns = {"cancel_requested": True, "cancel_mode": mode.value, "cancel_reason": reason}
        return self._update(job_id, columns, AlreadyFinalError, "was not cancelled")

    def edit(self, job_id: int, **columns: Any) -> Job:
        """Change a job that waits; ``columns`` are the fields of :class:`JobEdit`.

        Raises:
            IllegalTransitionError: it does not wait any more; nothing was changed.
            QueueError: the database's answer in words; nothing was changed.
        """
        given = JobEdit.of(**columns).columns()
        if not given:
            raise BadValueError("expected a column to change, got nothing")
        return self._update(job_id, given, IllegalTransitionError, "was not changed")

    def _update(
        self, job_id: int, columns: Mapping[str, object], too_late: type[QueueError], what: str
    ) -> Job:
        """Update one row; a job that it comes too late for is told by a warning and counts no row."""
        warnings: list[str] = []

        def hear(notice: psycopg.errors.Diagnostic) -> None:
            if notice.sqlstate == too_late.code:
                warnings.append(notice.message_primary or "")

        values = {k: Jsonb(value) if isinstance(value, dict) else value for k, value in columns.items()}
        assignments = ", ".join(f"{name} = %({name})s" for name in columns)
        with self.database.connection() as connection:
            connection.add_notice_handler(hear)
            try:
                statement = f"UPDATE calib.jobs SET {assignments} WHERE job_id = %(job_id)s"  # noqa: S608
                count = connection.execute(statement, {**values, "job_id": job_id}).rowcount
            finally:
                connection.remove_notice_handler(hear)
        job = self.get(job_id)
        if count == 0:
            raise too_late(next(iter(warnings), f"job {job_id} {what}: it is {job.state}"))
        return job

    def cancel_jobs(
        self,
        *,
        chip_id: str | None = None,
        project_id: str | None = None,
        submitted_by: str | None = None,
        tags: Sequence[str] | None = None,
        state: JobState | None = None,
        job_ids: Sequence[int] | None = None,
        mode: CancelMode = CancelMode.NOW,
        reason: str = "",
        dry_run: bool = False,
    ) -> Sequence[CancelAnswer]:
        """Cancel all jobs that match every filter given; without ``job_ids``, those that have not ended.

        Returns:
            An answer for each job, in the order of their numbers; one that is refused stops no other.

        Raises:
            BadValueError: no filter is given.
        """
        return self.database.models(
            CancelAnswer,
            "SELECT * FROM calib.cancel_jobs(CAST(%(chip_id)s AS text), CAST(%(project_id)s AS text),"
            " CAST(%(submitted_by)s AS text), CAST(%(tags)s AS text[]), CAST(%(state)s AS text),"
            " CAST(%(job_ids)s AS bigint[]), %(mode)s, %(reason)s, %(dry_run)s)",
            chip_id=chip_id,
            project_id=project_id,
            submitted_by=submitted_by,
            tags=None if tags is None else list(tags),
            state=state and state.value,
            job_ids=None if job_ids is None else list(job_ids),
            mode=mode.value,
            reason=reason,
            dry_run=dry_run,
        )

    def requeue(self, job_id: int, reason: str = "") -> Job:
        """Queue a repeat of a job that has ended; returns the new job."""
        rows = self.database.rows_once(
            "SELECT calib.requeue(CAST(%(job_id)s AS bigint), %(reason)s) AS job_id",
            job_id=job_id,
            reason=reason,
        )
        return self.get(int(rows[0]["job_id"]))

    def rerun(self, job_id: int, changes: Mapping[str, JsonValue]) -> Job:
        """Submit a job again, whatever became of it, with other values of some of its parameters.

        Its time window and ``dedup_key`` are left out.

        Args:
            job_id: the source; the job that is made names it.
            changes: the other values by name; dots lead into objects: ``run_parameters.CheckT1.shots``.

        Raises:
            UnknownNameError: there is no such job that you can read.
            BadValueError: a name leads into what is no object.
            QueueError: the database's answer in words; nothing was stored.
        """
        source = self.get(job_id)
        kept = source.model_dump(exclude=_OF_ONE_RUN | (Job.model_fields.keys() - JobRequest.model_fields))
        for name, value in changes.items():
            _set(kept["parameters"], name, value)
        return self.submit_request(JobRequest.of(**kept, source_job_id=job_id))

    def pause_chip(self, chip_id: str, reason: str) -> Chip:
        """Stop starting new jobs on a chip."""
        self.database.execute(
            "SELECT calib.pause_chip(%(chip_id)s, %(reason)s)", chip_id=chip_id, reason=reason
        )
        return self.chip(chip_id)

    def resume_chip(self, chip_id: str) -> Chip:
        """Start jobs on a chip again."""
        self.database.execute("SELECT calib.resume_chip(%(chip_id)s)", chip_id=chip_id)
        return self.chip(chip_id)

    def chip(self, chip_id: str) -> Chip:
        """One chip.

        Raises:
            UnknownNameError: there is none of that name.
        """
        row = self.database.row("SELECT * FROM calib.chips WHERE chip_id = %(chip_id)s", chip_id=chip_id)
        if row is None:
            raise unknown_chip(chip_id, [chip.chip_id for chip in self.chips()])
        return Chip.model_validate(dict(row))

    def chips(self) -> Sequence[Chip]:
        """All chips by name."""
        return self.database.models(Chip, "SELECT * FROM calib.chips ORDER BY chip_id")

    def executors(self) -> Sequence[ExecutorRow]:
        """Executors that have not stopped cleanly, newest first."""
        return self.database.models(
            ExecutorRow, "SELECT * FROM calib.executors WHERE stopped_at IS NULL ORDER BY started_at DESC"
        )

    def tasks(self, chip_id: str) -> Sequence[TaskRow]:
        """The tasks that the chip's executors can do."""
        return self.database.models(
            TaskRow, "SELECT * FROM calib.tasks WHERE chip_id = %(chip_id)s ORDER BY task", chip_id=chip_id
        )

    def events(self, job_id: int, after: int = 0) -> Sequence[JobEvent]:
        """The job's event log, oldest first, from behind event ``after``."""
        return self.database.models(
            JobEvent,
            "SELECT * FROM calib.job_events WHERE job_id = %(job_id)s AND event_id > %(after)s ORDER BY"
            " event_id",
            job_id=job_id,
            after=after,
        )

    def why(self, job_id: int) -> WaitReason:
        """Why a job waits.

        Raises:
            UnknownNameError: there is no such job that you can read.
        """
        statement = "SELECT * FROM calib.why_waits(CAST(%(job_id)s AS bigint))"
        return self.database.models(WaitReason, statement, job_id=job_id)[0]

    def attempts(self, job_id: int) -> Sequence[Attempt]:
        """The job's attempts, first to last."""
        return self.database.models(
            Attempt, "SELECT * FROM calib.attempts WHERE job_id = %(job_id)s ORDER BY attempt", job_id=job_id
        )

    def task_runs(self, job_id: int) -> Sequence[TaskRun]:
        """The job's task runs of all attempts, in their order."""
        return self.database.models(
            TaskRun,
            "SELECT * FROM calib.task_runs WHERE job_id = %(job_id)s ORDER BY attempt, ordinal",
            job_id=job_id,
        )

    def sweeps(self, job_id: int) -> Sequence[Sweep]:
        """The job's sweeps of all attempts, in their order."""
        return self.database.models(
            Sweep,
            "SELECT * FROM calib.sweeps WHERE job_id = %(job_id)s ORDER BY attempt, started_at",
            job_id=job_id,
        )

    def stages(self, job_id: int) -> Sequence[Stage]:
        """The job's stages of all attempts, in their order."""
        return self.database.models(
            Stage,
            "SELECT * FROM calib.stages WHERE job_id = %(job_id)s ORDER BY attempt, position",
            job_id=job_id,
        )

    def figures(self, job_id: int) -> Sequence[Figure]:
        """The job's figures."""
        return self.database.models(
            Figure, "SELECT * FROM calib.figures WHERE job_id = %(job_id)s ORDER BY figure_id", job_id=job_id
        )

    def raw_data(self, job_id: int) -> Sequence[RawData]:
        """The job's measured arrays."""
        return self.database.models(
            RawData,
            "SELECT * FROM calib.raw_data WHERE job_id = %(job_id)s ORDER BY raw_data_id",
            job_id=job_id,
        )


def _json_of(value: object) -> str:
    try:
        return json.dumps(value, allow_nan=False, default=datetime.isoformat)
    except ValueError as error:
        raise BadValueError("expected finite numbers, got NaN or an infinity", column="jobs") from error


def _set(parameters: dict[str, JsonValue], name: str, value: JsonValue) -> None:
    *outer, last = name.split(".")
    for step in outer:
        inner = parameters.setdefault(step, {})
        if not isinstance(inner, dict):
            raise BadValueError(f"{name}: expected an object as {step}, got {inner!r}", column="parameters")
        parameters = inner
    parameters[last] = value
