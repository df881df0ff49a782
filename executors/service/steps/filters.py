"""Steps that narrow the candidates by what has been measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from calibtasks.parameters.run_parameters import refuse
from executors.service.steps.base import Step, StepContext, StepResult

if TYPE_CHECKING:
    from executors.service.calib_service import CalibService
    from executors.service.targets import Target

METRICS: Final = {
    "x90_fidelity": "x90_gate_fidelity",
    "x180_fidelity": "x180_gate_fidelity",
    "zx90_fidelity": "zx90_gate_fidelity",
}
"""QDash's names of metrics that differ from the name of the output; every output is a metric."""


@dataclass
class FilterByStatus(Step):
    """Keeps the candidates that passed the latest step that measured qubits."""

    is_filter = True

    def execute(self, service: CalibService, targets: Target, ctx: StepContext) -> StepResult:  # noqa: ARG002
        """Narrow the candidates."""
        passed = set() if ctx.latest is None else set(ctx.latest.passed)
        return _keep(ctx, {qid: qid in passed for qid in ctx.candidate_qids})


@dataclass
class FilterByMetric(Step):
    """Keeps the candidates of which the latest step that measured qubits found a value large enough.

    Attributes:
        metric: an output of that step's tasks, or QDash's name of it.
        threshold: the least value; a candidate without a finite value is dropped.
    """

    metric: str = "x90_fidelity"
    threshold: float = 0.9
    is_filter = True

    @property
    def output(self) -> str:
        """The name of the output."""
        return METRICS.get(self.metric, self.metric)

    def check(self, outputs: set[str]) -> None:
        """CalibrationError (``invalid_request``) unless the step before it yields the metric."""
        if not math.isfinite(self.threshold):
            raise refuse(f"threshold: expected a finite number, got {self.threshold}", "not_finite")
        if self.output not in outputs:
            known = ", ".join(sorted(outputs)) or "none"
            message = (
                f'metric: expected an output of the step before the filter ({known}), got "{self.metric}"'
            )
            raise refuse(message, "unknown_metric")

    def execute(self, service: CalibService, targets: Target, ctx: StepContext) -> StepResult:  # noqa: ARG002
        """Narrow the candidates."""
        results = {} if ctx.latest is None else ctx.latest.targets
        values = {qid: results[qid].value(self.output) for qid in ctx.candidate_qids if qid in results}
        return _keep(
            ctx,
            {
                qid: (value := values.get(qid)) is not None and value >= self.threshold
                for qid in ctx.candidate_qids
            },
        )


def _keep(ctx: StepContext, verdicts: dict[str, bool]) -> StepResult:
    ctx.candidate_qids = tuple(qid for qid, kept in verdicts.items() if kept)
    dropped = [qid for qid, kept in verdicts.items() if not kept]
    return StepResult(values={"kept": [*ctx.candidate_qids], "dropped": [*dropped]})
