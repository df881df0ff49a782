"""A calibration session: connect, run tasks on one qubit or many, end with a verdict."""

from __future__ import annotations

import atexit
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from calibtasks import active_protocols as _active_protocols  # noqa: F401 - defines the active tasks
from calibtasks.parameters.overrides import TaskDetails, check_defaults, check_task_run_parameters
from calibtasks.task import REGISTRY
from executors.engine.backend_session import make_idle, make_idle_before_use, open_backend, session_qids
from executors.engine.config import CalibConfig, ConfigError
from executors.engine.interactive import InteractiveJob
from executors.engine.session import Session, TaskOutputs
from executors.job.context import JobContext, current_job
from executors.job.failures import Phase, TaskFailedError, failure_of
from executors.job.persistence import persistently
from executors.job.stop import StopReason
from executors.prefect.verdict import give_verdict
from qdash_queue.client.records import StageRecord
from qdash_queue.domain import CalibrationError, Failure, FailureKind, JobState, ParameterModel
from qdash_queue.errors import AlreadyFinalError, DatabaseUnreachableError, LeaseLostError, QueueError
from qdash_queue.scheduling.wiring import Wiring
from qdash_queue.settings import Settings

logger = logging.getLogger(__name__)


class CalibOrchestrator:
    """Runs calibration tasks for one session, inside a flow or in a plain script.

    Inside a job the session works under the job's lease. In a script :meth:`initialize` inserts and claims a
    job of flow ``interactive``, keeps its lease alive, and :meth:`complete`, :meth:`fail` or :meth:`cancel`
    end it::

        with CalibOrchestrator(CalibConfig(username="alice", chip_id="SIM16", qids=["0"])) as session:
            session.run_task("CheckRabi", qid="0")

    Leaving the block completes the session, or fails or cancels it by the exception that leaves it.
    """

    def __init__(self, config: CalibConfig, settings: Settings | None = None) -> None:
        self.config = config
        self._settings = settings
        self._session: Session | None = None
        self._verdict: JobState | None = None

    # ------------------------------------------------------------------ begin

    @property
    def is_initialized(self) -> bool:
        """Whether the session is open."""
        return self._session is not None

    def initialize(self) -> None:
        """Open the session: job, lease, instrument. Does nothing if it is open already.

        Raises:
            ConfigError: the configuration does not fit the job, the chip or the database.
            SessionRefusedError: a script cannot claim the chip now; the message says why.
            CalibrationError: the instrument cannot be connected; the script's job has failed for that.
        """
        if self._session is not None:
            return
        if self._verdict is not None:
            raise RuntimeError(
                f"this session has ended ({self._verdict.value}): make another CalibOrchestrator"
            )
        known = {name: task.run_parameters for name, task in REGISTRY.by_name().items()}
        check_defaults(self.config.default_run_parameters, known)
        check_task_run_parameters(self.config.task_run_parameters, known)
        context = current_job()
        if context is not None:
            self._check_agreement(context)
            qids = persistently(lambda: session_qids(context.database, self.config))
            self._session = Session(self.config, context, open_backend(context, qids), qids, None)
        elif self.config.skip_execution:
            raise ConfigError(
                "CalibConfig.skip_execution: expected a running job to write to, got a plain script"
            )
        else:
            self._session = self._open_script_session()

    def _open_script_session(self) -> Session:
        job = InteractiveJob.open(self.config, self._settings)
        try:
            with job.at_work():
                if job.context.claimed.dirty:
                    make_idle_before_use(job.context, job.lease_seconds)
                backend = open_backend(job.context, job.qids)
        except BaseException as error:
            self._verdict = job.end(JobState.FAILED, failure_of(error, "connecting", Phase.PREPARE))
            raise
        atexit.register(self._abandon)
        return Session(self.config, job.context, backend, job.qids, job)

    def _check_agreement(self, context: JobContext) -> None:
        claimed = context.claimed
        fixed = claimed.model_dump(include={"chip_id", "username", "project_id"})
        for name, expected in {**fixed, "backend_name": context.backend_kind}.items():
            got = getattr(self.config, name)
            if got not in (None, expected):
                raise ConfigError(
                    f'CalibConfig.{name}: expected job {claimed.job_id}\'s "{expected}", got "{got}"'
                )

    # ------------------------------------------------------------------ measure

    @property
    def execution_id(self) -> str:
        """The execution id that the queue gave."""
        return self._open().context.claimed.execution_id

    @property
    def job_id(self) -> int:
        """The job's number."""
        return self._open().context.claimed.job_id

    @property
    def qids(self) -> tuple[str, ...]:
        """The qubits and couplings that the session may touch."""
        return self._open().qids

    def plan(self, tasks: list[tuple[str, str]]) -> None:
        """Announce the (task, qid) that will run, in order, so that the job's progress can be shown.

        Raises:
            CalibrationError: ``invalid_request``; a task or a qubit that the session does not know.
        """
        self._open().plan(tasks)

    def run_task(
        self,
        task_name: str,
        qid: str,
        task_details: TaskDetails | None = None,
        upstream_id: str | None = None,
    ) -> TaskOutputs:
        """Run one task on one qubit or coupling and record everything.

        Args:
            task_name: an active task, or one that the caller has defined.
            qid: ``"0"``, ``"0-1"``, or ``""`` for a task about the whole chip.
            task_details: ``{task: {"run_parameters": {name: value}}}``, above all defaults.
            upstream_id: the task run before it; by default the last one on this qid that passed.

        Returns:
            The output parameters by name, and the record's id under ``task_id``.

        Raises:
            TaskFailedError: it failed or was refused; nothing but the record has changed.
            Stopped: the job has to stop.
            RuntimeError: before :meth:`initialize` or after the end.
        """
        upstream = None if upstream_id is None else {qid: upstream_id}
        result = self._open().run(task_name, [qid], task_details, upstream)[qid]
        if isinstance(result, TaskFailedError):
            raise result
        return result

    def run_tasks(
        self,
        task_name: str,
        qids: Sequence[str],
        task_details: TaskDetails | None = None,
        upstream_ids: Mapping[str, str] | None = None,
    ) -> dict[str, TaskOutputs | TaskFailedError]:
        """Run one task on many qubits or couplings, and record everything of each.

        A task that is ``simultaneous`` is measured in groups, each in one sweep: qubits that are neither
        coupled nor on one readout multiplexer, and couplings that are not neighbours. Any other task runs on
        one after another.

        Args:
            task_name: an active task, or one that the caller has defined.
            qids: qubits or couplings, each once.
            task_details: as of :meth:`run_task`.
            upstream_ids: the task run before it, by qid; by default the last one on the qid that passed.

        Returns:
            By qid, in the order given, the outputs as of :meth:`run_task`, or why there are none.

        Raises:
            CalibrationError: ``invalid_request``; nothing was measured.
            Stopped: the job has to stop.
            RuntimeError: before :meth:`initialize` or after the end.
        """
        return self._open().run(task_name, qids, task_details, upstream_ids)

    def run_task_batch(
        self,
        task_name: str,
        qids: Sequence[str],
        task_details: TaskDetails | None = None,
        upstream_id: str | None = None,
    ) -> dict[str, dict[str, object]]:
        """:meth:`run_tasks` in QDash's shape.

        Returns:
            By qid the outputs, ``task_id`` and ``status``: ``success``, or ``failed`` with the ``error`` in
            words and without outputs.

        Raises:
            CalibrationError: ``invalid_request``; nothing was measured.
            Stopped: the job has to stop.
            RuntimeError: before :meth:`initialize` or after the end.
        """
        upstream = None if upstream_id is None else dict.fromkeys(qids, upstream_id)
        results = self.run_tasks(task_name, qids, task_details, upstream)
        return {
            qid: {"task_id": result.task_id or "", "status": "failed", "error": str(result)}
            if isinstance(result, TaskFailedError)
            else {**result, "status": "success"}
            for qid, result in results.items()
        }

    def to_repeat(self, task_name: str, qid: str, earlier: Sequence[str]) -> list[str]:
        """Those of the ``earlier`` tasks that must run on ``qid`` again before this one.

        Each yields a value that the task needs and that was measured with another value (of a frequency,
        say) than is in force now.
        """
        return self._open().to_repeat(task_name, qid, earlier)

    def record_stage(self, position: int, stage: StageRecord) -> None:
        """Keep what is known of a stage of the job; the position is counted from 0."""
        self._open().record_stage(position, stage)

    def mux_of(self, qid: str) -> int | None:
        """The readout multiplexer of a qubit; None: it has none."""
        return self._open().backend.session.muxes.get(int(qid))

    def wiring(self) -> Wiring | None:
        """How the chip is wired to its control boxes; None where nothing tells.

        Raises:
            BadValueError: the instrument's configuration names a field that is missing or wrong.
        """
        rows = self._open().backend.wiring()
        return None if rows is None else Wiring.of(rows)

    def get_parameter(self, qid: str, name: str) -> ParameterModel:
        """The value that the session works with.

        Raises:
            CalibrationError: ``missing_input``; there is none.
        """
        return self._open().backend.parameter(qid, name)

    def set_parameter(self, qid: str, name: str, value: float, unit: str = "") -> None:
        """Let the rest of this session work with ``value``; it is stored nowhere.

        Without ``unit`` the unit of the present value is kept.

        Raises:
            ValueError: ``value`` is not a finite number.
        """
        self._open().set_parameter(qid, name, value, unit)

    def _open(self) -> Session:
        if self._session is None:
            raise RuntimeError("the session is not open: call initialize() first")
        return self._session

    # ------------------------------------------------------------------ end

    def complete(self) -> JobState | None:
        """End the session as completed; the verdict that stands (``cancelled`` if a cancel was seen)."""
        return self._end(JobState.COMPLETED, None)

    def fail(self, message: str = "") -> JobState | None:
        """End the session as failed, by the exception being handled if there is one; the standing verdict."""
        return self._end(JobState.FAILED, failure_now(message))

    def cancel(self, reason: str = "cancelled by the session") -> JobState | None:
        """End the session as cancelled; the verdict that stands.

        Raises:
            IllegalTransitionError: inside a job of which no cancel was requested.
        """
        session = self._session
        if session is not None and session.interactive is not None:
            # A job that has ended meanwhile needs no request; its lease is lost and its state stands.
            with suppress(AlreadyFinalError):
                session.interactive.request_cancel(reason)
        return self._end(JobState.CANCELLED, None)

    def _end(self, state: JobState, failure: Failure | None) -> JobState | None:
        session, self._session = self._session, None
        if self._verdict is not None:
            return self._verdict
        is_settled = False
        try:
            if session is not None:
                is_settled = self._close_backend(session, state)
        finally:
            self._verdict = self._conclude(session, state, failure, free_chip=is_settled)
        return self._verdict

    def _close_backend(self, session: Session, state: JobState) -> bool:
        """Close the backend; whether the chip can be freed: the instrument is idle or the chip paused."""
        job = session.interactive
        try:
            # In a job the executor does it.
            if job is not None and state is not JobState.COMPLETED:
                make_idle(session.context, session.backend, job.lease_seconds)
        except CalibrationError as error:
            logger.warning("the instrument could not be put into a safe idle state: %s", error)
        except (QueueError, DatabaseUnreachableError) as error:
            logger.warning("making the instrument idle is deferred to the next job: %s", error)
            return False
        finally:
            session.backend.close()
        return True

    def _abandon(self) -> None:
        """At the interpreter's end: a script that gave no verdict has failed."""
        message = "the script ended without complete(), fail() or cancel()"
        try:
            self._end(JobState.FAILED, Failure(kind=FailureKind.INTERNAL, cause="abandoned", message=message))
        except (QueueError, DatabaseUnreachableError) as error:
            logger.warning("the session could not be ended: %s", error)

    def _conclude(
        self, session: Session | None, state: JobState, failure: Failure | None, *, free_chip: bool
    ) -> JobState | None:
        if session is not None and session.interactive is not None:
            atexit.unregister(self._abandon)
            return session.interactive.end(state, failure, free_chip=free_chip)
        context = current_job() if session is None else session.context
        if context is None or self.config.skip_execution:
            return None
        if state is JobState.FAILED and not _is_own_failure(context):
            return None
        try:
            return give_verdict(context.lease, state, failure)
        except LeaseLostError as error:
            logger.warning("the verdict %s came too late: %s", state.value, error)
            return None
        except DatabaseUnreachableError as error:
            # Raising here would hide why the flow ends; the executor gives the verdict after the flow's end.
            logger.warning("the verdict %s is left to the executor: %s", state.value, error)
            return None

    def __enter__(self) -> Self:
        self.initialize()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session = self._session
        if session is None:
            return
        cancelled = session.context.stop.reason is StopReason.CANCEL
        if error is None:
            self.complete()
        elif cancelled or (session.interactive is not None and isinstance(error, KeyboardInterrupt)):
            self.cancel("interrupted from the keyboard")
        else:
            self.fail(str(error))


def failure_now(message: str) -> Failure:
    """The failure for the verdict: of the exception being handled, else an internal one with ``message``."""
    error = sys.exception()
    if isinstance(error, TaskFailedError):
        return error.failure.model_copy(update={"message": message or str(error)})
    if error is None:
        return Failure(
            kind=FailureKind.INTERNAL, cause="flow", message=message or "the flow reported a failure"
        )
    failure = failure_of(error, "the flow", Phase.PREPARE)
    return failure.model_copy(update={"message": message}) if message else failure


def _is_own_failure(context: JobContext) -> bool:
    """Whether a failure is the flow's own; a stop or a signal from outside is the executor's to explain."""
    error = sys.exception()
    return context.stop.reason is StopReason.NONE and (error is None or isinstance(error, Exception))
