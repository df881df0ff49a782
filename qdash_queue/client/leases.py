"""The executor's verbs: register, claim, hold, record, conclude, finish, sweep.

An :class:`Executor` is one start of one process for one chip. What it claims it holds as a :class:`Lease`;
every verb of a lease shows its claim, a random number that only the executor knows, and the database refuses
it with ``LeaseLostError`` once it does not know the lease under that claim. Every verb here is idempotent:
after a lost answer it is repeated.
"""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import JsonValue

from qdash_queue.client.database import ByteArrays, Database
from qdash_queue.client.models import CancelRequest, ClaimedJob, SweptJob, UnsyncedFlowRun
from qdash_queue.client.records import FlowEntry, PlannedTask, StageRecord, SweepTask, TaskEntry, TaskRecord
from qdash_queue.domain import Failure, JobState, ParameterModel, RunParameterModel
from qdash_queue.errors import BadValueError

_REGISTER = (
    "SELECT calib.register_catalogue(%(chip_id)s, %(backend)s, %(version)s,"
    " CAST(%(flows)s AS jsonb), CAST(%(tasks)s AS jsonb))"
)
READY = "ready"
"""The condition of an executor that takes jobs."""
READY_BUT = "ready; "
"""How the condition begins of one that takes jobs and has something to report."""


def new_executor_id(chip_id: str) -> str:
    """A unique name for one start of an executor."""
    return f"{chip_id}@{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


class Executor:
    """One start of an executor process for one chip."""

    def __init__(
        self, database: Database, chip_id: str, backend: str, version: str, executor_id: str | None = None
    ) -> None:
        self.database = database
        self.chip_id = chip_id
        self.backend = backend
        self.version = version
        self.executor_id = executor_id or new_executor_id(chip_id)
        self._claim = uuid.uuid4()

    def register(self) -> None:
        """Register this start.

        Raises:
            UnknownNameError: there is no such chip.
            ExecutorRefusedError: the role may not serve the chip, or the backend is of another kind.
        """
        self.database.execute(
            "SELECT calib.register_executor(%(executor_id)s, %(chip_id)s, %(backend)s, %(host)s, %(pid)s,"
            " %(version)s)",
            executor_id=self.executor_id,
            chip_id=self.chip_id,
            backend=self.backend,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=self.version,
        )

    def register_catalogue(self, flows: Sequence[FlowEntry], tasks: Sequence[TaskEntry]) -> None:
        """Register all flows and tasks of this chip; those not named are removed.

        Raises:
            CatalogueRefusedError: a flow cannot be cancelled, or a schema cannot be checked by the database.
        """
        self.database.rows(_REGISTER, **self._catalogue(flows, tasks))

    def check_flow(self, flow: FlowEntry) -> None:
        """Ask whether a flow could be registered; changes nothing.

        Raises:
            CatalogueRefusedError: as :meth:`register_catalogue`.
        """
        with self.database.connection() as connection, connection.transaction(force_rollback=True):
            connection.execute(_REGISTER.encode(), self._catalogue([flow], []))

    def _catalogue(self, flows: Sequence[FlowEntry], tasks: Sequence[TaskEntry]) -> dict[str, str]:
        return {
            "chip_id": self.chip_id,
            "backend": self.backend,
            "version": self.version,
            "flows": json.dumps([flow.model_dump(mode="json", by_alias=True) for flow in flows]),
            "tasks": json.dumps([task.model_dump(mode="json", by_alias=True) for task in tasks]),
        }

    def seen(self, condition: str = READY) -> None:
        """Report that this executor is alive, and its condition.

        ``ready``, that with a report (``READY_BUT``), or why it takes no job; cut at 200 characters.
        """
        self.database.execute(
            "SELECT calib.executor_seen(%(executor_id)s, %(condition)s)",
            executor_id=self.executor_id,
            condition=condition,
        )

    def stopped(self) -> None:
        """Report that this executor has stopped."""
        self.database.execute("SELECT calib.executor_stopped(%(executor_id)s)", executor_id=self.executor_id)

    def claim(self, lease_seconds: float = 30.0, job_id: int | None = None) -> ClaimedJob | None:
        """Take the chip's first due job (or the named one), or none; an idle call writes nothing.

        After a ``DatabaseUnreachableError`` the next call repeats the claim: a job that it took is returned.
        """
        found = self.database.models(
            ClaimedJob,
            "SELECT *, CAST(%(claim)s AS uuid) AS claim FROM calib.claim(%(chip_id)s, %(executor_id)s,"
            " %(claim)s,"
            " %(lease_seconds)s, CAST(%(job_id)s AS bigint))",
            chip_id=self.chip_id,
            executor_id=self.executor_id,
            claim=self._claim,
            lease_seconds=lease_seconds,
            job_id=job_id,
        )
        if not found:
            return None
        self._claim = uuid.uuid4()
        return found[0]

    def sweep(self) -> list[SweptJob]:
        """End or requeue jobs whose lease expired, and end waiting jobs that have expired, on any chip."""
        return self.database.models(SweptJob, "SELECT * FROM calib.sweep()")

    def unsynced_flow_runs(self) -> list[UnsyncedFlowRun]:
        """Ended attempts whose Prefect run differs yet, on this chip and on chips without an executor."""
        return self.database.models(
            UnsyncedFlowRun, "SELECT * FROM calib.unsynced_flow_runs(%(chip_id)s)", chip_id=self.chip_id
        )

    def chips_to_reconcile(self) -> list[str]:
        """This chip and those without a living executor: this executor reconciles their flow runs."""
        rows = self.database.rows(
            "SELECT chip_id FROM calib.chips_to_reconcile(%(chip_id)s) AS chip_id", chip_id=self.chip_id
        )
        return [row["chip_id"] for row in rows]

    def flow_run_synced(self, job_id: int, attempt: int) -> None:
        """Note that Prefect's state now equals the attempt's outcome."""
        self.database.execute(
            "SELECT calib.flow_run_synced(%(job_id)s, %(attempt)s)", job_id=job_id, attempt=attempt
        )


@dataclass(frozen=True, slots=True)
class StartedSweep:
    """A running sweep, and the ids of its task runs by qid."""

    sweep_id: uuid.UUID
    task_ids: Mapping[str, uuid.UUID]


@dataclass(frozen=True, slots=True)
class EndedSweep:
    """A sweep that is measured, with the instrument time of all its targets together, in seconds."""

    sweep_id: uuid.UUID
    hardware_seconds: float


class Lease:
    """The right to drive a chip for one attempt of one job.

    Every verb raises ``LeaseLostError`` once the lease is not known under its claim.
    """

    def __init__(self, database: Database, job_id: int, claim: uuid.UUID) -> None:
        self.database = database
        self.job_id = job_id
        self.claim = claim

    def heartbeat(self, lease_seconds: float = 30.0) -> CancelRequest | None:
        """Renew the lease; returns the cancel request if there is one, and stamps it as seen."""
        found = self.database.models(
            CancelRequest,
            "SELECT * FROM calib.heartbeat(%(job_id)s, %(claim)s, %(lease_seconds)s)",
            lease_seconds=lease_seconds,
            **self._key,
        )
        return found[0] if found else None

    def cancel_from_prefect(self, reason: str) -> None:
        """Turn a Cancelling state in Prefect into a cancel request on the row."""
        self.database.execute(
            "SELECT calib.cancel_from_prefect(%(job_id)s, %(claim)s, %(reason)s)", reason=reason, **self._key
        )

    def set_flow_run(self, flow_run_id: uuid.UUID) -> None:
        """Store the Prefect flow run before any work is done."""
        self.database.execute(
            "SELECT calib.set_flow_run(%(job_id)s, %(claim)s, %(flow_run_id)s)",
            flow_run_id=flow_run_id,
            **self._key,
        )

    def log_event(self, event: str, detail: Mapping[str, JsonValue] | None = None) -> None:
        """Append flow_started, stop_requested, sigterm, sigkill, child_exited or hook_ran to the log."""
        self.database.rows_once(
            "SELECT calib.log_event(%(job_id)s, %(claim)s, %(event)s, CAST(%(detail)s AS jsonb))",
            event=event,
            detail=json.dumps(dict(detail or {})),
            **self._key,
        )

    def quiesced(self, detail: Mapping[str, JsonValue] | None = None) -> None:
        """Note that the instrument is in its safe idle state."""
        self.database.rows_once(
            "SELECT calib.quiesced(%(job_id)s, %(claim)s, CAST(%(detail)s AS jsonb))",
            detail=json.dumps(dict(detail or {})),
            **self._key,
        )

    def quiesce_failed(self, reason: str) -> None:
        """Note that the instrument could not be put into a safe idle state; pauses the chip."""
        self.database.execute(
            "SELECT calib.quiesce_failed(%(job_id)s, %(claim)s, %(reason)s)", reason=reason, **self._key
        )

    def plan_tasks(self, tasks: Sequence[PlannedTask]) -> None:
        """Declare the (task, qid) to run, so that progress can be shown."""
        self.database.execute(
            "SELECT calib.plan_tasks(%(job_id)s, %(claim)s, CAST(%(tasks)s AS jsonb))",
            tasks=json.dumps([task.model_dump(mode="json") for task in tasks]),
            **self._key,
        )

    def start_sweep(self, tasks: Sequence[SweepTask]) -> StartedSweep:
        """Mark one task as running on many targets, which are measured together: all of them or none.

        Raises:
            BadValueError: they are none, of several tasks, or name a qid twice.
            IllegalTransitionError: one of them has ended, or runs in a sweep of other targets.
        """
        rows = self.database.rows(
            "SELECT qid, task_run_id, sweep_id"
            " FROM calib.start_sweep(%(job_id)s, %(claim)s, CAST(%(tasks)s AS jsonb))",
            tasks=_json([task.model_dump(mode="json") for task in tasks]),
            **self._key,
        )
        return StartedSweep(
            sweep_id=rows[0]["sweep_id"], task_ids={row["qid"]: row["task_run_id"] for row in rows}
        )

    def end_sweep(self, ended: EndedSweep) -> None:
        """End a sweep.

        Raises:
            UnknownNameError: the attempt has no such sweep.
            BadValueError: the time is negative or not finite.
            IllegalTransitionError: it has ended with another time.
        """
        self.database.execute(f"SELECT {_END_SWEEP}", **_parameters(ended), **self._key)

    def start_task(
        self,
        task: PlannedTask,
        *,
        upstream_id: uuid.UUID | None = None,
        input_parameters: Mapping[str, ParameterModel] | None = None,
        run_parameters: Mapping[str, RunParameterModel] | None = None,
    ) -> uuid.UUID:
        """Mark a (task, qid, repetition) as running, as a sweep of one target; returns its task run id."""
        alone = SweepTask(
            **task.model_dump(),
            upstream_id=upstream_id,
            input_parameters=dict(input_parameters or {}),
            run_parameters=dict(run_parameters or {}),
        )
        return self.start_sweep([alone]).task_ids[task.qid]

    def record_task(
        self, task_run_id: uuid.UUID, record: TaskRecord, ended: EndedSweep | None = None
    ) -> None:
        """Commit a finished task as a whole: verdict, outputs, figures, raw data, parameters, event.

        ``ended`` ends a sweep in the same transaction.

        Raises:
            TooLargeError: a figure or raw data array is past its limit; nothing was stored.
        """
        result = record.model_dump(mode="json", exclude={"status", "figures", "raw_data"})
        ending = f"{_END_SWEEP}, " if ended else ""
        self.database.execute(
            f"SELECT {ending}calib.record_task(%(job_id)s, %(claim)s, %(task_run_id)s, %(status)s,"
            " CAST(%(result)s AS jsonb), CAST(%(figures)s AS jsonb),"
            " CAST(%(raw_meta)s AS jsonb), CAST(%(raw_data)s AS bytea[]))",
            **self._key,
            task_run_id=task_run_id,
            status=record.status.value,
            result=_json(result),
            figures=json.dumps([figure.model_dump() for figure in record.figures]),
            raw_meta=json.dumps([raw.model_dump(exclude={"data"}) for raw in record.raw_data]),
            raw_data=ByteArrays(raw.data for raw in record.raw_data),
            **(_parameters(ended) if ended else {}),
        )

    def record_stage(self, position: int, record: StageRecord) -> None:
        """Store a stage of the attempt as it is: begun, going on or ended. ``position`` orders them.

        Raises:
            BadValueError: the position is not one of 0 to 1000, or a result is not finite.
            IllegalTransitionError: it has ended differently, or another stage has this position.
            TooLargeError: the result is past 1 MiB, or those of the attempt past 8 MiB; nothing was stored.
        """
        self.database.execute(
            "SELECT calib.record_stage(%(job_id)s, %(claim)s, %(position)s, CAST(%(stage)s AS jsonb))",
            position=position,
            stage=_json(record.model_dump(mode="json")),
            **self._key,
        )

    def conclude(self, state: JobState, failure: Failure | None = None) -> JobState:
        """Record the attempt's verdict; the first one stands and is returned. A seen cancel wins."""
        return JobState(self._verdict("conclude", state, failure))

    def _verdict(self, verb: str, state: JobState, failure: Failure | None) -> Any:
        return self.database.value(
            f"SELECT calib.{verb}(%(job_id)s, %(claim)s, %(state)s, %(failure_kind)s, %(failure_message)s)",
            **self._key,
            state=state.value,
            failure_kind=failure.kind.value if failure else None,
            failure_message=failure.message if failure else None,
        )

    def finish(self) -> JobState:
        """End the job by its verdict and free the chip, in one transaction."""
        state = self.database.value("SELECT calib.finish(%(job_id)s, %(claim)s) AS state", **self._key)
        return JobState(state)

    def end(self, state: JobState, failure: Failure | None = None) -> JobState:
        """Record the verdict and end a job that completed, in one transaction; the verdict that stands.

        After any other verdict the job runs on until :meth:`finish`.
        """
        return JobState(self._verdict("end_job", state, failure))

    def give_back(self, reason: str) -> JobState:
        """End the attempt because this executor stops: the job is requeued or ends, by policy."""
        state = self.database.value(
            "SELECT calib.give_back(%(job_id)s, %(claim)s, %(reason)s) AS state", reason=reason, **self._key
        )
        return JobState(state)

    def try_again(self, failure: Failure) -> JobState:
        """End the attempt by a failure that is not the job's: it is requeued or fails, by policy."""
        state = self.database.value(
            "SELECT calib.try_again(%(job_id)s, %(claim)s, %(failure_kind)s, %(failure_message)s) AS state",
            failure_kind=failure.kind.value,
            failure_message=failure.message,
            **self._key,
        )
        return JobState(state)

    @property
    def _key(self) -> dict[str, int | uuid.UUID]:
        return {"job_id": self.job_id, "claim": self.claim}


_END_SWEEP: Final = "calib.end_sweep(%(job_id)s, %(claim)s, %(sweep_id)s, %(sweep_seconds)s)"


def _parameters(ended: EndedSweep) -> dict[str, uuid.UUID | float]:
    return {"sweep_id": ended.sweep_id, "sweep_seconds": ended.hardware_seconds}


def _json(value: object) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise BadValueError("expected finite numbers, got NaN or an infinity") from error
