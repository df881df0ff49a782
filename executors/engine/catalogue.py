"""A task's entry in the database's catalogue."""

from __future__ import annotations

import inspect

from calibtasks.parameters.outputs import OutputParameter
from calibtasks.task import Task
from qdash_queue.client.records import OutputEntry, TaskEntry
from qdash_queue.domain import ParameterModel


def task_entry(task: type[Task]) -> TaskEntry:
    """The entry: type, description with whose it is, run parameters' schema, inputs and outputs."""
    return TaskEntry(
        task=task.name,
        task_type=task.task_type,
        description=f"{task.description or _first_line(task)}{_of_others(task)}".strip(),
        parameters_schema=task.run_parameters_schema(),
        input_parameters=list(task.input_parameters),
        output_parameters=list(task.output_parameters),
        outputs=[_output(key, output) for key, output in task.output_parameters.items()],
    )


def _output(key: str, output: ParameterModel) -> OutputEntry:
    limits = output.believable if isinstance(output, OutputParameter) else None
    return OutputEntry(
        name=output.parameter_name or key,
        unit=output.unit,
        kind="integer" if output.value_type == "int" else "number",
        lower=None if limits is None else limits.low,
        upper=None if limits is None else limits.high,
    )


def _first_line(task: type[Task]) -> str:
    """The first line of the class's own docstring; empty if it has none."""
    return inspect.cleandoc(task.__dict__.get("__doc__") or "").partition("\n")[0]


def _of_others(task: type[Task]) -> str:
    """Where a task comes from that is not this project's."""
    origin = task.origin()
    return f" [of {origin}]" if origin else ""
