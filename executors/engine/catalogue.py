"""What the database is told about a task."""

from __future__ import annotations

import inspect

from calibtasks.base import BaseTask
from qdash_queue.client.models import TaskEntry


def task_entry(task: type[BaseTask]) -> TaskEntry:
    """The task as the database's catalogue holds it: type, words, schema of its run parameters, names."""
    return TaskEntry(
        task=task.name,
        task_type=task.task_type,
        description=task.description or first_sentence(task),
        parameters_schema=task.run_parameters_schema(),
        input_parameters=list(task.input_parameters),
        output_parameters=list(task.output_parameters),
    )


def first_sentence(task: type[BaseTask]) -> str:
    """The first line of the class's own docstring; empty if it has none."""
    words = inspect.cleandoc(task.__dict__.get("__doc__") or "")
    return words.partition("\n")[0]
