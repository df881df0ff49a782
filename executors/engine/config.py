"""The configuration of a calibration session, under QDash's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from calibtasks.parameters.overrides import ParameterOverrides, RunParameterDefaults, TaskRunParameters
from qdash_queue.errors import QdashQueueError


class ConfigError(QdashQueueError, ValueError):
    """A wrong configuration; the message names the field, what was expected and what was given."""


def _each_once(qids: list[str]) -> list[str]:
    if len(set(qids)) < len(qids):
        raise ValueError("a qubit is named twice")
    return qids


_Text = Annotated[StrictStr, Field(min_length=1)]
_Qid = Annotated[StrictStr, Field(pattern=r"^(0|[1-9][0-9]*)(-(0|[1-9][0-9]*))?$")]


class CalibConfig(BaseModel):
    """One calibration session.

    Inside a job (a flow run by an executor) the row is the truth: chip, user and project must agree with it,
    and ``execution_id``, ``flow_name``, ``tags`` and ``note`` are the row's. In a plain script they describe
    the job that :meth:`CalibOrchestrator.initialize` inserts.

    Attributes:
        username: the project member for whom the session runs; names a folder.
        chip_id: the chip.
        qids: the qubits (``"0"``) or couplings (``"0-1"``) that the session may touch.
        execution_id: the caller's own label, kept in the job's note. The queue gives out the execution id.
        backend_name: ``fake`` or ``qubex``; ``None`` is the chip's own kind, any other is refused.
        flow_name: the display name.
        tags: words to find the session by.
        note: anything that belongs to the session.
        muxes: multiplexers whose qubits belong to the session, beside ``qids``.
        project_id: the project; ``None`` in a script means the only project of the role.
        skip_execution: run inside the present job without ever giving its verdict.
        persist_output_parameters: ``False`` records what is measured without changing any parameter.
        default_run_parameters: run parameters for every task: ``{task: {name: value}}`` or ``{name: value}``.
        task_run_parameters: run parameters above these: ``{task: {name: value}}``.
        source_task_id: a task run to repeat, of the same project and chip: its task runs on its target with
            its inputs and run parameters, and no other task does that has parameters.
        parameter_overrides: ``{"input": {name: value}, "run": {name: value}}``, above those of the source.

    Raises:
        ConfigError: a field has a value that cannot be used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # A description completes "expected …" in the message about a wrong value.
    username: StrictStr = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{2,63}$",
        description="3 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit",
    )
    chip_id: StrictStr = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$", description='a chip such as "64Qv3"'
    )
    qids: Annotated[list[_Qid], AfterValidator(_each_once)] = Field(
        default=[], description='a list such as ["0", "1", "0-1"], each qubit or coupling once'
    )
    execution_id: _Text | None = Field(None, description="a text or None")
    backend_name: _Text | None = Field(None, description="a text or None")
    flow_name: _Text | None = Field(None, description="a text or None")
    tags: list[StrictStr] | None = Field(None, description="a list of texts or None")
    note: Mapping[str, Any] | None = Field(None, description="a mapping or None")
    muxes: list[StrictInt] | None = Field(None, description="a list of numbers or None")
    project_id: _Text | None = Field(None, description="a text or None")
    skip_execution: StrictBool = Field(default=False, description="True or False")
    persist_output_parameters: StrictBool = Field(default=True, description="True or False")
    default_run_parameters: RunParameterDefaults = Field(default={}, description="a mapping")
    task_run_parameters: TaskRunParameters = Field(default={}, description="a mapping {task: {name: value}}")
    source_task_id: UUID | None = Field(None, description="the id of a task run or None")
    parameter_overrides: ParameterOverrides = Field(
        default={},
        description='{"input": {name: value}, "run": {name: value}} beside a source_task_id',
    )

    @field_validator("parameter_overrides")
    @classmethod
    def _only_with_a_source(cls, given: ParameterOverrides, info: ValidationInfo) -> ParameterOverrides:
        if given and info.data.get("source_task_id") is None:
            raise ValueError("there is nothing to override")
        return given

    if not TYPE_CHECKING:  # Type checkers see the fields.

        def __init__(self, **given: object) -> None:
            try:
                super().__init__(**given)
            except ValidationError as error:
                raise ConfigError(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    if name not in CalibConfig.model_fields:
        return f"CalibConfig.{name}: there is no such field"
    got = "nothing" if first["type"] == "missing" else repr(first["input"])
    return f"CalibConfig.{name}: expected {CalibConfig.model_fields[name].description}, got {got}"
