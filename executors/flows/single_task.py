"""The template that runs one task on one target: QDash's "Re-execute"."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from calibtasks.parameters.run_parameters import refuse
from executors.flows.signature import Coupling, Qid, TaskName
from executors.flows.template_parameters import FlowName, Results, Tags, template
from executors.service import CalibService, on_flow_cancellation
from executors.service.steps import CustomOneQubit, CustomTwoQubit, SetCRSchedule
from executors.service.targets import CouplingTargets, QubitTargets


@flow(name="single-task-executor", on_cancellation=[on_flow_cancellation])
def single_task(
    username: str,
    chip_id: str,
    project_id: str,
    qid: Qid | Coupling,
    task_name: TaskName,
    source_execution_id: Annotated[
        str, Field(max_length=200, description="Where the source task ran; source_task_id finds it.")
    ]
    | None = None,
    source_task_id: Annotated[
        str, Field(max_length=200, description="The task run whose inputs and run parameters are used again.")
    ]
    | None = None,
    parameter_overrides: Annotated[
        dict[str, dict[str, Any]],
        Field(description='Other values: {"input": {name: value}, "run": {name: value}}.'),
    ]
    | None = None,
    *,
    update_params: Annotated[bool, Field(description="False changes no parameter of the chip.")] = True,
    persist_output_parameters: Annotated[
        bool, Field(description="False changes no parameter of the chip.")
    ] = True,
    reconfigure: Annotated[bool, Field(description="Whether to run Configure before.")] = False,
    tags: Tags | None = None,
    flow_name: FlowName | None = None,
) -> Results:
    """Run one task on one qubit or coupling, as an earlier task run did or with present values."""
    if source_execution_id is not None and source_task_id is None:
        raise refuse(
            "source_task_id is required: an execution alone does not say which task run", "no_source"
        )
    again = {"source_task_id": source_task_id, "parameter_overrides": parameter_overrides}
    given: dict[str, Any] = {name: value for name, value in again.items() if value is not None}
    cal = CalibService(
        username,
        chip_id,
        project_id=project_id,
        flow_name=flow_name or f"re-execute:{task_name}",
        tags=tags,
        persist_output_parameters=update_params and persist_output_parameters,
        **given,
    )
    tasks = ["Configure", task_name] if reconfigure else [task_name]
    control, _, target = qid.partition("-")
    if target:
        pair = (control, target)
        return cal.run(
            CouplingTargets([pair]), [SetCRSchedule([[pair]]), CustomTwoQubit("single_task", tasks)]
        )
    return cal.run(QubitTargets([qid]), [CustomOneQubit("single_task", tasks)])


TEMPLATES = [template(single_task)]
