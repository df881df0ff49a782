"""The template that tries qubits again which failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from prefect import flow
from pydantic import Field

from calibtasks.parameters.run_parameters import refuse
from executors.flows.signature import Qid
from executors.flows.template_parameters import (
    FlowName,
    Qids,
    Results,
    Tags,
    TaskNames,
    session,
    template,
)
from executors.service import on_flow_cancellation
from executors.service.steps.base import Step, StepContext, StepResult
from executors.service.targets import QubitTargets, Target

if TYPE_CHECKING:
    from executors.service import CalibService

_TASKS = (
    *("CheckRabi", "CreateHPIPulse", "CheckHPIPulse", "CreatePIPulse", "CheckPIPulse"),
    *("CheckT1", "CheckT2Echo"),
)
_GROUPS = [["0", "1"], ["2", "3"]]


@dataclass
class RetriedGroups(Step):
    """Groups of qubits beside each other, the qubits of each in turn; those that failed once more.

    Attributes:
        retries: how often at most the qubits that failed run the whole list again.
    """

    groups: Sequence[Sequence[str]]
    retries: int
    tasks: Sequence[str]
    measures_qubits = True

    @property
    def name(self) -> str:
        """As the template."""
        return "parallel_retry"

    def execute(self, service: CalibService, targets: Target, ctx: StepContext) -> StepResult:  # noqa: ARG002
        """Run the tasks on every qubit until it passes or may not try again; fails when none passes."""
        run = service.task_list(self.task_names())
        service.plan(run.planned([qid for group in self.groups for qid in group], one_by_one=True))
        run.lock_step(self.groups)
        for _ in range(self.retries):
            again = [[qid for qid in group if qid in run.failures] for group in self.groups]
            retried = service.task_list(self.task_names())
            retried.lock_step(again)
            run.results |= retried.results
        run.require_some_passed(self.name)
        ctx.latest = StepResult(run.results)
        return ctx.latest


@flow(name="parallel_retry", on_cancellation=[on_flow_cancellation])
def parallel_retry(
    username: str,
    chip_id: str,
    project_id: str,
    qids: Annotated[  # noqa: ARG001 - QDash's interface sends it
        list[Qid], Field(max_length=0, description="Empty: the qubits are named in groups.")
    ]
    | None = None,
    groups: Annotated[
        list[Qids], Field(min_length=1, max_length=256, description="Groups of qubits beside each other.")
    ]
    | None = None,
    tasks: TaskNames | None = None,
    retries: Annotated[
        int, Field(ge=0, le=10, description="How often a qubit that failed begins again.")
    ] = 2,
    tags: Tags | None = None,
    flow_name: FlowName | None = None,
) -> Results:
    """Calibrate groups of qubits beside each other, and those that failed once more."""
    chosen = groups or _GROUPS
    members = [qid for group in chosen for qid in group]
    twice = next((qid for qid in members if members.count(qid) > 1), None)
    if twice is not None:
        raise refuse(f'groups: expected each qubit once, got "{twice}" again', "given_twice")
    return session(username, chip_id, project_id, flow_name, tags).run(
        QubitTargets(members), [RetriedGroups(chosen, retries, tasks or _TASKS)]
    )


TEMPLATES = [template(parallel_retry)]
