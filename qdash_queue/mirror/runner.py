"""The mirror: a process that keeps QDash's MongoDB equal to the queue.

It needs both databases and neither needs it. Either may be unreachable for a day: marks wait in PostgreSQL,
and the mirror resumes automatically when both answer again.
"""

from __future__ import annotations

import logging
import math
import time
from contextlib import suppress
from datetime import date
from pathlib import PurePosixPath
from typing import Self

from pydantic import BaseModel, ConfigDict
from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, PyMongoError

from qdash_queue.client.database import Database
from qdash_queue.client.retention import Retention
from qdash_queue.errors import DatabaseBusyError, DatabaseUnreachableError, QdashQueueError
from qdash_queue.mirror.artifacts.artifact_writer import ArtifactWriter
from qdash_queue.mirror.artifacts.figure_renderer import FigureRenderer
from qdash_queue.mirror.artifacts.files import FileTree
from qdash_queue.mirror.artifacts.gridfs import GridFSFiles
from qdash_queue.mirror.artifacts.render_figures import FigureRendering
from qdash_queue.mirror.connection import (
    MongoUnreachableError,
    connect_mongo,
    mongo_words,
    open_qdash,
    require_answer,
    require_qdash,
)
from qdash_queue.mirror.documents.layout import Layout
from qdash_queue.mirror.heartbeat import READY, MirrorHeartbeat
from qdash_queue.mirror.publish import Publisher
from qdash_queue.mirror.read.queue_database import QueueDatabase
from qdash_queue.mirror.read.rows import Mark
from qdash_queue.mirror.reports import MirrorLag, RoundReport
from qdash_queue.mirror.write.qdash_lookup import MissingInQDashError, MongoDocument, QDashLookup
from qdash_queue.mirror.write.refusals import DocumentsRefusedError
from qdash_queue.mirror.write.writer import WriteMode, Writer
from qdash_queue.settings import Settings
from qdash_queue.stopping import StopSign, stopped_by_signals

_log = logging.getLogger(__name__)


class NothingToMirrorError(QdashQueueError):
    """There is nothing of this job to show in QDash."""


class Pace(BaseModel):
    """How often the mirror polls, and how much it does in one round."""

    model_config = ConfigDict(frozen=True)

    idle_seconds: float = 0.5
    away_seconds: float = 2.0
    prune_seconds: float = 60.0
    """How often an idle mirror looks for what is older than the policy keeps."""
    sweep_seconds: float = 5.0
    preparation_seconds: float = 600.0
    """How often MongoDB's indexes are checked."""
    heartbeat_seconds: float = 5.0
    """The least time between two heartbeats."""
    hold_seconds: float = 30.0
    """How long a mark is hidden from other mirrors while it is worked on."""
    figures_per_round: int = 32
    rendering_seconds_per_round: float = 5.0
    """How long documents wait for figures; a figure that takes longer keeps only other figures waiting."""
    figure_seconds: float = 20.0
    """How long one figure may take, before it is tried once more."""
    marks_per_round: int = 50


class Mirror:
    """Keeps one QDash database and its tree of files equal to the queue.

    Args:
        database: the queue's, as a member of ``calib_mirror``; its connections are closed with the mirror.
        mongo: MongoDB; closed with the mirror.
        mongo_database: name of QDash's database.
        layout: where the files are, here and in QDash.
        pace: intervals and limits.
        renderer: makes pictures of figures, and stays the caller's; without one the mirror makes its own.
    """

    def __init__(
        self,
        database: Database,
        mongo: MongoClient[MongoDocument],
        mongo_database: str,
        layout: Layout,
        *,
        pace: Pace | None = None,
        renderer: FigureRenderer | None = None,
    ) -> None:
        self._database = database
        self._mongo = mongo
        self._qdash = open_qdash(mongo, mongo_database)
        self._pace = pace or Pace()
        self._renderer = FigureRenderer(self._pace.figure_seconds) if renderer is None else renderer
        self._renderer_is_shared = renderer is not None
        self._retention = Retention(database)
        self._source = QueueDatabase(database)
        self._heartbeat = MirrorHeartbeat(database, self._pace.heartbeat_seconds)
        self._stop = StopSign()
        self._rendering = FigureRendering(self._source, self._renderer, self._stop)
        self._publisher = Publisher(
            self._source,
            QDashLookup(self._qdash),
            ArtifactWriter(self._source, FileTree(layout), GridFSFiles(self._qdash), layout),
            Writer(self._qdash),
            layout,
            self._heartbeat.beat,
        )
        self._next_prune = 0.0
        self._next_sweep = 0.0
        self._next_preparation = 0.0
        self._outage = ""
        self._condition = READY

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """A mirror of what the settings name; it connects when it is first used."""
        return cls(
            Database(settings.database_url),
            connect_mongo(settings.mongo_url),
            settings.mongo_database,
            Layout(base=settings.data_path, base_in_qdash=PurePosixPath(settings.data_path_in_qdash)),
            pace=Pace(figure_seconds=settings.figure_seconds),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop rendering and close the connections to both databases."""
        if not self._renderer_is_shared:
            self._renderer.close()
        self._mongo.close()
        self._database.close()

    def stop(self) -> None:
        """Let :meth:`run` return after its present job."""
        self._stop.set()

    def run(self) -> None:
        """Mirror until :meth:`stop`, SIGTERM or SIGINT; it waits while either database is unreachable."""
        with stopped_by_signals(self._stop):
            _log.info("mirroring to database %s", self._qdash.name)
            while not self._stop.is_set():
                self._stop.wait(self._round())
            # While PostgreSQL is unreachable, only the missing heartbeats show that the mirror has stopped.
            with suppress(DatabaseUnreachableError):
                self._heartbeat.stop()
        _log.info("the mirror has stopped")

    def run_once(self) -> RoundReport:
        """Render and mirror everything that is due, once.

        Raises:
            DatabaseUnreachableError: PostgreSQL does not answer.
            MongoUnreachableError: MongoDB does not answer.
        """
        report = self._render_all()
        self._prepare_mongo()
        while (more := self._mirror_marks()).worked:
            report += more
        return report

    def rebuild(self, job_id: int | None = None, day: date | None = None) -> RoundReport:
        """Write documents and files of one job, of one day's jobs, or of everything, again from PostgreSQL.

        What users wrote in QDash stays, and so do parameters that QDash holds from a later calibration. What
        cannot be written is in the report's ``waiting`` or ``refused``; its mark waits in the outbox.

        Args:
            job_id: only this job.
            day: only jobs that first started on this day of the queue's time zone.

        Raises:
            DatabaseUnreachableError: PostgreSQL does not answer.
            MongoUnreachableError: MongoDB does not answer.
            NothingToMirrorError: the job does not exist or never started; no job started on the day.
        """
        subjects = self._subjects(job_id, day)
        report = self._render_all()
        self._prepare_mongo()
        if job_id is None and day is None:
            self._source.retry()
        for subject in subjects:
            report += self._rebuild_one(subject)
        if job_id is not None and report.nothing_to_show:
            raise NothingToMirrorError(
                f"job {job_id} does not exist or never started: there is nothing of it to show in QDash"
            )
        return report

    def lag(self) -> MirrorLag:
        """What waits to be mirrored, and why.

        Raises:
            DatabaseUnreachableError: PostgreSQL does not answer.
        """
        problem = None
        try:
            require_answer(self._qdash)
        except MongoUnreachableError as error:
            problem = str(error)
        marks = self._source.lag()
        return MirrorLag(
            marks=[mark for mark in marks if mark.dead_at is None],
            dead_letters=[mark for mark in marks if mark.dead_at is not None],
            mirrors=self._source.mirrors(),
            mongo_problem=problem,
        )

    def _subjects(self, job_id: int | None, day: date | None) -> list[Mark]:
        if job_id is not None:
            return [Mark.of_job(job_id)]
        jobs = [Mark.of_job(started) for started in self._source.job_ids(day)]
        if day is None:
            return [Mark.of_chip(chip_id) for chip_id in self._source.chip_ids()] + jobs
        if not jobs:
            raise NothingToMirrorError(f"no job first started on {day}, by the queue's own time zone")
        return jobs

    def _round(self) -> float:
        """Do some of what is due; returns the seconds to wait before the next round."""
        try:
            self._heartbeat.report(self._outage or self._condition)
            self._sweep_if_due()
            # Before MongoDB is asked for: it may be unreachable.
            self._source.announce_jobs()
            rendered = self._render_some()
            self._prepare_mongo_if_due()
            report = self._mirror_marks() + RoundReport(figures=rendered)
            is_busy = report.worked or self._prune_if_due()
        except (DatabaseUnreachableError, MongoUnreachableError) as error:
            self._log_outage(str(error))
            self._next_preparation = 0.0
            return self._pace.away_seconds
        self._log_outage("")
        return 0.0 if is_busy else self._pace.idle_seconds

    def _log_outage(self, words: str) -> None:
        """Log the beginning and the end of an outage, once each."""
        if words and not self._outage:
            _log.warning("%s; the mirror waits", words)
        elif self._outage and not words:
            _log.info("both databases answer again")
        self._outage = words

    def _sweep_if_due(self) -> None:
        """End lost and expired jobs, so that they end where no executor lives."""
        if time.monotonic() < self._next_sweep:
            return
        if ended := self._source.sweep():
            _log.info("swept %s job(s)", ended)
        self._next_sweep = time.monotonic() + self._pace.sweep_seconds

    def _prune_if_due(self) -> bool:
        """Prune a batch by the policy; False where there is nothing, or not yet time to look again."""
        if time.monotonic() < self._next_prune:
            return False
        pruned = self._retention.prune()
        if not pruned:
            self._next_prune = time.monotonic() + self._pace.prune_seconds
        return bool(pruned)

    def _render_some(self) -> int:
        seconds = 0.0 if self._rendering.is_at_work else self._pace.rendering_seconds_per_round
        return self._rendering.render_waiting(self._pace.figures_per_round, seconds)

    def _render_all(self) -> RoundReport:
        figures = 0
        while settled := self._rendering.render_waiting(self._pace.figures_per_round, math.inf):
            figures += settled
        return RoundReport(figures=figures)

    def _prepare_mongo(self) -> None:
        condition = "; ".join(require_qdash(self._qdash)) or READY
        if condition not in (READY, self._condition):
            _log.warning("mirroring goes on, but: %s", condition)
        self._condition = condition

    def _prepare_mongo_if_due(self) -> None:
        """An idle round costs one ping; the indexes are checked rarely, and after every outage."""
        if time.monotonic() < self._next_preparation:
            require_answer(self._qdash)
            return
        self._prepare_mongo()
        self._next_preparation = time.monotonic() + self._pace.preparation_seconds

    def _mirror_marks(self) -> RoundReport:
        report = RoundReport()
        for _ in range(self._pace.marks_per_round):
            # One at a time: a mark that was taken and not reached would stay hidden for the whole hold.
            marks = self._source.take_marks(1, self._pace.hold_seconds)
            if not marks or self._stop.is_set():
                break
            self._heartbeat.beat()
            report += self._mirror_mark(marks[0])
        return report

    def _mirror_mark(self, mark: Mark) -> RoundReport:
        try:
            report = self._publish(mark, WriteMode.NEWER_ONLY)
        except MongoUnreachableError as error:
            self._source.mark_failed(mark, str(error))
            raise
        except DocumentsRefusedError as error:
            if self._source.mark_refused(mark, str(error), error.refusals):
                _log.error("%s is set aside: %s", mark.subject, error)
            return RoundReport(refused={mark.subject: error.refusals})
        if words := report.waiting.get(mark.subject):
            self._source.mark_failed(mark, words)
        else:
            self._source.mark_done(mark)
        return report

    def _rebuild_one(self, subject: Mark) -> RoundReport:
        self._heartbeat.beat()
        try:
            report = self._publish(subject, WriteMode.REBUILD)
        except DocumentsRefusedError as error:
            report = RoundReport(refused={subject.subject: error.refusals})
        if report.waiting or report.refused:
            self._source.mark(subject)
        elif subject.job_id is not None:
            # A mirror finds it up to date and removes the mark.
            self._source.retry(subject.job_id)
        return report

    def _publish(self, mark: Mark, mode: WriteMode) -> RoundReport:
        """Mirror the subject; other errors become its report.

        Raises:
            DatabaseUnreachableError: PostgreSQL does not answer.
            MongoUnreachableError: MongoDB does not answer.
            DocumentsRefusedError: MongoDB permanently refuses some of its documents.
        """
        try:
            if mark.job_id is not None:
                shown = self._publisher.publish_job(mark.job_id, mode)
            else:
                shown = self._publisher.publish_chip(mark.chip_id or "", mark.mark_id)
        except DatabaseBusyError as error:
            return _stopped(
                mark, str(error)
            )  # If all are met by it, so is the noting of this one, which raises.
        except (DatabaseUnreachableError, DocumentsRefusedError):
            raise
        except ConnectionFailure as error:
            raise MongoUnreachableError(mongo_words(error)) from error
        except MissingInQDashError as error:
            return RoundReport(waiting={mark.subject: str(error)})
        except PyMongoError as error:
            return _stopped(mark, mongo_words(error))
        except Exception as error:  # noqa: BLE001 - one subject's error must not stop the others
            return _stopped(mark, f"{type(error).__name__}: {error}")
        return RoundReport(mirrored=1) if shown else RoundReport(nothing_to_show=1)


def _stopped(mark: Mark, words: str) -> RoundReport:
    _log.exception("%s is not mirrored", mark.subject)
    return RoundReport(waiting={mark.subject: words})
