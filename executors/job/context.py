"""The context of a running job: claim, lease, database, folders, stop flag."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from executors.job.stop import StopFlag, use_stop_flag

if TYPE_CHECKING:
    from qdash_queue.client.database import Database
    from qdash_queue.client.leases import Lease
    from qdash_queue.client.models import ClaimedJob


@dataclass(frozen=True, slots=True)
class JobContext:
    """The context of one job in the process that runs it.

    Attributes:
        claimed: the job as it was claimed (parameters, attempt, execution id).
        lease: the fenced verbs; each raises ``LeaseLostError`` once another executor has the lease.
        database: a connection pool of this process.
        backend_kind: ``fake`` or ``qubex``, as fixed on the chip.
        scratch: a folder of this job alone, removed after it.
        stop: the stop request, shared with the supervisor.
        instrument_dir: where the chip's (simulated) instrument keeps its state between processes.
        seed: of the simulated chip's hidden truth.
        qubex_config_dir: folder of qubex's configuration of real instruments.
    """

    claimed: ClaimedJob
    lease: Lease
    database: Database
    backend_kind: str
    scratch: Path
    stop: StopFlag
    instrument_dir: Path
    seed: int
    qubex_config_dir: Path | None = None


_current: ContextVar[JobContext | None] = ContextVar("qdash_queue_job", default=None)


def current_job() -> JobContext | None:
    """The job that this code belongs to; ``None`` outside a job."""
    return _current.get()


@contextmanager
def use_job(context: JobContext) -> Iterator[JobContext]:
    """Make ``context`` the current job, and its stop flag the one that checkpoints read, inside the block."""
    token = _current.set(context)
    try:
        with use_stop_flag(context.stop):
            yield context
    finally:
        _current.reset(token)


def instruments_folder(state_path: Path) -> Path:
    """Where the simulated instruments of all chips keep their state, below ``Settings.state_path``."""
    return state_path.resolve() / "instruments"


def new_scratch_folder(state_path: Path, owner: int | str) -> Path:
    """A new, empty folder for one attempt of a job, below ``Settings.state_path``; the maker removes it.

    Raises:
        OSError: it cannot be made.
    """
    jobs = state_path.resolve() / "jobs"
    jobs.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{owner}-", dir=jobs))
