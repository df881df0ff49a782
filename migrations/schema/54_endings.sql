-- How attempts and jobs end: verdict, finish, policy, sweep; and what Prefect is still to be told.

COMMENT ON TYPE calib.swept_job IS
  'What sweep() returns: a job that it ended, and its new state in outcome; scheduled: it waits for another '
  'attempt.';

-- Records how the attempt ended; the first verdict stands. A cancel wins over every later
-- verdict: the person who asked was told that it was taken.
CREATE OR REPLACE FUNCTION calib_private.conclude(p_lease calib_private.leases, p_state text,
  p_failure_kind text, p_failure_message text)
RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_job_id bigint := p_lease.job_id; v_state text := p_state; v_failure_kind text;
  v_cancelled boolean := EXISTS (SELECT FROM calib_private.cancel_requests k WHERE k.job_id = v_job_id);
BEGIN
  IF p_state IS NULL OR p_state NOT IN ('completed', 'failed', 'cancelled') THEN
    PERFORM calib_private.refuse('CQ007', 'state',
      format('state: expected completed, failed or cancelled, got %s', calib_private.shown(p_state)));
  ELSIF (p_state = 'failed') <> (p_failure_kind IS NOT NULL) THEN
    PERFORM calib_private.refuse('CQ007', 'failure_kind',
      'failure_kind: expected with state failed, and only with it');
  ELSIF NOT calib_private.is_failure_kind(p_failure_kind) THEN
    PERFORM calib_private.refuse('CQ007', 'failure_kind',
      format('failure_kind: expected one of the closed list (missing_input, no_signal, ...), got %s',
      calib_private.shown(p_failure_kind)));
  ELSIF p_state = 'cancelled' AND NOT v_cancelled THEN
    PERFORM calib_private.refuse('CQ010', 'state',
      format('job %s cannot end cancelled: no cancel was requested', v_job_id));
  END IF;
  -- A cancel that was taken before the verdict is never lost, seen by the executor or not.
  IF v_cancelled AND calib_private.verdict(v_job_id) IS NULL THEN
    PERFORM calib_private.see_cancel(v_job_id);
    v_state := 'cancelled';
  END IF;
  IF v_state = 'failed' THEN v_failure_kind := p_failure_kind; END IF;
  UPDATE calib_private.attempts a SET verdict = v_state, failure_kind = v_failure_kind,
    failure_message = CASE WHEN v_state = 'failed' THEN left(coalesce(p_failure_message, ''), 4000) END
   WHERE a.job_id = v_job_id AND a.fence = p_lease.fence AND a.verdict IS NULL;
  IF NOT FOUND THEN
    RETURN (SELECT a.verdict FROM calib_private.attempts a WHERE a.job_id = v_job_id
      AND a.fence = p_lease.fence);
  END IF;
  PERFORM calib_private.write_event(v_job_id, 'concluded',
    jsonb_strip_nulls(jsonb_build_object('state', v_state, 'failure_kind', v_failure_kind)));
  RETURN v_state;
END $$;

CREATE OR REPLACE FUNCTION calib.conclude(p_job_id bigint, p_claim uuid, p_state text,
  p_failure_kind text DEFAULT NULL, p_failure_message text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN calib_private.conclude(calib_private.hold_lease(p_job_id, p_claim), p_state, p_failure_kind,
    p_failure_message);
END $$;
COMMENT ON FUNCTION calib.conclude(bigint, uuid, text, text, text) IS
  'Records the verdict of the attempt and returns the one that stands: the first one, and cancelled after '
  'a cancel was seen. p_state: completed, failed or cancelled; p_failure_kind: with failed only. For '
  'calib_notebook, calib_executor. Raises CQ003, CQ007, CQ010, CQ020.';

-- Ends the attempt, the job (or sends it back to wait) and the lease in one transaction: a free lease and a
-- running row never meet.
CREATE OR REPLACE FUNCTION calib_private.end_attempt(p_lease calib_private.leases, p_state text,
  p_failure_kind text, p_failure_message text, p_dirty boolean)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_now timestamptz := calib_private.now(); v_back boolean := p_state = 'scheduled';
BEGIN
  PERFORM calib_private.close_task_runs(p_lease.job_id, p_state, p_failure_kind);
  UPDATE calib_private.attempts a SET ended_at = v_now, outcome = CASE WHEN v_back THEN 'requeued'
    ELSE p_state END, failure_kind = p_failure_kind, failure_message = p_failure_message
   WHERE a.job_id = p_lease.job_id AND a.fence = p_lease.fence;
  UPDATE calib_private.jobs j SET state = p_state, finished_at = CASE WHEN v_back THEN NULL ELSE v_now END,
    failure_kind = CASE WHEN p_state = 'failed' THEN p_failure_kind END,
    failure_message = CASE WHEN p_state = 'failed' THEN p_failure_message END,
    executor_id = CASE WHEN v_back THEN NULL ELSE j.executor_id END,
    flow_run_id = CASE WHEN v_back THEN NULL ELSE j.flow_run_id END,
    version = j.version + 1
   WHERE j.job_id = p_lease.job_id AND j.state = 'running';
  UPDATE calib_private.leases l SET job_id = NULL, executor_id = NULL, expires_at = NULL, dirty = l.dirty
      OR p_dirty
   WHERE l.chip_id = p_lease.chip_id;
END $$;

CREATE OR REPLACE FUNCTION calib.finish(p_job_id bigint, p_claim uuid)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_attempt calib_private.attempts; v_lease calib_private.leases;
BEGIN
  -- Locked first: a sweep that ends the job by the same verdict at this moment is waited for.
  PERFORM FROM calib_private.leases l WHERE l.job_id = p_job_id FOR NO KEY UPDATE;
  v_attempt := calib_private.claimed_attempt(p_job_id, p_claim);
  IF v_attempt.outcome = v_attempt.verdict THEN
    RETURN v_attempt.outcome;   -- asked again because the first answer was lost
  END IF;
  v_lease := calib_private.hold_lease(p_job_id, p_claim);
  IF v_attempt.verdict IS NULL THEN
    PERFORM calib_private.refuse('CQ010', 'state',
      format('job %s has no verdict yet: conclude it first', p_job_id));
  END IF;
  PERFORM calib_private.end_attempt(v_lease, v_attempt.verdict, v_attempt.failure_kind,
    v_attempt.failure_message, false);
  RETURN v_attempt.verdict;
END $$;
COMMENT ON FUNCTION calib.finish(bigint, uuid) IS
  'Ends the job by its verdict, frees the chip and returns the state of the job. Call it once the job''s '
  'process is dead. For calib_notebook, calib_executor. Raises CQ003, CQ010, CQ020.';

-- A flow that ended well leaves nothing to do between its verdict and its end.
CREATE OR REPLACE FUNCTION calib.end_job(p_job_id bigint, p_claim uuid, p_state text,
  p_failure_kind text DEFAULT NULL, p_failure_message text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_attempt calib_private.attempts; v_lease calib_private.leases; v_state text;
BEGIN
  PERFORM FROM calib_private.leases l WHERE l.job_id = p_job_id FOR NO KEY UPDATE;   -- as finish() does
  IF NOT FOUND THEN
    v_attempt := calib_private.claimed_attempt(p_job_id, p_claim);
    IF v_attempt.outcome = v_attempt.verdict THEN RETURN v_attempt.outcome; END IF;
  END IF;
  v_lease := calib_private.hold_lease(p_job_id, p_claim);
  v_state := calib_private.conclude(v_lease, p_state, p_failure_kind, p_failure_message);
  IF v_state = 'completed' THEN
    PERFORM calib_private.end_attempt(v_lease, v_state, NULL, NULL, false);
  END IF;
  RETURN v_state;
END $$;
COMMENT ON FUNCTION calib.end_job(bigint, uuid, text, text, text) IS
  'conclude() and, if completed is the verdict that stands, finish() in one commit. Returns the verdict; '
  'after any other one put the instrument into a safe idle state and call finish(). Call it once the '
  'job''s process is dead. For calib_notebook, calib_executor. Raises CQ003, CQ007, CQ010, CQ020.';

-- How an attempt ends whose executor leaves or is lost, in this order: the verdict that stands, a cancel that
-- was asked for, another attempt if the flow allows it, else failed.
CREATE OR REPLACE FUNCTION calib_private.end_by_policy(p_lease calib_private.leases, p_failure_kind text,
  p_failure_message text, p_dirty boolean)
RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_attempt calib_private.attempts; v_state text; v_again boolean;
BEGIN
  SELECT * INTO v_attempt FROM calib_private.attempts a WHERE a.job_id = p_lease.job_id
      AND a.fence = p_lease.fence;
  SELECT j.repeatable AND j.attempt < j.max_attempts INTO v_again FROM calib_private.jobs j
      WHERE j.job_id = p_lease.job_id;
  v_state := CASE
    WHEN v_attempt.verdict IS NOT NULL THEN v_attempt.verdict
    WHEN EXISTS (SELECT FROM calib_private.cancel_requests k WHERE k.job_id = p_lease.job_id) THEN 'cancelled'
    WHEN v_again THEN 'scheduled' ELSE 'failed' END;
  PERFORM calib_private.end_attempt(p_lease, v_state,
    CASE WHEN v_attempt.verdict IS NOT NULL THEN v_attempt.failure_kind
    WHEN v_state IN ('failed', 'scheduled') THEN p_failure_kind END, CASE
      WHEN v_attempt.verdict IS NOT NULL THEN v_attempt.failure_message
    WHEN v_state IN ('failed', 'scheduled') THEN p_failure_message END, p_dirty);
  RETURN v_state;
END $$;

-- What give_back and try_again answered, if they are asked again because that was lost: how the attempt
-- ended, unless a sweep ended it.
CREATE OR REPLACE FUNCTION calib_private.given_back(p_job_id bigint, p_claim uuid)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE a.outcome WHEN 'requeued' THEN 'scheduled' ELSE a.outcome END
    FROM calib_private.claimed_attempt(p_job_id, p_claim) a WHERE a.failure_kind IS DISTINCT FROM 'lost'
$$;

-- A clean stop of the executor: the job goes back to wait, or ends by policy; never as cancelled unless
-- asked.
CREATE OR REPLACE FUNCTION calib.give_back(p_job_id bigint, p_claim uuid, p_reason text)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN coalesce(calib_private.given_back(p_job_id, p_claim), calib_private.end_by_policy(
    calib_private.hold_lease(p_job_id, p_claim), 'shutdown', left(p_reason, 4000), false));
END $$;
COMMENT ON FUNCTION calib.give_back(bigint, uuid, text) IS
  'Ends the attempt because the executor stops, and returns the state of the job: that of its verdict, '
  'cancelled if requested, scheduled if another attempt is left, else failed with kind shutdown. For '
  'calib_executor. Raises CQ003, CQ020.';

-- An attempt that failed through no fault of the job (its process was killed, its flow could not be started):
-- by the same policy as a lost one. The reason stands on the attempt, and on the job when no attempt is left.
CREATE OR REPLACE FUNCTION calib.try_again(p_job_id bigint, p_claim uuid, p_failure_kind text,
  p_failure_message text)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.require_speaker();
  IF p_failure_kind IS NULL OR NOT calib_private.is_failure_kind(p_failure_kind) THEN
    PERFORM calib_private.refuse('CQ007', 'failure_kind',
      format('failure_kind: expected one of the closed list (missing_input, no_signal, ...), got %s',
      calib_private.shown(p_failure_kind)));
  END IF;
  RETURN coalesce(calib_private.given_back(p_job_id, p_claim), calib_private.end_by_policy(
    calib_private.hold_lease(p_job_id, p_claim), p_failure_kind, left(coalesce(p_failure_message, ''), 4000),
    false));
END $$;
COMMENT ON FUNCTION calib.try_again(bigint, uuid, text, text) IS
  'Ends an attempt that failed through no fault of the job, with that failure, and returns the state of '
  'the job as give_back() does. For calib_executor. Raises CQ003, CQ007, CQ020.';

CREATE OR REPLACE FUNCTION calib_private.sweep_leases()
RETURNS SETOF calib.swept_job LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_lease calib_private.leases; v_now timestamptz := calib_private.now(); v_state text;
BEGIN
  FOR v_lease IN SELECT * FROM calib_private.leases l WHERE l.expires_at < v_now
    FOR NO KEY UPDATE SKIP LOCKED LOOP
    PERFORM calib_private.write_event(v_lease.job_id, 'lease_expired',
      jsonb_build_object('executor_id', v_lease.executor_id));
    v_state := calib_private.end_by_policy(v_lease, 'lost',
      format('executor %s was lost: its lease ran out', v_lease.executor_id), true);
    RETURN NEXT (v_lease.job_id, v_lease.chip_id, v_state)::calib.swept_job;
  END LOOP;
END $$;

-- The cancel has a row of its own: a client's row may have been written while the job still ran and not be
-- committed, and the sweep would wait for that client.
CREATE OR REPLACE FUNCTION calib_private.sweep_expired()
RETURNS SETOF calib.swept_job LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_job calib_private.jobs; v_now timestamptz := calib_private.now();
BEGIN
  FOR v_job IN SELECT * FROM calib_private.jobs j WHERE j.state = 'scheduled' AND j.not_after <= v_now
    ORDER BY j.not_after LIMIT 500 FOR NO KEY UPDATE SKIP LOCKED LOOP
    PERFORM calib_private.write_event(v_job.job_id, 'expired',
      jsonb_build_object('not_after', v_job.not_after));
    INSERT INTO calib_private.cancel_requests (job_id, origin, mode, reason, requested_by, requested_at)
    VALUES (v_job.job_id, 'queue', 'now', 'expired', 'calib_owner', v_now) ON CONFLICT DO NOTHING;
    PERFORM calib_private.cancel_waiting(v_job.job_id);
    RETURN NEXT (v_job.job_id, v_job.chip_id, 'cancelled')::calib.swept_job;
  END LOOP;
END $$;

-- A cancel that was committed while its job went back to wait was seen by neither side.
CREATE OR REPLACE FUNCTION calib_private.sweep_cancelled()
RETURNS SETOF calib.swept_job LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_job calib_private.jobs;
BEGIN
  FOR v_job IN SELECT * FROM calib_private.jobs j WHERE j.state = 'scheduled' AND j.attempt > 0
    AND EXISTS (SELECT FROM calib_private.cancel_requests k WHERE k.job_id = j.job_id)
        FOR NO KEY UPDATE OF j SKIP LOCKED LOOP
    PERFORM calib_private.cancel_waiting(v_job.job_id);
    RETURN NEXT (v_job.job_id, v_job.chip_id, 'cancelled')::calib.swept_job;
  END LOOP;
END $$;

-- Only reads when there is nothing to do: it is called often. Once a minute it counts.
CREATE OR REPLACE FUNCTION calib.sweep()
RETURNS SETOF calib.swept_job LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_now timestamptz := calib_private.now();
BEGIN
  PERFORM calib_private.require_role('calib_executor', 'calib_mirror');
  IF EXISTS (SELECT FROM calib_private.leases l WHERE l.expires_at < v_now) THEN
    RETURN QUERY SELECT * FROM calib_private.sweep_leases();
  END IF;
  IF EXISTS (SELECT FROM calib_private.jobs j WHERE j.state = 'scheduled' AND j.not_after <= v_now) THEN
    RETURN QUERY SELECT * FROM calib_private.sweep_expired();
  END IF;
  IF EXISTS (SELECT FROM calib_private.jobs j JOIN calib_private.cancel_requests k USING (job_id)
      WHERE j.state = 'scheduled' AND j.attempt > 0) THEN
    RETURN QUERY SELECT * FROM calib_private.sweep_cancelled();
  END IF;
  IF EXISTS (SELECT FROM calib_private.job_counting c WHERE c.counted_at <= v_now - interval '1 minute') THEN
    PERFORM calib_private.count_jobs();
  END IF;
END $$;
COMMENT ON FUNCTION calib.sweep() IS
  'Ends what was left behind on any chip: attempts whose lease ran out, waiting jobs past not_after or '
  'with an unseen cancel. Returns them. For calib_executor, calib_mirror. Raises CQ003.';

CREATE OR REPLACE FUNCTION calib_private.is_served(p_chip_id text)
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM calib_private.executors e WHERE e.chip_id = p_chip_id
      AND calib_private.alive(e.last_seen_at, e.stopped_at))
$$;

-- A chip whose executors do not come back would otherwise show running jobs in Prefect.
CREATE OR REPLACE FUNCTION calib.chips_to_reconcile(p_chip_id text)
RETURNS SETOF text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib_private.require_role('calib_executor');
  SELECT c.chip_id FROM calib_private.chips c WHERE c.chip_id = p_chip_id
      OR NOT calib_private.is_served(c.chip_id) ORDER BY 1
$$;
COMMENT ON FUNCTION calib.chips_to_reconcile(text) IS
  'Chips whose flow runs an executor compares with Prefect: its own chip, and each one without a living '
  'executor. For calib_executor. Raises CQ003.';

-- At random, half of them of other chips: flow runs that Prefect refuses each time must not keep the others
-- from their turn.
CREATE OR REPLACE FUNCTION calib.unsynced_flow_runs(p_chip_id text)
RETURNS TABLE (job_id bigint, attempt smallint, flow_run_id uuid, outcome text, failure_kind text,
  failure_message text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib_private.require_role('calib_executor');
  SELECT a.job_id, a.attempt, a.flow_run_id, a.outcome, a.failure_kind, a.failure_message
    FROM calib_private.attempts a JOIN calib_private.jobs j USING (job_id)
   WHERE a.ended_at IS NOT NULL AND a.flow_run_id IS NOT NULL AND NOT a.prefect_synced
     AND (j.chip_id = p_chip_id OR NOT calib_private.is_served(j.chip_id))
   ORDER BY row_number() OVER (PARTITION BY j.chip_id = p_chip_id ORDER BY random()),
     j.chip_id = p_chip_id DESC LIMIT 20
$$;
COMMENT ON FUNCTION calib.unsynced_flow_runs(text) IS
  'At most 20 ended attempts, chosen at random, whose outcome Prefect does not show yet: of this chip and '
  'of chips without a living executor. For calib_executor. Raises CQ003.';

CREATE OR REPLACE FUNCTION calib.flow_run_synced(p_job_id bigint, p_attempt integer)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib_private.require_role('calib_executor');
  UPDATE calib_private.attempts a SET prefect_synced = true
    FROM calib_private.jobs j
   WHERE a.job_id = p_job_id AND a.attempt = p_attempt AND j.job_id = a.job_id AND a.ended_at IS NOT NULL
     AND (NOT calib_private.is_served(j.chip_id)
       OR calib_private.may_execute(j.chip_id))
$$;
COMMENT ON FUNCTION calib.flow_run_synced(bigint, integer) IS
  'Notes that Prefect shows the outcome of an attempt; does nothing for a chip of other executors. For '
  'calib_executor. Raises CQ003.';
