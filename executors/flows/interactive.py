"""The flow of jobs that a script or notebook inserts, claims and runs itself."""

from __future__ import annotations

from prefect import flow

from executors.flows.definition import FlowDefinition
from executors.service import on_flow_cancellation
from qdash_queue.domain import CalibrationError, Failure, FailureKind


@flow(name="interactive", on_cancellation=[on_flow_cancellation])
def interactive(username: str, chip_id: str, project_id: str, qids: list[str]) -> None:
    """Refuse to run: the job belongs to the process that inserted it.

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


INTERACTIVE = FlowDefinition(
    name="interactive",
    flow=interactive,
    description="A script or notebook measures step by step; inserted and claimed by CalibOrchestrator.",
    schema={
        "type": "object",
        "required": ["qids"],
        "additionalProperties": False,
        "properties": {
            "qids": {
                "description": "Qubits or couplings that the session may touch.",
                "type": "array",
                "items": {
                    "anyOf": [{"type": "string", "format": "qid"}, {"type": "string", "format": "coupling"}]
                },
                "maxItems": 4096,
                "uniqueItems": True,
            }
        },
    },
    timeout_seconds=86_400,
)
