"""The flow of ordinary jobs: tasks on qubits, in order."""

from __future__ import annotations

from typing import Annotated, Literal

from prefect import flow
from pydantic import Field

from executors.flows.signature import RunParameters
from executors.flows.template_parameters import FlowName, Qids, Tags, TaskNames, template
from executors.service import CalibService, is_cancellation, on_flow_cancellation
from executors.service.modes import Mode, run_in_mode
from executors.service.task_list_run import TaskListRun
from qdash_queue.domain import CalibrationError


@flow(name="calibrate", on_cancellation=[on_flow_cancellation])
def calibrate(
    username: str,
    chip_id: str,
    project_id: str,
    qids: Qids,
    tasks: TaskNames,
    run_parameters: Annotated[
        RunParameters, Field(description="Settings of the measurements: {task: {name: value}}.")
    ]
    | None = None,
    flow_name: FlowName | None = None,
    tags: Tags | None = None,
    mode: Annotated[
        Literal["serial", "synchronized", "scheduled", "simultaneous"],
        Field(
            description="serial: all tasks on one qubit, then on the next; synchronized: on one qubit of each"
            " multiplexer, then on the next of each; scheduled: the same, each multiplexer at its own pace;"
            " simultaneous: each task on all qubits. Those that do not disturb each other are measured"
            " together."
        ),
    ] = "serial",
) -> None:
    """Run tasks in order on one qubit or on many at once; a qubit's first failure ends its list.

    The other qubits go on. A task is run once more before a
    later one that needs its value, when a parameter that the value was measured with has moved since. Each
    attempt measures from the start.

    Raises:
        CalibrationError: at the end, if any task failed; with the kind of the first failure and the counts.
    """
    cal = CalibService(
        username,
        chip_id,
        qids,
        project_id=project_id,
        flow_name=flow_name,
        tags=tags,
        default_run_parameters=run_parameters,
    )
    try:
        run = cal.task_list(tasks)
        planned = run.planned(qids, one_by_one=mode == "serial")
        cal.plan(planned)
        run_in_mode(run, Mode(mode), qids, lambda: cal.chip)
        _require_all_passed(run, len(planned))
        cal.finish_calibration()
    except BaseException as error:
        if is_cancellation(error):
            cal.cancel_calibration()
        else:
            cal.fail_calibration(str(error))
        raise


def _require_all_passed(run: TaskListRun, count: int) -> None:
    failures = run.failures
    if failures:
        first = next(iter(failures.values()))
        message = f"{len(failures)} of {count + len(run.repeated)} tasks failed; first: {first}"
        raise CalibrationError(first.failure.model_copy(update={"message": message})) from first


CALIBRATE = template(calibrate)
