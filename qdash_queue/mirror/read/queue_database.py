"""Reads from PostgreSQL what is to be mirrored, and maintains the outbox.

A snapshot is one statement, hence one instant: a job's state, its task runs and its version belong together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date
from typing import NamedTuple, TypeVar

from qdash_queue.client.database import Database, ResultRow
from qdash_queue.mirror.read.rows import (
    ChipSnapshot,
    DayParameters,
    JobOwner,
    JobSnapshot,
    Mark,
    MarkLag,
    MirrorRow,
    Refusal,
    UnrenderedFigure,
)

# The days on which the job gave a target a new value.
_DAYS_OF_JOB = """
SELECT DISTINCT p.qid,
       to_char(p.valid_from AT TIME ZONE (SELECT time_zone FROM calib.settings), 'YYYYMMDD') AS day
  FROM calib.parameter_history p WHERE p.job_id = %(job_id)s
"""
# Of imports, edits and reverts only what came since the mark was made, with a day's grace: its writer stamps
# the versions before the mark, and a mark that has been served counts from the end of the serving. Without a
# mark, all of them.
_DAYS_OF_CHIP = """
SELECT DISTINCT p.qid,
       to_char(p.valid_from AT TIME ZONE (SELECT time_zone FROM calib.settings), 'YYYYMMDD') AS day
  FROM calib.parameter_history p WHERE p.chip_id = %(chip_id)s AND p.source <> 'task'
   AND p.valid_from >= coalesce((SELECT m.marked_at - interval '1 day' FROM calib.mirror_lag m
                                  WHERE m.mark_id = %(mark_id)s), '-infinity')
"""
# What was valid when such a day ended, or is now. The one time zone is not joined: PostgreSQL would plan for
# a thousand of them.
_AT_END_OF_DAY = """
SELECT jsonb_build_object('qid', d.qid, 'day', d.day, 'parameters', jsonb_agg(to_jsonb(h)))::text
  FROM (SELECT u.qid, u.day,
               (u.day::date + 1)::timestamp AT TIME ZONE (SELECT time_zone FROM calib.settings) AS ends_at
          FROM unnest(CAST(%(qids)s AS text[]), CAST(%(days)s AS text[])) u(qid, day)) d
  CROSS JOIN LATERAL calib.parameters_at(%(chip_id)s, d.qid, d.ends_at - interval '1 microsecond') h
 GROUP BY d.qid, d.day ORDER BY d.day, d.qid
"""

_JOB_SNAPSHOT = """
SELECT jsonb_build_object(
  'job', to_jsonb(j),
  'stages', (
    SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.position), '[]')
      FROM calib.stages s WHERE s.job_id = j.job_id AND s.attempt = (
        SELECT max(n.attempt) FROM calib.stages n WHERE n.job_id = j.job_id)),
  'task_runs', (
    SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY t.attempt, t.ordinal), '[]')
      FROM calib.task_runs t WHERE t.job_id = j.job_id),
  'figures', (
    SELECT coalesce(jsonb_agg(jsonb_build_object('figure_id', f.figure_id, 'task_run_id', f.task_run_id,
             'ordinal', f.ordinal, 'name', f.name, 'has_png', f.png IS NOT NULL,
             'render_error', f.render_error)), '[]')
      FROM calib.figures f WHERE f.job_id = j.job_id),
  'raw_data', (
    SELECT coalesce(jsonb_agg(jsonb_build_object('raw_data_id', r.raw_data_id, 'task_run_id', r.task_run_id,
             'ordinal', r.ordinal, 'name', r.name, 'dtype', r.dtype, 'shape', r.shape, 'unit', r.unit,
             'size', octet_length(r.data))), '[]')
      FROM calib.raw_data r WHERE r.job_id = j.job_id),
  'parameters', (
    SELECT coalesce(jsonb_agg(to_jsonb(p)), '[]') FROM calib.parameters p
     WHERE p.chip_id = j.chip_id
       AND (p.job_id = j.job_id
            OR p.qid IN (SELECT t.qid FROM calib.task_runs t
                          WHERE t.job_id = j.job_id AND t.task_type <> 'mux'))))::text
  FROM calib.jobs j WHERE j.job_id = %(job_id)s
"""

_CHIP_SNAPSHOT = """
SELECT jsonb_build_object(
  'chip_id', c.chip_id,
  'projects', (SELECT coalesce(jsonb_agg(project_id), '[]') FROM calib.projects),
  'parameters', (
    SELECT coalesce(jsonb_agg(to_jsonb(p)), '[]') FROM calib.parameters p WHERE p.chip_id = c.chip_id))::text
  FROM calib.chips c WHERE c.chip_id = %(chip_id)s
"""


Content = TypeVar("Content")


class FigureContent(NamedTuple):
    """A figure's Plotly JSON and, where it has one, its picture."""

    plotly: str
    png: bytes | None


class QueueDatabase:
    """The mirror's statements on the queue's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def job_owner(self, job_id: int) -> JobOwner | None:
        """The job's owner; None if the job does not exist or never started."""
        row = self._database.row(
            "SELECT project_id, chip_id, username FROM calib.jobs"
            " WHERE job_id = %(job_id)s AND execution_id IS NOT NULL",
            job_id=job_id,
        )
        return JobOwner.model_validate(dict(row)) if row is not None else None

    def job_snapshot(self, job_id: int) -> JobSnapshot | None:
        """The job and all its data; None if it does not exist."""
        found = self._text(_JOB_SNAPSHOT, job_id=job_id)
        return JobSnapshot.model_validate_json(found) if found is not None else None

    def chip_snapshot(self, chip_id: str) -> ChipSnapshot | None:
        """The chip's parameters; None where there is no such chip."""
        found = self._text(_CHIP_SNAPSHOT, chip_id=chip_id)
        return ChipSnapshot.model_validate_json(found) if found is not None else None

    def job_history(self, chip_id: str, job_id: int) -> list[DayParameters]:
        """For each day on which the job gave a target new values: its values at the end of that day."""
        return self._at_end_of_day(chip_id, self._database.rows(_DAYS_OF_JOB, job_id=job_id))

    def chip_history(self, chip_id: str, mark_id: int) -> list[DayParameters]:
        """The same for the days of imports, edits and reverts since the mark, or ever if there is none."""
        days = self._database.rows(_DAYS_OF_CHIP, chip_id=chip_id, mark_id=mark_id)
        return self._at_end_of_day(chip_id, days)

    def job_ids(self, day: date | None = None) -> list[int]:
        """All jobs that ever started, or that first started on a day of the queue's; oldest first."""
        rows = self._database.rows(
            "SELECT job_id FROM calib.jobs WHERE execution_id LIKE %(begins)s ORDER BY job_id",
            begins=f"{day:%Y%m%d}-%" if day is not None else "%",
        )
        return [int(row["job_id"]) for row in rows]

    def chip_ids(self) -> list[str]:
        """All chips that have parameters."""
        rows = self._database.rows("SELECT DISTINCT chip_id FROM calib.parameters ORDER BY chip_id")
        return [str(row["chip_id"]) for row in rows]

    def figures(self, figure_ids: list[int]) -> dict[int, FigureContent]:
        """The contents of figures by their ids.

        Raises:
            LookupError: one was deleted meanwhile.
        """
        return self._contents(
            "SELECT figure_id AS key, plotly::text AS plotly, png FROM calib.figures"
            " WHERE figure_id = ANY (%(ids)s)",
            figure_ids,
            lambda row: FigureContent(str(row["plotly"]), _bytes(row["png"])),
        )

    def raw_data(self, raw_data_ids: list[int]) -> dict[int, bytes]:
        """The contents of raw-data arrays by their ids.

        Raises:
            LookupError: one has gone from the database.
        """
        return self._contents(
            "SELECT raw_data_id AS key, data FROM calib.raw_data WHERE raw_data_id = ANY (%(ids)s)",
            raw_data_ids,
            lambda row: bytes(row["data"]),
        )

    def unrendered_figures(self, limit: int) -> list[UnrenderedFigure]:
        """Figures that have neither a picture nor a reason why not, oldest first."""
        rows = self._database.rows(
            "SELECT figure_id, plotly::text AS plotly FROM calib.unrendered_figures(%(limit)s)", limit=limit
        )
        return [UnrenderedFigure.model_validate(dict(row)) for row in rows]

    def store_png(self, figure_id: int, png: bytes) -> None:
        """Store a figure's picture; its job is marked again."""
        self._database.execute("SELECT calib.store_png(%(figure_id)s, %(png)s)", figure_id=figure_id, png=png)

    def store_render_error(self, figure_id: int, reason: str) -> None:
        """Store why a figure has no picture; its job is marked again."""
        self._database.execute(
            "SELECT calib.store_png(%(figure_id)s, NULL, %(reason)s)", figure_id=figure_id, reason=reason
        )

    def take_marks(self, limit: int, hold_seconds: float) -> list[Mark]:
        """Marks that are due; hidden from other mirrors for `hold_seconds`."""
        rows = self._database.rows(
            "SELECT * FROM calib.take_marks(%(limit)s, %(hold_seconds)s)",
            limit=limit,
            hold_seconds=hold_seconds,
        )
        return [Mark.model_validate(dict(row)) for row in rows]

    def announce_jobs(self) -> int:
        """Announce starts and ends of jobs on the channel ``calibration_jobs``; returns of how many."""
        return int(self._database.value("SELECT calib.announce_jobs()"))

    def mark_done(self, mark: Mark) -> None:
        """Remove the mark, unless its subject changed meanwhile."""
        self._database.execute(
            "SELECT calib.mark_done(%(mark_id)s, %(version)s)", mark_id=mark.mark_id, version=mark.version
        )

    def mark_failed(self, mark: Mark, error: str) -> None:
        """Store why the mark waits; it is retried with growing delays."""
        self._database.execute(
            "SELECT calib.mark_failed(%(mark_id)s, %(error)s)", mark_id=mark.mark_id, error=error
        )

    def mark_refused(self, mark: Mark, error: str, refusals: Sequence[Refusal]) -> bool:
        """Store which documents MongoDB refuses; returns whether the mark is a dead letter now."""
        return bool(
            self._database.value(
                "SELECT calib.mark_refused(%(mark_id)s, %(version)s, %(error)s, CAST(%(refused)s AS jsonb))",
                mark_id=mark.mark_id,
                version=mark.version,
                error=error,
                refused=json.dumps([each.model_dump() for each in refusals]),
            )
        )

    def retry(self, job_id: int | None = None) -> int:
        """Retry pending and dead-lettered marks of one job, or of all, now; returns how many."""
        return int(
            self._database.value("SELECT calib.retry_marks(CAST(%(job_id)s AS bigint))", job_id=job_id)
        )

    def mark(self, subject: Mark) -> None:
        """Put a job into the outbox; a chip has a mark whenever its parameters change."""
        if subject.job_id is not None:
            self._database.execute("SELECT calib.mark(%(job_id)s)", job_id=subject.job_id)

    def lag(self) -> list[MarkLag]:
        """All marks that wait, oldest first."""
        rows = self._database.rows("SELECT * FROM calib.mirror_lag ORDER BY marked_at, mark_id")
        return [MarkLag.model_validate(dict(row)) for row in rows]

    def mirrors(self) -> list[MirrorRow]:
        """All mirrors of the last days, the newest first."""
        rows = self._database.rows("SELECT * FROM calib.mirrors ORDER BY started_at DESC, mirror_id")
        return [MirrorRow.model_validate(dict(row)) for row in rows]

    def sweep(self) -> int:
        """End jobs whose lease or time ran out; returns how many."""
        return len(self._database.rows("SELECT * FROM calib.sweep()"))

    def _contents(
        self, statement: str, ids: list[int], content: Callable[[ResultRow], Content]
    ) -> dict[int, Content]:
        if not ids:
            return {}
        found = {int(row["key"]): content(row) for row in self._database.rows(statement, ids=ids)}
        if gone := sorted(set(ids) - found.keys()):
            raise LookupError(f"{gone} have gone from the database")
        return found

    def _at_end_of_day(self, chip_id: str, days: Sequence[ResultRow]) -> list[DayParameters]:
        if not days:
            return []
        rows = self._database.rows(
            _AT_END_OF_DAY,
            chip_id=chip_id,
            qids=[row["qid"] for row in days],
            days=[row["day"] for row in days],
        )
        return [DayParameters.model_validate_json(str(next(iter(row.values())))) for row in rows]

    def _text(self, sql: str, **parameters: int | str) -> str | None:
        rows = self._database.rows(sql, **parameters)
        return str(next(iter(rows[0].values()))) if rows else None


def _bytes(value: bytes | None) -> bytes | None:
    return bytes(value) if value is not None else None
