"""The queue against a small model of it, over random histories in simulated time."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.contract.histories import MUST_HAPPEN
from tests.contract.model import TERMINAL
from tests.contract.queue_machine import QueueMachine
from tests.support.queue_world import QueueWorld

pytestmark = pytest.mark.slow

SEEDS = 8
"""How many sets of histories there may be until everything has happened that must; two or three do."""
HISTORIES = settings(
    max_examples=30,
    stateful_step_count=50,
    deadline=None,
    database=None,
    # Without shrinking, which would replay histories for minutes.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_the_queue_does_what_the_model_does(timed: QueueWorld) -> None:
    class Machine(QueueMachine):
        world = timed
        happened: ClassVar[Counter[str]] = Counter()

    def missing() -> set[str]:
        return {name for name in MUST_HAPPEN if not Machine.happened[name]}

    for number in range(SEEDS):
        run_state_machine_as_test(seed(number)(Machine), settings=HISTORIES)
        if not missing():
            break
    # A run that met none of these would prove nothing.
    assert missing() == set(), Machine.happened


def test_no_transition_but_those_of_the_model_exists(own_world: QueueWorld) -> None:
    """Even the owner's hands are tied: the trigger knows the transitions, and running needs the lease."""
    states = ["scheduled", "running", "completed", "failed", "cancelled"]
    legal = {("scheduled", "running"), ("scheduled", "cancelled"), ("running", "scheduled")} | {
        ("running", end) for end in TERMINAL
    }
    for old in states:
        for new in states:
            if old == new:
                continue
            chip_id = own_world.chip()
            job_id = own_world.submit(chip_id)
            own_world.owner.execute("SET session_replication_role = replica")
            own_world.owner.execute(
                "UPDATE calib_private.jobs SET state = %s, fence = 1, started_at = now(),"
                " finished_at = CASE WHEN %s = ANY (%s) THEN now() END,"
                " failure_kind = CASE WHEN %s = 'failed' THEN 'internal' END WHERE job_id = %s",
                (old, old, list(TERMINAL), old, job_id),
            )
            own_world.owner.execute("SET session_replication_role = origin")
            change = (
                "UPDATE calib_private.jobs SET state = %s,"
                " finished_at = CASE WHEN %s = ANY (%s) THEN now() END,"
                " failure_kind = CASE WHEN %s = 'failed' THEN 'internal' END WHERE job_id = %s"
            )
            values = (new, new, list(TERMINAL), new, job_id)
            if (old, new) not in legal or "running" in (old, new):
                with pytest.raises(
                    psycopg.Error, match=f"cannot go from {old} to {new}|does not hold the lease"
                ):
                    own_world.owner.execute(change, values)
            if (old, new) in legal:
                own_world.owner.execute(
                    "UPDATE calib_private.leases SET fence = 1, job_id = %s, executor_id = 'x',"
                    " expires_at = now() WHERE chip_id = %s",
                    (job_id, chip_id),
                )
                own_world.owner.execute(change, values)
