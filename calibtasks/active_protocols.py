"""The active tasks: importing this module defines them, and an executor offers no others."""

from __future__ import annotations

from calibtasks.task import Task
from calibtasks.tasks.coherence.check_ramsey import CheckRamsey
from calibtasks.tasks.coherence.check_t1 import CheckT1
from calibtasks.tasks.coherence.check_t2_echo import CheckT2Echo
from calibtasks.tasks.pulse.create_hpi_pulse import CreateHPIPulse
from calibtasks.tasks.pulse.create_pi_pulse import CreatePIPulse
from calibtasks.tasks.rabi.check_rabi import CheckRabi

ACTIVE: tuple[type[Task], ...] = (
    CheckRabi,
    CreateHPIPulse,
    CreatePIPulse,
    CheckT1,
    CheckT2Echo,
    CheckRamsey,
)
"""Add a task here to make it active; the order is that of a full run."""


def active_tasks() -> dict[str, type[Task]]:
    """Every active task class by name, in the order of a full run."""
    return {task.name: task for task in ACTIVE}
