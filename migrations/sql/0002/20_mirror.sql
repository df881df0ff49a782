-- Mirrors make themselves known, and a mark whose documents MongoDB refuses for good is set aside as a dead letter: it
-- stays in the outbox, so nothing of it is pruned, and is due again when its subject changes or somebody says so.

CREATE TABLE calib_private.mirrors (
  mirror_id    text PRIMARY KEY CHECK (length(mirror_id) BETWEEN 1 AND 200),
  role_name    text NOT NULL,
  host         text NOT NULL,
  pid          integer NOT NULL,
  version      text NOT NULL,
  condition    text NOT NULL DEFAULT 'ready',
  started_at   timestamptz NOT NULL,
  last_seen_at timestamptz NOT NULL,
  stopped_at   timestamptz
);

ALTER TABLE calib_private.outbox
  ADD COLUMN refusals integer NOT NULL DEFAULT 0,
  ADD COLUMN refused jsonb NOT NULL DEFAULT '[]',
  ADD COLUMN dead_at timestamptz;
-- However many dead letters there are, a look costs the same.
DROP INDEX calib_private.outbox_due;
CREATE INDEX outbox_due ON calib_private.outbox (next_try_at) WHERE dead_at IS NULL;

-- A change of the subject is a reason to try again.
CREATE OR REPLACE FUNCTION calib_private.mark_job(p_job_id bigint) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO calib_private.outbox AS o (job_id, marked_at, next_try_at)
  VALUES (p_job_id, calib_private.now(), calib_private.now())
  ON CONFLICT (job_id) DO UPDATE SET version = o.version + 1, next_try_at = least(o.next_try_at, excluded.next_try_at),
                                     refusals = 0, dead_at = NULL
$$;

CREATE OR REPLACE FUNCTION calib_private.mark_chip(p_chip_id text) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO calib_private.outbox AS o (chip_id, marked_at, next_try_at)
  VALUES (p_chip_id, calib_private.now(), calib_private.now())
  ON CONFLICT (chip_id) DO UPDATE SET version = o.version + 1, next_try_at = least(o.next_try_at, excluded.next_try_at),
                                      refusals = 0, dead_at = NULL
$$;

CREATE OR REPLACE FUNCTION calib.take_marks(p_max integer, p_hold_seconds double precision) RETURNS SETOF calib.outbox_mark LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE calib_private.outbox o SET next_try_at = calib_private.now() + make_interval(secs => least(greatest(coalesce(p_hold_seconds, 0), 0), 86400)), attempts = o.attempts + 1
   -- An array, because a subquery with LIMIT and SKIP LOCKED takes more than its limit when the planner runs it twice.
   WHERE o.mark_id = ANY (ARRAY(SELECT d.mark_id FROM calib_private.outbox d
                                 WHERE d.next_try_at <= calib_private.now() AND d.dead_at IS NULL
                                 ORDER BY d.next_try_at LIMIT greatest(p_max, 0) FOR NO KEY UPDATE SKIP LOCKED))
  RETURNING o.mark_id, o.job_id, o.chip_id, o.version, o.attempts
$$;

CREATE OR REPLACE FUNCTION calib.mark_done(p_mark_id bigint, p_version integer) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM calib_private.outbox o WHERE o.mark_id = p_mark_id AND o.version = p_version;
  IF NOT FOUND THEN
    -- What was read is mirrored: the lag counts from here on.
    UPDATE calib_private.outbox o SET marked_at = calib_private.now(), next_try_at = calib_private.now(), attempts = 0, last_error = NULL,
           refusals = 0, refused = '[]'
     WHERE o.mark_id = p_mark_id;
  END IF;
END $$;

-- Whatever stops it now is no document of its own: an outage or something missing, however long, counts as no refusal.
CREATE OR REPLACE FUNCTION calib.mark_failed(p_mark_id bigint, p_error text) RETURNS void LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE calib_private.outbox o SET last_error = left(p_error, 2000), refused = '[]',
         next_try_at = calib_private.now() + make_interval(secs => least(300, power(2, least(o.attempts, 9))))
   WHERE o.mark_id = p_mark_id
$$;

-- MongoDB refused documents of the mark for good. After so many refusals of the same rows it is set aside; true if so.
CREATE FUNCTION calib.mark_refused(p_mark_id bigint, p_version integer, p_error text, p_refused jsonb, p_limit integer DEFAULT 5)
RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  WITH marked AS (
    UPDATE calib_private.outbox o SET last_error = left(p_error, 2000), refused = p_refused,
           refusals = CASE WHEN o.version = p_version THEN o.refusals + 1 ELSE 0 END,
           dead_at = CASE WHEN o.version = p_version AND o.refusals + 1 >= p_limit THEN calib_private.now() END,
           next_try_at = calib_private.now() + make_interval(secs => least(300, power(2, least(o.attempts, 9))))
     WHERE o.mark_id = p_mark_id RETURNING o.dead_at)
  SELECT coalesce((SELECT m.dead_at IS NOT NULL FROM marked m), false)
$$;

-- Dead letters and marks that wait for their next try, of one job or of all, are due now.
CREATE FUNCTION calib.retry_marks(p_job_id bigint DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_marks bigint;
BEGIN
  PERFORM calib_private.bound_transaction();
  UPDATE calib_private.outbox o SET next_try_at = calib_private.now(), attempts = 0, refusals = 0, dead_at = NULL
   WHERE (p_job_id IS NULL OR o.job_id = p_job_id) AND (o.dead_at IS NOT NULL OR o.last_error IS NOT NULL);
  GET DIAGNOSTICS v_marks = ROW_COUNT;
  RETURN v_marks;
END $$;

CREATE FUNCTION calib.register_mirror(p_mirror_id text, p_host text, p_pid integer, p_version text) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF coalesce(length(p_mirror_id), 0) NOT BETWEEN 1 AND 200 THEN
    PERFORM calib_private.refuse('CQ007', 'mirror_id', format('mirror_id: expected 1 to 200 characters, got %s', calib_private.shown(p_mirror_id)));
  END IF;
  PERFORM calib_private.require_text('host', p_host, 1, 255);
  PERFORM calib_private.require_text('version', p_version, 1, 200);
  IF p_pid IS NULL THEN PERFORM calib_private.refuse('CQ007', 'pid', 'pid: expected the number of a process, got nothing'); END IF;
  DELETE FROM calib_private.mirrors m WHERE m.last_seen_at < calib_private.now() - interval '7 days';
  INSERT INTO calib_private.mirrors (mirror_id, role_name, host, pid, version, started_at, last_seen_at)
  VALUES (p_mirror_id, calib_private.actor(), left(p_host, 200), p_pid, left(p_version, 200), calib_private.now(), calib_private.now())
  ON CONFLICT (mirror_id) DO UPDATE SET last_seen_at = excluded.last_seen_at, stopped_at = NULL
    WHERE calib_private.mirrors.role_name = excluded.role_name;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ021', 'mirror_id', format('mirror %s belongs to another role', calib_private.shown(p_mirror_id)));
  END IF;
END $$;

CREATE FUNCTION calib.mirror_seen(p_mirror_id text, p_condition text DEFAULT 'ready') RETURNS void LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE calib_private.mirrors m SET last_seen_at = calib_private.now(), condition = left(p_condition, 1000)
   WHERE m.mirror_id = p_mirror_id AND calib_private.actor_is(m.role_name)
$$;

CREATE FUNCTION calib.mirror_stopped(p_mirror_id text) RETURNS void LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE calib_private.mirrors m SET stopped_at = calib_private.now()
   WHERE m.mirror_id = p_mirror_id AND calib_private.actor_is(m.role_name)
$$;

CREATE VIEW calib.mirrors AS
SELECT m.mirror_id, m.role_name, m.host, m.pid, m.version, m.condition, m.started_at, m.last_seen_at, m.stopped_at,
       calib_private.alive(m.last_seen_at, m.stopped_at) AS alive, o.marks_waiting, o.lag_seconds, o.dead_letters
  FROM calib_private.mirrors m,
       (SELECT count(*) FILTER (WHERE w.dead_at IS NULL) AS marks_waiting,
               coalesce(extract(epoch FROM calib_private.now() - min(w.marked_at) FILTER (WHERE w.dead_at IS NULL)), 0)::double precision AS lag_seconds,
               count(*) FILTER (WHERE w.dead_at IS NOT NULL) AS dead_letters
          FROM calib_private.outbox w) o;

CREATE OR REPLACE VIEW calib.mirror_lag WITH (security_barrier) AS
SELECT o.mark_id, o.job_id, o.chip_id, o.marked_at, extract(epoch FROM calib_private.now() - o.marked_at)::double precision AS lag_seconds,
       o.attempts, o.next_try_at, o.last_error, o.refusals, o.refused, o.dead_at
  FROM calib_private.outbox o LEFT JOIN calib_private.jobs j USING (job_id)
 WHERE o.job_id IS NULL OR j.project_id = ANY ((SELECT calib_private.readable_projects())::text[]);

REVOKE ALL ON FUNCTION calib.mark_refused(bigint, integer, text, jsonb, integer), calib.retry_marks(bigint),
  calib.register_mirror(text, text, integer, text), calib.mirror_seen(text, text), calib.mirror_stopped(text) FROM PUBLIC;
GRANT SELECT ON calib.mirrors TO calib_reader;
GRANT EXECUTE ON FUNCTION calib.mark_refused(bigint, integer, text, jsonb, integer), calib.register_mirror(text, text, integer, text),
  calib.mirror_seen(text, text), calib.mirror_stopped(text), calib.retry_marks(bigint) TO calib_mirror;
GRANT EXECUTE ON FUNCTION calib.retry_marks(bigint) TO calib_admin;
