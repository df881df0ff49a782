"""An open session: the tasks that run in it, and the values that it works with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from uuid import UUID

from calibtasks.parameters.overrides import TaskDetails, overrides_for
from calibtasks.parameters.run_parameters import refuse
from calibtasks.task import REGISTRY, Task, owner
from executors.backends.base import BaseBackend
from executors.engine.backend_session import chip_layout, reversed_coupling
from executors.engine.config import CalibConfig
from executors.engine.grouping import Layout, groups
from executors.engine.interactive import InteractiveJob
from executors.engine.lifecycle import TaskLifecycle, TaskOutcome
from executors.engine.measured import Turn
from executors.engine.recorder import TaskRecorder
from executors.engine.replay import Source
from executors.job.context import JobContext
from executors.job.failures import TaskFailedError
from executors.job.persistence import persistently
from executors.prefect.task_runs import run_visibly
from qdash_queue.client.records import PlannedTask, StageRecord
from qdash_queue.domain import ParameterModel, TaskType

TaskOutputs = dict[str, ParameterModel | str]
"""Output parameters by name, and under ``task_id`` the id of the record."""


@dataclass(slots=True)
class Session:
    """What :class:`CalibOrchestrator` works with while it is open.

    Attributes:
        config: of the session.
        context: of its job.
        backend: connected.
        qids: what it may touch.
        interactive: the script's own job; None inside a job of an executor.
    """

    config: CalibConfig
    context: JobContext
    backend: BaseBackend
    qids: tuple[str, ...]
    interactive: InteractiveJob | None
    _runs: Counter[tuple[str, str]] = field(default_factory=Counter)
    _last_run: dict[str, UUID] = field(default_factory=dict)
    _layout: Layout | None = None

    def plan(self, tasks: Sequence[tuple[str, str]]) -> None:
        """Announce the (task, qid) that will run, in order; CalibrationError (``invalid_request``)."""
        seen: Counter[tuple[str, str]] = Counter()
        planned = []
        for name, qid in tasks:
            task = REGISTRY.find(name)
            task_type = task.task_type
            self._require_target(task_type, qid)
            self._source(task, [qid])
            repetition = self._runs[name, qid] + seen[name, qid]
            planned.append(PlannedTask(task=name, qid=qid, task_type=task_type, repetition=repetition))
            seen[name, qid] += 1
        with self._inside():
            persistently(lambda: self.context.lease.plan_tasks(planned))

    def record_stage(self, position: int, stage: StageRecord) -> None:
        """Keep what is known of a stage of the job."""
        with self._inside():
            persistently(lambda: self.context.lease.record_stage(position, stage))

    def run(
        self,
        task_name: str,
        qids: Sequence[str],
        task_details: TaskDetails | None,
        upstream_ids: Mapping[str, str] | None,
    ) -> dict[str, TaskOutputs | TaskFailedError]:
        """Run one task on every qid, group by group; see :meth:`CalibOrchestrator.run_tasks`."""
        found = REGISTRY.find(task_name)
        for qid in qids:
            self._require_target(found.task_type, qid)
        if len(set(qids)) < len(qids):
            raise refuse(f"{task_name}: expected every qid once, got {', '.join(qids)}", "qid_twice")
        for name in task_details or {}:
            REGISTRY.find(name)
        source = self._source(found, qids)
        settings = overrides_for(
            task_name,
            found.run_parameters,
            self.config.default_run_parameters,
            task_details,
            {task_name: source.run_parameters} if source else self.config.task_run_parameters,
        )
        # Made before anything is measured, so that wrong settings are refused at once.
        sweeps = [(found(settings), group) for group in self._groups(found, qids)]
        results: dict[str, TaskOutputs | TaskFailedError] = {}
        for task, group in sweeps:
            if source is not None:
                source.put_into(self.backend, task)
            turns = [self._turn(task_name, qid, (upstream_ids or {}).get(qid), source) for qid in group]
            for qid, outcome in self._run_sweep(task, turns).items():
                results[qid] = self._outputs(qid, outcome)
        return {qid: results[qid] for qid in qids}

    def to_repeat(self, task_name: str, qid: str, earlier: Sequence[str]) -> list[str]:
        """Those of the ``earlier`` tasks that yield a value which the task needs and which is suspect."""
        inputs = REGISTRY.find(task_name).input_parameters.items()
        needs = [(owner(qid, item.qid_role), item.parameter_name or key) for key, item in inputs]
        suspect = {need for need in needs if self.backend.is_suspect(*need)}
        return [name for name in dict.fromkeys(earlier) if suspect & _yields(REGISTRY.find(name), qid)]

    def set_parameter(self, qid: str, name: str, value: float, unit: str) -> None:
        """Let the rest of the session work with ``value``; ValueError when it is not finite."""
        if not math.isfinite(value):
            raise ValueError(f"{name} of qubit {qid}: expected a finite number, got {value}")
        present = dict(self.backend.parameters(qid)).get(name)
        kept = unit or ("" if present is None else present.unit)
        self.backend.update_note(qid, {name: ParameterModel(parameter_name=name, value=value, unit=kept)})

    def _source(self, task: type[Task], qids: Sequence[str]) -> Source | None:
        """The task run that this one repeats; None: it repeats none."""
        wanted = self.config.source_task_id
        if wanted is None:
            return None
        source = Source.read(self.context, wanted, self.config.parameter_overrides)
        if task.name != source.task and not _has_parameters(task):
            # Configure, before the task that is repeated.
            return None
        source.require_match(task, qids)
        return source

    def _groups(self, task: type[Task], qids: Sequence[str]) -> list[list[str]]:
        measured_together = task.simultaneous and task.task_type in (TaskType.QUBIT, TaskType.COUPLING)
        if not measured_together or len(qids) < 2:
            return [[qid] for qid in qids]
        if self._layout is None:
            self._layout = persistently(lambda: chip_layout(self.context, self.backend))
        return groups(qids, self._layout, self._readout_length)

    def _readout_length(self, qid: str) -> float | None:
        if not self.backend.has_parameter(qid, "readout_length"):
            return None
        return self.backend.parameter(qid, "readout_length").value

    def _turn(self, task_name: str, qid: str, upstream_id: str | None, source: Source | None) -> Turn:
        upstream = self._last_run.get(qid) if upstream_id is None else UUID(upstream_id)
        source_id = None if source is None else source.task_run_id
        turn = Turn(qid, self._runs[task_name, qid], upstream, source_id)
        self._runs[task_name, qid] += 1
        return turn

    def _run_sweep(self, task: Task, turns: Sequence[Turn]) -> dict[str, TaskOutcome | TaskFailedError]:
        recorder = TaskRecorder(self.context.lease, self.config.persist_output_parameters)
        life = TaskLifecycle(recorder, self.backend, self.context.stop, self.context.claimed.execution_id)
        outcomes: dict[str, TaskOutcome | TaskFailedError] = {}

        def work() -> None:
            outcomes.update(life.execute(task, turns))
            # Prefect shows a sweep as failed if one of its targets has failed.
            for outcome in outcomes.values():
                if isinstance(outcome, TaskFailedError):
                    raise outcome

        with self._inside(), suppress(TaskFailedError):
            run_visibly(task.name, [turn.qid for turn in turns], work)
        return outcomes

    def _outputs(self, qid: str, outcome: TaskOutcome | TaskFailedError) -> TaskOutputs | TaskFailedError:
        if isinstance(outcome, TaskFailedError):
            return outcome
        self._last_run[qid] = outcome.task_id
        return {**outcome.outputs, "task_id": str(outcome.task_id)}

    def _require_target(self, task_type: TaskType, qid: str) -> None:
        if task_type is TaskType.MUX and qid.isdecimal() and self.backend.members(qid):
            return
        if qid not in ("", *self.qids) and reversed_coupling(qid) not in self.qids:
            known = ", ".join(self.qids) or "none"
            raise refuse(f'qid "{qid}" does not belong to this session (its qubits: {known})', "unknown_qid")

    def _inside(self) -> AbstractContextManager[object]:
        # A notebook runs each cell in its own context, so a script's job is made current call by call.
        return nullcontext() if self.interactive is None else self.interactive.at_work()


def _has_parameters(task: type[Task]) -> bool:
    return bool(task.input_parameters or task.run_parameters or task.output_parameters)


def _yields(task: type[Task], qid: str) -> set[tuple[str, str]]:
    return {
        (owner(qid, item.qid_role), item.parameter_name or key)
        for key, item in task.output_parameters.items()
    }
