"""The template that runs one task on one target: QDash's "Re-execute"."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from pydantic import BaseModel, Field

from calibtasks.parameters.overrides import ParameterOverrides
from calibtasks.parameters.run_parameters import refuse
from executors.flows.signature import Coupling, Qid, TaskName
from executors.flows.template_parameters import FlowName, Results, Tags, template
from executors.service import CalibService, on_flow_cancellation
from executors.service.steps import CustomOneQubit, CustomTwoQubit, SetCRSchedule
from executors.service.targets import CouplingTargets, QubitTargets


class Overrides(BaseModel, extra="forbid"):
    """Other values than those of the source task, by name."""

    input: dict[str, float] = {}
    run: dict[str, Any] = {}

    def given(self) -> ParameterOverrides:
        """Those that there are."""
        both: ParameterOverrides = {"input": self.input, "run": self.run}
        return {kind: values for kind, values in both.items() if values}


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
        str,
        Field(
            pattern="^[0-9a-fA-F-]{36}$",
            description="The task run whose inputs and run parameters are used again.",
        ),
    ]
    | None = None,
    parameter_overrides: Overrides | None = None,
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
    cal = CalibService(
        username,
        chip_id,
        project_id=project_id,
        flow_name=flow_name or f"re-execute:{task_name}",
        tags=tags,
        persist_output_parameters=update_params and persist_output_parameters,
        source_task_id=source_task_id,
        parameter_overrides=None if parameter_overrides is None else parameter_overrides.given(),
    )
    tasks = ["Configure", task_name] if reconfigure else [task_name]
    control, _, target = qid.partition("-")
    if target:
        pair = (control, target)
        return cal.run(
            CouplingTargets([pair]), [SetCRSchedule([[pair]]), CustomTwoQubit("single_task", tasks)]
        )
    return cal.run(QubitTargets([qid]), [CustomOneQubit("single_task", tasks, "serial")])


TEMPLATES = [template(single_task)]
