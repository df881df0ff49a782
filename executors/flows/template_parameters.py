"""What the templates share: the types of their parameters, the choice of targets, their run parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, JsonValue

from calibtasks.parameters.overrides import RunParameterDefaults
from calibtasks.parameters.run_parameters import refuse
from executors.flows.definition import FlowDefinition
from executors.flows.signature import Mux, Qid, TaskName, flow_of
from executors.service import CalibService
from executors.service.targets import MuxTargets, QubitTargets, Target

if TYPE_CHECKING:
    from prefect import Flow

_EACH_ONCE = {"uniqueItems": True}

Qids = Annotated[
    list[Qid],
    Field(min_length=1, max_length=4096, json_schema_extra=_EACH_ONCE, description="Qubits, each once."),
]
OtherQids = Annotated[list[Qid], Field(max_length=4096, description="Qubits of the MUXes to leave out.")]
MuxIds = Annotated[
    list[Mux],
    Field(min_length=1, max_length=4096, json_schema_extra=_EACH_ONCE, description="MUXes, each once."),
]
TaskNames = Annotated[
    list[TaskName],
    Field(min_length=1, max_length=100, description="Tasks in order; a task may be repeated."),
]
Mode = Annotated[
    Literal["scheduled", "synchronized", "serial", "simultaneous", "simultaneous_spectroscopy"],
    Field(
        description="scheduled: MUXes beside each other, the qubits of each in turn; synchronized: in steps"
        " of one qubit of each MUX; serial: one qubit after another; simultaneous, also called"
        " simultaneous_spectroscopy: each task on all qubits."
    ),
]
ParallelOps = Annotated[int, Field(ge=1, le=100, description="How many couplings are calibrated together.")]
Inverse = Annotated[bool, Field(description="Whether the qubit of the higher frequency controls.")]
Tags = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=100)]],
    Field(max_length=32, description="Words to find the job by."),
]
FlowName = Annotated[str, Field(min_length=1, max_length=200, description="A display name.")]
Results = dict[str, object]

MUXES_OR_QIDS: list[JsonValue] = [
    {
        "required": ["qids"],
        "properties": {
            "qids": {"type": "array"},
            "mux_ids": {"type": "null"},
            "exclude_qids": {"maxItems": 0},
        },
    },
    {"required": ["mux_ids"], "properties": {"mux_ids": {"type": "array"}, "qids": {"type": "null"}}},
]
"""The two ways to name targets; QDash's interface sends null for what was not chosen."""

INTERVAL = {"interval": 150 * 1024}
"""Nanoseconds from shot to shot."""
PULSES = INTERVAL | {
    "hpi_duration": 32,
    "pi_duration": 32,
    "drag_hpi_duration": 16,
    "drag_pi_duration": 24,
}
"""Beside it the lengths of pulses, in nanoseconds."""


def chosen(mux_ids: list[int] | None, exclude_qids: list[str] | None, qids: list[str] | None) -> Target:
    """The qubits of the MUXes but those excluded, or without MUXes the qubits named.

    Raises:
        CalibrationError: ``invalid_request``; there are neither, or both.
    """
    if mux_ids is not None and qids is not None:
        raise refuse("mux_ids and qids: expected one of them, got both", "two_targets")
    if mux_ids is not None:
        return MuxTargets(mux_ids, exclude_qids or ())
    if qids is not None:
        return QubitTargets(qids)
    raise refuse("mux_ids or qids is required: select targets before running this flow", "no_targets")


def session(
    username: str,
    chip_id: str,
    project_id: str,
    flow_name: str | None,
    tags: list[str] | None,
    run_parameters: RunParameterDefaults | None = None,
) -> CalibService:
    """The service of a template's job; it opens when it runs."""
    return CalibService(
        username,
        chip_id,
        project_id=project_id,
        flow_name=flow_name,
        tags=tags,
        default_run_parameters=run_parameters,
    )


def template(flow: Flow[..., Any], *, muxes_or_qids: bool = False) -> FlowDefinition:
    """Offer a template; with ``muxes_or_qids`` a job has to name its targets in one of the two ways."""
    definition = flow_of(flow, repeatable=True, timeout_seconds=86_400)
    if not muxes_or_qids:
        return definition
    return replace(definition, schema={**definition.schema, "anyOf": MUXES_OR_QIDS})
