"""A flow file in the manner of QDash's templates."""

from typing import Any

from prefect import flow
from qdash.workflow.service import CalibService
from qdash.workflow.service.calib_service import on_flow_cancellation, on_flow_crashed, on_flow_failure
from qdash.workflow.service.steps import CustomOneQubit
from qdash.workflow.service.targets import MuxTargets, QubitTargets, Target


@flow(
    on_cancellation=[on_flow_cancellation],
    on_failure=[on_flow_failure],
    on_crashed=[on_flow_crashed],
)
def coarse_calibration(
    username: str,
    chip_id: str,
    mux_ids: list[int] | None = None,
    exclude_qids: list[str] | None = None,
    qids: list[str] | None = None,
    tasks: list[str] | None = None,
    mode: str = "scheduled",
    tags: list[str] | None = None,
    flow_name: str | None = None,
    project_id: str | None = None,
) -> Any:
    """Calibrate with a list of tasks.

    Args:
        username: User name
        chip_id: Chip
        mux_ids: Multiplexers to calibrate
        exclude_qids: Qubits to leave out
        qids: Qubits to calibrate, without mux_ids
        tasks: Names of tasks
        mode: Order of the targets
        tags: Tags
        flow_name: Name of the execution
        project_id: Project
    """
    if exclude_qids is None:
        exclude_qids = []
    targets: Target
    if mux_ids is not None:
        targets = MuxTargets(mux_ids=mux_ids, exclude_qids=exclude_qids)
    elif qids is not None:
        targets = QubitTargets(qids=qids)
    else:
        raise ValueError("mux_ids or qids is required")
    if tasks is None:
        tasks = ["CheckRabi", "CreateHPIPulse", "CheckT1"]
    steps = [CustomOneQubit(step_name="coarse", tasks=tasks, mode=mode)]
    cal = CalibService(
        username,
        chip_id,
        flow_name=flow_name,
        tags=tags,
        project_id=project_id,
        skip_execution=True,
        use_lock=False,
        enable_github_pull=False,
        default_run_parameters={
            "hpi_duration": {"value": 32, "value_type": "int"},
            "interval": {"value": 150 * 1024, "value_type": "int"},
        },
        task_run_parameters={"CheckT1": {"shots": {"value": 600, "value_type": "int"}}},
    )
    return cal.run(targets, steps=steps)
