"""Templates that find resonators and qubits on a chip of which little is known."""

from __future__ import annotations

from typing import Annotated, Literal

from prefect import flow
from pydantic import Field

from executors.flows.template_parameters import (
    INTERVAL,
    FlowName,
    Mode,
    MuxIds,
    OtherQids,
    Qids,
    Results,
    Tags,
    chosen,
    session,
    template,
)
from executors.service import on_flow_cancellation
from executors.service.steps import BringUp, ConfigureAll, ExperimentalSimultaneousBringUp


@flow(name="bringup", on_cancellation=[on_flow_cancellation])
def bringup(
    username: str,
    chip_id: str,
    project_id: str,
    mux_ids: MuxIds | None = None,
    exclude_qids: OtherQids | None = None,
    qids: Qids | None = None,
    mode: Mode = "scheduled",
    tags: Tags | None = None,
    flow_name: FlowName | None = None,
    resonator_assignment_pattern: Annotated[
        str, Field(min_length=1, max_length=100, description='Of CheckResonatorSpectroscopy, such as "16q".')
    ]
    | None = None,
) -> Results:
    """Find resonators and qubits."""
    return session(username, chip_id, project_id, flow_name, tags, INTERVAL).run(
        chosen(mux_ids, exclude_qids, qids),
        [
            ConfigureAll(),
            BringUp(mode=mode, resonator_assignment_pattern=resonator_assignment_pattern),
        ],
    )


@flow(name="experimental_simultaneous_bringup", on_cancellation=[on_flow_cancellation])
def experimental_simultaneous_bringup(
    username: str,
    chip_id: str,
    project_id: str,
    mux_ids: MuxIds | None = None,
    exclude_qids: OtherQids | None = None,
    qids: Qids | None = None,
    tags: Tags | None = None,
    flow_name: FlowName | None = None,
    simultaneous_spectroscopy_schedule_mode: Annotated[
        Literal["all", "local_index"],
        Field(description="all: every qubit together; local_index: those of one place in their MUXes."),
    ] = "all",
) -> Results:
    """Find the resonators, then the qubits of many MUXes at once."""
    step = ExperimentalSimultaneousBringUp(
        simultaneous_spectroscopy_schedule_mode=simultaneous_spectroscopy_schedule_mode
    )
    return session(username, chip_id, project_id, flow_name, tags, INTERVAL).run(
        chosen(mux_ids, exclude_qids, qids), [step]
    )


TEMPLATES = [template(each, muxes_or_qids=True) for each in (bringup, experimental_simultaneous_bringup)]
