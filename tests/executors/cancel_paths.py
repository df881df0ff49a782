"""The paths by which a running calibration is cancelled, and what each must answer."""

from __future__ import annotations

import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from uuid import UUID

import psycopg
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus
from prefect.states import Cancelling

from qdash_queue.client.models import Job, JobEvent
from qdash_queue.domain import CancelMode, JobState
from tests.executors.fleet import Fleet
from tests.support.waiting import PATIENCE, until

PREFECT_STATES = {
    JobState.COMPLETED: "COMPLETED",
    JobState.CANCELLED: "CANCELLED",
    JobState.FAILED: "FAILED",
}
"""The state that Prefect shows for a job of one attempt that was not lost."""
_TASK_BORDERS = {"task_completed", "task_failed"}
_BORDER_SECONDS = 0.03
_BEGINNINGS = {
    "cancelled": "too late",
    "completed": "too late",
    "failed": "too late",
    "concluded": "end",
    "flow_started": "task",
    "flow_run_created": "start",
    "claimed": "claim",
}


class CancelPath(StrEnum):
    """Where a client requests a cancel."""

    ROW = "row"
    """``UPDATE calib.jobs SET cancel_requested = true``."""
    PREFECT = "prefect"
    """Prefect's API: the flow run is asked to go to Cancelling."""
    PREFECT_CLI = "prefect cli"
    """``prefect flow-run cancel``."""
    QDASH = "qdash"
    """QDash's button: its API forces the flow run to Cancelling."""

    @property
    def needs_flow_run(self) -> bool:
        """Whether it can be used only once the flow run is made."""
        return self is not CancelPath.ROW


@dataclass(frozen=True)
class Answer:
    """What the client was told."""

    is_taken: bool
    words: str


@dataclass
class CancelPaths:
    """All cancel paths of one queue.

    Attributes:
        connection: of a client who may cancel the jobs.
        prefect: of any client that can reach Prefect's server.
        prefect_environment: under which the command ``prefect`` finds that server.
    """

    connection: psycopg.Connection[tuple[object, ...]]
    prefect: SyncPrefectClient
    prefect_environment: Mapping[str, str]

    def cancel(self, path: CancelPath, job: Job, mode: CancelMode) -> Answer:
        """Request a cancel."""
        if path is CancelPath.ROW:
            return self._by_row(job.job_id, mode)
        assert job.flow_run_id is not None
        by: dict[CancelPath, Callable[[UUID], Answer]] = {
            CancelPath.PREFECT: self._by_prefect,
            CancelPath.PREFECT_CLI: self._by_prefect_cli,
            CancelPath.QDASH: self._by_qdash,
        }
        return by[path](job.flow_run_id)

    def _by_row(self, job_id: int, mode: CancelMode) -> Answer:
        warnings: list[str] = []

        def hear(notice: psycopg.errors.Diagnostic) -> None:
            warnings.append(f"{notice.severity}: {notice.message_primary}")

        self.connection.add_notice_handler(hear)
        try:
            count = self.connection.execute(
                "UPDATE calib.jobs SET cancel_requested = true, cancel_mode = %s, cancel_reason = 'by row'"
                " WHERE job_id = %s",
                [mode.value, job_id],
            ).rowcount
        finally:
            self.connection.remove_notice_handler(hear)
        return Answer(count == 1, "; ".join(warnings))

    def _by_prefect(self, flow_run_id: UUID) -> Answer:
        result: OrchestrationResult[None] = self.prefect.set_flow_run_state(flow_run_id, Cancelling())
        return Answer(
            result.status is SetStateStatus.ACCEPT, str(getattr(result.details, "reason", "") or "")
        )

    def _by_prefect_cli(self, flow_run_id: UUID) -> Answer:
        command = [sys.executable, "-m", "prefect", "flow-run", "cancel", str(flow_run_id)]
        ran = subprocess.run(
            command,
            env=dict(self.prefect_environment),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Answer(ran.returncode == 0, (ran.stdout + ran.stderr).strip())

    def _by_qdash(self, flow_run_id: UUID) -> Answer:
        """What QDash's endpoint ``POST /api/executions/{flow_run_id}/cancel`` does, and answers."""
        state = self.prefect.read_flow_run(flow_run_id).state
        assert state is not None
        if state.is_final() or state.is_cancelling():
            return Answer(is_taken=False, words=f"409: the run is {state.type.value}")
        self.prefect.set_flow_run_state(flow_run_id, Cancelling(), force=not state.is_scheduled())
        return Answer(is_taken=True, words="200: cancelling")


@dataclass
class Cancel:
    """One cancel, from its request to the end of the job.

    Attributes:
        marks: how often the flow's own hook left its mark; ``None`` where the flow leaves none.
        prefect_state: the flow run's last state; ``None`` where none was made.
    """

    path: CancelPath
    mode: CancelMode
    asked_at: datetime
    answer: Answer
    job: Job
    events: Sequence[JobEvent]
    marks: int | None = None
    prefect_state: str | None = None

    @property
    def moment(self) -> str:
        """In which part of the job's life it was requested."""
        return moment(self.asked_at, self.events)


def moment(at: datetime, events: Sequence[JobEvent]) -> str:
    """In which part of a job's life an instant lies."""
    if any(
        event.event in _TASK_BORDERS and abs((event.at - at).total_seconds()) < _BORDER_SECONDS
        for event in events
    ):
        return "border"
    before = {event.event for event in events if event.at < at}
    return next((name for event, name in _BEGINNINGS.items() if event in before), "waiting")


def violations(cancel: Cancel) -> Iterator[str]:
    """Every promise that was not kept, in words; the job was one that ends well if it is not cancelled."""
    job, names = cancel.job, [event.event for event in cancel.events]
    if job.state is JobState.FAILED:
        yield f"failed: {job.failure_kind}: {job.failure_message}"
    if job.cancel_seen_at is not None and job.state is not JobState.CANCELLED:
        yield f"the cancel was seen, and the job is {job.state.value}"
    if not cancel.answer.is_taken and job.state is JobState.CANCELLED:
        yield f"refused ({cancel.answer.words}), and the job is cancelled"
    if not cancel.answer.is_taken and not cancel.answer.words:
        yield "refused without words"
    if (
        cancel.path is CancelPath.ROW
        and not cancel.answer.is_taken
        and "was not cancelled" not in cancel.answer.words
    ):
        yield f"refused, but not in the queue's words: {cancel.answer.words}"
    if sum(1 for event in cancel.events if event.new_state is not None and event.new_state.is_terminal) != 1:
        yield f"ended more than once: {names}"
    if job.attempt > 1:
        yield f"took {job.attempt} attempts"
    if job.flow_run_id is not None and cancel.prefect_state != PREFECT_STATES[job.state]:
        yield f"the row is {job.state.value}, Prefect shows {cancel.prefect_state}"
    yield from _hook_violations(cancel, names)


def _hook_violations(cancel: Cancel, names: Sequence[str]) -> Iterator[str]:
    wanted = int(cancel.job.state is JobState.CANCELLED and "flow_started" in names)
    if names.count("hook_ran") != wanted:
        yield f"hooks: expected {wanted} runs, the event log has {names.count('hook_ran')}: {names}"
    if cancel.marks is not None and cancel.marks != wanted:
        yield f"hooks: expected {wanted} marks, found {cancel.marks}: {names}"
    for event in cancel.events:
        if event.event == "hook_ran" and event.detail.get("problem"):
            yield f"a hook failed: {event.detail['problem']}"


@dataclass(frozen=True)
class Aim:
    """A part of a job's life at which a cancel is aimed.

    Attributes:
        event: by which it begins.
        spread: seconds after it, at most.
        times: how often the event has happened by then.
    """

    event: str
    spread: float
    times: int = 1


@dataclass
class Canceller:
    """Submits jobs to one chip and cancels each at a random moment."""

    fleet: Fleet
    paths: CancelPaths
    folder: Path
    chance: random.Random
    made: list[Cancel] = field(default_factory=list)
    _marks: dict[int, Path] = field(default_factory=dict)

    def walk(
        self, path: CancelPath, mode: CancelMode, aim: Aim, count: int = 5, seconds: float = 0.2
    ) -> Cancel:
        """Cancel a job of the test flow that leaves marks."""
        mark = self.folder / f"{uuid.uuid4().hex}.mark"
        job_id = self.fleet.submit("walk", {"count": count, "seconds": seconds, "mark": str(mark)})
        self._marks[job_id] = mark
        return self.cancel(job_id, path, mode, aim)

    def cancel(self, job_id: int, path: CancelPath, mode: CancelMode, aim: Aim) -> Cancel:
        """Cancel a job when it is as far as the aim says, and wait for its end."""
        until(lambda: self._is_reached(job_id, aim), f"job {job_id} to reach {aim.event}")
        if path.needs_flow_run:
            until(lambda: self.fleet.queue.get(job_id).flow_run_id, f"a flow run of job {job_id}")
        time.sleep(self.chance.uniform(0.0, aim.spread))
        before, asked_at = self.fleet.queue.get(job_id), datetime.now(UTC)
        answer = self.paths.cancel(path, before, mode)
        job = self.fleet.ended(job_id)
        cancel = Cancel(path, mode, asked_at, answer, job, self.fleet.queue.events(job_id))
        self.made.append(cancel)
        return cancel

    def _is_reached(self, job_id: int, aim: Aim) -> bool:
        rows = self.fleet.owner.rows(
            "SELECT count(*) FILTER (WHERE event = %(event)s) AS times, count(*) FILTER (WHERE new_state IN"
            " ('completed', 'failed', 'cancelled')) AS ends FROM calib.job_events WHERE job_id = %(job_id)s",
            event=aim.event,
            job_id=job_id,
        )
        return bool(rows[0]["times"] >= aim.times or rows[0]["ends"])

    def settle(self) -> list[str]:
        """Let Prefect and the hooks' marks follow, then judge all cancels; the violations in words."""
        deadline = time.monotonic() + PATIENCE
        found: list[str] = []
        for cancel in self.made:
            while True:
                self._look_again(cancel)
                wrong = list(violations(cancel))
                if not wrong or time.monotonic() > deadline:
                    break
                time.sleep(0.5)
            where = (
                f"job {cancel.job.job_id} ({cancel.job.flow}), {cancel.path} {cancel.mode}, {cancel.moment}"
            )
            found += [f"{where}: {words}" for words in wrong]
        return found

    def _look_again(self, cancel: Cancel) -> None:
        job_id = cancel.job.job_id
        cancel.job, cancel.events = self.fleet.queue.get(job_id), self.fleet.queue.events(job_id)
        if job_id in self._marks:
            mark = self._marks[job_id]
            cancel.marks = len(mark.read_text(encoding="utf-8").split()) if mark.exists() else 0
        if cancel.job.flow_run_id is not None:
            state = self.paths.prefect.read_flow_run(cancel.job.flow_run_id).state
            cancel.prefect_state = None if state is None else state.type.value
