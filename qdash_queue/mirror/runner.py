"""The mirror: a process that keeps QDash's MongoDB equal to the queue.

It needs both databases and neither needs it. Either may be away for a day: marks wait in PostgreSQL, and the
mirror goes on by itself when both are back.
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
from qdash_queue.mirror.artifacts.figure_pictures import FigureRendering
from qdash_queue.mirror.artifacts.figure_renderer import FigureRenderer
from qdash_queue.mirror.artifacts.files import FileTree
from qdash_queue.mirror.artifacts.gridfs import GridFSFiles
from qdash_queue.mirror.artifacts.layout import Layout
from qdash_queue.mirror.artifacts.publish import ArtifactWriter
from qdash_queue.mirror.connection import (
    MongoUnreachableError,
    connect_mongo,
    mongo_words,
    open_qdash,
    require_answer,
    require_qdash,
)
from qdash_queue.mirror.presence import READY, Presence
from qdash_queue.mirror.publish import Publisher
from qdash_queue.mirror.read.rows import Mark
from qdash_queue.mirror.read.source import Source
from qdash_queue.mirror.reports import MirrorLag, RoundReport
from qdash_queue.mirror.write.prerequisites import MissingInQDashError, MongoDocument, QDashLookup
from qdash_queue.mirror.write.refusals import DocumentsRefusedError
from qdash_queue.mirror.write.writer import Guard, Writer
from qdash_queue.settings import Settings
from qdash_queue.stopping import StopSign, stopped_by_signals

_log = logging.getLogger(__name__)


class NothingToMirrorError(QdashQueueError):
    """There is nothing of this job to show in QDash."""


class Pace(BaseModel):
    """How often the mirror looks, and how much it does at a time."""

    model_config = ConfigDict(frozen=True)

    idle_seconds: float = 0.5
    away_seconds: float = 2.0
    prune_seconds: float = 60.0
    """How often an idle mirror looks for what is older than the policy keeps."""
    sweep_seconds: float = 5.0
    preparation_seconds: float = 600.0
    """How often MongoDB's indexes are looked after."""
    presence_seconds: float = 5.0
    """How often at most the mirror says that it is alive."""
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
        pace: how often to look.
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
        self._renderer_is_lent = renderer is not None
        self._retention = Retention(database)
        self._source = Source(database)
        self._presence = Presence(database, self._pace.presence_seconds)
        self._stop = StopSign()
        self._rendering = FigureRendering(self._source, self._renderer, self._stop)
        self._publisher = Publisher(
            self._source,
            QDashLookup(self._qdash),
            ArtifactWriter(self._source, FileTree(layout), GridFSFiles(self._qdash), layout),
            Writer(self._qdash),
            layout,
            self._presence.still_here,
        )
        self._next_prune = 0.0
        self._next_sweep = 0.0
        self._next_preparation = 0.0
        self._trouble = ""
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
        """Stop rendering and let go of both databases."""
        if not self._renderer_is_lent:
            self._renderer.close()
        self._mongo.close()
        self._database.close()

    def stop(self) -> None:
        """Let :meth:`run` return after the job it is at."""
        self._stop.set()

    def run(self) -> None:
        """Mirror until :meth:`stop`, SIGTERM or SIGINT; outages of either database are waited out."""
        with stopped_by_signals(self._stop):
            _log.info("mirroring to database %s", self._qdash.name)
            while not self._stop.is_set():
                self._stop.wait(self._go_round())
            # Nobody can be told while PostgreSQL is away; then it shows by not being seen any more.
            with suppress(DatabaseUnreachableError):
                self._presence.leave()
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

    def _go_round(self) -> float:
        """Do some of what is due; returns how long to wait before the next look."""
        try:
            self._presence.tell(self._trouble or self._condition)
            self._sweep_if_due()
            rendered = self._render_some()
            self._prepare_mongo_now_and_then()
            report = self._mirror_marks() + RoundReport(figures=rendered)
            is_busy = report.worked or self._prune_if_due()
        except (DatabaseUnreachableError, MongoUnreachableError) as error:
            self._tell_trouble(str(error))
            self._next_preparation = 0.0
            return self._pace.away_seconds
        self._tell_trouble("")
        return 0.0 if is_busy else self._pace.idle_seconds

    def _tell_trouble(self, words: str) -> None:
        """Log the beginning and the end of an outage, not every second of it."""
        if words and not self._trouble:
            _log.warning("%s; the mirror waits", words)
        elif self._trouble and not words:
            _log.info("both databases answer again")
        self._trouble = words

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

    def _prepare_mongo_now_and_then(self) -> None:
        """An idle look costs one ping; the indexes are looked after rarely, and after every outage."""
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
            self._presence.still_here()
            report += self._mirror_mark(marks[0])
        return report

    def _mirror_mark(self, mark: Mark) -> RoundReport:
        try:
            report = self._publish(mark, Guard.NEWER_ONLY)
        except MongoUnreachableError as error:
            self._source.mark_failed(mark, str(error))
            raise
        except DocumentsRefusedError as error:
            if self._source.mark_refused(mark, error):
                _log.error("%s is set aside: %s", mark.subject, error)
            return RoundReport(refused={mark.subject: error.refusals})
        if words := report.waiting.get(mark.subject):
            self._source.mark_failed(mark, words)
        else:
            self._source.mark_done(mark)
        return report

    def _rebuild_one(self, subject: Mark) -> RoundReport:
        self._presence.still_here()
        try:
            report = self._publish(subject, Guard.REBUILD)
        except DocumentsRefusedError as error:
            report = RoundReport(refused={subject.subject: error.refusals})
        if report.waiting or report.refused:
            self._source.mark(subject)
        elif subject.job_id is not None:
            # A mirror finds it up to date and takes the mark away.
            self._source.retry(subject.job_id)
        return report

    def _publish(self, mark: Mark, guard: Guard) -> RoundReport:
        """Mirror the subject; whatever stops it becomes words.

        Raises:
            DatabaseUnreachableError: PostgreSQL does not answer.
            MongoUnreachableError: MongoDB does not answer.
            DocumentsRefusedError: MongoDB refuses some of its documents for good.
        """
        try:
            if mark.job_id is not None:
                shown = self._publisher.publish_job(mark.job_id, guard)
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
        except Exception as error:  # noqa: BLE001 - one subject's trouble must not stop the others
            return _stopped(mark, f"{type(error).__name__}: {error}")
        return RoundReport(mirrored=1) if shown else RoundReport(nothing_to_show=1)


def _stopped(mark: Mark, words: str) -> RoundReport:
    _log.exception("%s is not mirrored", mark.subject)
    return RoundReport(waiting={mark.subject: words})
