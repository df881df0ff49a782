-- What clients read. Rows of a project show to its members; chips, catalogue and parameters to every reader.

CREATE OR REPLACE FUNCTION calib_private.alive(p_last_seen_at timestamptz, p_stopped_at timestamptz)
RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT p_stopped_at IS NULL AND p_last_seen_at > calib_private.now() - interval '30 seconds'
$$;

-- What holds a chip up, whatever waits for it. The living, as alive() says it, in sight of the planner; small
-- statements, since a list of waiting jobs asks for each row.
CREATE OR REPLACE FUNCTION calib_private.chip_state(p_chip_id text, p_now timestamptz, OUT paused boolean,
  OUT pause_reason text, OUT alive boolean, OUT ready boolean, OUT condition text, OUT running_job_id bigint,
  OUT running_project_id text, OUT running_until timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  SELECT c.paused, c.pause_reason, l.job_id INTO paused, pause_reason, running_job_id
    FROM calib_private.chips c JOIN calib_private.leases l USING (chip_id) WHERE c.chip_id = p_chip_id;
  SELECT e.condition LIKE 'ready%', e.condition INTO ready, condition FROM calib_private.executors e
   WHERE e.chip_id = p_chip_id AND e.stopped_at IS NULL AND e.last_seen_at > p_now - interval '30 seconds'
   ORDER BY e.condition LIKE 'ready%' DESC, e.last_seen_at DESC LIMIT 1;
  alive := FOUND;
  IF running_job_id IS NOT NULL THEN
    SELECT j.project_id, a.started_at + j.timeout_seconds * interval '1 second'
      INTO running_project_id, running_until
      FROM calib_private.jobs j JOIN calib_private.attempts a USING (job_id, attempt)
     WHERE j.job_id = running_job_id;
  END IF;
END $$;

-- How many due jobs are claimed before this one, and the first of them. Counted up to twenty, or among the
-- first thousand of the queue: in a list of a long queue, each row would count it anew. is_bounded: there may
-- be more.
CREATE OR REPLACE FUNCTION calib_private.jobs_ahead(p_job_id bigint, p_chip_id text, p_flow text,
  p_priority smallint, p_now timestamptz, p_far boolean, OUT n integer, OUT is_bounded boolean,
  OUT first_job_id bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  n := 0; is_bounded := false;
  IF p_flow = 'interactive' THEN RETURN; END IF;   -- taken by its number, whatever else waits
  SELECT count(*) FILTER (WHERE w.is_due), count(*) = 20 INTO n, is_bounded
    FROM (SELECT j.job_id, j.priority, j.not_before <= p_now AND j.flow <> 'interactive'
        AND (j.not_after IS NULL OR j.not_after > p_now) AS is_due
      FROM calib_private.jobs j WHERE j.chip_id = p_chip_id AND j.state = 'scheduled'
      ORDER BY j.priority DESC, j.job_id LIMIT 20) w
   WHERE w.priority > p_priority OR w.priority = p_priority AND w.job_id < p_job_id;
  IF NOT p_far AND (n > 0 OR NOT is_bounded) THEN RETURN; END IF;
  SELECT count(*) FILTER (WHERE w.is_due), count(*) = 1000, (array_agg(w.job_id) FILTER (WHERE w.is_due))[1]
    INTO n, is_bounded, first_job_id
    FROM (SELECT j.job_id, j.priority, j.not_before <= p_now AND j.flow <> 'interactive'
        AND (j.not_after IS NULL OR j.not_after > p_now) AS is_due
      FROM calib_private.jobs j WHERE j.chip_id = p_chip_id AND j.state = 'scheduled'
      ORDER BY j.priority DESC, j.job_id LIMIT 1000) w
   WHERE w.priority > p_priority OR w.priority = p_priority AND w.job_id < p_job_id;
END $$;

-- Why a scheduled job waits. With p_readable, only jobs of these projects are named, and more are counted.
CREATE OR REPLACE FUNCTION calib_private.hold_up(p_job_id bigint, p_chip_id text, p_flow text,
  p_priority smallint, p_attempt smallint, p_not_before timestamptz, p_not_after timestamptz,
  p_readable text[], OUT kind text, OUT sentence text, OUT blocking_job_id bigint, OUT clears_at timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_now timestamptz := calib_private.now(); v_chip record := calib_private.chip_state(p_chip_id, v_now);
  v_ahead record;
BEGIN
  IF p_not_after <= v_now OR p_attempt > 0 AND EXISTS (SELECT FROM calib_private.cancel_requests k
      WHERE k.job_id = p_job_id) THEN
    kind := 'ending'; sentence := 'the next sweep to end it';
  ELSIF v_chip.paused THEN
    kind := 'chip_paused'; sentence := format('chip paused: %s', v_chip.pause_reason);
  ELSIF p_not_before > v_now THEN
    kind := 'not_before'; clears_at := p_not_before; sentence := format('not before %s',
      to_char(p_not_before AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'));
  ELSIF p_flow <> 'interactive' AND NOT v_chip.alive THEN
    kind := 'no_executor'; sentence := 'no executor is alive';
  ELSIF p_flow <> 'interactive' AND NOT v_chip.ready THEN
    kind := 'executor_not_ready'; sentence := v_chip.condition;
  END IF;
  IF kind IS NOT NULL THEN RETURN; END IF;
  v_ahead := calib_private.jobs_ahead(p_job_id, p_chip_id, p_flow, p_priority, v_now, p_readable IS NOT NULL);
  IF v_chip.running_job_id IS NOT NULL THEN
    kind := 'job_running'; clears_at := v_chip.running_until;
    IF v_chip.running_project_id <> ALL (p_readable) THEN sentence := 'a job of another project to end';
    ELSE
      blocking_job_id := v_chip.running_job_id; sentence := format('job %s to end', blocking_job_id);
    END IF;
  ELSIF v_ahead.n > 0 OR v_ahead.is_bounded THEN
    kind := 'jobs_ahead';
    blocking_job_id := (SELECT j.job_id FROM calib_private.jobs j WHERE j.job_id = v_ahead.first_job_id
      AND j.project_id = ANY (p_readable));
  ELSE
    kind := 'ready'; sentence := CASE p_flow WHEN 'interactive' THEN 'its session to claim it'
      ELSE 'an executor to pick it up' END;
  END IF;
  IF v_ahead.n > 0 OR v_ahead.is_bounded THEN
    sentence := concat_ws('; ', sentence, format('jobs ahead: %s%s', v_ahead.n,
      CASE WHEN v_ahead.is_bounded THEN ' or more' END));
  END IF;
END $$;

-- STABLE, so that a query which does not select waiting_for does not evaluate it.
CREATE OR REPLACE FUNCTION calib_private.waiting_for(p_job_id bigint, p_chip_id text, p_priority smallint,
  p_not_before timestamptz)
RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_flow text; v_attempt smallint; v_not_after timestamptz;
BEGIN
  SELECT j.flow, j.attempt, j.not_after INTO v_flow, v_attempt, v_not_after FROM calib_private.jobs j
   WHERE j.job_id = p_job_id;
  RETURN (calib_private.hold_up(p_job_id, p_chip_id, v_flow, p_priority, v_attempt, p_not_before, v_not_after,
    NULL)).sentence;
END $$;

-- A reader's LIMIT is not pushed down into a security_barrier view. The view's own ORDER BY lets it read the
-- index from its end and stop.
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
    j.cancel_seen_at, j.version, j.source_job_id
  FROM calib_private.jobs j
  LEFT JOIN calib_private.cancel_requests k ON k.job_id = j.job_id AND k.origin = 'client'
  LEFT JOIN calib_private.cancel_requests p ON p.job_id = j.job_id AND p.origin <> 'client'
 WHERE j.project_id = ANY ((SELECT calib_private.readable_projects(current_user))::text[])
 ORDER BY j.job_id DESC;
COMMENT ON VIEW calib.jobs IS
  'Calibration jobs, the newest first. INSERT submits one; UPDATE of cancel_requested (with cancel_mode, '
  'cancel_reason) cancels it; UPDATE of priority, not_before, not_after, timeout_seconds, tags or note edits '
  'it while it waits. Raises CQ001, CQ002, CQ003, CQ004, CQ005, CQ007, CQ010, CQ012, CQ030, CQ040; warns '
  'CQ010, CQ011 when it is too late.';
COMMENT ON COLUMN calib.jobs.job_id IS 'Number of the job, given by the queue; a later job has a larger one.';
COMMENT ON COLUMN calib.jobs.project_id IS
  'Project, one of calib.projects; only its members see its rows. Required in an INSERT.';
COMMENT ON COLUMN calib.jobs.username IS
  'Name in QDash under which the job runs. Default: your own in the project; another one needs operator '
  'access.';
COMMENT ON COLUMN calib.jobs.chip_id IS 'Chip, one of calib.chips. Required in an INSERT.';
COMMENT ON COLUMN calib.jobs.flow IS 'Flow to run, one of calib.flows of the chip. Default: calibrate.';
COMMENT ON COLUMN calib.jobs.parameters IS
  'JSON object of the flow''s arguments, checked against its schema in calib.flows; at most 1 MiB. '
  'Default: {}.';
COMMENT ON COLUMN calib.jobs.priority IS
  '-100 to 100; the larger runs first, among equals the older. Default: 0.';
COMMENT ON COLUMN calib.jobs.not_before IS
  'The job does not start before this time. Default: the time of the INSERT.';
COMMENT ON COLUMN calib.jobs.not_after IS
  'A job that still waits at this time ends cancelled with reason expired. Default: NULL, no limit; of an '
  'interactive job one minute after not_before.';
COMMENT ON COLUMN calib.jobs.timeout_seconds IS
  'Time limit of one attempt, in seconds (1 to 604800). Default: the flow''s.';
COMMENT ON COLUMN calib.jobs.max_attempts IS
  '1 to 10, more than 1 only if the flow is repeatable. Another attempt follows when the executor or the '
  'job''s process was lost, and measures from the beginning. Default: 1.';
COMMENT ON COLUMN calib.jobs.dedup_key IS
  '1 to 200 characters; a project has at most one scheduled or running job with this key. Default: NULL, '
  'no check.';
COMMENT ON COLUMN calib.jobs.tags IS
  'At most 32 texts of 1 to 100 characters; QDash shows them. Default: none.';
COMMENT ON COLUMN calib.jobs.note IS 'Your own JSON object, at most 64 KiB; QDash shows it. Default: {}.';
COMMENT ON COLUMN calib.jobs.state IS
  'scheduled, running, completed, failed or cancelled; the last three are final.';
COMMENT ON COLUMN calib.jobs.attempt IS
  'Number of the attempt, counted from 1; in calib.jobs the newest one, 0 before the first.';
COMMENT ON COLUMN calib.jobs.execution_id IS
  'Identifier of the execution in QDash, YYYYMMDD-qNNN; NULL until the first attempt starts.';
COMMENT ON COLUMN calib.jobs.flow_run_id IS 'Prefect''s flow run of the attempt; NULL: none yet.';
COMMENT ON COLUMN calib.jobs.executor_id IS
  'Start of an executor process, one of calib.executors; in calib.jobs the one that runs the job, or ran '
  'it last. NULL while the job waits.';
COMMENT ON COLUMN calib.jobs.submitted_by IS 'Database role that submitted the job.';
COMMENT ON COLUMN calib.jobs.submitted_at IS 'Time of the INSERT.';
COMMENT ON COLUMN calib.jobs.started_at IS 'When it started (a job: its first attempt). NULL: not yet.';
COMMENT ON COLUMN calib.jobs.finished_at IS 'When the job reached its final state. NULL: not yet.';
COMMENT ON COLUMN calib.jobs.waiting_for IS
  'Why a scheduled job does not run yet, in words: jobs ahead, a paused chip, no executor alive. NULL in '
  'any other state.';
COMMENT ON COLUMN calib.jobs.tasks_total IS
  'Number of tasks that the newest attempt has announced or started.';
COMMENT ON COLUMN calib.jobs.tasks_done IS 'Number of tasks of the newest attempt that completed.';
COMMENT ON COLUMN calib.jobs.tasks_failed IS 'Number of tasks of the newest attempt that failed.';
COMMENT ON COLUMN calib.jobs.failure_kind IS
  'missing_input, no_signal, bad_fit, out_of_range, instrument, timeout, lost, shutdown, invalid_request '
  'or internal. NULL: did not fail.';
COMMENT ON COLUMN calib.jobs.failure_message IS 'The failure in words. NULL: did not fail.';
COMMENT ON COLUMN calib.jobs.cancel_requested IS
  'Whether a cancel was requested. Set it to true to cancel the job; it cannot be taken back.';
COMMENT ON COLUMN calib.jobs.cancel_mode IS
  'now (the default): stop the process; after_task: let the running task finish first. after_task can be '
  'raised to now. NULL: no cancel.';
COMMENT ON COLUMN calib.jobs.cancel_reason IS
  'Why, at most 1000 characters; expired if not_after has passed. NULL: no cancel.';
COMMENT ON COLUMN calib.jobs.cancel_requested_by IS
  'Database role that requested the cancel. NULL: no cancel.';
COMMENT ON COLUMN calib.jobs.cancel_requested_at IS 'When the cancel was requested. NULL: no cancel.';
COMMENT ON COLUMN calib.jobs.cancel_seen_at IS
  'When the executor received the cancel; from then on the job can only end cancelled. NULL: not seen.';
COMMENT ON COLUMN calib.jobs.version IS 'Counter that rises with each change of the job or its results.';
COMMENT ON COLUMN calib.jobs.source_job_id IS
  'Job of the same chip that this one repeats, with or without changes; the number stays when that job is '
  'pruned. Default: NULL, none.';

CREATE OR REPLACE VIEW calib.attempts WITH (security_barrier) AS
SELECT a.job_id, a.attempt, a.executor_id, a.flow_run_id, a.started_at, a.ended_at, a.verdict, a.outcome,
    a.failure_kind, a.failure_message, a.prefect_synced
  FROM calib_private.attempts a JOIN calib_private.jobs j USING (job_id)
 WHERE j.project_id = ANY ((SELECT calib_private.readable_projects(current_user))::text[]);
COMMENT ON VIEW calib.attempts IS 'One row for each time a job was started, for members of its project.';
COMMENT ON COLUMN calib.attempts.ended_at IS 'When it ended. NULL: not yet.';
COMMENT ON COLUMN calib.attempts.verdict IS
  'Result as the executor recorded it: completed, failed or cancelled. The first one stands; NULL: none '
  'recorded.';
COMMENT ON COLUMN calib.attempts.outcome IS
  'How the attempt ended: completed, failed, cancelled, or requeued if the job waits for another attempt. '
  'NULL: not ended.';
COMMENT ON COLUMN calib.attempts.prefect_synced IS 'Whether Prefect shows the same outcome for the flow run.';

CREATE OR REPLACE VIEW calib.job_events WITH (security_barrier) AS
SELECT e.event_id, e.job_id, e.at, e.actor, e.event, e.old_state, e.new_state, e.attempt, e.detail
  FROM calib_private.job_events e JOIN calib_private.jobs j USING (job_id)
 WHERE j.project_id = ANY ((SELECT calib_private.readable_projects(current_user))::text[]);
COMMENT ON VIEW calib.job_events IS
  'Log of each job, for members of its project. Rows are never changed; ORDER BY event_id gives their '
  'order.';
COMMENT ON COLUMN calib.job_events.event_id IS
  'Number of the event; a later event of the same job has a larger one.';
COMMENT ON COLUMN calib.job_events.at IS 'When it happened.';
COMMENT ON COLUMN calib.job_events.actor IS 'Database role that did it.';
COMMENT ON COLUMN calib.job_events.event IS
  'What happened: submitted, claimed, requeued, cancel_requested, task_completed, completed, and so on.';
COMMENT ON COLUMN calib.job_events.old_state IS
  'State of the job before a change of state; NULL: submitted, or no change of state.';
COMMENT ON COLUMN calib.job_events.new_state IS
  'State of the job after a change of state; NULL: no change of state.';
COMMENT ON COLUMN calib.job_events.detail IS
  'JSON object with what belongs to the event, such as mode and reason of a cancel.';

CREATE OR REPLACE VIEW calib.task_runs WITH (security_barrier) AS
SELECT t.task_run_id, t.job_id, t.attempt, t.task, t.qid, t.repetition, t.task_type, t.status, t.ordinal,
  t.upstream_id, t.started_at, t.ended_at, t.hardware_seconds, t.message, t.failure_kind, t.cause, t.remedy,
  t.stack_trace, t.input_parameters, t.output_parameters, t.run_parameters, t.quality_metrics, t.note,
  t.sweep_id
  FROM calib_private.task_runs t JOIN calib_private.jobs j USING (job_id)
 WHERE j.project_id = ANY ((SELECT calib_private.readable_projects(current_user))::text[]);
COMMENT ON VIEW calib.task_runs IS
  'Each task on each qubit or coupling of an attempt: status, values and quality, for members of the '
  'project. Measured values of a failed run stay here and do not become parameters.';
COMMENT ON COLUMN calib.task_runs.task_run_id IS
  'Identifier of the task run. In parameters NULL: not measured by a task.';
COMMENT ON COLUMN calib.task_runs.task IS
  'Name of the task, such as CheckRabi; calib.tasks lists those of a chip.';
COMMENT ON COLUMN calib.task_runs.qid IS
  'Qubit such as 0, coupling control-target such as 0-1, or the multiplexer''s number if task_type is mux; '
  'empty for a task about the whole chip.';
COMMENT ON COLUMN calib.task_runs.repetition IS
  'How many times the attempt ran the same task on the same qid before; 0 for the first.';
COMMENT ON COLUMN calib.task_runs.task_type IS
  'What the task is about: qubit, coupling, mux (a readout multiplexer), global or system.';
COMMENT ON COLUMN calib.task_runs.status IS
  'scheduled, running, completed, failed, skipped (the attempt ended before it started) or cancelled.';
COMMENT ON COLUMN calib.task_runs.ordinal IS 'Order of the task runs in the attempt, from 1.';
COMMENT ON COLUMN calib.task_runs.upstream_id IS
  'Task run whose result this one builds on, mostly the last passing one on the same qid. NULL: none.';
COMMENT ON COLUMN calib.task_runs.hardware_seconds IS 'Instrument time used, in seconds. NULL: not recorded.';
COMMENT ON COLUMN calib.task_runs.message IS 'Result in words for a person; may be empty.';
COMMENT ON COLUMN calib.task_runs.cause IS 'Short name of the cause of the failure; may be empty.';
COMMENT ON COLUMN calib.task_runs.remedy IS 'What to do about the failure; may be empty.';
COMMENT ON COLUMN calib.task_runs.stack_trace IS
  'Python stack trace of an unexpected error, at most 10000 characters; else empty.';
COMMENT ON COLUMN calib.task_runs.input_parameters IS
  'JSON object of the parameters that the task read: name to value, error, unit.';
COMMENT ON COLUMN calib.task_runs.output_parameters IS
  'JSON object of what it measured: name to value, error (one standard deviation), unit.';
COMMENT ON COLUMN calib.task_runs.run_parameters IS
  'JSON object of its settings (shots, sweep range): name to value, value_type, unit.';
COMMENT ON COLUMN calib.task_runs.quality_metrics IS
  'JSON object of numbers that judge the measurement, such as r2.';
COMMENT ON COLUMN calib.task_runs.note IS 'JSON object with further remarks of the task.';

CREATE OR REPLACE VIEW calib.sweeps WITH (security_barrier) AS
SELECT s.sweep_id, s.job_id, s.attempt, s.task, s.targets, s.started_at, s.ended_at, s.hardware_seconds
  FROM calib_private.sweeps s JOIN calib_private.jobs j USING (job_id)
 WHERE j.project_id = ANY ((SELECT calib_private.readable_projects(current_user))::text[]);
COMMENT ON VIEW calib.sweeps IS
  'Measurements of one task on many targets at once, for members of the project. Each target has a task run; '
  'the instrument time of a sweep is that of all its targets together.';
COMMENT ON COLUMN calib.sweeps.sweep_id IS
  'Identifier of the sweep. In task_runs NULL: not started, or by a release that knew no sweeps.';
COMMENT ON COLUMN calib.sweeps.targets IS 'The qids that are driven and read together, in order.';

CREATE OR REPLACE VIEW calib.stages WITH (security_barrier) AS
SELECT s.job_id, s.attempt, s.position, s.name, s.step, s.mode, s.targets, s.status, s.result, s.message,
    s.started_at, s.ended_at
  FROM calib_private.stages s JOIN calib_private.jobs j USING (job_id)
 WHERE j.project_id = ANY ((SELECT calib_private.readable_projects(current_user))::text[]);
COMMENT ON VIEW calib.stages IS
  'Steps of the pipelines that attempts ran, for members of the project; a job whose flow has no steps has '
  'none.';
COMMENT ON COLUMN calib.stages.position IS 'Order of the stages in the attempt.';
COMMENT ON COLUMN calib.stages.name IS 'Name of the stage, as the flow calls it.';
COMMENT ON COLUMN calib.stages.step IS 'Kind of step, such as OneQubitCheck.';
COMMENT ON COLUMN calib.stages.mode IS
  'serial, synchronized, scheduled or simultaneous. NULL: the step measures nothing, or has one way only.';
COMMENT ON COLUMN calib.stages.targets IS 'The qids or multiplexers that the step began with, in order.';
COMMENT ON COLUMN calib.stages.status IS 'running, completed, failed, cancelled or skipped.';
COMMENT ON COLUMN calib.stages.result IS 'JSON object of what the step found, at most 1 MiB.';

CREATE OR REPLACE VIEW calib.figures WITH (security_barrier) AS
SELECT f.figure_id, f.task_run_id, t.job_id, t.attempt, t.task, t.qid, f.ordinal, f.name, f.plotly, f.png,
    f.render_error
  FROM calib_private.figures f JOIN calib_private.task_runs t USING (task_run_id) JOIN calib_private.jobs j
      USING (job_id)
 WHERE j.project_id = ANY ((SELECT calib_private.readable_projects(current_user))::text[]);
COMMENT ON VIEW calib.figures IS 'Figures of task runs, for members of the project.';
COMMENT ON COLUMN calib.figures.figure_id IS 'Number of the figure.';
COMMENT ON COLUMN calib.figures.ordinal IS 'Order of the figures of a task run, from 0.';
COMMENT ON COLUMN calib.figures.name IS 'Name of the figure.';
COMMENT ON COLUMN calib.figures.plotly IS 'The figure as Plotly JSON.';
COMMENT ON COLUMN calib.figures.png IS
  'The figure as PNG image. NULL: not rendered yet, or render_error says why not.';
COMMENT ON COLUMN calib.figures.render_error IS 'Why there is no image. NULL: no error.';

CREATE OR REPLACE VIEW calib.raw_data WITH (security_barrier) AS
SELECT r.raw_data_id, r.task_run_id, t.job_id, t.attempt, t.task, t.qid, r.ordinal, r.name, r.dtype, r.shape,
    r.unit, r.data
  FROM calib_private.raw_data r JOIN calib_private.task_runs t USING (task_run_id) JOIN calib_private.jobs j
      USING (job_id)
 WHERE j.project_id = ANY ((SELECT calib_private.readable_projects(current_user))::text[]);
COMMENT ON VIEW calib.raw_data IS 'Measured arrays of task runs, for members of the project.';
COMMENT ON COLUMN calib.raw_data.raw_data_id IS 'Number of the array.';
COMMENT ON COLUMN calib.raw_data.ordinal IS 'Order of the arrays of a task run, from 0.';
COMMENT ON COLUMN calib.raw_data.name IS 'Name of the array.';
COMMENT ON COLUMN calib.raw_data.dtype IS 'NumPy''s name of the element type, such as complex64.';
COMMENT ON COLUMN calib.raw_data.shape IS 'Length of each dimension.';
COMMENT ON COLUMN calib.raw_data.unit IS 'Unit of the value or values, such as GHz, ns or a.u.; empty: none.';
COMMENT ON COLUMN calib.raw_data.data IS 'Bytes of the array in C order.';

CREATE OR REPLACE VIEW calib.chips AS
SELECT c.chip_id, c.backend, c.topology, c.n_qubits, c.paused, c.pause_reason, c.paused_by, c.paused_at,
  c.max_waiting, (SELECT count(*) FROM calib_private.jobs j WHERE j.chip_id = c.chip_id
  AND j.state = 'scheduled') AS jobs_waiting, l.job_id AS running_job_id, c.retired_at, c.retired_by,
  c.max_waiting_per_project, c.submitter_priority
  FROM calib_private.chips c JOIN calib_private.leases l USING (chip_id);
COMMENT ON VIEW calib.chips IS
  'Chips, what drives them, and whether they take jobs. pause_chip() and resume_chip() pause and resume.';
COMMENT ON COLUMN calib.chips.backend IS 'What drives the chip: fake (simulated) or qubex. Fixed.';
COMMENT ON COLUMN calib.chips.topology IS
  'square-lattice-mux-N or linear-N, where N is the number of qubits. Fixed.';
COMMENT ON COLUMN calib.chips.n_qubits IS 'Number of qubits.';
COMMENT ON COLUMN calib.chips.paused IS 'Whether the chip is paused: no job starts.';
COMMENT ON COLUMN calib.chips.pause_reason IS 'Why it is paused. NULL: not paused.';
COMMENT ON COLUMN calib.chips.paused_by IS 'Database role that paused it. NULL: not paused.';
COMMENT ON COLUMN calib.chips.paused_at IS 'When it was paused. NULL: not paused.';
COMMENT ON COLUMN calib.chips.max_waiting IS
  'Number of scheduled jobs at which an INSERT is refused with CQ030.';
COMMENT ON COLUMN calib.chips.max_waiting_per_project IS
  'Number of scheduled jobs of one project at which its INSERT is refused with CQ030. NULL: no limit of its '
  'own.';
COMMENT ON COLUMN calib.chips.submitter_priority IS
  'Highest priority that a submitter may give to a job; an operator of the project may give any.';
COMMENT ON COLUMN calib.chips.jobs_waiting IS 'Number of scheduled jobs, of all projects.';
COMMENT ON COLUMN calib.chips.running_job_id IS 'Job that holds the chip. NULL: the chip is free.';
COMMENT ON COLUMN calib.chips.retired_at IS 'Since when it takes no jobs. NULL: it is in use.';
COMMENT ON COLUMN calib.chips.retired_by IS 'Database role that retired it. NULL: it is in use.';

CREATE OR REPLACE VIEW calib.qubits AS SELECT chip_id, qid, grid_row, grid_column, mux
  FROM calib_private.qubits;
COMMENT ON VIEW calib.qubits IS 'Qubits of each chip and their places.';
COMMENT ON COLUMN calib.qubits.grid_row IS 'Row of its place on the chip, from 0.';
COMMENT ON COLUMN calib.qubits.grid_column IS 'Column of its place on the chip, from 0.';
COMMENT ON COLUMN calib.qubits.mux IS 'Number of the readout multiplexer. NULL: the topology has none.';

CREATE OR REPLACE VIEW calib.couplings AS SELECT chip_id, qid, control, target FROM calib_private.couplings;
COMMENT ON VIEW calib.couplings IS
  'Couplings between neighbouring qubits of each chip, each once. A task may run on one with control and '
  'target exchanged: "1-0" for "0-1".';
COMMENT ON COLUMN calib.couplings.control IS 'qid of the control qubit.';
COMMENT ON COLUMN calib.couplings.target IS 'qid of the target qubit.';

CREATE OR REPLACE VIEW calib.executors AS
SELECT e.executor_id, e.chip_id, calib_private.role_label(e.role_name) AS role_name, e.host, e.pid, e.version,
  e.condition, e.started_at, e.last_seen_at, e.stopped_at,
  calib_private.alive(e.last_seen_at, e.stopped_at) AS alive, l.job_id
  FROM calib_private.executors e LEFT JOIN calib_private.leases l ON l.chip_id = e.chip_id
      AND l.executor_id = e.executor_id;
COMMENT ON VIEW calib.executors IS
  'Starts of executor processes; prune() deletes those not seen for 7 days. job_id: the job that it runs, or '
  'NULL.';
COMMENT ON COLUMN calib.executors.role_name IS 'Database role under which the process runs.';
COMMENT ON COLUMN calib.executors.host IS 'Host on which the process runs.';
COMMENT ON COLUMN calib.executors.pid IS 'Process id on that host.';
COMMENT ON COLUMN calib.executors.version IS 'Version of the executor program.';
COMMENT ON COLUMN calib.executors.condition IS 'ready, or why it takes no work at present.';
COMMENT ON COLUMN calib.executors.last_seen_at IS 'Last sign of life.';
COMMENT ON COLUMN calib.executors.stopped_at IS 'When it announced that it stops. NULL: it did not.';
COMMENT ON COLUMN calib.executors.alive IS
  'Not stopped, and its last sign of life is less than 30 seconds old.';

CREATE OR REPLACE VIEW calib.executor_permissions AS
SELECT calib_private.role_label(p.role_name) AS role_name, p.chip_id
  FROM calib_private.executor_permissions p;
COMMENT ON VIEW calib.executor_permissions IS 'Database roles that may execute jobs, and on which chip.';
COMMENT ON COLUMN calib.executor_permissions.role_name IS
  'Database role; its number if it was dropped, which disallow_executor() takes too.';

CREATE OR REPLACE VIEW calib.flows AS
SELECT chip_id, flow, description, schema, repeatable, timeout_seconds, version, registered_by, registered_at
    FROM calib_private.flows;
COMMENT ON VIEW calib.flows IS 'Flows that the executors of each chip can run, as last registered.';
COMMENT ON COLUMN calib.flows.description IS 'Description in words; may be empty.';
COMMENT ON COLUMN calib.flows.schema IS 'JSON Schema of the arguments, against which they are checked.';
COMMENT ON COLUMN calib.flows.repeatable IS
  'Whether the flow may run again from the beginning after an attempt was lost.';
COMMENT ON COLUMN calib.flows.version IS 'Version of the executor that registered it.';
COMMENT ON COLUMN calib.flows.registered_by IS 'Database role that registered it.';
COMMENT ON COLUMN calib.flows.registered_at IS 'When it was registered.';

CREATE OR REPLACE VIEW calib.tasks AS
SELECT chip_id, task, task_type, description, schema, input_parameters, output_parameters, version,
    registered_by, registered_at, outputs FROM calib_private.tasks;
COMMENT ON VIEW calib.tasks IS 'Tasks that the executors of each chip can run, as last registered.';
COMMENT ON COLUMN calib.tasks.input_parameters IS 'Names of the parameters that it reads.';
COMMENT ON COLUMN calib.tasks.output_parameters IS 'Names of the parameters that it measures.';
COMMENT ON COLUMN calib.tasks.outputs IS
  'JSON array of what those values have to be: name, unit, kind, lower, upper.';
COMMENT ON COLUMN calib.tasks.version IS 'Version of the executor that registered it.';

CREATE OR REPLACE VIEW calib.known_parameters AS
SELECT name, unit, kind, lower, upper, description FROM calib_private.known_parameters;
COMMENT ON VIEW calib.known_parameters IS
  'What a parameter has to be, by its name; where tasks of a chip declare a range or further names, these '
  'count (calib.tasks, outputs).';
COMMENT ON COLUMN calib.known_parameters.name IS 'Name of the parameter.';
COMMENT ON COLUMN calib.known_parameters.kind IS 'number or integer.';
COMMENT ON COLUMN calib.known_parameters.lower IS 'Least value, in unit; NULL: none.';
COMMENT ON COLUMN calib.known_parameters.upper IS 'Greatest value, in unit; NULL: none.';

CREATE OR REPLACE VIEW calib.parameters AS
SELECT p.chip_id, p.qid, p.name, p.value, p.error, p.unit, p.value_type, p.description,
  lower(p.valid) AS valid_from, p.source, p.task_run_id, p.job_id, p.execution_id, p.actor, p.reason
  FROM calib_private.parameter_versions p WHERE upper_inf(p.valid);
COMMENT ON VIEW calib.parameters IS
  'Calibrated values in force now, one for each chip, qid and name. job_id and execution_id say which job '
  'measured it, NULL if none did; they stay when the job is pruned.';
COMMENT ON COLUMN calib.parameters.name IS 'Name of the parameter, such as qubit_frequency.';
COMMENT ON COLUMN calib.parameters.value IS 'The value, in unit.';
COMMENT ON COLUMN calib.parameters.error IS
  'One standard deviation of the value, in unit; 0: not known or exact.';
COMMENT ON COLUMN calib.parameters.value_type IS 'float or int.';
COMMENT ON COLUMN calib.parameters.valid_from IS 'Since when the value is in force.';
COMMENT ON COLUMN calib.parameters.source IS 'Where it comes from: task (measured), import, edit or revert.';
COMMENT ON COLUMN calib.parameters.reason IS 'Why it was changed by hand; empty if a task measured it.';

CREATE OR REPLACE VIEW calib.parameter_history AS
SELECT p.chip_id, p.qid, p.name, p.value, p.error, p.unit, p.value_type, p.description,
  lower(p.valid) AS valid_from, upper(p.valid) AS valid_to, p.source, p.task_run_id, p.job_id, p.execution_id,
    p.actor, p.reason
  FROM calib_private.parameter_versions p;
COMMENT ON VIEW calib.parameter_history IS
  'All versions of all calibrated values, present and past; their times never overlap.';
COMMENT ON COLUMN calib.parameter_history.name IS 'Name of the parameter, such as qubit_frequency.';
COMMENT ON COLUMN calib.parameter_history.valid_to IS
  'Until when, exclusive, the value was in force. NULL: it still is.';

CREATE OR REPLACE VIEW calib.projects WITH (security_barrier) AS
SELECT p.project_id, p.description, p.created_at, p.created_by, p.archived_at, p.archived_by
  FROM calib_private.projects p
 WHERE p.project_id = ANY ((SELECT calib_private.readable_projects(current_user))::text[]);
COMMENT ON VIEW calib.projects IS 'Projects of which you are a member.';
COMMENT ON COLUMN calib.projects.created_at IS 'When it was made.';
COMMENT ON COLUMN calib.projects.created_by IS 'Database role that made it.';
COMMENT ON COLUMN calib.projects.archived_at IS 'Since when it takes no jobs. NULL: it is in use.';
COMMENT ON COLUMN calib.projects.archived_by IS 'Database role that archived it. NULL: it is in use.';

CREATE OR REPLACE VIEW calib.memberships WITH (security_barrier) AS
SELECT m.project_id, calib_private.role_label(m.role_name) AS role_name, m.username, m.access
  FROM calib_private.memberships m
 WHERE m.project_id = ANY ((SELECT calib_private.readable_projects(current_user))::text[]);
COMMENT ON VIEW calib.memberships IS 'Members of your projects and their access.';
COMMENT ON COLUMN calib.memberships.role_name IS 'Database role of the member.';
COMMENT ON COLUMN calib.memberships.access IS
  'reader, submitter or operator, each with the rights of those before it.';

CREATE OR REPLACE VIEW calib.settings AS SELECT time_zone FROM calib_private.settings;
COMMENT ON VIEW calib.settings IS 'Settings of the whole queue, in one row.';
COMMENT ON COLUMN calib.settings.time_zone IS 'Time zone of the day in execution_id, such as Asia/Tokyo.';

CREATE OR REPLACE VIEW calib.retention AS SELECT jobs, events, figures, raw_data, set_by, set_at
  FROM calib_private.retention;
COMMENT ON VIEW calib.retention IS
  'How long after the end of their job things are kept, in one row. set_retention() changes it, prune() '
  'applies it.';
COMMENT ON COLUMN calib.retention.jobs IS 'Age from which whole jobs are deleted. NULL: never.';
COMMENT ON COLUMN calib.retention.events IS 'Age from which the job''s events are deleted. NULL: never.';
COMMENT ON COLUMN calib.retention.figures IS 'Age from which figures are deleted. NULL: never.';
COMMENT ON COLUMN calib.retention.raw_data IS 'Age from which raw data are deleted. NULL: never.';
COMMENT ON COLUMN calib.retention.set_by IS 'Database role that set the policy.';
COMMENT ON COLUMN calib.retention.set_at IS 'When it was set.';

CREATE OR REPLACE VIEW calib.mirrors AS
SELECT m.mirror_id, calib_private.role_label(m.role_name) AS role_name, m.host, m.pid, m.version, m.condition,
  m.started_at, m.last_seen_at, m.stopped_at, calib_private.alive(m.last_seen_at, m.stopped_at) AS alive,
  o.marks_waiting, o.lag_seconds, o.dead_letters
  FROM calib_private.mirrors m,
    (SELECT count(*) FILTER (WHERE w.dead_at IS NULL) AS marks_waiting,
      coalesce(extract(epoch FROM calib_private.now() - min(w.marked_at) FILTER (WHERE w.dead_at IS NULL)),
      0)::double precision AS lag_seconds, count(*) FILTER (WHERE w.dead_at IS NOT NULL) AS dead_letters
       FROM calib_private.outbox w) o;
COMMENT ON VIEW calib.mirrors IS 'Processes that copy results to QDash, and how far QDash is behind.';
COMMENT ON COLUMN calib.mirrors.mirror_id IS 'Start of a mirror process.';
COMMENT ON COLUMN calib.mirrors.role_name IS 'Database role under which the process runs.';
COMMENT ON COLUMN calib.mirrors.version IS 'Version of the mirror program.';
COMMENT ON COLUMN calib.mirrors.marks_waiting IS
  'Number of jobs and chips with changes that QDash does not have yet.';
COMMENT ON COLUMN calib.mirrors.lag_seconds IS
  'Age of the oldest change that QDash does not have yet, in seconds; in calib.mirrors 0 if there is none.';
COMMENT ON COLUMN calib.mirrors.dead_letters IS
  'Number of marks that were set aside because MongoDB refused their documents; retry_marks() tries them '
  'again.';

CREATE OR REPLACE VIEW calib.mirror_lag WITH (security_barrier) AS
SELECT o.mark_id, o.job_id, o.chip_id, o.marked_at,
  extract(epoch FROM calib_private.now() - o.marked_at)::double precision AS lag_seconds, o.attempts,
    o.next_try_at, o.last_error, o.refusals, o.refused, o.dead_at
  FROM calib_private.outbox o LEFT JOIN calib_private.jobs j USING (job_id)
 WHERE o.job_id IS NULL
     OR j.project_id = ANY ((SELECT calib_private.readable_projects(current_user))::text[]);
COMMENT ON VIEW calib.mirror_lag IS
  'Marks: jobs and chips with changes that QDash does not have yet. Either job_id or chip_id is set, the '
  'other one is NULL.';
COMMENT ON COLUMN calib.mirror_lag.mark_id IS 'Number of the mark.';
COMMENT ON COLUMN calib.mirror_lag.marked_at IS 'Time of the oldest change that QDash does not have yet.';
COMMENT ON COLUMN calib.mirror_lag.attempts IS 'Number of tries since the mark was last done.';
COMMENT ON COLUMN calib.mirror_lag.next_try_at IS 'When it is tried next.';
COMMENT ON COLUMN calib.mirror_lag.last_error IS 'Why the last try failed. NULL: it did not.';
COMMENT ON COLUMN calib.mirror_lag.refusals IS
  'How many times in succession MongoDB refused documents of the same rows.';
COMMENT ON COLUMN calib.mirror_lag.refused IS
  'JSON array of the refused documents: document, reason, remedy.';
COMMENT ON COLUMN calib.mirror_lag.dead_at IS 'When it was set aside as a dead letter. NULL: it was not.';

CREATE OR REPLACE FUNCTION calib.schema_version()
RETURNS integer LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 9
$$;
COMMENT ON FUNCTION calib.schema_version() IS 'Version of the public contract. For calib_reader.';

-- It rises only with a change that would break them.
CREATE OR REPLACE FUNCTION calib.oldest_served_version()
RETURNS integer LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 8
$$;
COMMENT ON FUNCTION calib.oldest_served_version() IS
  'The oldest version of the public contract whose programs still work with this database. For '
  'calib_reader.';
