-- The executor's verbs. One lease row per chip is mutex, lease and fence; every write after the claim names
-- (job_id, fence) and is refused once the lease has gone to somebody else. Lock order: lease, job, attempt, task, mark.

CREATE FUNCTION calib_private.require_executor_permission(p_chip_id text) RETURNS void LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM calib_private.executor_permissions p WHERE p.chip_id = p_chip_id AND calib_private.actor_is(p.role_name)) THEN
    PERFORM calib_private.refuse('CQ021', 'chip_id', format('%s may not execute on chip %s', calib_private.actor(), calib_private.shown(p_chip_id)),
      format('Ask an administrator: qdash-queue executors allow %s %s.', calib_private.actor(), p_chip_id));
  END IF;
END $$;

CREATE FUNCTION calib_private.require_backend(p_chip calib_private.chips, p_backend text) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_chip.backend IS DISTINCT FROM p_backend THEN
    PERFORM calib_private.refuse('CQ021', 'backend', format('chip "%s" is driven by backend "%s": an executor of backend %s is refused, so that simulated values never enter a real chip''s history',
      p_chip.chip_id, p_chip.backend, calib_private.shown(p_backend)));
  END IF;
END $$;

CREATE FUNCTION calib.register_executor(p_executor_id text, p_chip_id text, p_backend text, p_host text, p_pid integer, p_version text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_chip calib_private.chips := calib_private.require_chip(p_chip_id);
BEGIN
  PERFORM calib_private.require_executor_permission(p_chip_id);
  PERFORM calib_private.require_backend(v_chip, p_backend);
  IF coalesce(length(p_executor_id), 0) NOT BETWEEN 1 AND 200 THEN
    PERFORM calib_private.refuse('CQ007', 'executor_id', format('executor_id: expected 1 to 200 characters, got %s', calib_private.shown(p_executor_id)));
  END IF;
  INSERT INTO calib_private.executors (executor_id, chip_id, role_name, host, pid, version, started_at, last_seen_at)
  VALUES (p_executor_id, p_chip_id, calib_private.actor(), p_host, p_pid, p_version, calib_private.now(), calib_private.now())
  ON CONFLICT (executor_id) DO UPDATE SET last_seen_at = excluded.last_seen_at, stopped_at = NULL
    WHERE calib_private.executors.chip_id = excluded.chip_id AND calib_private.executors.role_name = excluded.role_name;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ021', 'executor_id', format('executor %s belongs to another chip or role', calib_private.shown(p_executor_id)));
  END IF;
END $$;

CREATE FUNCTION calib.executor_seen(p_executor_id text, p_condition text DEFAULT 'ready') RETURNS void LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE calib_private.executors e SET last_seen_at = calib_private.now(), condition = left(p_condition, 200)
   WHERE e.executor_id = p_executor_id AND calib_private.actor_is(e.role_name)
$$;

CREATE FUNCTION calib.executor_stopped(p_executor_id text) RETURNS void LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE calib_private.executors e SET stopped_at = calib_private.now()
   WHERE e.executor_id = p_executor_id AND calib_private.actor_is(e.role_name)
$$;

-- ---------------------------------------------------------------------------------------------------- catalogue

CREATE FUNCTION calib_private.register_flow(p_chip_id text, p_version text, p_flow jsonb) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_name text := p_flow ->> 'flow'; v_bad text;
BEGIN
  IF v_name IS NULL OR v_name !~ '^[a-z][a-z0-9_]{0,62}$' THEN
    PERFORM calib_private.refuse('CQ022', 'flow', format('flow name: expected lower-case letters, digits and _, got %s', calib_private.shown(v_name)));
  ELSIF NOT coalesce(p_flow -> 'on_cancellation', '[]') ? 'on_flow_cancellation' THEN
    PERFORM calib_private.refuse('CQ022', 'flow', format('flow "%s" does not register on_flow_cancellation', v_name),
      'Decorate it with @flow(on_cancellation=[on_flow_cancellation]).');
  END IF;
  v_bad := calib_private.unsupported_keyword(p_flow -> 'schema');
  IF v_bad IS NOT NULL THEN
    PERFORM calib_private.refuse('CQ022', 'schema', format('flow "%s": its schema uses %s, which the database cannot check', v_name, v_bad));
  END IF;
  INSERT INTO calib_private.flows AS f (chip_id, flow, description, schema, repeatable, timeout_seconds, version, registered_by, registered_at)
  VALUES (p_chip_id, v_name, coalesce(p_flow ->> 'description', ''), p_flow -> 'schema', (p_flow ->> 'repeatable')::boolean,
          (p_flow ->> 'timeout_seconds')::integer, p_version, calib_private.actor(), calib_private.now())
  ON CONFLICT (chip_id, flow) DO UPDATE SET description = excluded.description, schema = excluded.schema,
     repeatable = excluded.repeatable, timeout_seconds = excluded.timeout_seconds, version = excluded.version,
     registered_by = excluded.registered_by, registered_at = excluded.registered_at;
END $$;

CREATE FUNCTION calib_private.register_task(p_chip_id text, p_version text, p_task jsonb) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_bad text := calib_private.unsupported_keyword(p_task -> 'schema');
BEGIN
  IF v_bad IS NOT NULL THEN
    PERFORM calib_private.refuse('CQ022', 'schema', format('task "%s": its schema uses %s, which the database cannot check', p_task ->> 'task', v_bad));
  END IF;
  INSERT INTO calib_private.tasks AS t (chip_id, task, task_type, description, schema, input_parameters, output_parameters,
                                        version, registered_by, registered_at)
  VALUES (p_chip_id, p_task ->> 'task', p_task ->> 'task_type', coalesce(p_task ->> 'description', ''), p_task -> 'schema',
          ARRAY(SELECT jsonb_array_elements_text(p_task -> 'input_parameters')),
          ARRAY(SELECT jsonb_array_elements_text(p_task -> 'output_parameters')), p_version, calib_private.actor(), calib_private.now())
  ON CONFLICT (chip_id, task) DO UPDATE SET task_type = excluded.task_type, description = excluded.description,
     schema = excluded.schema, input_parameters = excluded.input_parameters, output_parameters = excluded.output_parameters,
     version = excluded.version, registered_by = excluded.registered_by, registered_at = excluded.registered_at;
END $$;

-- What the newest registration does not name any more is gone: it could not be run.
CREATE FUNCTION calib.register_catalogue(p_chip_id text, p_backend text, p_version text, p_flows jsonb, p_tasks jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_chip calib_private.chips := calib_private.require_chip(p_chip_id); v_item jsonb;
BEGIN
  PERFORM calib_private.require_executor_permission(p_chip_id);
  PERFORM calib_private.require_backend(v_chip, p_backend);
  FOR v_item IN SELECT * FROM jsonb_array_elements(p_flows) LOOP
    PERFORM calib_private.register_flow(p_chip_id, p_version, v_item);
  END LOOP;
  FOR v_item IN SELECT * FROM jsonb_array_elements(p_tasks) LOOP
    PERFORM calib_private.register_task(p_chip_id, p_version, v_item);
  END LOOP;
  DELETE FROM calib_private.flows f WHERE f.chip_id = p_chip_id AND NOT p_flows @> jsonb_build_array(jsonb_build_object('flow', f.flow));
  DELETE FROM calib_private.tasks t WHERE t.chip_id = p_chip_id AND NOT p_tasks @> jsonb_build_array(jsonb_build_object('task', t.task));
EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
  PERFORM calib_private.refuse('CQ022', 'catalogue', format('the catalogue of chip "%s" is malformed: %s', p_chip_id, SQLERRM));
END $$;

-- ---------------------------------------------------------------------------------------------------- claim

CREATE TYPE calib.claimed_job AS (
  job_id bigint, fence bigint, attempt smallint, max_attempts smallint, execution_id text, project_id text, username text,
  chip_id text, flow text, parameters jsonb, tags text[], note jsonb, timeout_seconds integer, repeatable boolean,
  submitted_by text, submitted_at timestamptz, started_at timestamptz, dirty boolean);

CREATE FUNCTION calib_private.claimed_row(p_job_id bigint) RETURNS calib.claimed_job LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT (j.job_id, j.fence, j.attempt, j.max_attempts, j.execution_id, j.project_id, j.username, j.chip_id, j.flow, j.parameters,
          j.tags, j.note, j.timeout_seconds, j.repeatable, j.submitted_by, j.submitted_at, j.started_at, l.dirty)::calib.claimed_job
    FROM calib_private.jobs j JOIN calib_private.leases l USING (chip_id) WHERE j.job_id = p_job_id
$$;

-- QDash makes YYYYMMDD-NNN; ours are YYYYMMDD-qNNN and can never be the same.
CREATE FUNCTION calib_private.next_execution_id() RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_day date; v_n integer;
BEGIN
  SELECT (calib_private.now() AT TIME ZONE s.time_zone)::date INTO v_day FROM calib_private.settings s;
  INSERT INTO calib_private.execution_counters AS c (day, last_n) VALUES (v_day, 1)
    ON CONFLICT (day) DO UPDATE SET last_n = c.last_n + 1 RETURNING c.last_n INTO v_n;
  RETURN to_char(v_day, 'YYYYMMDD') || '-q' || lpad(v_n::text, greatest(3, length(v_n::text)), '0');
END $$;

-- The first due job that can be locked; one whose cancel arrived unseen ends here. `interactive` jobs belong to the
-- session that inserted them and are only taken by their number.
CREATE FUNCTION calib_private.take_due_job(p_chip_id text, p_job_id bigint) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_job_id bigint; v_now timestamptz := calib_private.now();
BEGIN
  LOOP
    IF p_job_id IS NULL THEN
      -- due-job:begin
      SELECT j.job_id INTO v_job_id FROM calib_private.jobs j
       WHERE j.chip_id = p_chip_id AND j.state = 'scheduled' AND j.not_before <= v_now
         AND (j.not_after IS NULL OR j.not_after > v_now) AND j.flow <> 'interactive'
       ORDER BY j.priority DESC, j.job_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
      -- due-job:end
    ELSE
      SELECT j.job_id INTO v_job_id FROM calib_private.jobs j
       WHERE j.job_id = p_job_id AND j.chip_id = p_chip_id AND j.state = 'scheduled' AND j.not_before <= v_now
         AND (j.not_after IS NULL OR j.not_after > v_now) FOR NO KEY UPDATE SKIP LOCKED;
    END IF;
    IF v_job_id IS NULL OR NOT EXISTS (SELECT FROM calib_private.cancel_requests k WHERE k.job_id = v_job_id) THEN
      RETURN v_job_id;
    END IF;
    PERFORM calib_private.cancel_waiting(v_job_id);
  END LOOP;
END $$;

CREATE FUNCTION calib_private.is_due(p_chip_id text, p_job_id bigint) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_now timestamptz := calib_private.now();
BEGIN
  IF p_job_id IS NOT NULL THEN RETURN true; END IF;
  -- idle-poll:begin
  PERFORM FROM calib_private.jobs j
    WHERE j.chip_id = p_chip_id AND j.state = 'scheduled' AND j.not_before <= v_now
      AND (j.not_after IS NULL OR j.not_after > v_now) AND j.flow <> 'interactive'
    ORDER BY j.priority DESC, j.job_id LIMIT 1;
  -- idle-poll:end
  RETURN FOUND;
END $$;

-- Looks without locking, so that idle, paused and standing-by executors write nothing.
CREATE FUNCTION calib_private.may_claim(p_chip_id text, p_executor_id text, p_job_id bigint) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_holder text; v_paused boolean;
BEGIN
  SELECT l.executor_id, c.paused INTO v_holder, v_paused
    FROM calib_private.leases l JOIN calib_private.chips c USING (chip_id) WHERE l.chip_id = p_chip_id;
  IF v_holder IS NOT NULL THEN RETURN v_holder = p_executor_id; END IF;
  RETURN NOT v_paused AND calib_private.is_due(p_chip_id, p_job_id);
END $$;

CREATE FUNCTION calib.claim(p_chip_id text, p_executor_id text, p_lease_seconds double precision DEFAULT 30, p_job_id bigint DEFAULT NULL)
RETURNS SETOF calib.claimed_job LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_lease calib_private.leases; v_job_id bigint; v_now timestamptz;
  v_duration interval := calib_private.lease_interval(p_lease_seconds);
BEGIN
  PERFORM calib_private.require_executor(p_executor_id, p_chip_id);
  IF NOT calib_private.may_claim(p_chip_id, p_executor_id, p_job_id) THEN RETURN; END IF;
  SELECT * INTO v_lease FROM calib_private.leases l WHERE l.chip_id = p_chip_id FOR NO KEY UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN; END IF;
  IF v_lease.job_id IS NULL THEN
    v_job_id := calib_private.take_due_job(p_chip_id, p_job_id);
  ELSIF calib_private.claim_is_unused(v_lease, p_executor_id) AND v_lease.job_id = coalesce(p_job_id, v_lease.job_id) THEN
    -- An answer that was lost on the way is given again, with a full lease: the executor counts from now.
    UPDATE calib_private.leases l SET expires_at = calib_private.now() + v_duration WHERE l.chip_id = p_chip_id;
    RETURN NEXT calib_private.claimed_row(v_lease.job_id);
  END IF;
  IF v_job_id IS NULL THEN RETURN; END IF;
  v_now := calib_private.now();
  UPDATE calib_private.leases l SET fence = l.fence + 1, job_id = v_job_id, executor_id = p_executor_id,
         expires_at = v_now + v_duration WHERE l.chip_id = p_chip_id;
  UPDATE calib_private.jobs j SET state = 'running', attempt = j.attempt + 1, fence = v_lease.fence + 1, executor_id = p_executor_id,
         flow_run_id = NULL, started_at = coalesce(j.started_at, v_now), tasks_total = 0, tasks_done = 0, tasks_failed = 0,
         execution_id = coalesce(j.execution_id, calib_private.next_execution_id()), version = j.version + 1
   WHERE j.job_id = v_job_id;
  INSERT INTO calib_private.attempts (job_id, attempt, fence, executor_id, started_at)
  SELECT j.job_id, j.attempt, j.fence, j.executor_id, v_now FROM calib_private.jobs j WHERE j.job_id = v_job_id;
  RETURN NEXT calib_private.claimed_row(v_job_id);
END $$;

CREATE FUNCTION calib_private.require_executor(p_executor_id text, p_chip_id text) RETURNS void LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.require_executor_permission(p_chip_id);
  IF NOT EXISTS (SELECT FROM calib_private.executors e WHERE e.executor_id = p_executor_id AND e.chip_id = p_chip_id
                                                         AND calib_private.actor_is(e.role_name)) THEN
    PERFORM calib_private.refuse('CQ021', 'executor_id', format('executor %s is not registered for chip "%s"', calib_private.shown(p_executor_id), p_chip_id));
  END IF;
END $$;

CREATE FUNCTION calib_private.lease_interval(p_seconds double precision) RETURNS interval LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_seconds IS NULL OR NOT p_seconds BETWEEN 0.1 AND 3600 THEN
    PERFORM calib_private.refuse('CQ007', 'lease_seconds', format('lease_seconds: expected 0.1 to 3600, got %s', coalesce(p_seconds::text, 'nothing')));
  END IF;
  RETURN make_interval(secs => p_seconds);
END $$;

CREATE FUNCTION calib_private.claim_is_unused(p_lease calib_private.leases, p_executor_id text) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT p_lease.executor_id = p_executor_id
     AND NOT EXISTS (SELECT FROM calib_private.jobs j JOIN calib_private.attempts a USING (job_id, attempt)
                      WHERE j.job_id = p_lease.job_id AND (a.flow_run_id IS NOT NULL OR a.verdict IS NOT NULL OR j.tasks_total > 0))
$$;

-- ---------------------------------------------------------------------------------------------------- holding the lease

-- Locks the lease against a sweep until the end of the transaction; refuses whoever does not hold it.
CREATE FUNCTION calib_private.hold_lease(p_job_id bigint, p_fence bigint) RETURNS calib_private.leases LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_lease calib_private.leases;
BEGIN
  SELECT l.* INTO v_lease FROM calib_private.leases l WHERE l.job_id = p_job_id AND l.fence = p_fence FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ020', 'fence', format('the lease on job %s (fence %s) is lost: another attempt or another job may hold the chip', p_job_id, p_fence));
  ELSIF NOT EXISTS (SELECT FROM calib_private.executors e WHERE e.executor_id = v_lease.executor_id AND calib_private.actor_is(e.role_name)) THEN
    PERFORM calib_private.refuse('CQ003', 'job_id', format('%s may not act for executor %s', calib_private.actor(), v_lease.executor_id));
  END IF;
  RETURN v_lease;
END $$;

CREATE TYPE calib.cancel_request AS (cancel_mode text, cancel_reason text, cancel_requested_by text);

-- Renews the lease and tells whether somebody asked to cancel. Reads the request without locking it: a client may
-- hold it in an open transaction.
CREATE FUNCTION calib.heartbeat(p_job_id bigint, p_fence bigint, p_lease_seconds double precision DEFAULT 30)
RETURNS SETOF calib.cancel_request LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_lease calib_private.leases := calib_private.hold_lease(p_job_id, p_fence); v_cancel calib.cancel_request;
BEGIN
  UPDATE calib_private.leases l SET expires_at = calib_private.now() + calib_private.lease_interval(p_lease_seconds) WHERE l.chip_id = v_lease.chip_id;
  UPDATE calib_private.executors e SET last_seen_at = calib_private.now(), condition = 'ready' WHERE e.executor_id = v_lease.executor_id;
  -- A verdict stands: who asks now asks too late, and must not be told that the request was seen.
  IF calib_private.verdict(p_job_id) IS NOT NULL THEN RETURN; END IF;
  SELECT max(k.mode), (array_agg(k.reason ORDER BY k.door))[1], (array_agg(k.requested_by ORDER BY k.door))[1] INTO v_cancel
    FROM calib_private.cancel_requests k WHERE k.job_id = p_job_id HAVING count(*) > 0;
  IF NOT FOUND THEN RETURN; END IF;
  UPDATE calib_private.jobs j SET cancel_seen_at = calib_private.now(), version = j.version + 1
   WHERE j.job_id = p_job_id AND j.cancel_seen_at IS NULL;
  IF FOUND THEN
    PERFORM calib_private.write_event(p_job_id, 'cancel_seen', jsonb_build_object('mode', v_cancel.cancel_mode));
    PERFORM calib_private.mark_job(p_job_id);
  END IF;
  RETURN NEXT v_cancel;
END $$;

-- Prefect's own Cancel buttons ask here, so that all doors lead to the same job.
CREATE FUNCTION calib.cancel_from_prefect(p_job_id bigint, p_fence bigint, p_reason text) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.hold_lease(p_job_id, p_fence);
  IF EXISTS (SELECT FROM calib_private.cancel_requests k WHERE k.job_id = p_job_id AND k.mode = 'now') THEN RETURN; END IF;
  IF calib_private.verdict(p_job_id) IS NOT NULL THEN
    PERFORM calib_private.write_event(p_job_id, 'cancel_too_late', jsonb_build_object('mode', 'now', 'reason', left(p_reason, 1000)));
    RETURN;
  END IF;
  PERFORM calib_private.write_event(p_job_id,
    CASE WHEN EXISTS (SELECT FROM calib_private.cancel_requests k WHERE k.job_id = p_job_id) THEN 'cancel_escalated' ELSE 'cancel_requested' END,
    jsonb_build_object('mode', 'now', 'reason', left(p_reason, 1000)));
  INSERT INTO calib_private.cancel_requests (job_id, door, mode, reason, requested_by, requested_at)
  VALUES (p_job_id, 'prefect', 'now', coalesce(left(p_reason, 1000), ''), calib_private.actor(), calib_private.now());
END $$;

CREATE FUNCTION calib.set_flow_run(p_job_id bigint, p_fence bigint, p_flow_run_id uuid) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.hold_lease(p_job_id, p_fence);
  UPDATE calib_private.jobs j SET flow_run_id = p_flow_run_id, version = j.version + 1
   WHERE j.job_id = p_job_id AND j.flow_run_id IS DISTINCT FROM p_flow_run_id;
  IF NOT FOUND THEN RETURN; END IF;   -- asked again because the first answer was lost
  UPDATE calib_private.attempts a SET flow_run_id = p_flow_run_id WHERE a.job_id = p_job_id AND a.fence = p_fence;
  PERFORM calib_private.write_event(p_job_id, 'flow_run_created', jsonb_build_object('flow_run_id', p_flow_run_id));
  PERFORM calib_private.mark_job(p_job_id);
END $$;

CREATE FUNCTION calib.log_event(p_job_id bigint, p_fence bigint, p_event text, p_detail jsonb DEFAULT '{}') RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.hold_lease(p_job_id, p_fence);
  IF p_event NOT IN ('flow_started', 'stop_requested', 'sigterm', 'sigkill', 'child_exited', 'hook_ran') THEN
    PERFORM calib_private.refuse('CQ007', 'event', format('event: an executor may not write %s itself', calib_private.shown(p_event)));
  END IF;
  PERFORM calib_private.write_event(p_job_id, p_event, p_detail);
END $$;

CREATE FUNCTION calib.quiesced(p_job_id bigint, p_fence bigint, p_detail jsonb DEFAULT '{}') RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_lease calib_private.leases := calib_private.hold_lease(p_job_id, p_fence);
BEGIN
  UPDATE calib_private.leases l SET dirty = false WHERE l.chip_id = v_lease.chip_id;
  PERFORM calib_private.write_event(p_job_id, 'quiesced', p_detail);
END $$;

-- An instrument that cannot be brought to rest must not be given to the next job: the chip is paused with the reason.
CREATE FUNCTION calib.quiesce_failed(p_job_id bigint, p_fence bigint, p_reason text) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_lease calib_private.leases := calib_private.hold_lease(p_job_id, p_fence);
BEGIN
  UPDATE calib_private.leases l SET dirty = true WHERE l.chip_id = v_lease.chip_id;
  UPDATE calib_private.chips c SET paused = true, pause_reason = 'instrument not at rest: ' || left(coalesce(p_reason, ''), 500),
         paused_by = calib_private.actor(), paused_at = calib_private.now() WHERE c.chip_id = v_lease.chip_id;
  PERFORM calib_private.write_event(p_job_id, 'quiesce_failed', jsonb_build_object('reason', left(coalesce(p_reason, ''), 500)));
END $$;

-- ---------------------------------------------------------------------------------------------------- verdict and end

-- Records how the attempt ended; the first verdict stands. A cancel that was seen wins over every later verdict: the
-- person who asked was told that it was taken.
CREATE FUNCTION calib.conclude(p_job_id bigint, p_fence bigint, p_state text, p_failure_kind text DEFAULT NULL, p_failure_message text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_state text := p_state; v_standing text;
BEGIN
  PERFORM calib_private.hold_lease(p_job_id, p_fence);
  IF p_state IS NULL OR p_state NOT IN ('completed', 'failed', 'cancelled') THEN
    PERFORM calib_private.refuse('CQ007', 'state', format('state: expected completed, failed or cancelled, got %s', calib_private.shown(p_state)));
  ELSIF (p_state = 'failed') <> (p_failure_kind IS NOT NULL) THEN
    PERFORM calib_private.refuse('CQ007', 'failure_kind', 'failure_kind: expected with state failed, and only with it');
  ELSIF NOT calib_private.is_failure_kind(p_failure_kind) THEN
    PERFORM calib_private.refuse('CQ007', 'failure_kind', format('failure_kind: expected one of the closed list (missing_input, no_signal, ...), got %s', calib_private.shown(p_failure_kind)));
  END IF;
  IF p_state = 'cancelled' AND NOT EXISTS (SELECT FROM calib_private.cancel_requests k WHERE k.job_id = p_job_id) THEN
    PERFORM calib_private.refuse('CQ010', 'state', format('job %s cannot end cancelled: nobody asked to cancel it', p_job_id));
  END IF;
  IF EXISTS (SELECT FROM calib_private.jobs j WHERE j.job_id = p_job_id AND j.cancel_seen_at IS NOT NULL) THEN v_state := 'cancelled'; END IF;
  UPDATE calib_private.attempts a SET verdict = v_state,
         failure_kind = CASE WHEN v_state = 'failed' THEN p_failure_kind END,
         failure_message = CASE WHEN v_state = 'failed' THEN left(coalesce(p_failure_message, ''), 4000) END
   WHERE a.job_id = p_job_id AND a.fence = p_fence AND a.verdict IS NULL;
  IF FOUND THEN
    PERFORM calib_private.write_event(p_job_id, 'concluded', jsonb_strip_nulls(jsonb_build_object('state', v_state, 'failure_kind',
      CASE WHEN v_state = 'failed' THEN p_failure_kind END)));
  END IF;
  SELECT a.verdict INTO v_standing FROM calib_private.attempts a WHERE a.job_id = p_job_id AND a.fence = p_fence;
  RETURN v_standing;
END $$;

-- Ends the attempt, the job (or sends it back to wait) and the lease in one transaction: a free lease and a running
-- row never meet.
CREATE FUNCTION calib_private.end_attempt(p_lease calib_private.leases, p_state text, p_failure_kind text, p_failure_message text, p_dirty boolean)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_now timestamptz := calib_private.now(); v_back boolean := p_state = 'scheduled';
BEGIN
  PERFORM calib_private.close_task_runs(p_lease.job_id, p_state, p_failure_kind);
  UPDATE calib_private.attempts a SET ended_at = v_now, outcome = CASE WHEN v_back THEN 'requeued' ELSE p_state END,
         failure_kind = p_failure_kind, failure_message = p_failure_message
   WHERE a.job_id = p_lease.job_id AND a.fence = p_lease.fence;
  UPDATE calib_private.jobs j SET state = p_state, finished_at = CASE WHEN v_back THEN NULL ELSE v_now END,
         failure_kind = CASE WHEN p_state = 'failed' THEN p_failure_kind END,
         failure_message = CASE WHEN p_state = 'failed' THEN p_failure_message END,
         executor_id = CASE WHEN v_back THEN NULL ELSE j.executor_id END,
         flow_run_id = CASE WHEN v_back THEN NULL ELSE j.flow_run_id END,
         version = j.version + 1
   WHERE j.job_id = p_lease.job_id AND j.state = 'running';
  UPDATE calib_private.leases l SET job_id = NULL, executor_id = NULL, expires_at = NULL, dirty = l.dirty OR p_dirty
   WHERE l.chip_id = p_lease.chip_id;
END $$;

CREATE FUNCTION calib.finish(p_job_id bigint, p_fence bigint) RETURNS text LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_attempt calib_private.attempts; v_lease calib_private.leases;
BEGIN
  -- Locked first: a sweep that ends the job by the same verdict at this moment is waited for.
  PERFORM FROM calib_private.leases l WHERE l.job_id = p_job_id AND l.fence = p_fence FOR NO KEY UPDATE;
  SELECT * INTO v_attempt FROM calib_private.attempts a WHERE a.job_id = p_job_id AND a.fence = p_fence;
  IF v_attempt.outcome = v_attempt.verdict THEN
    RETURN v_attempt.outcome;   -- asked again because the first answer was lost
  END IF;
  v_lease := calib_private.hold_lease(p_job_id, p_fence);
  IF v_attempt.verdict IS NULL THEN
    PERFORM calib_private.refuse('CQ010', 'state', format('job %s has no verdict yet: conclude it first', p_job_id));
  END IF;
  PERFORM calib_private.end_attempt(v_lease, v_attempt.verdict, v_attempt.failure_kind, v_attempt.failure_message, false);
  RETURN v_attempt.verdict;
END $$;

-- How an attempt ends whose executor leaves or is lost, in this order: the verdict that stands, a cancel that was
-- asked for, another attempt if the flow allows it, else failed.
CREATE FUNCTION calib_private.end_by_policy(p_lease calib_private.leases, p_failure_kind text, p_failure_message text, p_dirty boolean)
RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_attempt calib_private.attempts; v_state text; v_again boolean;
BEGIN
  SELECT * INTO v_attempt FROM calib_private.attempts a WHERE a.job_id = p_lease.job_id AND a.fence = p_lease.fence;
  SELECT j.repeatable AND j.attempt < j.max_attempts INTO v_again FROM calib_private.jobs j WHERE j.job_id = p_lease.job_id;
  v_state := CASE
    WHEN v_attempt.verdict IS NOT NULL THEN v_attempt.verdict
    WHEN EXISTS (SELECT FROM calib_private.cancel_requests k WHERE k.job_id = p_lease.job_id) THEN 'cancelled'
    WHEN v_again THEN 'scheduled' ELSE 'failed' END;
  PERFORM calib_private.end_attempt(p_lease, v_state,
    CASE WHEN v_attempt.verdict IS NOT NULL THEN v_attempt.failure_kind WHEN v_state IN ('failed', 'scheduled') THEN p_failure_kind END,
    CASE WHEN v_attempt.verdict IS NOT NULL THEN v_attempt.failure_message WHEN v_state IN ('failed', 'scheduled') THEN p_failure_message END,
    p_dirty);
  RETURN v_state;
END $$;

-- A clean stop of the executor: the job goes back to wait, or ends by policy; never as cancelled unless asked.
CREATE FUNCTION calib.give_back(p_job_id bigint, p_fence bigint, p_reason text) RETURNS text LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_lease calib_private.leases := calib_private.hold_lease(p_job_id, p_fence);
BEGIN
  RETURN calib_private.end_by_policy(v_lease, 'shutdown', left(p_reason, 4000), false);
END $$;

-- ---------------------------------------------------------------------------------------------------- sweep

CREATE TYPE calib.swept_job AS (job_id bigint, chip_id text, outcome text);

CREATE FUNCTION calib_private.sweep_leases() RETURNS SETOF calib.swept_job LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_lease calib_private.leases; v_now timestamptz := calib_private.now(); v_state text;
BEGIN
  FOR v_lease IN SELECT * FROM calib_private.leases l WHERE l.expires_at < v_now FOR NO KEY UPDATE SKIP LOCKED LOOP
    PERFORM calib_private.write_event(v_lease.job_id, 'lease_expired', jsonb_build_object('executor_id', v_lease.executor_id));
    v_state := calib_private.end_by_policy(v_lease, 'lost', format('executor %s was lost: its lease ran out', v_lease.executor_id), true);
    RETURN NEXT (v_lease.job_id, v_lease.chip_id, v_state)::calib.swept_job;
  END LOOP;
END $$;

CREATE FUNCTION calib_private.sweep_expired() RETURNS SETOF calib.swept_job LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_job calib_private.jobs; v_now timestamptz := calib_private.now();
BEGIN
  FOR v_job IN SELECT * FROM calib_private.jobs j WHERE j.state = 'scheduled' AND j.not_after <= v_now
                ORDER BY j.not_after LIMIT 500 FOR NO KEY UPDATE SKIP LOCKED LOOP
    PERFORM calib_private.write_event(v_job.job_id, 'expired', jsonb_build_object('not_after', v_job.not_after));
    INSERT INTO calib_private.cancel_requests (job_id, door, mode, reason, requested_by, requested_at)
    VALUES (v_job.job_id, 'client', 'now', 'expired', 'calib_owner', v_now) ON CONFLICT DO NOTHING;
    PERFORM calib_private.cancel_waiting(v_job.job_id);
    RETURN NEXT (v_job.job_id, v_job.chip_id, 'cancelled')::calib.swept_job;
  END LOOP;
END $$;

-- A cancel that was committed while its job went back to wait was seen by neither side.
CREATE FUNCTION calib_private.sweep_cancelled() RETURNS SETOF calib.swept_job LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_job calib_private.jobs;
BEGIN
  FOR v_job IN SELECT * FROM calib_private.jobs j WHERE j.state = 'scheduled' AND j.attempt > 0
                  AND EXISTS (SELECT FROM calib_private.cancel_requests k WHERE k.job_id = j.job_id) FOR NO KEY UPDATE OF j SKIP LOCKED LOOP
    PERFORM calib_private.cancel_waiting(v_job.job_id);
    RETURN NEXT (v_job.job_id, v_job.chip_id, 'cancelled')::calib.swept_job;
  END LOOP;
END $$;

-- Ends what nobody looks after any more: leases that ran out, waiting jobs whose not_after has passed or whose cancel was missed. Reads only when
-- there is nothing to do.
CREATE FUNCTION calib.sweep() RETURNS SETOF calib.swept_job LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_now timestamptz := calib_private.now();
BEGIN
  IF EXISTS (SELECT FROM calib_private.leases l WHERE l.expires_at < v_now) THEN
    RETURN QUERY SELECT * FROM calib_private.sweep_leases();
  END IF;
  IF EXISTS (SELECT FROM calib_private.jobs j WHERE j.state = 'scheduled' AND j.not_after <= v_now) THEN
    RETURN QUERY SELECT * FROM calib_private.sweep_expired();
  END IF;
  IF EXISTS (SELECT FROM calib_private.jobs j JOIN calib_private.cancel_requests k USING (job_id) WHERE j.state = 'scheduled' AND j.attempt > 0) THEN
    RETURN QUERY SELECT * FROM calib_private.sweep_cancelled();
  END IF;
END $$;

-- ---------------------------------------------------------------------------------------------------- Prefect follows the row

CREATE FUNCTION calib.unsynced_flow_runs(p_chip_id text)
RETURNS TABLE (job_id bigint, attempt smallint, flow_run_id uuid, outcome text, failure_kind text, failure_message text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT a.job_id, a.attempt, a.flow_run_id, a.outcome, a.failure_kind, a.failure_message
    FROM calib_private.attempts a JOIN calib_private.jobs j USING (job_id)
   WHERE j.chip_id = p_chip_id AND a.ended_at IS NOT NULL AND a.flow_run_id IS NOT NULL AND NOT a.prefect_synced
   ORDER BY a.ended_at LIMIT 20
$$;

CREATE FUNCTION calib.flow_run_synced(p_job_id bigint, p_attempt integer) RETURNS void LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE calib_private.attempts a SET prefect_synced = true
    FROM calib_private.jobs j, calib_private.executor_permissions p
   WHERE a.job_id = p_job_id AND a.attempt = p_attempt AND j.job_id = a.job_id AND p.chip_id = j.chip_id
     AND calib_private.actor_is(p.role_name) AND a.ended_at IS NOT NULL
$$;
