-- What clients may read. Rows of a project show to its members only; chips, catalogue and parameters to every reader.

CREATE VIEW calib.projects WITH (security_barrier) AS
SELECT p.project_id, p.description, p.created_at, p.created_by FROM calib_private.projects p
 WHERE p.project_id = ANY ((SELECT calib_private.readable_projects())::text[]);

CREATE VIEW calib.memberships WITH (security_barrier) AS
SELECT m.project_id, m.role_name, m.username, m.access FROM calib_private.memberships m
 WHERE m.project_id = ANY ((SELECT calib_private.readable_projects())::text[]);

CREATE VIEW calib.chips AS
SELECT c.chip_id, c.backend, c.topology, c.n_qubits, c.paused, c.pause_reason, c.paused_by, c.paused_at, c.max_waiting,
       (SELECT count(*) FROM calib_private.jobs j WHERE j.chip_id = c.chip_id AND j.state = 'scheduled') AS jobs_waiting,
       l.job_id AS running_job_id
  FROM calib_private.chips c JOIN calib_private.leases l USING (chip_id);

CREATE VIEW calib.qubits AS SELECT chip_id, qid, grid_row, grid_column, mux FROM calib_private.qubits;
CREATE VIEW calib.couplings AS SELECT chip_id, qid, control, target FROM calib_private.couplings;
CREATE VIEW calib.flows AS
SELECT chip_id, flow, description, schema, repeatable, timeout_seconds, version, registered_by, registered_at FROM calib_private.flows;
CREATE VIEW calib.tasks AS
SELECT chip_id, task, task_type, description, schema, input_parameters, output_parameters, version, registered_by, registered_at FROM calib_private.tasks;

CREATE VIEW calib.executors AS
SELECT e.executor_id, e.chip_id, e.role_name, e.host, e.pid, e.version, e.condition, e.started_at, e.last_seen_at, e.stopped_at,
       calib_private.alive(e.last_seen_at, e.stopped_at) AS alive, l.job_id
  FROM calib_private.executors e LEFT JOIN calib_private.leases l ON l.chip_id = e.chip_id AND l.executor_id = e.executor_id;

CREATE VIEW calib.attempts WITH (security_barrier) AS
SELECT a.job_id, a.attempt, a.executor_id, a.flow_run_id, a.started_at, a.ended_at, a.verdict, a.outcome, a.failure_kind, a.failure_message, a.prefect_synced
  FROM calib_private.attempts a JOIN calib_private.jobs j USING (job_id)
 WHERE j.project_id = ANY ((SELECT calib_private.readable_projects())::text[]);

CREATE VIEW calib.job_events WITH (security_barrier) AS
SELECT e.event_id, e.job_id, e.at, e.actor, e.event, e.old_state, e.new_state, e.attempt, e.detail
  FROM calib_private.job_events e JOIN calib_private.jobs j USING (job_id)
 WHERE j.project_id = ANY ((SELECT calib_private.readable_projects())::text[]);

CREATE VIEW calib.task_runs WITH (security_barrier) AS
SELECT t.task_run_id, t.job_id, t.attempt, t.task, t.qid, t.repetition, t.task_type, t.status, t.ordinal, t.upstream_id, t.started_at, t.ended_at,
       t.hardware_seconds, t.message, t.failure_kind, t.cause, t.remedy, t.stack_trace, t.input_parameters, t.output_parameters, t.run_parameters,
       t.quality_metrics, t.note
  FROM calib_private.task_runs t JOIN calib_private.jobs j USING (job_id)
 WHERE j.project_id = ANY ((SELECT calib_private.readable_projects())::text[]);

CREATE VIEW calib.figures WITH (security_barrier) AS
SELECT f.figure_id, f.task_run_id, t.job_id, t.attempt, t.task, t.qid, f.ordinal, f.name, f.plotly, f.png, f.render_error
  FROM calib_private.figures f JOIN calib_private.task_runs t USING (task_run_id) JOIN calib_private.jobs j USING (job_id)
 WHERE j.project_id = ANY ((SELECT calib_private.readable_projects())::text[]);

CREATE VIEW calib.raw_data WITH (security_barrier) AS
SELECT r.raw_data_id, r.task_run_id, t.job_id, t.attempt, t.task, t.qid, r.ordinal, r.name, r.dtype, r.shape, r.unit, r.data
  FROM calib_private.raw_data r JOIN calib_private.task_runs t USING (task_run_id) JOIN calib_private.jobs j USING (job_id)
 WHERE j.project_id = ANY ((SELECT calib_private.readable_projects())::text[]);

CREATE VIEW calib.settings AS SELECT time_zone FROM calib_private.settings;

CREATE VIEW calib.mirror_lag WITH (security_barrier) AS
SELECT o.mark_id, o.job_id, o.chip_id, o.marked_at, extract(epoch FROM calib_private.now() - o.marked_at)::double precision AS lag_seconds,
       o.attempts, o.next_try_at, o.last_error
  FROM calib_private.outbox o LEFT JOIN calib_private.jobs j USING (job_id)
 WHERE o.job_id IS NULL OR j.project_id = ANY ((SELECT calib_private.readable_projects())::text[]);

CREATE FUNCTION calib.schema_version() RETURNS integer LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT 1 $$;
