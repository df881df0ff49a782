"""The active tasks: importing this module defines them, and an executor offers no others."""

from __future__ import annotations

from calibtasks.base import BaseTask
from calibtasks.parameters.overrides import did_you_mean
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
    """The task class of that name, active or defined by a caller.

    Raises CalibrationError (``invalid_request``) with the nearest known name when there is none.
    """
    known = BaseTask.defined()
    if name in known:
        return known[name]
    hint = did_you_mean(name, known) or f" (known: {', '.join(known)})"
    raise refuse(f'unknown task "{name}"{hint}', "unknown_task")
