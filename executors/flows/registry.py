"""The flows that an executor can run: its own, those of entry points, and those of a folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from executors.flows.definition import FlowDefinition, FlowError
from executors.flows.folder import Candidate, Found, flows_in, words_of
from qdash_queue.errors import QueueError

if TYPE_CHECKING:
    from qdash_queue.client.leases import Executor
    from qdash_queue.client.records import FlowEntry, TaskEntry

ENTRY_POINT_GROUP = "qdash_queue.flows"
_OWN = "qdash-queue"
_HOOK = "on_flow_cancellation"


@dataclass(frozen=True)
class FoundFlows:
    """What can be offered, and what cannot.

    Attributes:
        candidates: the offered flows by name.
        findings: one sentence on each file, entry point or flow that cannot be offered.
    """

    candidates: dict[str, Candidate] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    @property
    def flows(self) -> dict[str, FlowDefinition]:
        """The offered flows by name."""
        return {name: each.definition for name, each in self.candidates.items()}

    def add(self, found: Found) -> None:
        """Offer a flow if its name is free and it can be cancelled, else say why not."""
        words = found if isinstance(found, str) else self._why_not(found)
        if words:
            self.findings.append(words)
        elif isinstance(found, Candidate):
            self.candidates.setdefault(found.definition.name, found)

    def _why_not(self, found: Candidate) -> str:
        definition = found.definition
        about = f'{found.origin}: flow "{definition.name}"'
        if _HOOK not in definition.hooks:
            return f"{about} does not register {_HOOK}: decorate it with @flow(on_cancellation=[{_HOOK}])"
        first = self.candidates.get(definition.name, found)
        if first.definition is not definition:
            return f"{about} is offered by {first.origin} already"
        try:
            json.dumps(definition.entry().model_dump(mode="json"), allow_nan=False)
        except ValueError as error:
            return f"{about} cannot be registered: {' '.join(str(error).split())}"
        return ""


def find_flows(folder: Path | None = None) -> FoundFlows:
    """Every flow of this distribution, of other installed packages, and of the folder, if there is one.

    Of two flows of one name the first stands, in this order; within a folder the first by file name.
    """
    found = FoundFlows()
    for definition in _own_flows():
        found.add(Candidate(definition, _OWN))
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: (point.name, point.value)):
        found.add(_load(point))
    for each in flows_in(folder) if folder is not None else ():
        found.add(each)
    return found


def load_flows(folder: Path | None = None) -> dict[str, FlowDefinition]:
    """Every offered flow by name; see :func:`find_flows`."""
    return find_flows(folder).flows


def register(executor: Executor, found: FoundFlows, tasks: Sequence[TaskEntry]) -> FoundFlows:
    """Register flows and tasks; a flow of others that the database refuses is left out and stops no other.

    Returns:
        What is offered, with the database's words on each flow that it refuses.

    Raises:
        QueueError: the database refuses this distribution's own flows or tasks, or this executor.
        DatabaseUnreachableError: it does not answer.
    """
    try:
        executor.register_catalogue(catalogue_flows(found.flows.values()), tasks)
    except QueueError:
        refused = dict(_refused(executor, found))
        if not refused:
            raise
        kept = {name: each for name, each in found.candidates.items() if name not in refused}
        found = replace(found, candidates=kept, findings=[*found.findings, *refused.values()])
        executor.register_catalogue(catalogue_flows(found.flows.values()), tasks)
    return found


def catalogue_flows(definitions: Iterable[FlowDefinition]) -> list[FlowEntry]:
    """What an executor registers about its flows."""
    return [definition.entry() for definition in definitions]


def catalogue_tasks() -> list[TaskEntry]:
    """What an executor registers about its tasks, with the schemas of their run parameters.

    The active ones in the order of a full run, then those of flow files that have been read; of two tasks of
    one name the one that runs.
    """
    from calibtasks.active_protocols import active_tasks  # noqa: PLC0415 - imports the physics
    from calibtasks.task import REGISTRY  # noqa: PLC0415
    from executors.engine.catalogue import task_entry  # noqa: PLC0415

    return [task_entry(task) for task in {**active_tasks(), **REGISTRY.by_name()}.values()]


def _refused(executor: Executor, found: FoundFlows) -> Iterator[tuple[str, str]]:
    for name, each in found.candidates.items():
        if each.origin == _OWN:
            continue
        try:
            executor.check_flow(each.definition.entry())
        except QueueError as error:
            yield name, f"{each.origin}: {error}"


def _own_flows() -> list[FlowDefinition]:
    # No entry points of this distribution: the project may run from a tree that was never installed.
    from executors.flows import (  # noqa: PLC0415 - loads Prefect
        bringup,
        full_calibration,
        one_qubit,
        parallel_retry,
        single_task,
        two_qubit,
    )
    from executors.flows.calibrate import CALIBRATE  # noqa: PLC0415
    from executors.flows.interactive import INTERACTIVE  # noqa: PLC0415
    from executors.flows.pipeline import PIPELINE  # noqa: PLC0415

    templates = (one_qubit, two_qubit, bringup, full_calibration, parallel_retry, single_task)
    return [CALIBRATE, INTERACTIVE, PIPELINE, *(each for module in templates for each in module.TEMPLATES)]


def _load(point: EntryPoint) -> Found:
    origin = f"entry point {point.name} ({point.value})"
    try:
        loaded = point.load()
        if not isinstance(loaded, FlowDefinition):
            raise FlowError(f"expected a FlowDefinition, got {type(loaded).__name__}")  # noqa: TRY301
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a module that calls sys.exit() stops no other flow
        return f"{origin}: {words_of(error)}"
    return Candidate(loaded, origin)
