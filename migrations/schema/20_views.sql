-- What clients read. Rows of a project show to its members; chips, catalogue and parameters to every reader.

CREATE OR REPLACE FUNCTION calib_private.alive(p_last_seen_at timestamptz, p_stopped_at timestamptz)
RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT p_stopped_at IS NULL AND p_last_seen_at > calib_private.now() - interval '30 seconds'
$$;

-- Why a scheduled job is not running yet. STABLE, so that a query which does not ask for it does not pay for
-- it.
CREATE OR REPLACE FUNCTION calib_private.waiting_for(p_job_id bigint, p_chip_id text, p_priority smallint,
  p_not_before timestamptz)
RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE
    WHEN c.paused THEN format('chip paused: %s', c.pause_reason)
    WHEN p_not_before > calib_private.now() THEN format('not before %s',
      to_char(p_not_before AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'))
    WHEN NOT EXISTS (SELECT FROM calib_private.executors e
      WHERE e.chip_id = p_chip_id AND calib_private.alive(e.last_seen_at, e.stopped_at))
      THEN 'no executor is alive'
    WHEN NOT EXISTS (SELECT FROM calib_private.executors e
      WHERE e.chip_id = p_chip_id AND calib_private.alive(e.last_seen_at, e.stopped_at)
          AND e.condition = 'ready')
      THEN (SELECT e.condition FROM calib_private.executors e
        WHERE e.chip_id = p_chip_id AND calib_private.alive(e.last_seen_at, e.stopped_at)
            ORDER BY e.last_seen_at DESC LIMIT 1)
    ELSE (SELECT CASE WHEN l.job_id IS NULL AND ahead.n = 0 THEN 'an executor to pick it up'
      WHEN l.job_id IS NULL THEN format('jobs ahead: %s', ahead.n)
      WHEN ahead.n = 0 THEN format('job %s to end', l.job_id)
      ELSE format('job %s to end; jobs ahead: %s', l.job_id, ahead.n) END
      FROM calib_private.leases l,
        LATERAL (SELECT count(*) AS n FROM calib_private.jobs w
          WHERE w.chip_id = p_chip_id AND w.state = 'scheduled' AND w.not_before <= calib_private.now()
            AND (w.priority > p_priority OR w.priority = p_priority AND w.job_id < p_job_id)) ahead
      WHERE l.chip_id = p_chip_id)
    END FROM calib_private.chips c WHERE c.chip_id = p_chip_id
$$;

-- The newest jobs, however many there are. A reader's LIMIT does not reach into a view that guards its rows;
-- an order of the view's own does, so that it walks the index from its end and stops.
CREATE OR REPLACE VIEW calib.jobs WITH (security_barrier) AS
SELECT j.job_id, j.project_id, j.username, j.chip_id, j.flow, j.parameters, j.priority, j.not_before,
  j.not_after, j.timeout_seconds, j.max_attempts, j.dedup_key, j.tags, j.note,
  j.state, j.attempt, j.execution_id, j.flow_run_id, j.executor_id, j.submitted_by, j.submitted_at,
  j.started_at, j.finished_at,
  CASE WHEN j.state = 'scheduled'
    THEN calib_private.waiting_for(j.job_id, j.chip_id, j.priority, j.not_before) END AS waiting_for,
  j.tasks_total, j.tasks_done, j.tasks_failed, j.failure_kind, j.failure_message,
  (k.job_id IS NOT NULL OR p.job_id IS NOT NULL) AS cancel_requested,
  CASE WHEN 'now' IN (k.mode, p.mode) THEN 'now' ELSE coalesce(k.mode, p.mode) END AS cancel_mode,
  coalesce(k.reason, p.reason) AS cancel_reason, coalesce(k.requested_by,
  p.requested_by) AS cancel_requested_by, coalesce(k.requested_at, p.requested_at) AS cancel_requested_at,
    j.cancel_seen_at, j.version
  FROM calib_private.jobs j
  LEFT JOIN calib_private.cancel_requests k ON k.job_id = j.job_id AND k.door = 'client'
  LEFT JOIN calib_private.cancel_requests p ON p.job_id = j.job_id AND p.door = 'prefect'
 WHERE j.project_id = ANY ((SELECT calib_private.readable_projects())::text[])
 ORDER BY j.job_id DESC;
COMMENT ON VIEW calib.jobs IS
  'Calibration jobs. INSERT to submit one; UPDATE cancel_requested (and cancel_mode, cancel_reason) to '
  'cancel it; UPDATE priority while it waits.';

CREATE OR REPLACE VIEW calib.attempts WITH (security_barrier) AS
SELECT a.job_id, a.attempt, a.executor_id, a.flow_run_id, a.started_at, a.ended_at, a.verdict, a.outcome,
    a.failure_kind, a.failure_message, a.prefect_synced
  FROM calib_private.attempts a JOIN calib_private.jobs j USING (job_id)
 WHERE j.project_id = ANY ((SELECT calib_private.readable_projects())::text[]);

CREATE OR REPLACE VIEW calib.job_events WITH (security_barrier) AS
SELECT e.event_id, e.job_id, e.at, e.actor, e.event, e.old_state, e.new_state, e.attempt, e.detail
  FROM calib_private.job_events e JOIN calib_private.jobs j USING (job_id)
 WHERE j.project_id = ANY ((SELECT calib_private.readable_projects())::text[]);

CREATE OR REPLACE VIEW calib.task_runs WITH (security_barrier) AS
SELECT t.task_run_id, t.job_id, t.attempt, t.task, t.qid, t.repetition, t.task_type, t.status, t.ordinal,
  t.upstream_id, t.started_at, t.ended_at, t.hardware_seconds, t.message, t.failure_kind, t.cause, t.remedy,
  t.stack_trace, t.input_parameters, t.output_parameters, t.run_parameters, t.quality_metrics, t.note
  FROM calib_private.task_runs t JOIN calib_private.jobs j USING (job_id)
 WHERE j.project_id = ANY ((SELECT calib_private.readable_projects())::text[]);

CREATE OR REPLACE VIEW calib.figures WITH (security_barrier) AS
SELECT f.figure_id, f.task_run_id, t.job_id, t.attempt, t.task, t.qid, f.ordinal, f.name, f.plotly, f.png,
    f.render_error
  FROM calib_private.figures f JOIN calib_private.task_runs t USING (task_run_id) JOIN calib_private.jobs j
      USING (job_id)
 WHERE j.project_id = ANY ((SELECT calib_private.readable_projects())::text[]);

CREATE OR REPLACE VIEW calib.raw_data WITH (security_barrier) AS
SELECT r.raw_data_id, r.task_run_id, t.job_id, t.attempt, t.task, t.qid, r.ordinal, r.name, r.dtype, r.shape,
    r.unit, r.data
  FROM calib_private.raw_data r JOIN calib_private.task_runs t USING (task_run_id) JOIN calib_private.jobs j
      USING (job_id)
 WHERE j.project_id = ANY ((SELECT calib_private.readable_projects())::text[]);

CREATE OR REPLACE VIEW calib.chips AS
SELECT c.chip_id, c.backend, c.topology, c.n_qubits, c.paused, c.pause_reason, c.paused_by, c.paused_at,
  c.max_waiting, (SELECT count(*) FROM calib_private.jobs j WHERE j.chip_id = c.chip_id
  AND j.state = 'scheduled') AS jobs_waiting, l.job_id AS running_job_id, c.retired_at, c.retired_by
  FROM calib_private.chips c JOIN calib_private.leases l USING (chip_id);
COMMENT ON COLUMN calib.chips.retired_at IS 'Since when it takes no jobs. NULL: it is in use.';
COMMENT ON COLUMN calib.chips.retired_by IS 'Database role that retired it. NULL: it is in use.';

CREATE OR REPLACE VIEW calib.qubits AS SELECT chip_id, qid, grid_row, grid_column, mux
  FROM calib_private.qubits;

CREATE OR REPLACE VIEW calib.couplings AS SELECT chip_id, qid, control, target FROM calib_private.couplings;

CREATE OR REPLACE VIEW calib.executors AS
SELECT e.executor_id, e.chip_id, calib_private.role_label(e.role_name) AS role_name, e.host, e.pid, e.version,
  e.condition, e.started_at, e.last_seen_at, e.stopped_at,
  calib_private.alive(e.last_seen_at, e.stopped_at) AS alive, l.job_id
  FROM calib_private.executors e LEFT JOIN calib_private.leases l ON l.chip_id = e.chip_id
      AND l.executor_id = e.executor_id;

CREATE OR REPLACE VIEW calib.executor_permissions AS
SELECT calib_private.role_label(p.role_name) AS role_name, p.chip_id
  FROM calib_private.executor_permissions p;
COMMENT ON VIEW calib.executor_permissions IS 'Database roles that may execute jobs, and on which chip.';
COMMENT ON COLUMN calib.executor_permissions.role_name IS
  'Database role; its number if it was dropped, which disallow_executor() takes too.';

CREATE OR REPLACE VIEW calib.flows AS
SELECT chip_id, flow, description, schema, repeatable, timeout_seconds, version, registered_by, registered_at
    FROM calib_private.flows;

CREATE OR REPLACE VIEW calib.tasks AS
SELECT chip_id, task, task_type, description, schema, input_parameters, output_parameters, version,
    registered_by, registered_at FROM calib_private.tasks;

CREATE OR REPLACE VIEW calib.parameters AS
SELECT p.chip_id, p.qid, p.name, p.value, p.error, p.unit, p.value_type, p.description,
  lower(p.valid) AS valid_from, p.source, p.task_run_id, p.job_id, p.execution_id, p.actor, p.reason
  FROM calib_private.parameter_versions p WHERE upper_inf(p.valid);

CREATE OR REPLACE VIEW calib.parameter_history AS
SELECT p.chip_id, p.qid, p.name, p.value, p.error, p.unit, p.value_type, p.description,
  lower(p.valid) AS valid_from, upper(p.valid) AS valid_to, p.source, p.task_run_id, p.job_id, p.execution_id,
    p.actor, p.reason
  FROM calib_private.parameter_versions p;

CREATE OR REPLACE VIEW calib.projects WITH (security_barrier) AS
SELECT p.project_id, p.description, p.created_at, p.created_by, p.archived_at, p.archived_by
  FROM calib_private.projects p
 WHERE p.project_id = ANY ((SELECT calib_private.readable_projects())::text[]);
COMMENT ON COLUMN calib.projects.archived_at IS 'Since when it takes no jobs. NULL: it is in use.';
COMMENT ON COLUMN calib.projects.archived_by IS 'Database role that archived it. NULL: it is in use.';

CREATE OR REPLACE VIEW calib.memberships WITH (security_barrier) AS
SELECT m.project_id, calib_private.role_label(m.role_name) AS role_name, m.username, m.access
  FROM calib_private.memberships m
 WHERE m.project_id = ANY ((SELECT calib_private.readable_projects())::text[]);

CREATE OR REPLACE VIEW calib.settings AS SELECT time_zone FROM calib_private.settings;

CREATE OR REPLACE VIEW calib.retention AS SELECT jobs, events, figures, raw_data, set_by, set_at
  FROM calib_private.retention;

CREATE OR REPLACE VIEW calib.mirrors AS
SELECT m.mirror_id, calib_private.role_label(m.role_name) AS role_name, m.host, m.pid, m.version, m.condition,
  m.started_at, m.last_seen_at, m.stopped_at, calib_private.alive(m.last_seen_at, m.stopped_at) AS alive,
  o.marks_waiting, o.lag_seconds, o.dead_letters
  FROM calib_private.mirrors m,
    (SELECT count(*) FILTER (WHERE w.dead_at IS NULL) AS marks_waiting,
      coalesce(extract(epoch FROM calib_private.now() - min(w.marked_at) FILTER (WHERE w.dead_at IS NULL)),
      0)::double precision AS lag_seconds, count(*) FILTER (WHERE w.dead_at IS NOT NULL) AS dead_letters
       FROM calib_private.outbox w) o;

CREATE OR REPLACE VIEW calib.mirror_lag WITH (security_barrier) AS
SELECT o.mark_id, o.job_id, o.chip_id, o.marked_at,
  extract(epoch FROM calib_private.now() - o.marked_at)::double precision AS lag_seconds, o.attempts,
    o.next_try_at, o.last_error, o.refusals, o.refused, o.dead_at
  FROM calib_private.outbox o LEFT JOIN calib_private.jobs j USING (job_id)
 WHERE o.job_id IS NULL OR j.project_id = ANY ((SELECT calib_private.readable_projects())::text[]);

CREATE OR REPLACE FUNCTION calib.schema_version()
RETURNS integer LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 5
$$;

-- The oldest version of the schema whose programs are still served. It rises only with a change that would
-- break them.
CREATE OR REPLACE FUNCTION calib.oldest_served_version()
RETURNS integer LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 1
$$;
