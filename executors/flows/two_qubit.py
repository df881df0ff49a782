"""Templates that calibrate couplings."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from pydantic import Field

from executors.flows.signature import Qid
from executors.flows.template_parameters import (
    INTERVAL,
    PULSES,
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
    session,
    template,
)
from executors.service import on_flow_cancellation
from executors.service.steps import (
    CustomOneQubit,
    CustomTwoQubit,
    GenerateCRSchedule,
    SetCRSchedule,
    Step,
    TwoQubitCalibration,
)
from executors.service.targets import CouplingTargets, QubitTargets

_Group = Annotated[list[tuple[Qid, Qid]], Field(min_length=1, max_length=4096)]
Schedule = Annotated[
    list[_Group],
    Field(
        min_length=1,
        max_length=4096,
        description="Groups of (control, target): the pairs of a group together, one group after another.",
    ),
]
SomeQids = Annotated[
    list[Qid],
    Field(
        min_length=2, max_length=4096, json_schema_extra={"uniqueItems": True}, description="At least two."
    ),
]


def _two_qubit(name: str, tasks: list[str] | None, max_parallel_ops: int = 10) -> Step:
    if tasks is None:
        return TwoQubitCalibration(max_parallel_ops=max_parallel_ops)
    return CustomTwoQubit(name, tasks, max_parallel_ops)


@flow(name="two_qubit", on_cancellation=[on_flow_cancellation])
def two_qubit(
    username: str,
    chip_id: str,
    project_id: str,
    qids: SomeQids,
    tasks: TaskNames | None = None,
    max_parallel_ops: ParallelOps = 10,
    *,
    inverse: Inverse = False,
    tags: Tags | None = None,
    flow_name: FlowName | None = None,
) -> Results:
    """Plan and calibrate the couplings between qubits."""
    return session(username, chip_id, project_id, flow_name, tags, INTERVAL).run(
        QubitTargets(qids),
        [
            GenerateCRSchedule(max_parallel_ops, inverse),
            _two_qubit("two_qubit", tasks, max_parallel_ops),
        ],
    )


@flow(name="two_qubit_scheduled", on_cancellation=[on_flow_cancellation])
def two_qubit_scheduled(
    username: str,
    chip_id: str,
    project_id: str,
    schedule: Schedule,
    tasks: TaskNames | None = None,
    tags: Tags | None = None,
    flow_name: FlowName | None = None,
) -> Results:
    """Calibrate couplings in the groups that are given."""
    return session(username, chip_id, project_id, flow_name, tags, INTERVAL).run(
        CouplingTargets([pair for group in schedule for pair in group]),
        [SetCRSchedule(schedule), _two_qubit("two_qubit_scheduled", tasks)],
    )


@flow(name="coherence_limit", on_cancellation=[on_flow_cancellation])
def coherence_limit(
    username: str,
    chip_id: str,
    project_id: str,
    mux_ids: MuxIds | None = None,
    exclude_qids: OtherQids | None = None,
    qids: Qids | None = None,
    mode: Mode = "scheduled",
    tags: Tags | None = None,
    flow_name: FlowName | None = None,
) -> Results:
    """Compute the fidelities that the coherence times allow gates of one and two qubits."""
    run_parameters = {"drag_hpi_duration": PULSES["drag_hpi_duration"]}
    return session(username, chip_id, project_id, flow_name, tags, run_parameters).run(
        chosen(mux_ids, exclude_qids, qids),
        [
            CustomOneQubit("coherence_limit_1q", ["Check1QGateCoherenceLimit"], mode),
            GenerateCRSchedule(),
            CustomTwoQubit("coherence_limit_2q", ["Check2QGateCoherenceLimit"]),
        ],
    )


TEMPLATES = [
    template(two_qubit),
    template(two_qubit_scheduled),
    template(coherence_limit, muxes_or_qids=True),
]
