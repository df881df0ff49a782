-- The newest jobs, however many there are. A reader's LIMIT does not reach into a view that guards its rows; an order of
-- the view's own does, so that it walks the index from its end and stops.
CREATE OR REPLACE VIEW calib.jobs WITH (security_barrier) AS
SELECT j.job_id, j.project_id, j.username, j.chip_id, j.flow, j.parameters, j.priority, j.not_before, j.not_after,
       j.timeout_seconds, j.max_attempts, j.dedup_key, j.tags, j.note,
       j.state, j.attempt, j.execution_id, j.flow_run_id, j.executor_id, j.submitted_by, j.submitted_at, j.started_at,
       j.finished_at,
       CASE WHEN j.state = 'scheduled'
            THEN calib_private.waiting_for(j.job_id, j.chip_id, j.priority, j.not_before) END AS waiting_for,
       j.tasks_total, j.tasks_done, j.tasks_failed, j.failure_kind, j.failure_message,
       (k.job_id IS NOT NULL OR p.job_id IS NOT NULL) AS cancel_requested,
       CASE WHEN 'now' IN (k.mode, p.mode) THEN 'now' ELSE coalesce(k.mode, p.mode) END AS cancel_mode,
       coalesce(k.reason, p.reason) AS cancel_reason, coalesce(k.requested_by, p.requested_by) AS cancel_requested_by,
       coalesce(k.requested_at, p.requested_at) AS cancel_requested_at, j.cancel_seen_at, j.version
  FROM calib_private.jobs j
  LEFT JOIN calib_private.cancel_requests k ON k.job_id = j.job_id AND k.door = 'client'
  LEFT JOIN calib_private.cancel_requests p ON p.job_id = j.job_id AND p.door = 'prefect'
 WHERE j.project_id = ANY ((SELECT calib_private.readable_projects())::text[])
 ORDER BY j.job_id DESC;

CREATE INDEX jobs_by_chip ON calib_private.jobs (chip_id, job_id DESC);
-- Few among many, and the ones that people look for.
CREATE INDEX jobs_not_completed ON calib_private.jobs (state, job_id DESC) WHERE state IN ('failed', 'cancelled');
