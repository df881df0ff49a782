"""The service that flows use, under QDash's names and, for QDash's flows, at QDash's import path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from calibtasks.parameters.overrides import RunParameterDefaults, TaskDetails
from executors.engine.config import CalibConfig, ConfigError
from executors.engine.orchestrator import CalibOrchestrator
from executors.engine.session import TaskOutputs
from executors.job.context import current_job
from executors.job.failures import TaskFailedError
from executors.job.stop import is_cancellation as _is_cancellation
from executors.service.cancellation import on_flow_cancellation
from qdash_queue.domain import JobState, ParameterModel

__all__ = ["CalibService", "_is_cancellation", "on_flow_cancellation"]


class CalibService:
    """One calibration inside a flow: tasks, then exactly one verdict.

    With ``qids`` the session is opened at once; without them at the first use, for the qubits of the job::

        cal = CalibService(username, chip_id, qids, project_id=project_id)
        try:
            cal.execute_task("CheckRabi", "0")
            cal.finish_calibration()
        except BaseException as error:
            if is_cancellation(error):
                cal.cancel_calibration()
            else:
                cal.fail_calibration(str(error))
            raise

    The first verdict stands. It also works in a plain script, as :class:`CalibOrchestrator` does.

    Raises:
        ConfigError: an argument that cannot be used, or that disagrees with the job.
        CalibrationError: the instrument cannot be connected.
    """

    def __init__(
        self,
        username: str,
        chip_id: str,
        qids: list[str] | None = None,
        *,
        execution_id: str | None = None,
        backend_name: str | None = None,
        name: str | None = None,
        flow_name: str | None = None,
        tags: list[str] | None = None,
        note: Mapping[str, JsonValue] | None = None,
        muxes: list[int] | None = None,
        project_id: str | None = None,
        skip_execution: bool = False,
        default_run_parameters: RunParameterDefaults | None = None,
        persist_output_parameters: bool = True,
    ) -> None:
        self.config = CalibConfig(
            username=username,
            chip_id=chip_id,
            qids=_qids_of_the_job() if qids is None else list(qids),
            execution_id=execution_id,
            backend_name=backend_name,
            flow_name=flow_name or name,
            tags=tags,
            note=note,
            muxes=muxes,
            project_id=project_id,
            skip_execution=skip_execution,
            persist_output_parameters=persist_output_parameters,
            default_run_parameters=default_run_parameters or {},
        )
        self.orchestrator = CalibOrchestrator(self.config)
        if qids is not None:
            self.orchestrator.initialize()

    @property
    def execution_id(self) -> str:
        """The execution id that the queue gave."""
        return self._opened().execution_id

    def plan(self, tasks: list[tuple[str, str]]) -> None:
        """Announce the (task, qid) that will run, in order; see :meth:`CalibOrchestrator.plan`."""
        self._opened().plan(tasks)

    def execute_task(
        self,
        task_name: str,
        qid: str,
        task_details: TaskDetails | None = None,
        upstream_id: str | None = None,
    ) -> TaskOutputs:
        """Run one task on one qubit; see :meth:`CalibOrchestrator.run_task`."""
        return self._opened().run_task(task_name, qid, task_details, upstream_id)

    def execute_tasks(
        self,
        task_name: str,
        qids: Sequence[str],
        task_details: TaskDetails | None = None,
        upstream_ids: Mapping[str, str] | None = None,
    ) -> dict[str, TaskOutputs | TaskFailedError]:
        """Run one task on many qubits, measured together where that may be.

        The outcome of each; see :meth:`CalibOrchestrator.run_tasks`.
        """
        return self._opened().run_tasks(task_name, qids, task_details, upstream_ids)

    def to_repeat(self, task_name: str, qid: str, earlier: Sequence[str]) -> list[str]:
        """Those of the ``earlier`` tasks that must run again; see :meth:`CalibOrchestrator.to_repeat`."""
        return self._opened().to_repeat(task_name, qid, earlier)

    def get_parameter(self, qid: str, name: str) -> ParameterModel:
        """The value that the session works with; CalibrationError (``missing_input``) when there is none."""
        return self._opened().get_parameter(qid, name)

    def set_parameter(self, qid: str, name: str, value: float, unit: str = "") -> None:
        """Let the rest of this session work with ``value``; it is stored nowhere."""
        self._opened().set_parameter(qid, name, value, unit)

    def finish_calibration(self) -> JobState | None:
        """Give the verdict ``completed``; the verdict that stands."""
        return self.orchestrator.complete()

    def fail_calibration(self, error_message: str = "") -> JobState | None:
        """Give the verdict ``failed``, with the kind of the exception being handled; the verdict that stands.

        When the executor itself stopped the job (deadline, shutdown, lost lease) the verdict is left to it.
        """
        return self.orchestrator.fail(error_message)

    def cancel_calibration(self) -> JobState | None:
        """Give the verdict ``cancelled``; the verdict that stands."""
        return self.orchestrator.cancel()

    def _opened(self) -> CalibOrchestrator:
        self.orchestrator.initialize()
        return self.orchestrator


def _qids_of_the_job() -> list[str]:
    context = current_job()
    if context is None:
        raise ConfigError("CalibService.qids: expected the session's qubits in a plain script, got none")
    given = context.claimed.parameters.get("qids", [])
    return [str(qid) for qid in given] if isinstance(given, list) else []
