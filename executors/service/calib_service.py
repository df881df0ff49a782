"""The service that flows use, under QDash's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from calibtasks.parameters.overrides import (
    ParameterOverrides,
    RunParameterDefaults,
    TaskDetails,
    TaskRunParameters,
)
from calibtasks.parameters.run_parameters import refuse
from executors.engine.backend_session import read_topology
from executors.engine.config import CalibConfig, ConfigError
from executors.engine.orchestrator import CalibOrchestrator
from executors.engine.session import TaskOutputs
from executors.job.context import current_job
from executors.job.failures import TaskFailedError
from executors.job.stop import is_cancellation as _is_cancellation
from executors.service.cancellation import on_flow_cancellation
from executors.service.pipeline import Pipeline
from executors.service.steps.base import Step, StepContext
from executors.service.targets import Target
from executors.service.task_list_run import TaskListRun
from qdash_queue.client.records import StageRecord
from qdash_queue.domain import JobState, ParameterModel
from qdash_queue.scheduling import Topology, Wiring

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

    :meth:`run` does all of that for a list of steps. The first verdict stands. It also works in a plain
    script, as :class:`CalibOrchestrator` does.

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
        task_run_parameters: TaskRunParameters | None = None,
        source_task_id: str | None = None,
        parameter_overrides: ParameterOverrides | None = None,
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
            task_run_parameters=task_run_parameters or {},
            source_task_id=source_task_id,
            parameter_overrides=parameter_overrides or {},
        )
        self.orchestrator = CalibOrchestrator(self.config)
        self._topology: Topology | None = None
        self.next_stage = 0
        self._stage_results: dict[str, Mapping[str, JsonValue]] = {}
        if qids is not None:
            self.orchestrator.initialize()

    @property
    def execution_id(self) -> str:
        """The execution id that the queue gave."""
        return self._opened().execution_id

    # ------------------------------------------------------------------ steps

    def run(self, targets: Target, steps: Sequence[Step]) -> dict[str, object]:
        """Do the steps in order on the targets, each as a stage of the job, then give the verdict.

        A step of which no target passes fails, and with it the calibration. Nothing is touched before all
        steps are known to fit each other, and all tasks and targets to exist.

        Returns:
            ``candidate_qids`` and ``candidate_couplings`` as the last step leaves them, ``filters`` with what
            each filter kept and dropped, and under the name of each step that measures
            ``{target: {"status": "success" or "failed", "error": …, task: outputs}}``.

        Raises:
            CalibrationError: of the step that failed; ``invalid_request``: nothing was touched.
            Stopped: the job has to stop.
        """
        pipeline = Pipeline(steps)
        qids = targets.to_qids(self.topology)
        session_qids = (*qids, *(pair.qid for pair in targets.to_pairs(self.topology)))
        self._require_on_chip(qids)
        if self.orchestrator.is_initialized:
            self._require_in_session(qids)
        else:
            self.config = self.config.model_copy(update={"qids": list(session_qids)})
            self.orchestrator = CalibOrchestrator(self.config)
        ctx = StepContext(candidate_qids=qids)
        with self.orchestrator:
            pipeline.execute(self, targets, ctx)
        return summary(ctx)

    @property
    def topology(self) -> Topology:
        """Places, multiplexers and couplings of the chip."""
        if self._topology is None:
            self._topology = read_topology(self.config.chip_id)
        return self._topology

    @property
    def chip(self) -> tuple[Topology, Wiring | None]:
        """The chip's topology, and its wiring if that is known."""
        return self.topology, self._opened().wiring()

    def task_list(self, tasks: Sequence[str], task_details: TaskDetails | None = None) -> TaskListRun:
        """A list of tasks that targets can be taken through."""
        return TaskListRun(self._opened(), tasks, task_details)

    def record_stage(self, position: int, stage: StageRecord) -> None:
        """Keep what is known of a stage of the job; the position is counted from 0."""
        self._opened().record_stage(position, stage)
        self.next_stage = max(self.next_stage, position + 1)

    def record_stage_result(self, name: str, result: Mapping[str, JsonValue]) -> None:
        """Keep a result of the flow's own as a stage of the job."""
        stage = StageRecord(name=name, step="record", status="completed", result=dict(result))
        self.record_stage(self.next_stage, stage)
        self._stage_results[name] = result

    def get_stage_result(self, name: str) -> Mapping[str, JsonValue] | None:
        """What :meth:`record_stage_result` was given under that name; None: nothing."""
        return self._stage_results.get(name)

    # ------------------------------------------------------------------ tasks

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

    def execute_task_batch(
        self,
        task_name: str,
        qids: Sequence[str],
        task_details: TaskDetails | None = None,
        upstream_id: str | None = None,
    ) -> dict[str, dict[str, object]]:
        """:meth:`execute_tasks` in QDash's shape; see :meth:`CalibOrchestrator.run_task_batch`."""
        return self._opened().run_task_batch(task_name, qids, task_details, upstream_id)

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

    def _require_on_chip(self, qids: Sequence[str]) -> None:
        for position, qid in enumerate(qids):
            if qid not in self.topology.sites:
                words = f"targets[{position}]: qubit '{qid}' is not on chip {self.config.chip_id}"
                raise refuse(words, "unknown_qid")

    def _require_in_session(self, qids: Sequence[str]) -> None:
        known = self.orchestrator.qids
        for position, qid in enumerate(qids):
            if qid not in known:
                words = f"targets[{position}]: qubit '{qid}' is none of this session's: {', '.join(known)}"
                raise refuse(words, "unknown_qid")

    def _opened(self) -> CalibOrchestrator:
        if not (self.orchestrator.is_initialized or self.config.qids or current_job()):
            raise ConfigError("CalibService.qids: expected the session's qubits in a plain script, got none")
        self.orchestrator.initialize()
        return self.orchestrator


def _qids_of_the_job() -> list[str]:
    context = current_job()
    given = [] if context is None else context.claimed.parameters.get("qids", [])
    return [str(qid) for qid in given] if isinstance(given, list) else []


def summary(ctx: StepContext) -> dict[str, object]:
    """What a calibration returns, in QDash's shape."""
    measured = {name: result for name, result in ctx.results.items() if result.targets}
    filters = [dict(result.values) for result in ctx.results.values() if "dropped" in result.values]
    return {
        "candidate_qids": list(ctx.candidate_qids),
        "candidate_couplings": [list(group) for group in ctx.candidate_couplings or ()],
        "filters": filters,
        **{
            name: {target: each.as_dict() for target, each in result.targets.items()}
            for name, result in measured.items()
        },
    }
