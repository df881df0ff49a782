-- What is kept, for how long, and how the rest is pruned. Every age counts from the end of the job.

CREATE OR REPLACE FUNCTION calib_private.require_age(p_column text, p_age interval)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_age NOT BETWEEN interval '1 hour' AND interval '100 years' THEN
    PERFORM calib_private.refuse('CQ007', p_column,
      format('%s: expected an age from 1 hour to 100 years, got %s', p_column, p_age),
        'NULL keeps everything.');
  END IF;
END $$;

-- All four at once: a prune between two calls would apply half of a new policy.
CREATE OR REPLACE FUNCTION calib.set_retention(p_jobs interval, p_events interval, p_figures interval,
  p_raw_data interval)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.require_role('calib_admin');
  PERFORM calib_private.require_age('jobs', p_jobs);
  PERFORM calib_private.require_age('events', p_events);
  PERFORM calib_private.require_age('figures', p_figures);
  PERFORM calib_private.require_age('raw_data', p_raw_data);
  UPDATE calib_private.retention SET jobs = p_jobs, events = p_events, figures = p_figures,
    raw_data = p_raw_data, set_by = calib_private.actor(), set_at = calib_private.now();
END $$;
COMMENT ON FUNCTION calib.set_retention(interval, interval, interval, interval) IS
  'Sets the whole policy: ages, counted from the end of the job, from which prune() deletes; 1 hour to 100 '
  'years, NULL keeps. For calib_admin. Raises CQ003, CQ007.';

-- Jobs that have ended and that neither the mirror, the renderer, Prefect nor a chip needs any more.
CREATE OR REPLACE VIEW calib_private.settled_jobs AS
SELECT j.job_id, j.finished_at FROM calib_private.jobs j
 WHERE j.finished_at IS NOT NULL
   AND NOT EXISTS (SELECT FROM calib_private.outbox o WHERE o.job_id = j.job_id)
   AND NOT EXISTS (SELECT FROM calib_private.leases l WHERE l.job_id = j.job_id)
   AND NOT EXISTS (SELECT FROM calib_private.attempts a WHERE a.job_id = j.job_id
     AND (a.ended_at IS NULL OR a.flow_run_id IS NOT NULL AND NOT a.prefect_synced))
   AND NOT EXISTS (SELECT FROM calib_private.task_runs t JOIN calib_private.figures f USING (task_run_id)
     WHERE t.job_id = j.job_id AND f.png IS NULL AND f.render_error IS NULL);

-- How many rows one look takes.
CREATE OR REPLACE FUNCTION calib_private.prune_window()
RETURNS integer LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 10000
$$;

CREATE OR REPLACE FUNCTION calib_private.prune_jobs(p_from timestamptz, p_before timestamptz, p_max integer)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off
  SET enable_mergejoin = off AS $$
DECLARE
  v_job_ids bigint[]; v_count bigint;
BEGIN
  v_job_ids := ARRAY(
    SELECT s.job_id FROM (SELECT j.job_id FROM calib_private.jobs j WHERE j.finished_at >= p_from
        AND j.finished_at < p_before
      ORDER BY j.finished_at LIMIT calib_private.prune_window()) oldest
      JOIN calib_private.settled_jobs s USING (job_id) LIMIT p_max FOR UPDATE OF s SKIP LOCKED);
  IF v_job_ids = '{}' THEN RETURN 0; END IF;
  DELETE FROM calib_private.jobs j USING calib_private.settled_jobs s WHERE j.job_id = ANY (v_job_ids)
    AND s.job_id = j.job_id;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;

CREATE OR REPLACE FUNCTION calib_private.prune_events(p_from timestamptz, p_before timestamptz, p_max integer)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off
  SET enable_mergejoin = off AS $$
DECLARE
  v_job_ids bigint[]; v_count bigint;
BEGIN
  v_job_ids := ARRAY(
    SELECT s.job_id FROM (SELECT e.job_id FROM calib_private.job_events e
      WHERE e.new_state IN ('completed', 'failed', 'cancelled') AND e.at >= p_from AND e.at < p_before
      ORDER BY e.at LIMIT calib_private.prune_window()) oldest
      JOIN calib_private.settled_jobs s USING (job_id) WHERE s.finished_at < p_before
        LIMIT p_max FOR UPDATE OF s SKIP LOCKED);
  IF v_job_ids = '{}' THEN RETURN 0; END IF;
  DELETE FROM calib_private.job_events e USING calib_private.settled_jobs s WHERE s.job_id = ANY (v_job_ids)
    AND e.job_id = s.job_id;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;

-- All figures of a task run go together: the mirror leaves alone what has become empty, not what has become
-- less.
CREATE OR REPLACE FUNCTION calib_private.prune_figures(p_from timestamptz, p_before timestamptz,
  p_max integer)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off
  SET enable_mergejoin = off AS $$
DECLARE
  v_task_run_ids uuid[]; v_count bigint;
BEGIN
  v_task_run_ids := ARRAY(
    SELECT t.task_run_id FROM (SELECT f.task_run_id FROM calib_private.figures f WHERE f.stored_at >= p_from
        AND f.stored_at < p_before
      ORDER BY f.stored_at LIMIT calib_private.prune_window()) oldest
      JOIN calib_private.task_runs t USING (task_run_id) JOIN calib_private.settled_jobs s USING (job_id)
     WHERE s.finished_at < p_before LIMIT p_max FOR UPDATE OF s SKIP LOCKED);
  IF v_task_run_ids = '{}' THEN RETURN 0; END IF;
  DELETE FROM calib_private.figures f USING calib_private.task_runs t JOIN calib_private.settled_jobs s
    USING (job_id)
   WHERE t.task_run_id = ANY (v_task_run_ids) AND f.task_run_id = t.task_run_id;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;

CREATE OR REPLACE FUNCTION calib_private.prune_raw_data(p_from timestamptz, p_before timestamptz,
  p_max integer)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off
  SET enable_mergejoin = off AS $$
DECLARE
  v_task_run_ids uuid[]; v_count bigint;
BEGIN
  v_task_run_ids := ARRAY(
    SELECT t.task_run_id FROM (SELECT r.task_run_id FROM calib_private.raw_data r WHERE r.stored_at >= p_from
        AND r.stored_at < p_before
      ORDER BY r.stored_at LIMIT calib_private.prune_window()) oldest
      JOIN calib_private.task_runs t USING (task_run_id) JOIN calib_private.settled_jobs s USING (job_id)
     WHERE s.finished_at < p_before LIMIT p_max FOR UPDATE OF s SKIP LOCKED);
  IF v_task_run_ids = '{}' THEN RETURN 0; END IF;
  DELETE FROM calib_private.raw_data r USING calib_private.task_runs t JOIN calib_private.settled_jobs s
    USING (job_id)
   WHERE t.task_run_id = ANY (v_task_run_ids) AND r.task_run_id = t.task_run_id;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;

-- Each start of an executor leaves a row. After a week without a sign of life it is deleted: jobs and
-- attempts keep its name. An executor that resumes later registers again.
CREATE OR REPLACE FUNCTION calib_private.prune_executors(p_max integer)
RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  v_before timestamptz := calib_private.now() - interval '7 days'; v_count bigint;
BEGIN
  DELETE FROM calib_private.executors e WHERE e.executor_id = ANY (ARRAY(
    SELECT o.executor_id FROM calib_private.executors o
     WHERE o.started_at < v_before AND o.last_seen_at < v_before
       AND NOT EXISTS (SELECT FROM calib_private.leases l WHERE l.chip_id = o.chip_id
           AND l.executor_id = o.executor_id)
     ORDER BY o.started_at LIMIT p_max FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;

-- Where the window from a position on ends and the next one begins; NULL: no more of that age. Rows of one
-- moment may be looked at in both.
CREATE OR REPLACE FUNCTION calib_private.next_position(p_part text, p_from timestamptz, p_before timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
BEGIN
  RETURN CASE p_part
    WHEN 'jobs' THEN (SELECT j.finished_at FROM calib_private.jobs j WHERE j.finished_at >= p_from
      AND j.finished_at < p_before
      ORDER BY j.finished_at OFFSET calib_private.prune_window() LIMIT 1)
    WHEN 'events' THEN (SELECT e.at FROM calib_private.job_events e
      WHERE e.new_state IN ('completed', 'failed', 'cancelled') AND e.at >= p_from AND e.at < p_before
      ORDER BY e.at OFFSET calib_private.prune_window() LIMIT 1)
    WHEN 'figures' THEN (SELECT f.stored_at FROM calib_private.figures f WHERE f.stored_at >= p_from
      AND f.stored_at < p_before
      ORDER BY f.stored_at OFFSET calib_private.prune_window() LIMIT 1)
    WHEN 'raw_data' THEN (SELECT r.stored_at FROM calib_private.raw_data r WHERE r.stored_at >= p_from
      AND r.stored_at < p_before
      ORDER BY r.stored_at OFFSET calib_private.prune_window() LIMIT 1) END;
END $$;

-- One batch of one part, of the first window from the position on in which something may go. Nothing of ten
-- windows, or of all there are: the next call looks further on.
CREATE OR REPLACE FUNCTION calib_private.prune_part(p_part text, p_before timestamptz, p_max integer)
RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_begun timestamptz := (SELECT p.position FROM calib_private.prune_positions p WHERE p.part = p_part);
  v_position timestamptz := v_begun; v_next timestamptz; v_count bigint; v_was_at_end boolean := false;
BEGIN
  FOR v_window IN 1..10 LOOP
    v_count := CASE p_part WHEN 'jobs' THEN calib_private.prune_jobs(v_position, p_before, p_max)
      WHEN 'events' THEN calib_private.prune_events(v_position, p_before, p_max)
      WHEN 'figures' THEN calib_private.prune_figures(v_position, p_before, p_max)
      WHEN 'raw_data' THEN calib_private.prune_raw_data(v_position, p_before, p_max) END;
    EXIT WHEN v_count > 0;
    v_next := calib_private.next_position(p_part, v_position, p_before);
    v_was_at_end := v_was_at_end OR v_next IS NULL;
    v_position := coalesce(v_next, '-infinity');
    EXIT WHEN v_was_at_end AND v_position >= v_begun;
  END LOOP;
  IF v_position <> v_begun THEN
    -- Another prune that has just moved it is not waited for.
    UPDATE calib_private.prune_positions p SET position = v_position WHERE p.part = ANY (ARRAY(
      SELECT o.part FROM calib_private.prune_positions o WHERE o.part = p_part
          FOR NO KEY UPDATE SKIP LOCKED));
  END IF;
  RETURN v_count;
END $$;

-- Its locks never make an executor wait.
CREATE OR REPLACE FUNCTION calib.prune(p_max integer DEFAULT 200)
RETURNS TABLE (jobs bigint, events bigint, figures bigint, raw_data bigint, executors bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_kept calib_private.retention; v_now timestamptz := calib_private.now();
BEGIN
  PERFORM calib_private.require_role('calib_admin', 'calib_mirror');
  IF p_max IS NULL OR p_max NOT BETWEEN 1 AND 10000 THEN
    PERFORM calib_private.refuse('CQ007', 'max', format('max: expected 1 to 10000, got %s',
      coalesce(p_max::text, 'nothing')));
  END IF;
  -- From an old snapshot it would not see that a job was marked for the mirror since.
  PERFORM calib_private.require_read_committed('prune');
  PERFORM calib_private.bound_transaction();
  SELECT * INTO v_kept FROM calib_private.retention;
  jobs := 0; events := 0; figures := 0; raw_data := 0;
  IF v_kept.jobs IS NOT NULL THEN jobs := calib_private.prune_part('jobs', v_now - v_kept.jobs, p_max);
      END IF;
  IF v_kept.events IS NOT NULL THEN events := calib_private.prune_part('events', v_now - v_kept.events,
      p_max); END IF;
  IF v_kept.figures IS NOT NULL THEN figures := calib_private.prune_part('figures', v_now - v_kept.figures,
      p_max); END IF;
  IF v_kept.raw_data IS NOT NULL THEN raw_data := calib_private.prune_part('raw_data',
      v_now - v_kept.raw_data, p_max); END IF;
  executors := calib_private.prune_executors(p_max);
  RETURN NEXT;
END $$;
COMMENT ON FUNCTION calib.prune(integer) IS
  'Deletes one batch by the policy, at most p_max (1 to 10000) of each kind, and returns how many. All '
  'zeros: finished, or 100000 rows that must stay were passed. Does not wait for locks. For calib_mirror, '
  'calib_admin. Raises CQ003, CQ007, CQ010.';
