"""Templates that calibrate a part of a chip whole: qubits, then the couplings between those good enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from prefect import flow
from pydantic import Field

from executors.flows.template_parameters import (
    PULSES,
    FlowName,
    Inverse,
    MuxIds,
    OtherQids,
    ParallelOps,
    Qids,
    Results,
    Tags,
    chosen,
    session,
    template,
)
from executors.service import on_flow_cancellation
from executors.service.steps import (
    ConfigureAll,
    FilterByMetric,
    FilterByStatus,
    GenerateCRSchedule,
    OneQubitCheck,
    OneQubitFineTune,
    Step,
    TwoQubitCalibration,
)
from executors.service.task_lists import FULL_1Q_TASKS_AFTER_CHECK

FAST_CHECK_TASKS = ("CheckRabi", "CreateHPIPulse", "CheckHPIPulse")
_SLOW_TASKS = ("CheckT1Average", "CheckT2EchoAverage", "Check1QGateCoherenceLimit")
FAST_FINE_TUNE_TASKS = tuple(task for task in FULL_1Q_TASKS_AFTER_CHECK if task not in _SLOW_TASKS)

Threshold = Annotated[
    float, Field(ge=0, le=1, description="The least fidelity of an X90 gate for a qubit's couplings.")
]


def _steps(
    fidelity_threshold: float,
    max_parallel_ops: int,
    *,
    inverse: bool,
    check_tasks: Sequence[str] | None = None,
    tune_tasks: Sequence[str] | None = None,
) -> list[Step]:
    return [
        ConfigureAll(),
        OneQubitCheck(tasks=check_tasks),
        FilterByStatus(),
        OneQubitFineTune(tasks=tune_tasks),
        FilterByMetric("x90_fidelity", fidelity_threshold),
        GenerateCRSchedule(max_parallel_ops, inverse),
        TwoQubitCalibration(max_parallel_ops=max_parallel_ops),
    ]


@flow(name="full_calibration", on_cancellation=[on_flow_cancellation])
def full_calibration(
    username: str,
    chip_id: str,
    project_id: str,
    mux_ids: MuxIds | None = None,
    exclude_qids: OtherQids | None = None,
    qids: Qids | None = None,
    tags: Tags | None = None,
    flow_name: FlowName | None = None,
    fidelity_threshold: Threshold = 0.9,
    max_parallel_ops: ParallelOps = 10,
    *,
    inverse: Inverse = False,
) -> Results:
    """Check and tune qubits, then calibrate the couplings between the good ones."""
    return session(username, chip_id, project_id, flow_name, tags, PULSES).run(
        chosen(mux_ids, exclude_qids, qids), _steps(fidelity_threshold, max_parallel_ops, inverse=inverse)
    )


@flow(name="fast_full_calibration", on_cancellation=[on_flow_cancellation])
def fast_full_calibration(
    username: str,
    chip_id: str,
    project_id: str,
    mux_ids: MuxIds | None = None,
    exclude_qids: OtherQids | None = None,
    qids: Qids | None = None,
    tags: Tags | None = None,
    flow_name: FlowName | None = None,
    fidelity_threshold: Threshold = 0.9,
    max_parallel_ops: ParallelOps = 10,
    *,
    inverse: Inverse = False,
) -> Results:
    """Calibrate as full_calibration does, without what only characterises."""
    steps = _steps(
        fidelity_threshold,
        max_parallel_ops,
        inverse=inverse,
        check_tasks=FAST_CHECK_TASKS,
        tune_tasks=FAST_FINE_TUNE_TASKS,
    )
    return session(username, chip_id, project_id, flow_name, tags, PULSES).run(
        chosen(mux_ids, exclude_qids, qids), steps
    )


TEMPLATES = [template(each, muxes_or_qids=True) for each in (full_calibration, fast_full_calibration)]
