"""The tasks that are active: importing this module defines them, and nothing else is offered to anybody."""

from __future__ import annotations

from difflib import get_close_matches

from calibtasks.base import BaseTask
from calibtasks.parameters.run_parameters import refuse
from calibtasks.tasks.coherence.check_ramsey import CheckRamsey
from calibtasks.tasks.coherence.check_t1 import CheckT1
from calibtasks.tasks.pulse.create_hpi_pulse import CreateHPIPulse
from calibtasks.tasks.rabi.check_rabi import CheckRabi

ACTIVE: tuple[type[BaseTask], ...] = (CheckRabi, CreateHPIPulse, CheckT1, CheckRamsey)
"""Add a task here to make it active; the order is that of a full run."""


def active_tasks() -> dict[str, type[BaseTask]]:
    """Every active task class by name, in the order of a full run."""
    return {task.name: task for task in ACTIVE}


def task_class(name: str) -> type[BaseTask]:
    """The task class of that name, active or defined by the caller.

    Raises CalibrationError (``invalid_request``) with the nearest known name when there is none.
    """
    known = {**BaseTask.defined(), **active_tasks()}
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1)
    hint = f': did you mean "{near[0]}"?' if near else f" (known: {', '.join(known)})"
    raise refuse(f'unknown task "{name}"{hint}', "unknown_task")
