"""QDash's service for flows, with the keywords that it has there, its hooks and its session helpers."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from calibtasks.parameters.overrides import TaskDetails
from executors import service
from executors.engine.session import TaskOutputs
from executors.service import is_cancellation as _is_cancellation
from executors.service import on_flow_cancellation
from qdash_queue_compat.engine import honoured, run_batch, subject_of

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun, State

    from qdash_queue.domain import JobState

__all__ = [
    "CalibService",
    "_is_cancellation",
    "finish_calibration",
    "get_session",
    "init_calibration",
    "on_flow_cancellation",
    "on_flow_crashed",
    "on_flow_failure",
]


class CalibService(service.CalibService):
    """A calibration inside a flow; QDash's keywords that mean nothing here are accepted.

    Raises:
        ConfigError: a keyword that would change the result and cannot be honoured.
    """

    def __init__(self, username: str, chip_id: str, qids: list[str] | None = None, **keywords: Any) -> None:
        super().__init__(username, chip_id, qids, **honoured("CalibService", keywords))

    def execute_task(
        self,
        task_name: str,
        qid: str,
        task_details: TaskDetails | None = None,
        upstream_id: str | None = None,
    ) -> TaskOutputs:
        """Run one task on a qubit, or on its multiplexer; see :meth:`CalibOrchestrator.run_task`."""
        subject = subject_of(self._opened(), task_name, qid)
        return super().execute_task(task_name, subject, task_details, upstream_id)

    def execute_task_batch(
        self,
        task_name: str,
        qids: Sequence[str],
        task_details: TaskDetails | None = None,
        upstream_id: str | None = None,
    ) -> dict[str, dict[str, object]]:
        """Run one task on many targets; see :meth:`CalibOrchestrator.run_task_batch`."""
        return run_batch(self._opened(), task_name, qids, task_details, upstream_id)

    def finish_calibration(self, **_meaningless: bool | None) -> JobState | None:
        """Give the verdict ``completed``; the verdict that stands."""
        return super().finish_calibration()


_SESSION: ContextVar[CalibService | None] = ContextVar("qdash_session", default=None)


def init_calibration(
    username: str, chip_id: str, qids: list[str] | None = None, **keywords: Any
) -> CalibService:
    """A calibration that the other two functions find."""
    session = CalibService(username, chip_id, qids, **keywords)
    _SESSION.set(session)
    return session


def get_session() -> CalibService:
    """The calibration of :func:`init_calibration`; RuntimeError when there is none."""
    session = _SESSION.get()
    if session is None:
        raise RuntimeError("there is no calibration: call init_calibration() first")
    return session


def finish_calibration(**meaningless: bool | None) -> JobState | None:
    """Give the verdict ``completed``; the verdict that stands."""
    return get_session().finish_calibration(**meaningless)


def on_flow_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Nothing: the executor has recorded why the flow failed."""


def on_flow_crashed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Nothing: the executor records the loss of a flow's process."""
