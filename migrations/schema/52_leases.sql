-- The executor's verbs on a chip's lease. One lease row per chip is mutex, lease and fence; every write after
-- the claim proves that it holds the lease. Lock order: lease, job, attempt, task, mark.

COMMENT ON TYPE calib.claimed_job IS 'What claim() returns: the job, the attempt and the lease.';
COMMENT ON COLUMN calib.claimed_job.fence IS 'Number of the lease.';
COMMENT ON COLUMN calib.claimed_job.dirty IS
  'Whether the last holder of the chip was lost: put the instrument into a safe idle state first.';
COMMENT ON TYPE calib.cancel_request IS
  'What heartbeat() returns when a cancel was requested; of several requests the strongest mode.';

CREATE OR REPLACE FUNCTION calib_private.claimed_row(p_job_id bigint)
RETURNS calib.claimed_job LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT (j.job_id, j.fence, j.attempt, j.max_attempts, j.execution_id, j.project_id, j.username, j.chip_id,
    j.flow, j.parameters, j.tags, j.note, j.timeout_seconds, j.repeatable, j.submitted_by, j.submitted_at,
      j.started_at, l.dirty)::calib.claimed_job
    FROM calib_private.jobs j JOIN calib_private.leases l USING (chip_id) WHERE j.job_id = p_job_id
$$;

-- QDash makes YYYYMMDD-NNN; ours are YYYYMMDD-qNNN and can never be the same. A claim that is rolled back
-- leaves a gap.
CREATE OR REPLACE FUNCTION calib_private.next_execution_id()
RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_day date; v_first bigint; v_number bigint := nextval('calib_private.execution_numbers');
BEGIN
  SELECT (calib_private.now() AT TIME ZONE s.time_zone)::date INTO v_day FROM calib_private.settings s;
  LOOP
    SELECT d.first_number INTO v_first FROM calib_private.execution_days d WHERE d.day = v_day;
    EXIT WHEN v_number >= v_first;
    IF v_first IS NULL THEN
      INSERT INTO calib_private.execution_days (day, first_number) VALUES (v_day, v_number)
        ON CONFLICT DO NOTHING;
    ELSE  -- Drawn before that number: only a later one belongs to this day.
      v_number := nextval('calib_private.execution_numbers');
    END IF;
  END LOOP;
  v_number := v_number - v_first + 1;
  RETURN to_char(v_day, 'YYYYMMDD') || '-q' || lpad(v_number::text, greatest(3, length(v_number::text)), '0');
END $$;

-- Looks without locking, so that idle, paused and standing-by executors write nothing.
CREATE OR REPLACE FUNCTION calib_private.may_claim(p_chip_id text, p_executor_id text, p_job_id bigint)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_holder text; v_paused boolean; v_now timestamptz;
BEGIN
  SELECT l.executor_id, c.paused INTO v_holder, v_paused
    FROM calib_private.leases l JOIN calib_private.chips c USING (chip_id) WHERE l.chip_id = p_chip_id;
  IF v_holder IS NOT NULL THEN RETURN v_holder = p_executor_id; END IF;
  IF v_paused OR p_job_id IS NOT NULL THEN RETURN NOT v_paused; END IF;
  v_now := calib_private.now();
  -- idle-poll:begin
  PERFORM FROM calib_private.jobs j
    WHERE j.chip_id = p_chip_id AND j.state = 'scheduled' AND j.not_before <= v_now
      AND (j.not_after IS NULL OR j.not_after > v_now) AND j.flow <> 'interactive'
    ORDER BY j.priority DESC, j.job_id LIMIT 1;
  -- idle-poll:end
  RETURN FOUND;
END $$;

-- The first due job that can be locked; one whose cancel arrived unseen ends here. `interactive` jobs belong
-- to the session that inserted them and are only taken by their number.
CREATE OR REPLACE FUNCTION calib_private.take_due_job(p_chip_id text, p_job_id bigint)
RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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
    IF v_job_id IS NULL OR NOT EXISTS (SELECT FROM calib_private.cancel_requests k
        WHERE k.job_id = v_job_id) THEN
      RETURN v_job_id;
    END IF;
    PERFORM calib_private.cancel_waiting(v_job_id);
  END LOOP;
END $$;

CREATE OR REPLACE FUNCTION calib_private.lease_interval(p_seconds double precision)
RETURNS interval LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_seconds IS NULL OR NOT p_seconds BETWEEN 0.1 AND 3600 THEN
    PERFORM calib_private.refuse('CQ007', 'lease_seconds',
      format('lease_seconds: expected 0.1 to 3600, got %s', coalesce(p_seconds::text, 'nothing')));
  END IF;
  RETURN make_interval(secs => p_seconds);
END $$;

-- The newest attempt of the job, if it was claimed under this claim.
CREATE OR REPLACE FUNCTION calib_private.claimed_attempt(p_job_id bigint, p_claim uuid)
RETURNS calib_private.attempts LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT a FROM calib_private.jobs j JOIN calib_private.attempts a USING (job_id, attempt)
   WHERE j.job_id = p_job_id AND a.claim = p_claim
$$;

-- An executor may claim any job of its chip; a notebook the interactive ones that it submitted itself.
CREATE OR REPLACE FUNCTION calib_private.require_claimable(p_job_id bigint)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF calib_private.actor_is('calib_executor') THEN RETURN; END IF;
  PERFORM calib_private.require_role('calib_notebook');
  IF NOT EXISTS (SELECT FROM calib_private.jobs j WHERE j.job_id = p_job_id AND j.flow = 'interactive'
      AND j.submitted_by = calib_private.actor()) THEN
    PERFORM calib_private.refuse('CQ003', 'job_id',
      format('%s may claim only interactive jobs of its own, by their number', calib_private.actor()));
  END IF;
END $$;

-- The executor makes a random claim for each lease and shows it with every verb. Neither fence nor executor
-- id, which others may read, opens a lease; after a failover that lost it, both may be given out again.
CREATE OR REPLACE FUNCTION calib.claim(p_chip_id text, p_executor_id text, p_claim uuid,
  p_lease_seconds double precision DEFAULT 30, p_job_id bigint DEFAULT NULL)
RETURNS SETOF calib.claimed_job LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_lease calib_private.leases; v_claimed calib.claimed_job; v_job_id bigint; v_now timestamptz;
  v_duration interval;
BEGIN
  PERFORM calib_private.require_executor(p_executor_id, p_chip_id);
  v_duration := calib_private.lease_interval(p_lease_seconds);
  PERFORM calib_private.require_claimable(p_job_id);
  IF p_claim IS NULL THEN
    PERFORM calib_private.refuse('CQ007', 'claim', 'claim: expected a random uuid, got nothing');
  END IF;
  IF NOT calib_private.may_claim(p_chip_id, p_executor_id, p_job_id) THEN RETURN; END IF;
  -- Nothing starts once a pause has returned: it waits for this claim, or this claim goes without. The chip
  -- is locked only now, when a job is due; that blocks no reader of it and no row that names it.
  SELECT l.* INTO v_lease FROM calib_private.leases l JOIN calib_private.chips c USING (chip_id)
   WHERE l.chip_id = p_chip_id AND (l.job_id IS NOT NULL OR NOT c.paused AND c.retired_at IS NULL)
     FOR NO KEY UPDATE OF l SKIP LOCKED FOR SHARE OF c SKIP LOCKED;
  IF NOT FOUND THEN RETURN; END IF;
  IF v_lease.job_id IS NULL THEN
    v_job_id := calib_private.take_due_job(p_chip_id, p_job_id);
  ELSIF v_lease.executor_id = p_executor_id
      AND (calib_private.claimed_attempt(v_lease.job_id, p_claim)).fence = v_lease.fence THEN
    -- An answer that was lost on the way is given again, with a full lease: the executor counts from now.
    UPDATE calib_private.leases l SET expires_at = calib_private.now() + v_duration
        WHERE l.chip_id = p_chip_id;
    RETURN NEXT calib_private.claimed_row(v_lease.job_id);
  END IF;
  IF v_job_id IS NULL THEN RETURN; END IF;
  v_now := calib_private.now();
  UPDATE calib_private.leases l SET fence = l.fence + 1, job_id = v_job_id, executor_id = p_executor_id,
    expires_at = v_now + v_duration WHERE l.chip_id = p_chip_id;
  UPDATE calib_private.jobs j SET state = 'running', attempt = j.attempt + 1, fence = v_lease.fence + 1,
    executor_id = p_executor_id, flow_run_id = NULL, started_at = coalesce(j.started_at, v_now),
    tasks_total = 0, tasks_done = 0, tasks_failed = 0,
      execution_id = coalesce(j.execution_id, calib_private.next_execution_id()), version = j.version + 1
   WHERE j.job_id = v_job_id
  RETURNING j.job_id, j.fence, j.attempt, j.max_attempts, j.execution_id, j.project_id, j.username, j.chip_id,
    j.flow, j.parameters, j.tags, j.note, j.timeout_seconds, j.repeatable, j.submitted_by, j.submitted_at,
      j.started_at, v_lease.dirty INTO v_claimed;
  INSERT INTO calib_private.attempts (job_id, attempt, fence, executor_id, claim, started_at)
  VALUES (v_job_id, v_claimed.attempt, v_claimed.fence, p_executor_id, p_claim, v_now);
  -- An executor that takes a job is ready, even if it has not reported that yet.
  UPDATE calib_private.executors e SET condition = 'ready'
      WHERE e.executor_id = p_executor_id AND e.condition NOT LIKE 'ready%';
  RETURN NEXT v_claimed;
END $$;
COMMENT ON FUNCTION calib.claim(text, text, uuid, double precision, bigint) IS
  'Starts the first due job of a chip, or the one named, and returns it; no row: none is due, or the chip '
  'is paused or busy. p_claim: a random uuid, passed to each later call for the attempt; the same one '
  'again repeats a lost answer. p_lease_seconds: 0.1 to 3600. For calib_notebook, calib_executor. Raises '
  'CQ003, CQ007, CQ021.';

-- Locks the lease against a sweep until the end of the transaction; refuses every claim but its own.
CREATE OR REPLACE FUNCTION calib_private.hold_lease(p_job_id bigint, p_claim uuid)
RETURNS calib_private.leases LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_lease calib_private.leases;
BEGIN
  PERFORM calib_private.require_speaker();
  SELECT l.* INTO v_lease FROM calib_private.leases l JOIN calib_private.attempts a USING (job_id, fence)
   WHERE l.job_id = p_job_id AND a.claim = p_claim FOR NO KEY UPDATE OF l;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ020', 'claim',
      format('the lease on job %s is not known under this claim: another executor may drive the chip',
      p_job_id));
  ELSIF NOT EXISTS (SELECT FROM calib_private.executors e WHERE e.executor_id = v_lease.executor_id
      AND calib_private.actor_is(e.role_name)) THEN
    PERFORM calib_private.refuse('CQ003', 'job_id',
      format('%s may not act for executor %s', calib_private.actor(), v_lease.executor_id));
  ELSIF NOT calib_private.may_execute(v_lease.chip_id) THEN
    -- As if the lease were lost already: the executor stops its instrument, and the lease runs out.
    PERFORM calib_private.refuse('CQ020', 'claim',
      format('%s may not execute on chip "%s" any more: the lease on job %s is lost', calib_private.actor(),
      v_lease.chip_id, p_job_id));
  END IF;
  RETURN v_lease;
END $$;

-- Renews the lease and tells whether a cancel was requested. Reads the request without locking it: a client
-- may hold it in an open transaction.
CREATE OR REPLACE FUNCTION calib.heartbeat(p_job_id bigint, p_claim uuid,
  p_lease_seconds double precision DEFAULT 30)
RETURNS SETOF calib.cancel_request
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_lease calib_private.leases := calib_private.hold_lease(p_job_id, p_claim); v_cancel calib.cancel_request;
BEGIN
  UPDATE calib_private.leases l SET expires_at = calib_private.now()
      + calib_private.lease_interval(p_lease_seconds) WHERE l.chip_id = v_lease.chip_id;
  UPDATE calib_private.executors e SET last_seen_at = calib_private.now()
      WHERE e.executor_id = v_lease.executor_id;
  -- A verdict stands: who asks now asks too late, and must not be told that the request was seen.
  IF calib_private.verdict(p_job_id) IS NOT NULL THEN RETURN; END IF;
  v_cancel := calib_private.see_cancel(p_job_id);
  IF v_cancel.cancel_mode IS NOT NULL THEN RETURN NEXT v_cancel; END IF;
END $$;
COMMENT ON FUNCTION calib.heartbeat(bigint, uuid, double precision) IS
  'Renews the lease for p_lease_seconds (0.1 to 3600) from now. Returns a cancel request, which counts as '
  'seen from then on; no row: none, or a verdict stands. For calib_notebook, calib_executor. Raises CQ003, '
  'CQ007, CQ020.';

CREATE OR REPLACE FUNCTION calib.set_flow_run(p_job_id bigint, p_claim uuid, p_flow_run_id uuid)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_lease calib_private.leases := calib_private.hold_lease(p_job_id, p_claim);
BEGIN
  UPDATE calib_private.jobs j SET flow_run_id = p_flow_run_id, version = j.version + 1
   WHERE j.job_id = p_job_id AND j.flow_run_id IS DISTINCT FROM p_flow_run_id;
  IF NOT FOUND THEN RETURN; END IF;   -- asked again because the first answer was lost
  UPDATE calib_private.attempts a SET flow_run_id = p_flow_run_id WHERE a.job_id = p_job_id
      AND a.fence = v_lease.fence;
  PERFORM calib_private.write_event(p_job_id, 'flow_run_created',
    jsonb_build_object('flow_run_id', p_flow_run_id));
  PERFORM calib_private.mark_job(p_job_id);
END $$;
COMMENT ON FUNCTION calib.set_flow_run(bigint, uuid, uuid) IS
  'Stores Prefect''s flow run of the attempt, before any work. For calib_executor. Raises CQ003, CQ020.';

CREATE OR REPLACE FUNCTION calib.log_event(p_job_id bigint, p_claim uuid, p_event text,
  p_detail jsonb DEFAULT '{}')
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.hold_lease(p_job_id, p_claim);
  IF p_event IS NULL OR p_event NOT IN ('flow_started', 'stop_requested', 'sigterm', 'sigkill',
      'child_exited', 'hook_ran') THEN
    PERFORM calib_private.refuse('CQ007', 'event',
      format('event: an executor may not write %s itself', calib_private.shown(p_event)));
  END IF;
  PERFORM calib_private.require_shape('detail', coalesce(p_detail, '{}'), 'object');
  PERFORM calib_private.write_event(p_job_id, p_event, p_detail);
END $$;
COMMENT ON FUNCTION calib.log_event(bigint, uuid, text, jsonb) IS
  'Adds an event to the job''s log: flow_started, stop_requested, sigterm, sigkill, child_exited or '
  'hook_ran. p_detail: a JSON object. For calib_executor. Raises CQ003, CQ007, CQ020.';

CREATE OR REPLACE FUNCTION calib.quiesced(p_job_id bigint, p_claim uuid, p_detail jsonb DEFAULT '{}')
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_lease calib_private.leases := calib_private.hold_lease(p_job_id, p_claim);
BEGIN
  PERFORM calib_private.require_shape('detail', coalesce(p_detail, '{}'), 'object');
  UPDATE calib_private.leases l SET dirty = false WHERE l.chip_id = v_lease.chip_id;
  PERFORM calib_private.write_event(p_job_id, 'quiesced', p_detail);
END $$;
COMMENT ON FUNCTION calib.quiesced(bigint, uuid, jsonb) IS
  'Notes that the instrument is in a safe idle state. p_detail: a JSON object. For calib_notebook, '
  'calib_executor. Raises CQ003, CQ007, CQ020.';

-- An instrument that cannot be put into a safe idle state must not be given to the next job: the chip is
-- paused with the reason.
CREATE OR REPLACE FUNCTION calib.quiesce_failed(p_job_id bigint, p_claim uuid, p_reason text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_lease calib_private.leases := calib_private.hold_lease(p_job_id, p_claim);
BEGIN
  UPDATE calib_private.leases l SET dirty = true WHERE l.chip_id = v_lease.chip_id;
  UPDATE calib_private.chips c SET paused = true, pause_reason = 'instrument not in a safe idle state: '
    || left(coalesce(p_reason, ''), 500), paused_by = calib_private.actor(), paused_at = calib_private.now()
      WHERE c.chip_id = v_lease.chip_id;
  PERFORM calib_private.write_event(p_job_id, 'quiesce_failed',
    jsonb_build_object('reason', left(coalesce(p_reason, ''), 500)));
END $$;
COMMENT ON FUNCTION calib.quiesce_failed(bigint, uuid, text) IS
  'Notes that the instrument could not be put into a safe idle state, and pauses the chip with the reason. '
  'For calib_notebook, calib_executor. Raises CQ003, CQ020.';
