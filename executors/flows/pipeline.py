"""The flow of jobs whose parameters say which steps to take, as QDash's pipeline specifications do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from executors.flows.signature import RunParameters
from executors.flows.template_parameters import (
    MUXES_OR_QIDS,
    FlowName,
    Inverse,
    Mode,
    MuxIds,
    OtherQids,
    ParallelOps,
    Qids,
    Results,
    Tags,
    TaskNames,
    chosen,
    template,
)
from executors.service import CalibService, on_flow_cancellation, steps

StepName = Annotated[
    str, Field(pattern="^[a-z][a-z0-9_]{0,63}$", description="By which its result is kept; each once.")
]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Targets(_Given):
    """Qubits, or MUXes without some of their qubits."""

    model_config = ConfigDict(json_schema_extra={"anyOf": MUXES_OR_QIDS})
    qids: Qids | None = None
    mux_ids: MuxIds | None = None
    exclude_qids: OtherQids = []


class StepSpec(_Given):
    """One step; its class is that of ``executors.service.steps`` with the name ``type``."""

    def step(self) -> steps.Step:
        """The step itself."""
        made: Callable[..., steps.Step] = getattr(steps, self.type)
        return made(**self.model_dump(exclude={"type"}))

    type: str


class ConfigureAll(StepSpec):
    """Write the settings of MUXes to the instrument; by default of those of the targets."""

    type: Literal["ConfigureAll"]
    mux_ids: MuxIds | None = None


class BringUp(StepSpec):
    """Find resonators and qubits."""

    type: Literal["BringUp"]
    mode: Mode = "scheduled"
    tasks: TaskNames | None = None


class _OneQubit(StepSpec):
    mode: Mode = "synchronized"
    tasks: TaskNames | None = None
    configure: Annotated[bool, Field(description="Whether to run Configure before.")] = False


class OneQubitCheck(_OneQubit):
    """Find out which qubits work."""

    type: Literal["OneQubitCheck"]


class OneQubitFineTune(_OneQubit):
    """Calibrate the pulses of the candidates."""

    type: Literal["OneQubitFineTune"]


class CustomOneQubit(StepSpec):
    """Run tasks on qubits."""

    type: Literal["CustomOneQubit"]
    step_name: StepName = "custom_one_qubit"
    mode: Mode = "synchronized"
    tasks: TaskNames


class FilterByStatus(StepSpec):
    """Keep the qubits that passed the step before."""

    type: Literal["FilterByStatus"]


class FilterByMetric(StepSpec):
    """Keep the qubits of which the step before measured a value as high as the threshold."""

    type: Literal["FilterByMetric"]
    metric: Annotated[str, Field(min_length=1, max_length=200)] = "x90_fidelity"
    threshold: float = 0.9


class GenerateCRSchedule(StepSpec):
    """Plan which couplings of the candidates are calibrated together."""

    type: Literal["GenerateCRSchedule"]
    max_parallel_ops: ParallelOps = 10
    inverse: Inverse = False


class TwoQubitCalibration(StepSpec):
    """Calibrate the gates of the candidates' couplings."""

    type: Literal["TwoQubitCalibration"]
    tasks: TaskNames | None = None
    max_parallel_ops: ParallelOps = 10


class CustomTwoQubit(StepSpec):
    """Run tasks on couplings."""

    type: Literal["CustomTwoQubit"]
    step_name: StepName = "custom_two_qubit"
    tasks: TaskNames
    max_parallel_ops: ParallelOps = 10


AnyStep = Annotated[
    ConfigureAll
    | BringUp
    | OneQubitCheck
    | OneQubitFineTune
    | CustomOneQubit
    | FilterByStatus
    | FilterByMetric
    | GenerateCRSchedule
    | TwoQubitCalibration
    | CustomTwoQubit,
    Field(discriminator="type"),
]


@flow(name="pipeline", on_cancellation=[on_flow_cancellation])
def pipeline(
    username: str,
    chip_id: str,
    project_id: str,
    targets: Targets,
    steps: Annotated[list[AnyStep], Field(min_length=1, max_length=32)],
    name: Annotated[
        str, Field(pattern="^[A-Za-z][A-Za-z0-9_-]{0,63}$", description="A display name.")
    ] = "pipeline",
    task_run_parameters: RunParameters | None = None,
    default_run_parameters: dict[str, Any] | None = None,
    tags: Tags | None = None,
    flow_name: FlowName | None = None,
) -> Results:
    """Take the steps that the parameters name, in order."""
    cal = CalibService(
        username,
        chip_id,
        project_id=project_id,
        flow_name=flow_name or name,
        tags=tags,
        task_run_parameters=task_run_parameters,
        default_run_parameters=default_run_parameters,
    )
    return cal.run(
        chosen(targets.mux_ids, targets.exclude_qids, targets.qids), [each.step() for each in steps]
    )


PIPELINE = template(pipeline)
