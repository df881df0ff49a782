"""A task run repeated with the inputs and run parameters of an earlier one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from pydantic import JsonValue, ValidationError

from calibtasks.parameters.overrides import ParameterOverrides, did_you_mean
from calibtasks.parameters.run_parameters import refuse
from calibtasks.task import Task
from executors.backends.base import BaseBackend
from executors.job.context import JobContext
from executors.job.failures import subject
from executors.job.persistence import persistently
from qdash_queue.domain import CalibrationError, ParameterModel

_READ = """
SELECT t.task, t.qid, j.chip_id, t.input_parameters, t.run_parameters
  FROM calib.task_runs t JOIN calib.jobs j USING (job_id)
 WHERE t.task_run_id = %(task_run_id)s AND j.project_id = %(project_id)s
"""


@dataclass(frozen=True, slots=True)
class Source:
    """The task run that is repeated.

    Attributes:
        task_run_id: its id.
        task: its task.
        qid: what it ran on.
        inputs: its inputs by key, with the session's overrides in place.
        run_parameters: its run parameters by name, with the session's overrides in place.
    """

    task_run_id: UUID
    task: str
    qid: str
    inputs: Mapping[str, ParameterModel]
    run_parameters: Mapping[str, object]

    @classmethod
    def read(cls, context: JobContext, task_run_id: UUID, overrides: ParameterOverrides) -> Source:
        """The task run, of the job's project and chip.

        Raises:
            CalibrationError: ``invalid_request``; there is none, or an override names or gives what is none.
        """
        claimed = context.claimed
        row = persistently(
            lambda: context.database.row(_READ, task_run_id=task_run_id, project_id=claimed.project_id)
        )
        if row is None:
            raise _refuse(f'unknown task run {task_run_id} of project "{claimed.project_id}"')
        if row["chip_id"] != claimed.chip_id:
            raise _refuse(f"expected a task run on chip {claimed.chip_id}, got one on {row['chip_id']}")
        inputs = {key: _value(task_run_id, key, stored) for key, stored in row["input_parameters"].items()}
        for key, value in overrides.get("input", {}).items():
            inputs[key] = _overridden(row["task"], key, value, inputs)
        run_parameters = {**row["run_parameters"], **overrides.get("run", {})}
        return cls(task_run_id, row["task"], row["qid"], inputs, run_parameters)

    def require_match(self, task: type[Task], qids: Sequence[str]) -> None:
        """Refuse a run of another task or on another target, and a source without all run parameters."""
        for qid in qids:
            if (task.name, qid) != (self.task, self.qid):
                raise _refuse(
                    f"task run {self.task_run_id} is {self.task} on {subject(self.qid)},"
                    f" not {task.name} on {subject(qid)}"
                )
        for name in task.run_parameters:
            if name not in self.run_parameters:
                raise self._incomplete("run parameter", name)

    def put_into(self, backend: BaseBackend, task: Task) -> None:
        """Let the session work with the inputs; a value that the source ran without is hidden.

        Raises:
            CalibrationError: ``invalid_request``; the source lacks an input. Nothing has changed.
        """
        notes: list[tuple[str, dict[str, ParameterModel]]] = []
        for read in task.reads(backend, self.qid):
            given = self.inputs.get(read.key)
            if given is None and not read.is_optional:
                raise self._incomplete("input", read.key)
            values = dict.fromkeys(read.names, ParameterModel())
            if given is not None:
                known = given.parameter_name in read.names
                values[given.parameter_name if known else read.names[0]] = given
            notes.append((read.holder, values))
        for holder, values in notes:
            backend.update_note(holder, values)

    def _incomplete(self, what: str, name: str) -> CalibrationError:
        return _refuse(f"task run {self.task_run_id} of {self.task} was recorded without the {what} {name}")


def _refuse(message: str) -> CalibrationError:
    return refuse(f"source_task_id: {message}", "source_task")


def _value(task_run_id: UUID, key: str, stored: JsonValue) -> ParameterModel:
    try:
        found = ParameterModel.model_validate(stored)
    except ValidationError:
        found = ParameterModel()
    if found.value is None or not math.isfinite(found.value):
        raise _refuse(f"task run {task_run_id}: expected a finite number as input {key}, got {stored!r:.100}")
    return found


def _overridden(task: str, key: str, value: object, inputs: Mapping[str, ParameterModel]) -> ParameterModel:
    """The input with another value, which no measurement gave."""
    if key not in inputs:
        hint = did_you_mean(key, inputs) or f" (it has: {', '.join(inputs) or 'none'})"
        raise refuse(f'parameter_overrides: {task} has no input "{key}"{hint}', "unknown_input")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise refuse(f"parameter_overrides: expected a finite number as {key}, got {value!r}", "bad_input")
    unmeasured = {"error": 0.0, "calibrated_at": None, "execution_id": "", "task_id": ""}
    return inputs[key].model_copy(update={"value": value, **unmeasured})
