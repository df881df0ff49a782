"""The life of one task on one qubit: prepare, measure, judge, and one atomic commit of everything."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from uuid import UUID

from calibtasks.base import BaseTask, RunResult
from executors.backends.base import BaseBackend
from executors.engine.gate import accepted_by_qid, judge, judge_data
from executors.engine.interrupts import time_limit, uninterrupted
from executors.engine.measured import Measured, without_files
from executors.engine.recorder import TaskRecorder, stamped
from executors.job.failures import Phase, TaskFailedError, TaskTimeout, failure_of, stack_trace, subject
from executors.job.stop import StopFlag, Stopped, StopReason, checkpoint, task_border
from qdash_queue.domain import CalibrationError, Failure, FailureKind, ParameterModel, TaskType
from qdash_queue.errors import DatabaseUnreachableError, LeaseLostError, QueueError, TooLargeError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """A task that passed: where its record is, and the values that are now in force."""

    task_id: UUID
    outputs: dict[str, ParameterModel]


@dataclass(frozen=True, slots=True)
class TaskLifecycle:
    """Runs tasks of one job on one backend.

    Attributes:
        recorder: writes to the job's rows under its lease.
        backend: connected.
        stop: the job's stop request.
        execution_id: the job's.
    """

    recorder: TaskRecorder
    backend: BaseBackend
    stop: StopFlag
    execution_id: str

    def execute(self, task: BaseTask, qid: str, repetition: int, upstream_id: UUID | None) -> TaskOutcome:
        """Run ``task`` on ``qid`` and commit its result or failure.

        Raises:
            TaskFailedError: the task failed or its result was refused; everything is recorded.
            Stopped: the job has to stop; a task that had begun is recorded as cancelled.
            LeaseLostError: another executor holds the job now; nothing was recorded.
            DatabaseUnreachableError: nothing could be recorded.
        """
        task_border()
        _check_subject(task, qid)
        measured = Measured(task.run_parameters)
        task_id = self._start(task, qid, repetition, upstream_id)
        try:
            failure = self._measure(task, qid, measured)
        except (Exception, TaskTimeout) as error:
            if self.stop.at_once and not isinstance(error, TaskTimeout):
                # A library has turned the signal that stops the job into its own error.
                self._record_stop(task_id, measured)
                raise Stopped(self.stop.reason) from error
            failure = failure_of(error, task.name, measured.phase)
            self._record_failure(task_id, measured, failure, stack_trace(error))
            if measured.phase is Phase.RUN:
                self._quiesce()
            raise TaskFailedError(task.name, qid, failure, str(task_id)) from error
        except BaseException:
            self._record_stop(task_id, measured)
            raise
        if failure is not None:
            self._record_failure(task_id, measured, failure)
            raise TaskFailedError(task.name, qid, failure, str(task_id))
        return self._accept(task, qid, task_id, measured)

    def _start(self, task: BaseTask, qid: str, repetition: int, upstream_id: UUID | None) -> UUID:
        task_id: UUID | None = None
        try:
            # A signal between the row's commit and the return of its id would leave it running.
            with uninterrupted():
                task_id = self.recorder.start(task, qid, repetition, upstream_id)
        except BaseException:
            if task_id is not None:
                self._record_stop(task_id, Measured(task.run_parameters))
            raise
        return task_id

    def _measure(self, task: BaseTask, qid: str, measured: Measured) -> Failure | None:
        used_before = self.backend.hardware_seconds
        try:
            with time_limit(task.timeout):
                prepared = task.call_preprocess(self.backend, qid)
                measured.input_parameters = prepared.input_parameters
                measured.run_parameters = prepared.run_parameters
                checkpoint()
                measured.phase = Phase.RUN
                measured.run_result = task.call_run(self.backend, qid)
                checkpoint()
                measured.phase = Phase.POSTPROCESS
                return self._conclude(task, qid, measured, measured.run_result)
        finally:
            measured.hardware_seconds = self.backend.hardware_seconds - used_before

    def _conclude(
        self, task: BaseTask, qid: str, measured: Measured, run_result: RunResult
    ) -> Failure | None:
        bad_data = judge_data(task, qid, run_result)
        try:
            # Without a backend, so that it can be run again on the stored data.
            measured.result = task.call_postprocess(None, self.execution_id, run_result, qid)
        except Exception:
            if bad_data is None:
                raise
            logger.info(
                "%s on %s could not be analysed after bad data", task.name, subject(qid), exc_info=True
            )
            return bad_data
        return bad_data or judge(task, qid, measured.result)

    def _accept(self, task: BaseTask, qid: str, task_id: UUID, measured: Measured) -> TaskOutcome:
        given = measured.result.output_parameters if measured.result is not None else {}
        outputs = {name: stamped(value, self.execution_id, str(task_id)) for name, value in given.items()}
        measured.phase = Phase.RECORD
        try:
            with uninterrupted():
                self.recorder.completed(task_id, measured, outputs)
        except (LeaseLostError, DatabaseUnreachableError):
            raise
        except QueueError as error:
            failure = failure_of(error, task.name, measured.phase)
            self._record_failure(task_id, measured, failure, stack_trace(error))
            raise TaskFailedError(task.name, qid, failure, str(task_id)) from error
        for owner, accepted in accepted_by_qid(qid, outputs).items():
            self.backend.update_note(owner, accepted)
        return TaskOutcome(task_id, outputs)

    def _record_failure(self, task_id: UUID, measured: Measured, failure: Failure, trace: str = "") -> None:
        with uninterrupted():
            try:
                self.recorder.failed(task_id, measured, failure, trace)
            except TooLargeError as error:
                logger.warning("figures and raw data of task run %s are not kept: %s", task_id, error)
                self.recorder.failed(task_id, without_files(measured), failure, f"{trace}\n{error}")

    def _quiesce(self) -> None:
        """Make the instrument idle after an aborted measurement, so that other qubits can go on.

        A failure is only logged: the executor, or the script's session, quiesces after a failed job anyway.
        """
        try:
            self.backend.quiesce()
        except CalibrationError as error:
            logger.warning(
                "the instrument could not be put into a safe idle state between two tasks: %s", error
            )

    def _record_stop(self, task_id: UUID, measured: Measured) -> None:
        """Mark the running task as cancelled, while the lease holds; no error delays a stop."""
        reason = self.stop.reason
        if reason is StopReason.LEASE_LOST:
            return
        message = f"stopped: {reason.words}" if reason is not StopReason.NONE else "stopped by a signal"
        try:
            with uninterrupted():
                self.recorder.cancelled(task_id, measured, message)
        except (QueueError, DatabaseUnreachableError) as error:
            logger.warning("task run %s could not be marked as cancelled: %s", task_id, error)


def _check_subject(task: BaseTask, qid: str) -> None:
    expected = {TaskType.QUBIT: "a qubit", TaskType.COUPLING: "a coupling"}.get(task.task_type, "no qubit")
    got = "a coupling" if "-" in qid else "a qubit" if qid else "no qubit"
    if expected != got:
        failure = Failure(
            kind=FailureKind.INVALID_REQUEST,
            cause="wrong_subject",
            message=f'{task.name} is about {expected}: it cannot run on {subject(qid)} (qid "{qid}")',
        )
        raise TaskFailedError(task.name, qid, failure, None)
