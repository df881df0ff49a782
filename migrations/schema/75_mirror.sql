-- The mirror's verbs. A mark says that a job or a chip's parameters changed; the mirror reads the present
-- rows and removes the mark if nothing changed meanwhile.

COMMENT ON TYPE calib.outbox_mark IS
  'What take_marks() returns: a job or a chip to mirror; the other one is NULL. version is passed to '
  'mark_done(); attempts counts the tries.';

CREATE OR REPLACE FUNCTION calib.register_mirror(p_mirror_id text, p_host text, p_pid integer, p_version text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.require_role('calib_mirror');
  IF coalesce(length(p_mirror_id), 0) NOT BETWEEN 1 AND 200 THEN
    PERFORM calib_private.refuse('CQ007', 'mirror_id',
      format('mirror_id: expected 1 to 200 characters, got %s', calib_private.shown(p_mirror_id)));
  END IF;
  PERFORM calib_private.require_text('host', p_host, 1, 255);
  PERFORM calib_private.require_text('version', p_version, 1, 200);
  IF p_pid IS NULL THEN PERFORM calib_private.refuse('CQ007', 'pid',
      'pid: expected the number of a process, got nothing'); END IF;
  DELETE FROM calib_private.mirrors m WHERE m.last_seen_at < calib_private.now() - interval '7 days';
  INSERT INTO calib_private.mirrors (mirror_id, role_name, host, pid, version, started_at, last_seen_at)
  VALUES (p_mirror_id, calib_private.actor_role(), left(p_host, 200), p_pid, left(p_version, 200),
    calib_private.now(), calib_private.now())
  ON CONFLICT (mirror_id) DO UPDATE SET last_seen_at = excluded.last_seen_at, stopped_at = NULL
    WHERE calib_private.mirrors.role_name = excluded.role_name;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ021', 'mirror_id',
      format('mirror %s belongs to another role', calib_private.shown(p_mirror_id)));
  END IF;
END $$;
COMMENT ON FUNCTION calib.register_mirror(text, text, integer, text) IS
  'Makes the start of a mirror process known, or known again; forgets those not seen for 7 days. For '
  'calib_mirror. Raises CQ003, CQ007, CQ021.';

CREATE OR REPLACE FUNCTION calib.mirror_seen(p_mirror_id text, p_condition text DEFAULT 'ready')
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib_private.require_speaker();
  UPDATE calib_private.mirrors m SET last_seen_at = calib_private.now(), condition = left(p_condition, 1000)
   WHERE m.mirror_id = p_mirror_id AND calib_private.actor_is(m.role_name)
$$;
COMMENT ON FUNCTION calib.mirror_seen(text, text) IS
  'Sign of life, at least every 30 seconds. p_condition: ready, or what is wrong. Does nothing for a '
  'mirror of another role. For calib_mirror. Raises CQ003.';

CREATE OR REPLACE FUNCTION calib.mirror_stopped(p_mirror_id text)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib_private.require_speaker();
  UPDATE calib_private.mirrors m SET stopped_at = calib_private.now()
   WHERE m.mirror_id = p_mirror_id AND calib_private.actor_is(m.role_name)
$$;
COMMENT ON FUNCTION calib.mirror_stopped(text) IS
  'Notes that the mirror stops. Does nothing for a mirror of another role. For calib_mirror. Raises CQ003.';

CREATE OR REPLACE FUNCTION calib.take_marks(p_max integer, p_hold_seconds double precision)
RETURNS SETOF calib.outbox_mark LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib_private.require_role('calib_mirror');
  UPDATE calib_private.outbox o SET next_try_at = calib_private.now()
      + make_interval(secs => least(greatest(coalesce(p_hold_seconds, 0), 0), 86400)), attempts = o.attempts
      + 1
   -- An array, because a subquery with LIMIT and SKIP LOCKED takes more than its limit when the planner runs
   -- it twice.
   WHERE o.mark_id = ANY (ARRAY(SELECT d.mark_id FROM calib_private.outbox d
     WHERE d.next_try_at <= calib_private.now() AND d.dead_at IS NULL
     ORDER BY d.next_try_at LIMIT greatest(p_max, 0) FOR NO KEY UPDATE SKIP LOCKED))
  RETURNING o.mark_id, o.job_id, o.chip_id, o.version, o.attempts
$$;
COMMENT ON FUNCTION calib.take_marks(integer, double precision) IS
  'At most p_max marks that are due; no other call returns them for p_hold_seconds. For calib_mirror. '
  'Raises CQ003.';

-- A notice is of 8000 bytes at most. Channels have no rights: it says no more than number and state.
CREATE OR REPLACE FUNCTION calib_private.announce(p_job_ids bigint[])
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib_private.notify('calibration_jobs', jsonb_agg(n.notice ORDER BY n.position)::text)
    FROM (SELECT i.position, jsonb_build_object('job_id', j.job_id, 'state', j.state) AS notice
      FROM unnest(p_job_ids) WITH ORDINALITY i (job_id, position)
      JOIN calib_private.jobs j USING (job_id)) n
   GROUP BY n.position / 100
$$;

-- Starts and ends are announced by the mirror, after they are committed: a notice from the transactions of
-- executors would let their commits wait for one another.
CREATE OR REPLACE FUNCTION calib.announce_jobs()
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_job_ids bigint[];
BEGIN
  PERFORM calib_private.require_role('calib_mirror');
  IF NOT EXISTS (SELECT FROM calib_private.outbox o WHERE o.announce) THEN RETURN 0; END IF;
  WITH announced AS (UPDATE calib_private.outbox o SET announce = false
    WHERE o.mark_id = ANY (ARRAY(SELECT d.mark_id FROM calib_private.outbox d WHERE d.announce
      ORDER BY d.mark_id LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED)) RETURNING o.job_id)
  SELECT coalesce(array_agg(a.job_id ORDER BY a.job_id), '{}') INTO v_job_ids FROM announced a;
  PERFORM calib_private.announce(v_job_ids);
  RETURN cardinality(v_job_ids);
END $$;
COMMENT ON FUNCTION calib.announce_jobs() IS
  'Announces starts and ends of at most 1000 jobs on the channel calibration_jobs, and returns of how many. '
  'For calib_mirror. Raises CQ003.';

CREATE OR REPLACE FUNCTION calib.mark_done(p_mark_id bigint, p_version integer)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_job_id bigint; v_announce boolean;
BEGIN
  PERFORM calib_private.require_role('calib_mirror');
  DELETE FROM calib_private.outbox o WHERE o.mark_id = p_mark_id AND o.version = p_version
    RETURNING o.job_id, o.announce INTO v_job_id, v_announce;
  -- It came between the last announcements and take_marks().
  IF v_announce THEN PERFORM calib_private.announce(ARRAY[v_job_id]); END IF;
  IF v_announce IS NULL THEN
    -- What was read is mirrored: the lag counts from here on.
    UPDATE calib_private.outbox o SET marked_at = calib_private.now(), next_try_at = calib_private.now(),
      attempts = 0, last_error = NULL, refusals = 0, refused = '[]'
     WHERE o.mark_id = p_mark_id;
  END IF;
END $$;
COMMENT ON FUNCTION calib.mark_done(bigint, integer) IS
  'Removes a mark, or makes it due again if its version has risen since take_marks(). For calib_mirror. '
  'Raises CQ003.';

CREATE OR REPLACE FUNCTION calib.mark_failed(p_mark_id bigint, p_error text)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib_private.require_role('calib_mirror');
  UPDATE calib_private.outbox o SET last_error = left(p_error, 2000), refused = '[]',
    next_try_at = calib_private.now() + make_interval(secs => least(300, power(2, least(o.attempts, 9))))
   WHERE o.mark_id = p_mark_id
$$;
COMMENT ON FUNCTION calib.mark_failed(bigint, text) IS
  'Stores why a mark could not be mirrored now and tries it again later, after 300 seconds at most. Does '
  'not count as a refusal. For calib_mirror. Raises CQ003.';

CREATE OR REPLACE FUNCTION calib.mark_refused(p_mark_id bigint, p_version integer, p_error text,
  p_refused jsonb, p_limit integer DEFAULT 5)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_dead boolean;
BEGIN
  PERFORM calib_private.require_role('calib_mirror');
  IF p_refused IS NULL THEN
    PERFORM calib_private.refuse('CQ007', 'refused',
      'refused: expected the documents that MongoDB refused, got nothing');
  END IF;
  UPDATE calib_private.outbox o SET last_error = left(p_error, 2000), refused = p_refused,
    refusals = CASE WHEN o.version = p_version THEN o.refusals + 1 ELSE 0 END,
    dead_at = CASE WHEN o.version = p_version AND o.refusals + 1 >= p_limit THEN calib_private.now() END,
    next_try_at = calib_private.now() + make_interval(secs => least(300, power(2, least(o.attempts, 9))))
   WHERE o.mark_id = p_mark_id RETURNING o.dead_at IS NOT NULL INTO v_dead;
  RETURN coalesce(v_dead, false);
END $$;
COMMENT ON FUNCTION calib.mark_refused(bigint, integer, text, jsonb, integer) IS
  'Stores that MongoDB refused documents of a mark. p_refused: array of {document, reason, remedy}. True: '
  'it was refused p_limit times without a change and is set aside. For calib_mirror. Raises CQ003, CQ007.';

CREATE OR REPLACE FUNCTION calib.retry_marks(p_job_id bigint DEFAULT NULL)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_marks bigint;
BEGIN
  PERFORM calib_private.require_role('calib_admin', 'calib_mirror');
  PERFORM calib_private.bound_transaction();
  UPDATE calib_private.outbox o SET next_try_at = calib_private.now(), attempts = 0, refusals = 0,
      dead_at = NULL
   WHERE (p_job_id IS NULL OR o.job_id = p_job_id) AND (o.dead_at IS NOT NULL OR o.last_error IS NOT NULL);
  GET DIAGNOSTICS v_marks = ROW_COUNT;
  RETURN v_marks;
END $$;
COMMENT ON FUNCTION calib.retry_marks(bigint) IS
  'Makes marks that failed or were set aside due now and returns how many. NULL: of all jobs and chips. '
  'For calib_mirror, calib_admin. Raises CQ003.';

CREATE OR REPLACE FUNCTION calib.mark(p_job_id bigint)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.require_role('calib_admin', 'calib_mirror');
  PERFORM calib_private.bound_transaction();
  PERFORM FROM calib_private.jobs j WHERE j.job_id = p_job_id AND j.execution_id IS NOT NULL FOR KEY SHARE;
  IF NOT FOUND THEN RETURN false; END IF;
  PERFORM calib_private.mark_job(p_job_id);
  RETURN true;
END $$;
COMMENT ON FUNCTION calib.mark(bigint) IS
  'Mirrors a job again. False: there is no such job, or it never started. For calib_mirror, calib_admin. '
  'Raises CQ003.';

CREATE OR REPLACE FUNCTION calib.mark_all()
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_jobs bigint;
BEGIN
  PERFORM calib_private.require_role('calib_admin', 'calib_mirror');
  PERFORM calib_private.bound_transaction();
  -- A running job is marked by its own end, and must not wait until all others are.
  PERFORM calib_private.mark_job(k.job_id) FROM (
    SELECT j.job_id FROM calib_private.jobs j WHERE j.execution_id IS NOT NULL
        AND j.state <> 'running' FOR KEY SHARE SKIP LOCKED) k;
  GET DIAGNOSTICS v_jobs = ROW_COUNT;
  PERFORM calib_private.mark_chip(c.chip_id) FROM (SELECT DISTINCT p.chip_id
    FROM calib_private.parameter_versions p) c;
  RETURN v_jobs;
END $$;
COMMENT ON FUNCTION calib.mark_all() IS
  'Mirrors all started jobs and all chips with parameters again and returns the number of jobs; running '
  'jobs are left out. For calib_mirror, calib_admin. Raises CQ003.';

CREATE OR REPLACE FUNCTION calib.unrendered_figures(p_max integer)
RETURNS TABLE (figure_id bigint, job_id bigint, plotly json)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib_private.require_role('calib_mirror');
  SELECT f.figure_id, t.job_id, f.plotly FROM calib_private.figures f JOIN calib_private.task_runs t
      USING (task_run_id)
   WHERE f.png IS NULL AND f.render_error IS NULL ORDER BY f.figure_id LIMIT greatest(p_max, 0)
$$;
COMMENT ON FUNCTION calib.unrendered_figures(integer) IS
  'At most p_max figures without image and without error, the oldest first. For calib_mirror. Raises '
  'CQ003.';

CREATE OR REPLACE FUNCTION calib.store_png(p_figure_id bigint, p_png bytea, p_render_error text DEFAULT NULL)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_job_id bigint;
BEGIN
  PERFORM calib_private.require_role('calib_mirror');
  IF octet_length(p_png) > 16777216 THEN
    PERFORM calib_private.refuse('CQ040', 'png', format('png: expected at most 16 MiB, got %s bytes',
      octet_length(p_png)));
  END IF;
  UPDATE calib_private.figures f SET png = p_png, render_error = left(p_render_error, 2000)
      FROM calib_private.task_runs t
   WHERE f.figure_id = p_figure_id AND t.task_run_id = f.task_run_id RETURNING t.job_id INTO v_job_id;
  IF v_job_id IS NULL THEN RETURN; END IF;
  PERFORM calib_private.touch_job(v_job_id);
  PERFORM calib_private.mark_job(v_job_id);
END $$;
COMMENT ON FUNCTION calib.store_png(bigint, bytea, text) IS
  'Stores the image of a figure, or in p_render_error why there is none. For calib_mirror. Raises CQ003, '
  'CQ040.';
