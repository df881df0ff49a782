"""Steps that group couplings and measure them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibtasks.parameters.run_parameters import refuse
from executors.service.steps.base import Group, Step, StepContext, StepResult
from executors.service.targets import CouplingTargets, QubitTargets
from executors.service.task_lists import FULL_2Q_TASKS
from qdash_queue.domain import TaskType
from qdash_queue.scheduling import DirectionRule, cr_schedule

if TYPE_CHECKING:
    from executors.service.calib_service import CalibService
    from executors.service.targets import Target


@dataclass
class GenerateCRSchedule(Step):
    """Groups the couplings between the candidates for cross-resonance gates.

    Attributes:
        max_parallel_ops: most couplings of a group.
        inverse: exchange control and target of every coupling: "1-0" in place of "0-1".
    """

    max_parallel_ops: int = 10
    inverse: bool = False

    def execute(self, service: CalibService, targets: Target, ctx: StepContext) -> StepResult:
        """Make the groups; there may be none."""
        topology, wiring = service.chip
        candidates: Target = QubitTargets(ctx.candidate_qids)
        if isinstance(targets, CouplingTargets):
            pairs = [pair for pair in targets.to_pairs(topology) if {*pair} <= {*ctx.candidate_qids}]
            candidates = CouplingTargets(pairs)
        # The coupling that the database lists says which qubit is the control by design.
        schedule = cr_schedule(
            topology,
            wiring,
            candidates,
            rule=DirectionRule.LISTED,
            inverse=self.inverse,
            max_parallel_ops=self.max_parallel_ops,
        )
        groups = tuple(tuple(pair.qid for pair in group.pairs) for group in schedule.groups)
        check_couplings(service, groups)
        ctx.candidate_couplings = groups
        left_out = {item.target: str(item.reason) for item in schedule.left_out}
        return StepResult(values={"groups": [[*group] for group in groups], "left_out": {**left_out}})


@dataclass
class SetCRSchedule(Step):
    """Takes groups of couplings as they are given.

    Attributes:
        schedule: groups of ``(control, target)``, or of ``"control-target"``.
    """

    schedule: Sequence[Sequence[Sequence[str]]]

    def execute(self, service: CalibService, targets: Target, ctx: StepContext) -> StepResult:  # noqa: ARG002
        """Take the groups; their qubits become the candidates."""
        groups = tuple(
            tuple(pair if isinstance(pair, str) else "-".join(pair) for pair in group)
            for group in self.schedule
        )
        check_couplings(service, groups)
        ctx.candidate_couplings = groups
        qids = [qid for group in groups for coupling in group for qid in coupling.split("-")]
        ctx.candidate_qids = QubitTargets(qids).to_qids(service.topology)
        return StepResult(values={"groups": [[*group] for group in groups]})


class _TwoQubitStep(Step):
    """A list of tasks on groups of couplings, one group after another."""

    max_parallel_ops = 10
    subjects = frozenset(TaskType) - {TaskType.QUBIT, TaskType.MUX}

    def task_names(self) -> tuple[str, ...]:
        """Those given, or the default ones."""
        return FULL_2Q_TASKS if self.tasks is None else tuple(self.tasks)

    def targets(self, ctx: StepContext) -> tuple[str, ...]:
        """The couplings of all groups; before there are any, the qubits."""
        if ctx.candidate_couplings is None:
            return ctx.candidate_qids
        return tuple(coupling for group in ctx.groups for coupling in group)

    def execute(self, service: CalibService, targets: Target, ctx: StepContext) -> StepResult:
        """Run the tasks; fails when no coupling passes."""
        if ctx.candidate_couplings is None:
            GenerateCRSchedule(self.max_parallel_ops).execute(service, targets, ctx)
        run = service.task_list(self.task_names())
        groups = list(_at_most(self.max_parallel_ops, ctx.groups))
        service.plan([item for group in groups for item in run.planned(group)])
        for group in groups:
            run.batch(group)
        run.require_some_passed(self.name)
        return StepResult(run.results)


@dataclass
class TwoQubitCalibration(_TwoQubitStep):
    """Calibration of the couplings; ``tasks`` replace the default list."""

    tasks: Sequence[str] | None = None
    max_parallel_ops: int = 10

    @property
    def name(self) -> str:
        """As QDash calls its result."""
        return "two_qubit"


@dataclass
class CustomTwoQubit(_TwoQubitStep):
    """Any list of tasks on the couplings, under a name of its own."""

    step_name: str
    tasks: Sequence[str]
    max_parallel_ops: int = 10

    @property
    def name(self) -> str:
        """The given name."""
        return self.step_name


def check_couplings(service: CalibService, groups: Iterable[Group]) -> None:
    """CalibrationError (``invalid_request``) unless each is a coupling of the session, named once."""
    seen: set[str] = set()
    known = {name for pair in service.chip[0].couplings for name in (pair.qid, pair.reversed.qid)}
    for coupling in (coupling for group in groups for coupling in group):
        if coupling in seen:
            raise refuse(f"schedule: expected each coupling once, got {coupling} again", "given_twice")
        if coupling not in known:
            raise refuse(f'schedule: coupling "{coupling}" is not on the chip', "unknown_coupling")
        seen.add(coupling)


def _at_most(limit: int, groups: Iterable[Group]) -> Iterable[Group]:
    for group in groups:
        yield from (group[start : start + limit] for start in range(0, len(group), limit))
