"""The steps of a calibration: checked before anything is measured, then done in order as stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from calibtasks.parameters.run_parameters import refuse
from calibtasks.task import REGISTRY
from executors.service.modes import Mode
from executors.service.steps.base import Step, StepContext, StepResult
from executors.service.steps.filters import FilterByMetric
from qdash_queue.client.records import StageRecord
from qdash_queue.domain import CalibrationError

if TYPE_CHECKING:
    from executors.service.calib_service import CalibService
    from executors.service.targets import Target


class Pipeline:
    """Steps in an order in which they can be done.

    Raises:
        CalibrationError: ``invalid_request``; no step, an unknown task or mode, a task that is about
            something else than the step's targets, or a filter without a step before it that it could
            filter by.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = tuple(steps)
        if not self.steps:
            raise refuse("steps: expected at least one, got none", "no_steps")
        given: Sequence[object] = self.steps
        for position, each in enumerate(given):
            if not isinstance(each, Step):
                got = type(each).__name__
                raise refuse(
                    f"steps[{position}]: expected a step such as OneQubitCheck, got {got}", "no_step"
                )
        _refuse_unknown_tasks(self.steps)
        measured: Step | None = None
        for position, step in enumerate(self.steps):
            try:
                _check(step, measured)
            except CalibrationError as error:
                message = f"steps[{position}] ({step.kind}): {error}"
                raise CalibrationError(error.failure.model_copy(update={"message": message})) from error
            measured = step if step.measures_qubits else measured

    def execute(self, service: CalibService, targets: Target, ctx: StepContext) -> None:
        """Do the steps in order; each is a stage of the job, and one without targets is skipped.

        Raises:
            CalibrationError: of the step that failed; those behind it are not done.
            Stopped: the job has to stop.
        """
        for position, step in enumerate(self.steps, service.next_stage):
            targets_now = [*step.targets(ctx)]
            stage = StageRecord(
                name=step.name,
                step=step.kind,
                mode=step.mode or None,
                targets=targets_now,
                status="running" if targets_now else "skipped",
            )
            service.record_stage(position, stage)
            if not targets_now:
                ctx.results[step.name] = StepResult()
                continue
            try:
                result = step.execute(service, targets, ctx)
            except Exception as error:
                failed = {"status": "failed", "message": str(error)}
                service.record_stage(position, stage.model_copy(update=failed))
                raise
            done = {"status": "completed", "targets": [*step.targets(ctx)], "result": result.as_json()}
            service.record_stage(position, stage.model_copy(update=done))
            ctx.results[step.name] = result


def _refuse_unknown_tasks(steps: Sequence[Step]) -> None:
    known = REGISTRY.by_name()
    wanted = dict.fromkeys(task for step in steps for task in step.task_names())
    unknown = [task for task in wanted if task not in known]
    if unknown:
        have = ", ".join(known)
        raise refuse(
            f"the steps need tasks that this executor does not have: {', '.join(unknown)} (it has: {have})",
            "unknown_task",
        )


def _check(step: Step, measured: Step | None) -> None:
    """Refuse what cannot be done; ``measured`` is the latest step before it that measures qubits."""
    if step.mode:
        Mode.of(step.mode)
    for task in step.task_names():
        task_type = REGISTRY.find(task).task_type
        if task_type not in step.subjects:
            expected = ", ".join(sorted(step.subjects))
            raise refuse(f"expected tasks of type {expected}, got {task} ({task_type})", "wrong_subject")
    if not step.is_filter:
        return
    if measured is None:
        raise refuse("a filter needs a step before it that measures qubits", "nothing_to_filter")
    if isinstance(step, FilterByMetric):
        step.check({name for task in measured.task_names() for name in REGISTRY.find(task).output_parameters})
