"""QDash's orchestrator and its configuration, with the keywords that they have there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from calibtasks.parameters.overrides import TaskDetails
from calibtasks.task import REGISTRY
from executors import engine
from executors.engine import ConfigError
from executors.engine.session import TaskOutputs

_WITHOUT_MEANING: Final = {
    *("use_lock", "enable_github", "enable_github_pull", "github_push_config", "enable_provenance_tracking"),
    *("user_repo", "lock_repo", "counter_repo"),
}
"""There is a queue instead of a lock, a database instead of a repository of files."""
_NOT_HONOURED: Final = {
    "configuration_mode": "the instruments are configured by the executor",
    "force_update_params": "a value that was refused is never stored",
    "source_execution_id": "name the task run in source_task_id, or submit the job again: qdash-queue rerun",
}
"""What would change the result, and what to do instead."""


def honoured(owner: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords without those that mean nothing here.

    Raises:
        ConfigError: one of them would change what is measured or stored, and cannot be honoured.
    """
    for name, remedy in _NOT_HONOURED.items():
        is_context = name == "source_execution_id" and given.get("source_task_id")
        if given.get(name) and not is_context:
            raise ConfigError(f"{owner}.{name}: cannot be honoured here, got {given[name]!r}: {remedy}")
    return {name: value for name, value in given.items() if name not in {*_WITHOUT_MEANING, *_NOT_HONOURED}}


class CalibConfig(engine.CalibConfig):
    """The configuration of a session; QDash's keywords that mean nothing here are accepted."""

    if not TYPE_CHECKING:  # Type checkers see the fields.

        def __init__(self, **given: object) -> None:
            super().__init__(**honoured("CalibConfig", given))


class CalibOrchestrator(engine.CalibOrchestrator):
    """A session; a task about a multiplexer is named with one of its qubits, as in QDash."""

    def run_task(
        self,
        task_name: str,
        qid: str,
        task_details: TaskDetails | None = None,
        upstream_id: str | None = None,
    ) -> TaskOutputs:
        """Run one task on one target; see :class:`executors.engine.CalibOrchestrator`."""
        return super().run_task(task_name, subject_of(self, task_name, qid), task_details, upstream_id)

    def run_task_batch(
        self,
        task_name: str,
        qids: Sequence[str],
        task_details: TaskDetails | None = None,
        upstream_id: str | None = None,
    ) -> dict[str, dict[str, object]]:
        """Run one task on many targets; see :class:`executors.engine.CalibOrchestrator`."""
        return run_batch(self, task_name, qids, task_details, upstream_id)

    def complete(self, **_meaningless: bool) -> Any:
        """End the session as completed; the verdict that stands."""
        return super().complete()


def subject_of(session: engine.CalibOrchestrator, task_name: str, qid: str) -> str:
    """What a task runs on for a qubit: itself, or its multiplexer for a QDash task about one."""
    if not getattr(REGISTRY.find(task_name), "is_mux_level", False):
        return qid
    mux = session.mux_of(qid)
    return qid if mux is None else str(mux)


def run_batch(
    session: engine.CalibOrchestrator,
    task_name: str,
    qids: Sequence[str],
    task_details: TaskDetails | None,
    upstream_id: str | None,
) -> dict[str, dict[str, object]]:
    """Run one task on many qubits, or on their multiplexers; the outcome of each qubit."""
    subjects = {qid: subject_of(session, task_name, qid) for qid in qids}
    measured = list(dict.fromkeys(subjects.values()))
    outcomes = engine.CalibOrchestrator.run_task_batch(
        session, task_name, measured, task_details, upstream_id
    )
    return {qid: outcomes[subject] for qid, subject in subjects.items()}
