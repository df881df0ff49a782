-- The mirror's verbs. A mark says "this job (or this chip's parameters) changed"; the mirror reads the present rows and
-- removes the mark if nothing changed meanwhile. Taking a mark hides it for a while instead of holding a lock on it.

CREATE TYPE calib.outbox_mark AS (mark_id bigint, job_id bigint, chip_id text, version integer, attempts integer);

CREATE FUNCTION calib.take_marks(p_max integer, p_hold_seconds double precision) RETURNS SETOF calib.outbox_mark LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE calib_private.outbox o SET next_try_at = calib_private.now() + make_interval(secs => p_hold_seconds), attempts = o.attempts + 1
   -- An array, because a subquery with LIMIT and SKIP LOCKED takes more than its limit when the planner runs it twice.
   WHERE o.mark_id = ANY (ARRAY(SELECT d.mark_id FROM calib_private.outbox d WHERE d.next_try_at <= calib_private.now()
                                 ORDER BY d.next_try_at LIMIT p_max FOR NO KEY UPDATE SKIP LOCKED))
  RETURNING o.mark_id, o.job_id, o.chip_id, o.version, o.attempts
$$;

CREATE FUNCTION calib.mark_done(p_mark_id bigint, p_version integer) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM calib_private.outbox o WHERE o.mark_id = p_mark_id AND o.version = p_version;
  IF NOT FOUND THEN
    -- What was read is mirrored: the lag counts from here on.
    UPDATE calib_private.outbox o SET marked_at = calib_private.now(), next_try_at = calib_private.now(), attempts = 0, last_error = NULL
     WHERE o.mark_id = p_mark_id;
  END IF;
END $$;

CREATE FUNCTION calib.mark_failed(p_mark_id bigint, p_error text) RETURNS void LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE calib_private.outbox o SET last_error = left(p_error, 2000),
         next_try_at = calib_private.now() + make_interval(secs => least(300, power(2, least(o.attempts, 9))))
   WHERE o.mark_id = p_mark_id
$$;

CREATE FUNCTION calib.mark(p_job_id bigint) RETURNS boolean LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM calib_private.jobs j WHERE j.job_id = p_job_id AND j.execution_id IS NOT NULL) THEN RETURN false; END IF;
  PERFORM calib_private.bound_transaction();
  PERFORM calib_private.mark_job(p_job_id);
  RETURN true;
END $$;

CREATE FUNCTION calib.mark_all() RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_jobs bigint;
BEGIN
  PERFORM calib_private.bound_transaction();
  -- A running job is marked by its own end, and must not wait until all others are.
  PERFORM calib_private.mark_job(j.job_id) FROM calib_private.jobs j WHERE j.execution_id IS NOT NULL AND j.state <> 'running';
  GET DIAGNOSTICS v_jobs = ROW_COUNT;
  PERFORM calib_private.mark_chip(c.chip_id) FROM (SELECT DISTINCT p.chip_id FROM calib_private.parameter_versions p) c;
  RETURN v_jobs;
END $$;

CREATE FUNCTION calib.unrendered_figures(p_max integer) RETURNS TABLE (figure_id bigint, job_id bigint, plotly json) LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT f.figure_id, t.job_id, f.plotly FROM calib_private.figures f JOIN calib_private.task_runs t USING (task_run_id)
   WHERE f.png IS NULL AND f.render_error IS NULL ORDER BY f.figure_id LIMIT p_max
$$;

-- A picture, or the reason why there is none.
CREATE FUNCTION calib.store_png(p_figure_id bigint, p_png bytea, p_render_error text DEFAULT NULL) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_job_id bigint;
BEGIN
  IF octet_length(p_png) > 16777216 THEN
    PERFORM calib_private.refuse('CQ040', 'png', format('png: expected at most 16 MiB, got %s bytes', octet_length(p_png)));
  END IF;
  UPDATE calib_private.figures f SET png = p_png, render_error = left(p_render_error, 2000) FROM calib_private.task_runs t
   WHERE f.figure_id = p_figure_id AND t.task_run_id = f.task_run_id RETURNING t.job_id INTO v_job_id;
  IF v_job_id IS NULL THEN RETURN; END IF;
  PERFORM calib_private.touch_job(v_job_id);
  PERFORM calib_private.mark_job(v_job_id);
END $$;
