"""Steps that measure qubits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from calibtasks.parameters.overrides import TaskDetails
from calibtasks.task import REGISTRY
from executors.service.modes import Mode, run_in_mode
from executors.service.steps.base import Step, StepContext, StepResult
from executors.service.task_lists import BRINGUP_TASKS, CHECK_1Q_TASKS, FULL_1Q_TASKS_AFTER_CHECK
from qdash_queue.domain import TaskType

if TYPE_CHECKING:
    from executors.service.calib_service import CalibService
    from executors.service.targets import Target


class _OneQubitStep(Step):
    """A list of tasks on the candidates."""

    measures_qubits = True
    subjects = frozenset(TaskType) - {TaskType.COUPLING}
    default_tasks: ClassVar[Sequence[str]] = ()
    configure = False

    def task_names(self) -> tuple[str, ...]:
        """Those given or the default ones; ``Configure`` before them if it is asked for."""
        tasks = self.default_tasks if self.tasks is None else self.tasks
        return (*(("Configure",) if self.configure else ()), *tasks)

    def details(self) -> TaskDetails | None:
        """Run parameters that the step itself gives."""
        return None

    def parts(self) -> Iterator[tuple[range, Mode]]:
        """Consecutive parts of the list, each with its mode; qubits that fail in one are not in the next."""
        yield range(len(self.task_names())), Mode.of(self.mode)

    def execute(self, service: CalibService, targets: Target, ctx: StepContext) -> StepResult:  # noqa: ARG002
        """Run the tasks on the candidates; fails when none of these passes."""
        qids = ctx.candidate_qids
        run = service.task_list(self.task_names(), self.details())
        parts = list(self.parts())
        serial = all(mode is Mode.SERIAL for _, mode in parts)
        service.plan(run.planned(qids, one_by_one=serial))
        for positions, mode in parts:
            run_in_mode(run, mode, qids, lambda: service.chip, positions)
            qids = tuple(run.passed)
        run.require_some_passed(self.name)
        ctx.latest = StepResult(run.results)
        return ctx.latest


@dataclass
class CustomOneQubit(_OneQubitStep):
    """Any list of tasks on the candidates, under a name of its own."""

    step_name: str
    tasks: Sequence[str]
    mode: str = "synchronized"

    @property
    def name(self) -> str:
        """The given name."""
        return self.step_name


@dataclass
class OneQubitCheck(_OneQubitStep):
    """The basic check of a qubit; ``tasks`` replace the default list."""

    default_tasks = CHECK_1Q_TASKS
    mode: str = "synchronized"
    tasks: Sequence[str] | None = None
    configure: bool = False


@dataclass
class OneQubitFineTune(_OneQubitStep):
    """Fine calibration of qubits that passed the check; ``tasks`` replace the default list."""

    default_tasks = FULL_1Q_TASKS_AFTER_CHECK
    mode: str = "synchronized"
    tasks: Sequence[str] | None = None
    configure: bool = False


@dataclass
class BringUp(_OneQubitStep):
    """First calibration of qubits; ``tasks`` replace the default list."""

    default_tasks = BRINGUP_TASKS
    mode: str = "scheduled"
    tasks: Sequence[str] | None = None
    resonator_assignment_pattern: str | None = None

    def details(self) -> TaskDetails | None:
        """The pattern is a run parameter of the resonators' task."""
        if self.resonator_assignment_pattern is None:
            return None
        pattern = {"resonator_assignment_pattern": self.resonator_assignment_pattern}
        return {"CheckResonatorSpectroscopy": {"run_parameters": pattern}}


@dataclass
class ExperimentalSimultaneousBringUp(_OneQubitStep):
    """First calibration with the spectroscopy of many qubits at once.

    Attributes:
        resonator_mode: of tasks about a multiplexer.
        qubit_mode: of the qubits' spectroscopy.
        simultaneous_spectroscopy_schedule_mode: ``all``, or ``local_index``: one qubit of each multiplexer.
        tasks: replace the default list.
    """

    default_tasks = BRINGUP_TASKS
    mode = "scheduled"
    resonator_mode: str = "scheduled"
    qubit_mode: str = "simultaneous_spectroscopy"
    simultaneous_spectroscopy_schedule_mode: str = "all"
    tasks: Sequence[str] | None = None

    def parts(self) -> Iterator[tuple[range, Mode]]:
        """Each task by itself, in the mode of its kind."""
        local = self.simultaneous_spectroscopy_schedule_mode == "local_index"
        spectroscopy = Mode.SYNCHRONIZED if local else Mode.of(self.qubit_mode)
        for position, task in enumerate(self.task_names()):
            if REGISTRY.find(task).task_type is TaskType.MUX:
                mode = Mode.of(self.resonator_mode)
            else:
                mode = spectroscopy if "Spectroscopy" in task else Mode.SCHEDULED
            yield range(position, position + 1), mode


@dataclass
class ConfigureAll(Step):
    """Configures the control system: the task ``ConfigureAll``, once for the whole chip.

    Attributes:
        mux_ids: passed to the task as its run parameter ``mux_ids``.
    """

    mux_ids: Sequence[int] | None = None
    tasks = ("ConfigureAll",)
    subjects = frozenset({TaskType.GLOBAL, TaskType.SYSTEM})

    def execute(self, service: CalibService, targets: Target, ctx: StepContext) -> StepResult:  # noqa: ARG002
        """Run the task; fails with it."""
        given = None if self.mux_ids is None else {"run_parameters": {"mux_ids": list(self.mux_ids)}}
        service.plan([("ConfigureAll", "")])
        service.execute_task("ConfigureAll", "", None if given is None else {"ConfigureAll": given})
        return StepResult()
