"""Flow runs that no row knows: made for an attempt whose executor died, or gave up, before it noted them."""

from __future__ import annotations

from uuid import UUID

from prefect.states import Pending

from executors.flow_runs import Origin
from tests.executors.crew import Crew, eventually
from tests.executors.flows import noop


def test_an_unknown_flow_run_follows_its_attempt(crew: Crew) -> None:
    crew.need(1)
    job_id = crew.submit("noop")
    job = crew.ended(job_id)
    ours = Origin(job_id, 1, str(job.executor_id))
    another = Origin(job_id, 1, "an executor of another queue")
    chip = f"chip:{crew.chip_id}"
    left, foreign = (
        crew.prefect.create_flow_run(noop, parameters={}, state=Pending(), tags=[chip, *origin.tags])
        for origin in (ours, another)
    )

    def state_of(run: UUID) -> str:
        state = crew.prefect.read_flow_run(run).state
        assert state is not None
        return state.type.value

    eventually(lambda: state_of(left.id) == "COMPLETED", "the abandoned flow run to be closed", 40)
    assert state_of(foreign.id) == "PENDING"
    assert set(ours.tags) < set(crew.flow_run(job_id).tags)
