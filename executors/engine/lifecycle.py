"""The life of a task on the targets of one sweep: prepare, measure together, then judge and commit each."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from calibtasks.results import RunResult
from calibtasks.task import Task
from executors.backends.base import BaseBackend
from executors.backends.origins import Origin
from executors.engine.faults import at_fault
from executors.engine.gate import accepted_by_qid, judge, judge_data
from executors.engine.interrupts import time_limit, uninterrupted
from executors.engine.measured import Measured, Turn, without_files
from executors.engine.recorder import TaskRecorder, stamped
from executors.job.failures import Phase, TaskFailedError, TaskTimeout, failure_of, stack_trace, subject
from executors.job.stop import StopFlag, Stopped, StopReason, checkpoint, task_border
from qdash_queue.client.leases import EndedSweep
from qdash_queue.domain import CalibrationError, Failure, FailureKind, ParameterModel, TaskType
from qdash_queue.errors import DatabaseUnreachableError, LeaseLostError, QueueError, TooLargeError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """A target that passed: where its record is, and the values that are now in force."""

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

    def execute(self, task: Task, turns: Sequence[Turn]) -> dict[str, TaskOutcome | TaskFailedError]:
        """Run ``task`` on the targets in one sweep; the outcome of each by qid, all of it recorded.

        A target that fails alone (no input, a bad fit) fails no other. An instrument's error fails all, or
        those of the box that it names; the others are then measured once more.

        Raises:
            Stopped: the job has to stop; what had begun and has no result is recorded as cancelled.
            LeaseLostError: another executor holds the job now; nothing was recorded.
            DatabaseUnreachableError: nothing could be recorded.
        """
        task_border()
        sweep = _Sweep(self, task)
        try:
            for turn in turns:
                sweep.prepare(turn)
            sweep.measure()
            for qid in list(sweep.measured):
                sweep.conclude(qid)
        except BaseException:
            sweep.record_stop()
            raise
        return {turn.qid: sweep.outcomes[turn.qid] for turn in turns}


class _Sweep:
    """One call of :meth:`TaskLifecycle.execute`.

    Attributes:
        measured: the targets that are prepared and have no outcome yet, by qid.
        outcomes: of the others, by qid.
    """

    def __init__(self, life: TaskLifecycle, task: Task) -> None:
        self.measured: dict[str, Measured] = {}
        self.outcomes: dict[str, TaskOutcome | TaskFailedError] = {}
        self._life = life
        self._task = task
        self._begun: dict[str, Measured] = {}
        self._open: EndedSweep | None = None

    # ------------------------------------------------------------------ prepare

    def prepare(self, turn: Turn) -> None:
        """Read the target's inputs; if that fails it is recorded as failed, in a sweep of its own."""
        task, backend = self._task, self._life.backend
        wrong = _wrong_subject(task, turn.qid)
        if wrong is not None:
            self.outcomes[turn.qid] = TaskFailedError(task.name, turn.qid, wrong, None)
            return
        measured = Measured(turn, task.run_parameters, task_source=task.origin())
        used_before = backend.hardware_seconds
        try:
            with time_limit(task.timeout):
                prepared = task.prepare(backend, turn.qid)
        except (Exception, TaskTimeout) as error:  # noqa: BLE001 - it is recorded
            self._raise_if_stopped(error)
            measured.hardware_seconds = backend.hardware_seconds - used_before
            self._start([measured])
            self._use(measured.hardware_seconds)
            self._fail_by(error, [measured])
            return
        measured.hardware_seconds = backend.hardware_seconds - used_before
        measured.input_parameters = prepared.input_parameters
        measured.run_parameters = prepared.run_parameters
        self.measured[turn.qid] = measured

    # ------------------------------------------------------------------ measure

    def measure(self) -> None:
        """Measure all prepared targets; after an error of one box those of the others once more."""
        for is_last in (False, True):
            targets = list(self.measured.values())
            error = self._measure(targets) if targets else None
            if error is None:
                return  # The sweep ends with its first record.
            self._end()
            failure = failure_of(error, self._task.name, Phase.RUN)
            faulty = list(self.measured) if is_last else at_fault(self._life.backend, self.measured, failure)
            self._fail_by(error, [self.measured[qid] for qid in faulty])
            self._make_idle()

    def _measure(self, targets: Sequence[Measured]) -> Exception | TaskTimeout | None:
        """One measurement of all targets; its error."""
        task, backend = self._task, self._life.backend
        qids = [measured.turn.qid for measured in targets]
        for measured in targets:
            measured.measured_with = tuple(qid for qid in qids if qid != measured.turn.qid)
            measured.phase = Phase.RUN
        self._start(targets)
        used_before = backend.hardware_seconds
        try:
            with time_limit(task.timeout):
                checkpoint()
                results = task.measure(backend, qids)
                checkpoint()
        except (Exception, TaskTimeout) as error:  # noqa: BLE001 - it is recorded
            self._raise_if_stopped(error)
            return error
        else:
            for measured in targets:
                measured.run_result = results.get(measured.turn.qid, RunResult())
            return None
        finally:
            used = backend.hardware_seconds - used_before
            self._use(used)
            for measured in targets:
                measured.hardware_seconds += used / len(targets)

    def _make_idle(self) -> None:
        """Make the instrument idle after an aborted measurement, so that other targets can go on.

        A failure is only logged: the executor, or the script's session, quiesces after a failed job anyway.
        """
        try:
            self._life.backend.quiesce()
        except CalibrationError as error:
            logger.warning(
                "the instrument could not be put into a safe idle state between two measurements: %s", error
            )

    # ------------------------------------------------------------------ judge and commit

    def conclude(self, qid: str) -> None:
        """Analyse, judge and commit one target."""
        measured = self.measured[qid]
        measured.phase = Phase.POSTPROCESS
        try:
            checkpoint()
            with time_limit(self._task.timeout):
                failure = self._judge(measured)
        except (Exception, TaskTimeout) as error:  # noqa: BLE001 - it is recorded
            self._raise_if_stopped(error)
            self._fail_by(error, [measured])
        else:
            if failure is not None:
                self._fail(measured, failure)
            else:
                self._accept(measured)

    def _judge(self, measured: Measured) -> Failure | None:
        task, qid, run_result = self._task, measured.turn.qid, measured.run_result or RunResult()
        bad_data = judge_data(task, qid, run_result)
        try:
            measured.result = task.analyse(self._life.execution_id, qid, run_result)
        except Exception:
            if bad_data is None:
                raise
            logger.info(
                "%s on %s could not be analysed after bad data", task.name, subject(qid), exc_info=True
            )
            return bad_data
        return bad_data or judge(task, qid, measured.result)

    def _accept(self, measured: Measured) -> None:
        life, qid, task_id = self._life, measured.turn.qid, measured.record
        given = measured.result.output_parameters if measured.result is not None else {}
        outputs = {name: stamped(value, life.execution_id, str(task_id)) for name, value in given.items()}
        measured.phase = Phase.RECORD
        try:
            with uninterrupted():
                life.recorder.completed(measured, outputs, self._open)
                self._settle(measured, TaskOutcome(task_id, outputs))
        except (LeaseLostError, DatabaseUnreachableError):
            raise
        except QueueError as error:
            self._fail_by(error, [measured])
            return
        origin = Origin(qid, measured.input_parameters)
        for owner, accepted in accepted_by_qid(qid, outputs).items():
            life.backend.update_note(owner, accepted, origin)

    # ------------------------------------------------------------------ write

    def _start(self, targets: Sequence[Measured]) -> None:
        # A signal between the rows' commit and the return of their ids would leave them running.
        with uninterrupted():
            started = self._life.recorder.start(self._task, targets)
            self._open = EndedSweep(started.sweep_id, 0.0)
            for measured in targets:
                measured.task_id = started.task_ids[measured.turn.qid]
                self._begun[measured.turn.qid] = measured

    def _use(self, hardware_seconds: float) -> None:
        """Note the instrument time of the sweep that is open."""
        if self._open is not None:
            self._open = replace(self._open, hardware_seconds=hardware_seconds)

    def _end(self) -> None:
        """End the sweep that is open."""
        if self._open is not None:
            with uninterrupted():
                self._life.recorder.ended(self._open)
                self._open = None

    def _fail_by(self, error: BaseException, targets: Sequence[Measured]) -> None:
        for measured in targets:
            failure = failure_of(error, self._task.name, measured.phase)
            self._fail(measured, failure, error)

    def _fail(self, measured: Measured, failure: Failure, error: BaseException | None = None) -> None:
        recorder, trace = self._life.recorder, "" if error is None else stack_trace(error)
        failed = TaskFailedError(self._task.name, measured.turn.qid, failure, str(measured.record))
        failed.__cause__ = error
        with uninterrupted():
            try:
                recorder.failed(measured, failure, trace, self._open)
            except TooLargeError as too_large:
                logger.warning("figures and raw data of %s are not kept: %s", failed, too_large)
                recorder.failed(without_files(measured), failure, f"{trace}\n{too_large}", self._open)
            self._settle(measured, failed)

    def _settle(self, measured: Measured, outcome: TaskOutcome | TaskFailedError) -> None:
        self.outcomes[measured.turn.qid] = outcome
        self.measured.pop(measured.turn.qid, None)
        self._open = None  # It has ended with this record.

    def _raise_if_stopped(self, error: BaseException) -> None:
        """A library may have turned the signal that stops the job into an error of its own."""
        if self._life.stop.at_once and not isinstance(error, TaskTimeout):
            raise Stopped(self._life.stop.reason) from error

    def record_stop(self) -> None:
        """Mark what has begun as cancelled, while the lease holds; no error delays a stop."""
        reason = self._life.stop.reason
        if reason is StopReason.LEASE_LOST:
            return
        message = f"stopped: {reason.words}" if reason is not StopReason.NONE else "stopped by a signal"
        unfinished = [measured for qid, measured in self._begun.items() if qid not in self.outcomes]
        try:
            with uninterrupted():
                self._life.recorder.stopped(self._open, unfinished, message)
        except (QueueError, DatabaseUnreachableError) as error:
            logger.warning("%s could not be marked as cancelled: %s", self._task.name, error)


_SUBJECTS: Final = {
    TaskType.QUBIT: "a qubit",
    TaskType.COUPLING: "a coupling",
    TaskType.MUX: "a multiplexer",
}


def _wrong_subject(task: Task, qid: str) -> Failure | None:
    """Why the task cannot run on ``qid`` at all."""
    expected = _SUBJECTS.get(task.task_type, "no qubit")
    number = "a multiplexer" if task.task_type is TaskType.MUX else "a qubit"
    got = "a coupling" if "-" in qid else number if qid else "no qubit"
    if expected == got:
        return None
    return Failure(
        kind=FailureKind.INVALID_REQUEST,
        cause="wrong_subject",
        message=f'{task.name} is about {expected}: it cannot run on {subject(qid)} (qid "{qid}")',
    )
