"""The flows that an executor can run, found by the entry points of the group ``qdash_queue.flows``."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from executors.flows.definition import FlowDefinition, FlowError

if TYPE_CHECKING:
    from qdash_queue.client.models import FlowEntry, TaskEntry

ENTRY_POINT_GROUP = "qdash_queue.flows"


def load_flows() -> dict[str, FlowDefinition]:
    """Every offered flow by name: this distribution's own and those of other installed packages.

    Raises:
        FlowError: an entry point cannot be imported, is no :class:`FlowDefinition`, or two claim one name.
    """
    definitions: dict[str, FlowDefinition] = {definition.name: definition for definition in _own_flows()}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        definition = _load(point)
        if definitions.setdefault(definition.name, definition) is not definition:
            raise FlowError(f'flow "{definition.name}" is offered twice; the second time by {point.value}')
    return definitions


def catalogue_flows(definitions: Iterable[FlowDefinition]) -> list[FlowEntry]:
    """What an executor registers about its flows."""
    return [definition.entry() for definition in definitions]


def catalogue_tasks() -> list[TaskEntry]:
    """What an executor registers about its tasks: every active one, with the schema of its run parameters."""
    from calibtasks.active_protocols import active_tasks  # noqa: PLC0415 - imports the physics
    from executors.engine.catalogue import task_entry  # noqa: PLC0415

    return [task_entry(task_class) for task_class in active_tasks().values()]


def _own_flows() -> list[FlowDefinition]:
    # No entry points of this distribution: the project may run from a tree that was never installed.
    from executors.flows.calibrate import CALIBRATE  # noqa: PLC0415 - loads Prefect
    from executors.flows.interactive import INTERACTIVE  # noqa: PLC0415

    return [CALIBRATE, INTERACTIVE]


def _load(point: EntryPoint) -> FlowDefinition:
    try:
        loaded = point.load()
    except Exception as error:
        raise FlowError(f'flow "{point.name}" ({point.value}) cannot be imported: {error}') from error
    if not isinstance(loaded, FlowDefinition):
        raise FlowError(
            f'flow "{point.name}": expected {point.value} to be a FlowDefinition, got {type(loaded).__name__}'
        )
    return loaded
