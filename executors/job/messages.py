"""What a supervisor tells a child to do, and what the child reports back, over their pipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qdash_queue.client.models import Chip, ClaimedJob
from qdash_queue.domain import Failure, JobState

if TYPE_CHECKING:  # The engine reads these too, also in scripts, which do without Prefect.
    from prefect.client.schemas.objects import FlowRun


@dataclass(frozen=True, slots=True)
class ChildSetup:
    """What every child of one executor is told when it is forked, before it gets a message.

    Attributes:
        database_url: of the queue.
        backend_kind: ``fake`` or ``qubex``.
        instrument_dir: where the simulated instruments keep their state.
        seed: of the simulated chips.
        log_level: for the child's standard error.
        qubex_config_dir: folder of qubex's configuration of real instruments.
        flows_dir: absolute path of the folder of flows beside the installed ones.
    """

    database_url: str
    backend_kind: str
    instrument_dir: Path
    seed: int
    log_level: int
    qubex_config_dir: Path | None = None
    flows_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class RunJob:
    """Run a job's flow as the flow run that exists already.

    ``hard_seconds`` after the start the process dumps its stacks and ends, whatever it is doing.
    """

    claimed: ClaimedJob
    scratch: Path
    flow_run: FlowRun
    hard_seconds: float


@dataclass(frozen=True, slots=True)
class RunHooks:
    """Run the cancellation hooks of a job's flow, whose own process is dead."""

    claimed: ClaimedJob
    scratch: Path
    flow_run: FlowRun


@dataclass(frozen=True, slots=True)
class Quiesce:
    """Connect to the chip's instrument and make it idle."""

    claimed: ClaimedJob
    scratch: Path
    chip: Chip


Message = RunJob | RunHooks | Quiesce


@dataclass(frozen=True, slots=True)
class Ready:
    """The child is warm and waits for its message."""


@dataclass(frozen=True, slots=True)
class BodyStarted:
    """The first line of the flow's body was reached."""


@dataclass(frozen=True, slots=True)
class BodyEnded:
    """The flow's body is over; ``state`` is ``None`` when a signal from outside ended it."""

    state: JobState | None
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class NotStarted:
    """The flow's body was never reached; without a ``failure`` it may be tried again."""

    failure: Failure | None
    words: str


@dataclass(frozen=True, slots=True)
class CleanupDone:
    """Hooks or quiescing are over; ``problem`` is empty when all went well."""

    problem: str


Report = Ready | BodyStarted | BodyEnded | NotStarted | CleanupDone
