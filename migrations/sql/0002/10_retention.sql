-- What is kept, for how long, and how the rest goes. Every age counts from the end of the job. Nothing goes unasked.

-- NULL: for ever.
CREATE TABLE calib_private.retention (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  jobs     interval,
  events   interval,
  figures  interval,
  raw_data interval,
  set_by   text NOT NULL,
  set_at   timestamptz NOT NULL
);
INSERT INTO calib_private.retention (set_by, set_at) VALUES (calib_private.actor(), calib_private.now());

CREATE VIEW calib.retention AS SELECT jobs, events, figures, raw_data, set_by, set_at FROM calib_private.retention;

CREATE FUNCTION calib_private.require_age(p_column text, p_age interval) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_age NOT BETWEEN interval '1 hour' AND interval '100 years' THEN
    PERFORM calib_private.refuse('CQ007', p_column, format('%s: expected an age from 1 hour to 100 years, got %s', p_column, p_age),
      'NULL keeps everything for ever.');
  END IF;
END $$;

-- The whole policy at once, so that nobody prunes by half of it.
CREATE FUNCTION calib.set_retention(p_jobs interval, p_events interval, p_figures interval, p_raw_data interval) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.require_age('jobs', p_jobs);
  PERFORM calib_private.require_age('events', p_events);
  PERFORM calib_private.require_age('figures', p_figures);
  PERFORM calib_private.require_age('raw_data', p_raw_data);
  UPDATE calib_private.retention SET jobs = p_jobs, events = p_events, figures = p_figures, raw_data = p_raw_data,
         set_by = calib_private.actor(), set_at = calib_private.now();
END $$;

-- ---------------------------------------------------------------------------------------------------- parameters outlive their jobs

-- A version names its origin by itself, from its first moment on; before, it asked a task run that may be gone.
ALTER TABLE calib_private.parameter_versions ADD COLUMN job_id bigint, ADD COLUMN execution_id text;
UPDATE calib_private.parameter_versions p SET job_id = t.job_id, execution_id = j.execution_id
  FROM calib_private.task_runs t JOIN calib_private.jobs j USING (job_id) WHERE t.task_run_id = p.task_run_id;
ALTER TABLE calib_private.parameter_versions
  -- A task's version has lost them only if its job was pruned before this revision was taken back and put on again.
  ADD CONSTRAINT origin_is_whole CHECK (num_nonnulls(job_id, execution_id) IN (0, CASE source WHEN 'task' THEN 2 ELSE 0 END)),
  DROP CONSTRAINT parameter_versions_task_run_id_fkey;
DROP INDEX calib_private.parameter_versions_by_task_run;
CREATE INDEX parameter_versions_by_job ON calib_private.parameter_versions (job_id) WHERE job_id IS NOT NULL;

CREATE OR REPLACE FUNCTION calib_private.guard_origin() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.source <> 'task' THEN RETURN NEW; END IF;
  SELECT j.job_id, j.execution_id INTO NEW.job_id, NEW.execution_id FROM calib_private.task_runs t JOIN calib_private.jobs j USING (job_id)
   WHERE t.task_run_id = NEW.task_run_id AND t.status = 'completed';
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ010', 'task_run_id', format('parameter %s of qid "%s": expected a completed task run as its origin', NEW.name, NEW.qid));
  END IF;
  RETURN NEW;
END $$;

CREATE OR REPLACE VIEW calib.parameter_history AS
SELECT p.chip_id, p.qid, p.name, p.value, p.error, p.unit, p.value_type, p.description, lower(p.valid) AS valid_from, upper(p.valid) AS valid_to,
       p.source, p.task_run_id, p.job_id, p.execution_id, p.actor, p.reason
  FROM calib_private.parameter_versions p;

CREATE OR REPLACE VIEW calib.parameters AS
SELECT p.chip_id, p.qid, p.name, p.value, p.error, p.unit, p.value_type, p.description, lower(p.valid) AS valid_from,
       p.source, p.task_run_id, p.job_id, p.execution_id, p.actor, p.reason
  FROM calib_private.parameter_versions p WHERE upper_inf(p.valid);

-- ---------------------------------------------------------------------------------------------------- finding what is old

-- Each index holds what is still there, oldest first: what was pruned is not looked at again. Of a job's events the one
-- that ended it stands for all.
CREATE INDEX job_events_of_ends ON calib_private.job_events (at) WHERE new_state IN ('completed', 'failed', 'cancelled');

ALTER TABLE calib_private.figures ADD COLUMN stored_at timestamptz;
ALTER TABLE calib_private.raw_data ADD COLUMN stored_at timestamptz;
UPDATE calib_private.figures f SET stored_at = t.ended_at FROM calib_private.task_runs t WHERE t.task_run_id = f.task_run_id;
UPDATE calib_private.raw_data r SET stored_at = t.ended_at FROM calib_private.task_runs t WHERE t.task_run_id = r.task_run_id;
ALTER TABLE calib_private.figures ALTER COLUMN stored_at SET DEFAULT calib_private.now(), ALTER COLUMN stored_at SET NOT NULL;
ALTER TABLE calib_private.raw_data ALTER COLUMN stored_at SET DEFAULT calib_private.now(), ALTER COLUMN stored_at SET NOT NULL;
CREATE INDEX figures_by_age ON calib_private.figures (stored_at);
CREATE INDEX raw_data_by_age ON calib_private.raw_data (stored_at);

-- Looked for by chip alone; with last_seen_at in the index every sign of life would be written twice.
DROP INDEX calib_private.executors_by_chip;
CREATE INDEX executors_by_chip ON calib_private.executors (chip_id);
CREATE INDEX executors_by_start ON calib_private.executors (started_at);

-- Jobs that have ended and that nobody waits for: neither the mirror, nor the renderer, nor Prefect, nor a chip.
CREATE VIEW calib_private.settled_jobs AS
SELECT j.job_id, j.finished_at FROM calib_private.jobs j
 WHERE j.finished_at IS NOT NULL
   AND NOT EXISTS (SELECT FROM calib_private.outbox o WHERE o.job_id = j.job_id)
   AND NOT EXISTS (SELECT FROM calib_private.leases l WHERE l.job_id = j.job_id)
   AND NOT EXISTS (SELECT FROM calib_private.attempts a WHERE a.job_id = j.job_id
                                                          AND (a.ended_at IS NULL OR a.flow_run_id IS NOT NULL AND NOT a.prefect_synced))
   AND NOT EXISTS (SELECT FROM calib_private.task_runs t JOIN calib_private.figures f USING (task_run_id)
                    WHERE t.job_id = j.job_id AND f.png IS NULL AND f.render_error IS NULL);

-- ---------------------------------------------------------------------------------------------------- pruning

-- Four functions of one shape. Look at the oldest 10,000 (so that a call is bounded even if all of them must stay), lock
-- the jobs of those that may go (nobody can mark them for the mirror from then on), and delete in a statement of its own,
-- which sees what was committed before the locks. Statistics lag behind a queue: the plans must not hang on them.

CREATE FUNCTION calib_private.prune_jobs(p_before timestamptz, p_max integer) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_job_ids bigint[]; v_count bigint;
BEGIN
  v_job_ids := ARRAY(
    SELECT s.job_id FROM (SELECT j.job_id FROM calib_private.jobs j WHERE j.finished_at < p_before ORDER BY j.finished_at LIMIT 10000) oldest
      JOIN calib_private.settled_jobs s USING (job_id) LIMIT p_max FOR UPDATE OF s SKIP LOCKED);
  IF v_job_ids = '{}' THEN RETURN 0; END IF;
  DELETE FROM calib_private.jobs j USING calib_private.settled_jobs s WHERE j.job_id = ANY (v_job_ids) AND s.job_id = j.job_id;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;

CREATE FUNCTION calib_private.prune_events(p_before timestamptz, p_max integer) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_job_ids bigint[]; v_count bigint;
BEGIN
  v_job_ids := ARRAY(
    SELECT s.job_id FROM (SELECT e.job_id FROM calib_private.job_events e
                           WHERE e.new_state IN ('completed', 'failed', 'cancelled') AND e.at < p_before ORDER BY e.at LIMIT 10000) oldest
      JOIN calib_private.settled_jobs s USING (job_id) WHERE s.finished_at < p_before LIMIT p_max FOR UPDATE OF s SKIP LOCKED);
  IF v_job_ids = '{}' THEN RETURN 0; END IF;
  DELETE FROM calib_private.job_events e USING calib_private.settled_jobs s WHERE s.job_id = ANY (v_job_ids) AND e.job_id = s.job_id;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;

-- All figures of a task run go together: the mirror leaves alone what has become empty, not what has become less.
CREATE FUNCTION calib_private.prune_figures(p_before timestamptz, p_max integer) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_task_run_ids uuid[]; v_count bigint;
BEGIN
  v_task_run_ids := ARRAY(
    SELECT t.task_run_id FROM (SELECT f.task_run_id FROM calib_private.figures f WHERE f.stored_at < p_before ORDER BY f.stored_at LIMIT 10000) oldest
      JOIN calib_private.task_runs t USING (task_run_id) JOIN calib_private.settled_jobs s USING (job_id)
     WHERE s.finished_at < p_before LIMIT p_max FOR UPDATE OF s SKIP LOCKED);
  IF v_task_run_ids = '{}' THEN RETURN 0; END IF;
  DELETE FROM calib_private.figures f USING calib_private.task_runs t JOIN calib_private.settled_jobs s USING (job_id)
   WHERE t.task_run_id = ANY (v_task_run_ids) AND f.task_run_id = t.task_run_id;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;

CREATE FUNCTION calib_private.prune_raw_data(p_before timestamptz, p_max integer) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_task_run_ids uuid[]; v_count bigint;
BEGIN
  v_task_run_ids := ARRAY(
    SELECT t.task_run_id FROM (SELECT r.task_run_id FROM calib_private.raw_data r WHERE r.stored_at < p_before ORDER BY r.stored_at LIMIT 10000) oldest
      JOIN calib_private.task_runs t USING (task_run_id) JOIN calib_private.settled_jobs s USING (job_id)
     WHERE s.finished_at < p_before LIMIT p_max FOR UPDATE OF s SKIP LOCKED);
  IF v_task_run_ids = '{}' THEN RETURN 0; END IF;
  DELETE FROM calib_private.raw_data r USING calib_private.task_runs t JOIN calib_private.settled_jobs s USING (job_id)
   WHERE t.task_run_id = ANY (v_task_run_ids) AND r.task_run_id = t.task_run_id;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;

-- Each start of an executor leaves a row. One that gave no sign of life for a week is of no use to anybody: jobs and
-- attempts keep its name. An executor that wakes up later registers again.
CREATE FUNCTION calib_private.prune_executors(p_max integer) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  v_before timestamptz := calib_private.now() - interval '7 days'; v_count bigint;
BEGIN
  DELETE FROM calib_private.executors e WHERE e.executor_id = ANY (ARRAY(
    SELECT o.executor_id FROM calib_private.executors o
     WHERE o.started_at < v_before AND o.last_seen_at < v_before
       AND NOT EXISTS (SELECT FROM calib_private.leases l WHERE l.chip_id = o.chip_id AND l.executor_id = o.executor_id)
     ORDER BY o.started_at LIMIT p_max FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;

-- One batch by the policy, at most p_max jobs, jobs' events, task runs' figures, task runs' raw data and executors: call it
-- until it returns nothing but zeros. It waits for nobody, and no verb of an executor waits for it.
CREATE FUNCTION calib.prune(p_max integer DEFAULT 200) RETURNS TABLE (jobs bigint, events bigint, figures bigint, raw_data bigint, executors bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_kept calib_private.retention; v_now timestamptz := calib_private.now();
BEGIN
  IF p_max IS NULL OR p_max NOT BETWEEN 1 AND 10000 THEN
    PERFORM calib_private.refuse('CQ007', 'max', format('max: expected 1 to 10000, got %s', coalesce(p_max::text, 'nothing')));
  ELSIF current_setting('transaction_isolation') <> 'read committed' THEN
    -- From an old snapshot it would not see that a job was marked for the mirror since.
    PERFORM calib_private.refuse('CQ010', 'transaction_isolation', format('prune: expected a transaction of read committed, got %s',
      current_setting('transaction_isolation')), 'Call it outside of a transaction.');
  END IF;
  PERFORM calib_private.bound_transaction();
  SELECT * INTO v_kept FROM calib_private.retention;
  jobs := 0; events := 0; figures := 0; raw_data := 0;
  IF v_kept.jobs IS NOT NULL THEN jobs := calib_private.prune_jobs(v_now - v_kept.jobs, p_max); END IF;
  IF v_kept.events IS NOT NULL THEN events := calib_private.prune_events(v_now - v_kept.events, p_max); END IF;
  IF v_kept.figures IS NOT NULL THEN figures := calib_private.prune_figures(v_now - v_kept.figures, p_max); END IF;
  IF v_kept.raw_data IS NOT NULL THEN raw_data := calib_private.prune_raw_data(v_now - v_kept.raw_data, p_max); END IF;
  executors := calib_private.prune_executors(p_max);
  RETURN NEXT;
END $$;

-- False: too late, nothing was changed. The caller has checked the right to do it.
CREATE OR REPLACE FUNCTION calib_private.request_cancel(p_job_id bigint, p_mode text, p_reason text) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_job calib_private.jobs; v_verdict text;
BEGIN
  LOOP
    SELECT * INTO v_job FROM calib_private.jobs j WHERE j.job_id = p_job_id;
    EXIT WHEN v_job.state <> 'scheduled';
    IF calib_private.cancel_before_start(p_job_id, p_mode, p_reason) THEN RETURN true; END IF;
  END LOOP;
  v_verdict := calib_private.verdict(p_job_id);
  IF v_job.state = 'running' AND v_verdict IS NULL THEN
    PERFORM calib_private.store_cancel(p_job_id, p_mode, p_reason);
    PERFORM pg_notify('calib_' || v_job.chip_id, 'cancel:' || p_job_id);
    RETURN true;
  END IF;
  -- A job that is being pruned at this moment keeps no event, and must not undo a bulk cancel.
  PERFORM FROM calib_private.jobs j WHERE j.job_id = p_job_id FOR KEY SHARE SKIP LOCKED;
  IF FOUND THEN
    PERFORM calib_private.write_event(p_job_id, 'cancel_too_late', jsonb_build_object('mode', p_mode, 'reason', p_reason));
  END IF;
  IF v_job.finished_at IS NULL THEN
    RAISE WARNING 'job % was not cancelled: it is just ending (%)', p_job_id, v_verdict USING ERRCODE = 'CQ011', COLUMN = 'cancel_requested';
    RETURN false;
  END IF;
  RAISE WARNING 'job % was not cancelled: it had already ended (%) at %', p_job_id, v_job.state,
    to_char(v_job.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
    USING ERRCODE = 'CQ011', COLUMN = 'cancel_requested';
  RETURN false;
END $$;

-- ---------------------------------------------------------------------------------------------------- vacuum

-- The default waits until a fifth of a table is dead: at ten million rows for weeks of work, and then works for an hour.
-- Small and often keeps the dead heads of the indexes short, which whoever looks for the oldest rows has to pass.
ALTER TABLE calib_private.job_events SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
  -- Rows that only grow are frozen as they come, not all at once when their age forces it.
  autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
-- Changed two or three times while their job runs, then never: room on the page keeps these changes out of the indexes.
ALTER TABLE calib_private.attempts SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
ALTER TABLE calib_private.task_runs SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
ALTER TABLE calib_private.cancel_requests SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
-- Few rows and large values: what was pruned is room for the next ones only after a vacuum of the TOAST table.
ALTER TABLE calib_private.figures SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500,
  toast.autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_threshold = 5000);
ALTER TABLE calib_private.raw_data SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500,
  toast.autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_threshold = 5000);
-- A few rows, each renewed every few seconds for ever, as the leases are.
ALTER TABLE calib_private.executors SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100);

GRANT SELECT ON calib.retention TO calib_reader;
GRANT EXECUTE ON FUNCTION calib.set_retention(interval, interval, interval, interval) TO calib_admin;
GRANT EXECUTE ON FUNCTION calib.prune(integer) TO calib_mirror, calib_admin;
