-- The executor's verbs in less time, as 40_speed.sql says.

-- ---------------------------------------------------------------------------------------------------- claiming

CREATE OR REPLACE FUNCTION calib_private.require_executor(p_executor_id text, p_chip_id text) RETURNS void LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM FROM calib_private.executors e JOIN calib_private.executor_permissions p USING (chip_id)
    WHERE e.executor_id = p_executor_id AND e.chip_id = p_chip_id
      AND calib_private.actor_is(e.role_name) AND calib_private.actor_is(p.role_name);
  IF FOUND THEN RETURN; END IF;
  PERFORM calib_private.require_executor_permission(p_chip_id);
  PERFORM calib_private.refuse('CQ021', 'executor_id', format('executor %s is not registered for chip "%s"', calib_private.shown(p_executor_id), p_chip_id));
END $$;

CREATE OR REPLACE FUNCTION calib.claim(p_chip_id text, p_executor_id text, p_lease_seconds double precision DEFAULT 30, p_job_id bigint DEFAULT NULL)
RETURNS SETOF calib.claimed_job LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_lease calib_private.leases; v_claimed calib.claimed_job; v_job_id bigint; v_now timestamptz;
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
   WHERE j.job_id = v_job_id
  RETURNING j.job_id, j.fence, j.attempt, j.max_attempts, j.execution_id, j.project_id, j.username, j.chip_id, j.flow, j.parameters, j.tags,
            j.note, j.timeout_seconds, j.repeatable, j.submitted_by, j.submitted_at, j.started_at, v_lease.dirty INTO v_claimed;
  INSERT INTO calib_private.attempts (job_id, attempt, fence, executor_id, started_at)
  VALUES (v_job_id, v_claimed.attempt, v_claimed.fence, p_executor_id, v_now);
  RETURN NEXT v_claimed;
END $$;

CREATE OR REPLACE FUNCTION calib_private.verdict(p_job_id bigint) RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT a.verdict FROM calib_private.jobs j JOIN calib_private.attempts a USING (job_id, attempt) WHERE j.job_id = p_job_id);
END $$;

-- ---------------------------------------------------------------------------------------------------- ending

-- Refuses whoever does not hold the lease that was looked up and locked.
CREATE FUNCTION calib_private.require_lease(p_lease calib_private.leases, p_job_id bigint, p_fence bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_lease.chip_id IS NULL THEN
    PERFORM calib_private.refuse('CQ020', 'fence', format('the lease on job %s (fence %s) is lost: another attempt or another job may hold the chip', p_job_id, p_fence));
  ELSIF NOT EXISTS (SELECT FROM calib_private.executors e WHERE e.executor_id = p_lease.executor_id AND calib_private.actor_is(e.role_name)) THEN
    PERFORM calib_private.refuse('CQ003', 'job_id', format('%s may not act for executor %s', calib_private.actor(), p_lease.executor_id));
  END IF;
END $$;

CREATE OR REPLACE FUNCTION calib_private.hold_lease(p_job_id bigint, p_fence bigint) RETURNS calib_private.leases LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_lease calib_private.leases;
BEGIN
  SELECT l.* INTO v_lease FROM calib_private.leases l WHERE l.job_id = p_job_id AND l.fence = p_fence FOR NO KEY UPDATE;
  PERFORM calib_private.require_lease(v_lease, p_job_id, p_fence);
  RETURN v_lease;
END $$;

CREATE OR REPLACE FUNCTION calib.conclude(p_job_id bigint, p_fence bigint, p_state text, p_failure_kind text DEFAULT NULL, p_failure_message text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_state text := p_state; v_failure_kind text; v_seen boolean;
BEGIN
  PERFORM calib_private.hold_lease(p_job_id, p_fence);
  IF p_state IS NULL OR p_state NOT IN ('completed', 'failed', 'cancelled') THEN
    PERFORM calib_private.refuse('CQ007', 'state', format('state: expected completed, failed or cancelled, got %s', calib_private.shown(p_state)));
  ELSIF (p_state = 'failed') <> (p_failure_kind IS NOT NULL) THEN
    PERFORM calib_private.refuse('CQ007', 'failure_kind', 'failure_kind: expected with state failed, and only with it');
  ELSIF NOT calib_private.is_failure_kind(p_failure_kind) THEN
    PERFORM calib_private.refuse('CQ007', 'failure_kind', format('failure_kind: expected one of the closed list (missing_input, no_signal, ...), got %s', calib_private.shown(p_failure_kind)));
  ELSIF p_state = 'cancelled' THEN
    IF NOT EXISTS (SELECT FROM calib_private.cancel_requests k WHERE k.job_id = p_job_id) THEN
      PERFORM calib_private.refuse('CQ010', 'state', format('job %s cannot end cancelled: nobody asked to cancel it', p_job_id));
    END IF;
  END IF;
  SELECT j.cancel_seen_at IS NOT NULL INTO v_seen FROM calib_private.jobs j WHERE j.job_id = p_job_id;
  IF v_seen THEN v_state := 'cancelled'; END IF;
  IF v_state = 'failed' THEN v_failure_kind := p_failure_kind; END IF;
  UPDATE calib_private.attempts a SET verdict = v_state, failure_kind = v_failure_kind,
         failure_message = CASE WHEN v_state = 'failed' THEN left(coalesce(p_failure_message, ''), 4000) END
   WHERE a.job_id = p_job_id AND a.fence = p_fence AND a.verdict IS NULL;
  IF NOT FOUND THEN
    RETURN (SELECT a.verdict FROM calib_private.attempts a WHERE a.job_id = p_job_id AND a.fence = p_fence);
  END IF;
  PERFORM calib_private.write_event(p_job_id, 'concluded',
    jsonb_strip_nulls(jsonb_build_object('state', v_state, 'failure_kind', v_failure_kind)));
  RETURN v_state;
END $$;

CREATE OR REPLACE FUNCTION calib.finish(p_job_id bigint, p_fence bigint) RETURNS text LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_attempt calib_private.attempts; v_lease calib_private.leases;
BEGIN
  -- Locked first: a sweep that ends the job by the same verdict at this moment is waited for.
  SELECT l.* INTO v_lease FROM calib_private.leases l WHERE l.job_id = p_job_id AND l.fence = p_fence FOR NO KEY UPDATE;
  SELECT * INTO v_attempt FROM calib_private.attempts a WHERE a.job_id = p_job_id AND a.fence = p_fence;
  IF v_attempt.outcome = v_attempt.verdict THEN
    RETURN v_attempt.outcome;   -- asked again because the first answer was lost
  END IF;
  PERFORM calib_private.require_lease(v_lease, p_job_id, p_fence);
  IF v_attempt.verdict IS NULL THEN
    PERFORM calib_private.refuse('CQ010', 'state', format('job %s has no verdict yet: conclude it first', p_job_id));
  END IF;
  PERFORM calib_private.end_attempt(v_lease, v_attempt.verdict, v_attempt.failure_kind, v_attempt.failure_message, false);
  RETURN v_attempt.verdict;
END $$;
