"""What a flow author declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from qdash_queue.errors import QdashQueueError

if TYPE_CHECKING:
    from prefect import Flow

    from qdash_queue.client.records import FlowEntry


class FlowError(QdashQueueError):
    """A flow cannot be offered; the message says which one, why, and where it comes from."""


@dataclass(frozen=True, slots=True)
class FlowDefinition:
    """One flow as the executor offers it.

    Attributes:
        name: the value of a job's ``flow``, and the name of the Prefect flow.
        flow: the Prefect flow, neither async nor a generator; takes ``username``, ``chip_id`` and
            ``project_id`` of the row beside the job's ``parameters``.
        description: one sentence.
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
        # Calling it would not run its body, and nothing awaits or iterates over what it returns.
        if self.flow.isasync or self.flow.isgenerator:
            kind = "a generator" if self.flow.isgenerator else "an async function"
            raise FlowError(f'flow "{self.name}": expected a plain function, got {kind}')

    @property
    def hooks(self) -> list[str]:
        """The names of the flow's cancellation hooks."""
        return [str(getattr(hook, "__name__", hook)) for hook in self.flow.on_cancellation_hooks]

    def entry(self) -> FlowEntry:
        """The flow as the database's catalogue holds it."""
        from qdash_queue.client.records import FlowEntry  # noqa: PLC0415 - a flow author's import stays light

        return FlowEntry(
            flow=self.name,
            description=self.description,
            parameters_schema=dict(self.schema),
            repeatable=self.repeatable,
            timeout_seconds=self.timeout_seconds,
            on_cancellation=self.hooks,
        )
