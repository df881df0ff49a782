"""The flow of jobs that a script or notebook inserts, claims and runs itself."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from pydantic import Field

from executors.flows.signature import Coupling, Qid, flow_of
from executors.service import on_flow_cancellation
from qdash_queue.domain import CalibrationError, Failure, FailureKind

Touched = Annotated[
    list[Qid | Coupling],
    Field(
        max_length=4096,
        json_schema_extra={"uniqueItems": True},
        description="Qubits or couplings that the session may touch.",
    ),
]


@flow(name="interactive", on_cancellation=[on_flow_cancellation])
def interactive(username: str, chip_id: str, project_id: str, qids: Touched) -> None:
    """A script or notebook measures step by step; inserted and claimed by CalibOrchestrator.

    An executor refuses to run it: the job belongs to the process that inserted it.

    Raises:
        CalibrationError: always, kind ``invalid_request``.
    """
    raise CalibrationError(
        Failure(
            kind=FailureKind.INVALID_REQUEST,
            cause="interactive_job",
            message=(
                f'a job of flow "interactive" ({username}, {project_id}, {chip_id}, {len(qids)} qubits) runs'
                " only inside the script that inserts and claims it"
            ),
            remedy='start it with CalibOrchestrator, or submit a job of flow "calibrate"',
        )
    )


INTERACTIVE = flow_of(interactive, timeout_seconds=86_400)
