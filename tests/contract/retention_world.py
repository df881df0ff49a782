"""A queue in which time passes, jobs grow old and are pruned."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from qdash_queue.client.records import FigureRecord, PlannedTask, RawDataRecord, StageRecord, TaskRecord
from qdash_queue.client.retention import Retention
from qdash_queue.domain import JobState, ParameterModel, TaskStatus
from tests.support.queue_world import QueueWorld

PARTS = ("jobs", "events", "figures", "raw_data")
FOREVER: dict[str, timedelta | None] = dict.fromkeys(PARTS)
DAY = timedelta(days=1)
KEPT = 2 * DAY
RECORD = TaskRecord(
    status=TaskStatus.COMPLETED,
    output_parameters={"rabi_frequency": ParameterModel(value=12.5, error=0.1, unit="MHz")},
    figures=[FigureRecord(name=f"figure {n}", plotly='{"data": [], "layout": {}}') for n in range(2)],
    raw_data=[RawDataRecord(name="iq", dtype="uint8", shape=(4,), unit="a.u.", data=b"data")],
)

# Finished jobs of given ages, as executors, mirror and Prefect leave them.
GROWN = """
WITH old AS (
  INSERT INTO calib_private.jobs (project_id, username, chip_id, flow, parameters, priority, not_before,
      timeout_seconds, max_attempts, repeatable, tags, note, state, attempt, fence, execution_id,
      flow_run_id, submitted_by, submitted_at, started_at, finished_at)
  SELECT 'demo', 'ana', %(chip_id)s, 'repeat', '{}', 0, now(), 60, 1, true, '{}', '{}', 'completed', 1, n,
         %(chip_id)s || '-q' || n, gen_random_uuid(), 'ana', now(), now(), calib_private.now() - age
    FROM unnest(%(ages)s::interval[]) WITH ORDINALITY AS given(age, n) ORDER BY n
  RETURNING job_id, fence, flow_run_id, finished_at AS at
), attempts AS (
  INSERT INTO calib_private.attempts (job_id, attempt, fence, executor_id, flow_run_id, started_at, ended_at,
      verdict, outcome, prefect_synced)
  SELECT job_id, 1, fence, 'gone', flow_run_id, at, at, 'completed', 'completed', true FROM old
), events AS (
  INSERT INTO calib_private.job_events (job_id, at, actor, event, old_state, new_state)
  SELECT job_id, at, 'gone', event, 'running', state
    FROM old, (VALUES ('flow_started', NULL), ('completed', 'completed')) e(event, state)
), sweeps AS (
  INSERT INTO calib_private.sweeps (job_id, attempt, task, targets, started_at, ended_at)
  SELECT job_id, 1, 'CheckRabi', '{0}', at, at FROM old
  RETURNING sweep_id, job_id, ended_at AS at
), stages AS (
  INSERT INTO calib_private.stages (job_id, attempt, position, name, step, targets, status, result, message,
      started_at, ended_at)
  SELECT job_id, 1, 0, 'look', 'OneQubitCheck', '{0}', 'completed', '{}', '', at, at FROM old
), runs AS (
  INSERT INTO calib_private.task_runs (job_id, attempt, task, qid, task_type, status, ordinal, ended_at,
      sweep_id)
  SELECT job_id, 1, 'CheckRabi', '0', 'qubit', 'completed', 1, at, sweep_id FROM sweeps
  RETURNING task_run_id, ended_at AS at
), figures AS (
  INSERT INTO calib_private.figures (task_run_id, ordinal, name, plotly, png, stored_at)
  SELECT task_run_id, 0, 'figure', '{}', 'png', at FROM runs
), raw_data AS (
  INSERT INTO calib_private.raw_data (task_run_id, ordinal, name, dtype, shape, unit, data, stored_at)
  SELECT task_run_id, 0, 'iq', 'uint8', '{4}', '', 'data', at FROM runs
)
SELECT job_id FROM old ORDER BY fence
"""


@dataclass
class RetentionWorld:
    """A queue whose clock stands, the administrator's verbs of retention, and a mirror without a MongoDB."""

    world: QueueWorld

    @property
    def retention(self) -> Retention:
        return Retention(self.world.person("root", "calib_admin").database)

    def keep(self, **ages: timedelta | None) -> None:
        """Keep these parts so long, all others indefinitely."""
        self.retention.set(**(FOREVER | ages))

    def measured(self, chip_id: str, *, flow_run_id: uuid.UUID | None = None) -> int:
        """A job that measured two qubits and ended just now; it is not mirrored yet."""
        claimed, lease = self.world.running(chip_id)
        if flow_run_id is not None:
            lease.set_flow_run(flow_run_id)
        for qid in ("0", "1"):
            lease.record_task(lease.start_task(PlannedTask(task="CheckRabi", qid=qid)), RECORD)
        lease.record_stage(0, StageRecord(name="look", step="OneQubitCheck", status="completed"))
        lease.conclude(JobState.COMPLETED)
        lease.finish()
        return claimed.job_id

    def grown(self, chip_id: str, ages: Sequence[timedelta]) -> list[int]:
        """Finished jobs of these ages, by no verb but at once; everybody has done with them."""
        owner = self.world.owner
        owner.execute("SET session_replication_role = replica")
        rows = owner.execute(GROWN, {"chip_id": chip_id, "ages": list(ages)}).fetchall()
        owner.execute("SET session_replication_role = origin")
        return [row["job_id"] for row in rows]

    def mirror(self) -> None:
        """Render and mirror all that waits."""
        self.render()
        self.world.rows("SELECT calib.mark_done(mark_id, version) FROM calib_private.outbox")

    def render(self) -> None:
        self.world.rows("SELECT calib.store_png(figure_id, 'png') FROM calib.unrendered_figures(1000)")

    def parts(self, job_id: int) -> dict[str, int]:
        """How much of a job there is."""
        return {
            part: self.world.value(f"SELECT count(*) FROM calib.{part} WHERE job_id = %s", job_id)
            for part in (
                "jobs",
                "job_events",
                "attempts",
                "task_runs",
                "sweeps",
                "stages",
                "figures",
                "raw_data",
            )
        }

    def wait(self, time: timedelta) -> None:
        self.world.advance(time.total_seconds())
