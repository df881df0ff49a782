"""Templates that calibrate qubits, each by itself."""

from __future__ import annotations

from typing import Annotated, Literal

from prefect import flow
from pydantic import Field

from executors.flows.template_parameters import (
    INTERVAL,
    PULSES,
    FlowName,
    Mode,
    MuxIds,
    OtherQids,
    Qids,
    Results,
    Tags,
    TaskNames,
    chosen,
    session,
    template,
)
from executors.service import CalibService, on_flow_cancellation
from executors.service.steps import CustomOneQubit, FilterByStatus, OneQubitCheck, OneQubitFineTune, Step
from executors.service.targets import QubitTargets

_SIMPLE_TASKS = ("CheckRabi", "CreateHPIPulse", "CheckHPIPulse")
_FAKE_TASKS = ("CheckFineChevron", "CreateHPIPulse", "CheckRabi", "CheckT1", "CheckT2Echo")
_FAKE_QIDS = ("0", "1", "2", "3")


@flow(name="simple", on_cancellation=[on_flow_cancellation])
def simple(
    username: str,
    chip_id: str,
    project_id: str,
    mux_ids: MuxIds | None = None,
    exclude_qids: OtherQids | None = None,
    qids: Qids | None = None,
    tasks: TaskNames | None = None,
    mode: Mode = "scheduled",
    tags: Tags | None = None,
    flow_name: FlowName | None = None,
) -> Results:
    """Run tasks in order on qubits: CheckRabi, CreateHPIPulse and CheckHPIPulse, or those named."""
    run_parameters = INTERVAL | {"hpi_duration": PULSES["hpi_duration"]}
    return session(username, chip_id, project_id, flow_name, tags, run_parameters).run(
        chosen(mux_ids, exclude_qids, qids),
        [CustomOneQubit("simple_tasks", tasks or _SIMPLE_TASKS, mode)],
    )


@flow(name="check_waveform", on_cancellation=[on_flow_cancellation])
def check_waveform(
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
    """Look at the waveforms that qubits are read out by."""
    return session(username, chip_id, project_id, flow_name, tags, INTERVAL).run(
        chosen(mux_ids, exclude_qids, qids), [CustomOneQubit("check_waveform", ["CheckWaveform"], mode)]
    )


@flow(name="one_qubit", on_cancellation=[on_flow_cancellation])
def one_qubit(
    username: str,
    chip_id: str,
    project_id: str,
    mux_ids: MuxIds | None = None,
    exclude_qids: OtherQids | None = None,
    qids: Qids | None = None,
    tags: Tags | None = None,
    flow_name: FlowName | None = None,
    *,
    check_only: Annotated[bool, Field(description="Whether to end after the check.")] = False,
) -> Results:
    """Check qubits, then tune those that passed."""
    steps: list[Step] = [OneQubitCheck()]
    if not check_only:
        steps += [FilterByStatus(), OneQubitFineTune()]
    return session(username, chip_id, project_id, flow_name, tags, PULSES).run(
        chosen(mux_ids, exclude_qids, qids), steps
    )


@flow(name="fake_calibration", on_cancellation=[on_flow_cancellation])
def fake_calibration(
    username: str,
    chip_id: str,
    project_id: str,
    qids: Qids | None = None,
    tasks: TaskNames | None = None,
    backend_name: Annotated[
        Literal["fake", "qubex"], Field(description="Refused where the chip is of the other kind.")
    ]
    | None = None,
    tags: Tags | None = None,
    flow_name: FlowName | None = None,
) -> Results:
    """Try out a calibration on a simulated chip, by default on its first four qubits."""
    cal = CalibService(
        username, chip_id, project_id=project_id, flow_name=flow_name, tags=tags, backend_name=backend_name
    )
    return cal.run(QubitTargets(qids or _FAKE_QIDS), [CustomOneQubit("calibration", tasks or _FAKE_TASKS)])


TEMPLATES = [
    *(template(each, muxes_or_qids=True) for each in (simple, check_waveform, one_qubit)),
    template(fake_calibration),
]
