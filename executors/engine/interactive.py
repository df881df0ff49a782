"""A job that a script inserts, claims and runs itself, holding the chip until it ends."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Self

from pydantic import JsonValue

from executors.engine.backend_session import session_qids
from executors.engine.config import CalibConfig, ConfigError
from executors.engine.heartbeat import Heartbeat
from executors.job.context import JobContext, instruments_folder, new_scratch_folder, use_job
from executors.job.persistence import persistently
from executors.job.stop import StopFlag
from qdash_queue.client.database import Database
from qdash_queue.client.leases import Executor, Lease
from qdash_queue.client.models import Chip, ClaimedJob
from qdash_queue.client.queue import Queue
from qdash_queue.domain import CancelMode, Failure, FailureKind, JobState
from qdash_queue.errors import (
    DatabaseUnreachableError,
    IllegalTransitionError,
    LeaseLostError,
    QdashQueueError,
    QueueError,
)
from qdash_queue.extras import distribution_version
from qdash_queue.settings import Settings, read_settings

logger = logging.getLogger(__name__)

FLOW = "interactive"


class SessionRefusedError(QdashQueueError):
    """A script cannot claim the chip now; the message says why and what to do."""


class InteractiveJob:
    """A claimed job of this process, kept alive by a thread until :meth:`end`.

    Attributes:
        context: what the session works under.
        qids: what it may touch.
        lease_seconds: how long the lease lasts without being renewed.
    """

    def __init__(
        self, queue: Queue, executor: Executor, context: JobContext, qids: tuple[str, ...], settings: Settings
    ) -> None:
        self.context = context
        self.qids = qids
        self.lease_seconds = settings.lease_seconds
        self._queue = queue
        self._executor = executor
        self._heartbeat = Heartbeat(context.lease, context.stop, settings, context.claimed.timeout_seconds)
        self._heartbeat.start()

    @classmethod
    def open(cls, config: CalibConfig, settings: Settings | None) -> Self:
        """Insert and claim the job; undone if a step fails.

        Raises:
            SessionRefusedError: no database is named, or the chip is busy or paused.
            ConfigError: the configuration does not fit the chip or the role.
            SettingsError: a variable that cannot be read.
            QueueError: the database refuses; also when no executor has registered for the chip yet.
        """
        settings = settings or read_settings()
        if not settings.database_url:
            raise SessionRefusedError(
                "no database is named: set QDASH_QUEUE_DATABASE_URL, or run the code as a flow of an executor"
            )
        database = Database(settings.database_url, application_name="qdash-queue session")
        with ExitStack() as undo:
            undo.callback(database.close)
            queue = Queue(database)
            chip = queue.chip(config.chip_id)
            _require_backend(chip, config)
            _require_free(chip)
            qids = session_qids(database, config)
            executor = Executor(database, chip.chip_id, chip.backend, distribution_version())
            executor.register()
            undo.callback(executor.stopped)
            claimed = _insert_and_claim(queue, executor, config, qids, settings)
            undo.push(lambda _kind, error, _trace: _give_up(database, claimed, error))
            job = cls(queue, executor, _context(database, claimed, chip, settings), qids, settings)
            undo.pop_all()
        return job

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The job is current in the block, and a cancel after the task waits for the block's end."""
        with use_job(self.context), self._heartbeat.at_work():
            yield

    def request_cancel(self, reason: str) -> None:
        """Request the cancel on the job's row, as any client does."""
        persistently(lambda: self._queue.cancel(self.context.claimed.job_id, CancelMode.NOW, reason))

    def end(self, state: JobState, failure: Failure | None, *, free_chip: bool = True) -> JobState | None:
        """Give the verdict, end the job, free the chip; the standing state, ``None`` after a lost lease.

        Without ``free_chip`` the lease is left to run out: the next job then makes the instrument idle first.
        """
        self._heartbeat.stop()
        ended: JobState | None = None
        try:
            # Raised for a cancel that came after the verdict, which stands.
            with suppress(IllegalTransitionError):
                lease = self.context.lease
                say = lease.end if free_chip else lease.conclude
                ended = persistently(lambda: say(state, failure))
            if free_chip and ended is not JobState.COMPLETED:
                ended = persistently(self.context.lease.finish)
        except LeaseLostError as error:
            logger.warning("the verdict %s came too late: %s", state.value, error)
        finally:
            shutil.rmtree(self.context.scratch, ignore_errors=True)
            with suppress(DatabaseUnreachableError):
                self._executor.stopped()
            self.context.database.close()
        return ended


def _require_backend(chip: Chip, config: CalibConfig) -> None:
    if config.backend_name not in (None, chip.backend):
        raise ConfigError(
            f'CalibConfig.backend_name: expected "{chip.backend}", by which chip {chip.chip_id} is driven,'
            f' got "{config.backend_name}"'
        )


def _require_free(chip: Chip) -> None:
    if chip.paused:
        raise SessionRefusedError(f"chip {chip.chip_id} is paused: {chip.pause_reason}")
    if chip.running_job_id is not None:
        raise SessionRefusedError(
            f"chip {chip.chip_id} is busy with job {chip.running_job_id}: wait until it ends, or submit a job"
        )


def _insert_and_claim(
    queue: Queue, executor: Executor, config: CalibConfig, qids: tuple[str, ...], settings: Settings
) -> ClaimedJob:
    job = queue.submit(
        config.project_id or _only_project(queue.database),
        config.chip_id,
        {"qids": list(qids)},
        flow=FLOW,
        username=config.username,
        tags=config.tags,
        note=_note(config),
    )
    claimed: ClaimedJob | None = None
    try:
        claimed = executor.claim(settings.lease_seconds, job.job_id)
    finally:
        if claimed is None:
            with suppress(QueueError, DatabaseUnreachableError):
                queue.cancel(job.job_id, CancelMode.NOW, "the script could not claim the chip")
    if claimed is None:
        _require_free(queue.chip(config.chip_id))
        raise SessionRefusedError(f"chip {config.chip_id} was taken by another job just now: try again")
    return claimed


def _give_up(database: Database, claimed: ClaimedJob, error: BaseException | None) -> None:
    """End a job that was claimed and cannot be started, so that its lease does not have to run out."""
    lease = Lease(database, claimed.job_id, claimed.claim)
    message = f"the session could not be prepared: {error}"
    lease.conclude(JobState.FAILED, Failure(kind=FailureKind.INTERNAL, cause="session", message=message))
    lease.finish()


def _only_project(database: Database) -> str:
    rows = database.rows("SELECT project_id FROM calib.projects ORDER BY project_id")
    if len(rows) == 1:
        return str(rows[0]["project_id"])
    known = ", ".join(row["project_id"] for row in rows) or "none"
    raise ConfigError(f"CalibConfig.project_id: expected one of the role's projects ({known}), got None")


def _note(config: CalibConfig) -> dict[str, JsonValue]:
    note = dict(config.note or {})
    if config.flow_name is not None:
        note["flow_name"] = config.flow_name
    if config.execution_id is not None:
        note["label"] = config.execution_id
    return note


def _context(database: Database, claimed: ClaimedJob, chip: Chip, settings: Settings) -> JobContext:
    return JobContext(
        claimed=claimed,
        lease=Lease(database, claimed.job_id, claimed.claim),
        database=database,
        backend_kind=chip.backend,
        scratch=new_scratch_folder(settings.state_path, claimed.job_id),
        stop=StopFlag(),
        instrument_dir=instruments_folder(settings.state_path),
        seed=settings.sim_seed,
        qubex_config_dir=settings.qubex_config_path,
    )
