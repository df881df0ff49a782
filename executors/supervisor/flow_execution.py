"""Runs an attempt's flow in a child process, and stops it when the attempt has to stop."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from prefect.client.schemas.objects import FlowRun

from executors.job.messages import BodyEnded, BodyStarted, NotStarted, RunJob
from executors.supervisor.attempt_resources import AttemptRecord
from executors.supervisor.child_pool import Child, ChildError
from executors.supervisor.prefect_steps import check_before_start, wait_for_prefect
from executors.supervisor.stop_escalation import StopEscalation

logger = logging.getLogger(__name__)

_HARD_MARGIN_SECONDS = 120.0
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known of a flow once its process is dead.

    Attributes:
        end: the last report of the process; ``None`` if it died without one, or was not started.
        exit_code: of the process.
        has_started: whether the first line of the flow's body was reached.
    """

    end: BodyEnded | NotStarted | None = None
    exit_code: int = 0
    has_started: bool = False

    @property
    def has_verdict(self) -> bool:
        """Whether the process gave the verdict: what comes now comes too late."""
        return isinstance(self.end, BodyEnded) and self.end.state is not None


def run_flow(attempt: AttemptRecord, flow_run: FlowRun) -> Outcome:
    """Run the flow; again while Prefect, not the job, is the reason that it did not start."""
    claimed = attempt.claimed
    message = RunJob(claimed, attempt.scratch, flow_run, claimed.timeout_seconds + _HARD_MARGIN_SECONDS)
    outcome = Outcome()
    for _ in range(_TRIES):
        check_before_start(attempt)
        if attempt.stops.stop is not None:
            break
        try:
            with attempt.child(message) as child:
                outcome = _follow(attempt, child)
        except ChildError as error:
            return Outcome(NotStarted(None, str(error)))
        outcome = replace(outcome, exit_code=child.exit_code or 0)
        attempt.keeper.log("child_exited", {"exit_code": outcome.exit_code})
        if not isinstance(outcome.end, NotStarted) or outcome.end.failure is not None:
            break
        logger.warning("job %s: the flow did not start: %s", claimed.job_id, outcome.end.words)
        wait_for_prefect(attempt)
    return outcome


def _follow(attempt: AttemptRecord, child: Child) -> Outcome:
    """Read the child's reports, and stop it if need be, until it is dead."""
    escalation = StopEscalation(child, attempt.resources.graces, attempt.keeper.log_before)
    outcome = Outcome()
    while True:
        is_alive = child.is_alive  # Asked before the reports are read, so that none is missed.
        for report in child.reports():
            match report:
                case BodyStarted():
                    outcome = replace(outcome, has_started=True)
                    attempt.resources.children.refill()
                case BodyEnded() | NotStarted():
                    outcome = replace(outcome, end=report)
                    escalation.body_ended()
        if not is_alive:
            return outcome
        if outcome.has_verdict:
            attempt.keeper.require()
        else:
            attempt.stops.check()
        if attempt.stops.stop is not None and outcome.end is None:
            escalation.request(attempt.stops.stop)
        escalation.kill_if_overdue()
        attempt.wait(escalation.seconds_left(), child.sentinel, child.pipe)
