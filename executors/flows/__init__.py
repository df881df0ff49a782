"""The flows that an executor can run, found by the entry points of the group ``qdash_queue.flows``.

A flow author writes one module with a Prefect flow and a :class:`FlowDefinition`, and names it in the
distribution's metadata::

    [project.entry-points."qdash_queue.flows"]
    my_flow = "my_package.my_flow:MY_FLOW"
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from qdash_queue.errors import QdashQueueError

if TYPE_CHECKING:
    from prefect import Flow

    from qdash_queue.client.models import FlowEntry, TaskEntry

ENTRY_POINT_GROUP = "qdash_queue.flows"

ROW_PARAMETERS = ("username", "chip_id", "project_id")
"""Arguments of a flow that come from the job's columns and never from its ``parameters``."""


class FlowError(QdashQueueError):
    """A flow cannot be offered; the message says which one, why, and where it comes from."""


@dataclass(frozen=True, slots=True)
class FlowDefinition:
    """One flow as the executor offers it.

    Attributes:
        name: what a job's ``flow`` says; the Prefect flow's own name too.
        flow: the Prefect flow, neither async nor a generator; takes ``username``, ``chip_id`` and
            ``project_id`` of the row beside the job's ``parameters``.
        description: one sentence for people.
        schema: JSON Schema of the job's ``parameters``, within the subset that the database checks.
        repeatable: whether a second attempt may measure from the start after an executor was lost.
        timeout_seconds: the time limit of a job that names none.
    """

    name: str
    flow: Flow[..., Any]
    description: str
    schema: Mapping[str, JsonValue]
    repeatable: bool = False
    timeout_seconds: int = 3600

    def __post_init__(self) -> None:
        if self.flow.name != self.name:
            raise FlowError(
                f'flow "{self.name}": expected a Prefect flow of that name, got "{self.flow.name}"'
            )
        # A call of it would not run its body, and nothing awaits or runs through what it returns.
        if self.flow.isasync or self.flow.isgenerator:
            kind = "a generator" if self.flow.isgenerator else "an async function"
            raise FlowError(f'flow "{self.name}": expected a plain function, got {kind}')

    @property
    def hooks(self) -> list[str]:
        """The names of the flow's cancellation hooks."""
        return [str(getattr(hook, "__name__", hook)) for hook in self.flow.on_cancellation_hooks]

    def entry(self) -> FlowEntry:
        """The flow as the database's catalogue holds it."""
        from qdash_queue.client.models import FlowEntry  # noqa: PLC0415 - a flow author's import stays light

        return FlowEntry(
            flow=self.name,
            description=self.description,
            parameters_schema=dict(self.schema),
            repeatable=self.repeatable,
            timeout_seconds=self.timeout_seconds,
            on_cancellation=self.hooks,
        )


def load_flows() -> dict[str, FlowDefinition]:
    """Every flow that is offered, by name: this distribution's own and those of other installed packages.

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
    # Also there when the project runs from a tree that was never installed.
    from executors.flows.calibrate import CALIBRATE  # noqa: PLC0415 - the modules import this one
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
