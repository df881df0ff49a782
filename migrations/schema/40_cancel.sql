-- Cancels. A cancel is a row of its own, so that a client's open transaction never locks a running job.

-- How the running attempt will end, if that is settled already.
CREATE OR REPLACE FUNCTION calib_private.verdict(p_job_id bigint)
RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT a.verdict FROM calib_private.jobs j JOIN calib_private.attempts a USING (job_id, attempt)
    WHERE j.job_id = p_job_id);
END $$;

CREATE OR REPLACE FUNCTION calib_private.may_change(p_submitted_by text, p_project_id text)
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT p_submitted_by = calib_private.actor() OR calib_private.operates(p_project_id)
$$;

CREATE OR REPLACE FUNCTION calib_private.check_cancel(p_mode text, p_reason text)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_mode IS NULL OR p_mode NOT IN ('after_task', 'now') THEN
    PERFORM calib_private.refuse('CQ007', 'cancel_mode',
      format('cancel_mode: expected "after_task" or "now", got %s', calib_private.shown(p_mode)));
  ELSIF length(p_reason) > 1000 THEN
    PERFORM calib_private.refuse('CQ007', 'cancel_reason',
      format('cancel_reason: expected at most 1000 characters, got %s', length(p_reason)));
  END IF;
END $$;

-- requested; requested_before: there is one as strong; weaker: there is a stronger one, which stands.
CREATE OR REPLACE FUNCTION calib_private.store_cancel(p_job_id bigint, p_mode text, p_reason text)
RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_old calib_private.cancel_requests;
BEGIN
  INSERT INTO calib_private.cancel_requests (job_id, origin, mode, reason, requested_by, requested_at)
  VALUES (p_job_id, 'client', p_mode, p_reason, calib_private.actor(), calib_private.now())
    ON CONFLICT DO NOTHING;
  IF FOUND THEN
    PERFORM calib_private.write_event(p_job_id, 'cancel_requested',
      jsonb_build_object('mode', p_mode, 'reason', p_reason));
    RETURN 'requested';
  END IF;
  SELECT * INTO v_old FROM calib_private.cancel_requests k WHERE k.job_id = p_job_id AND k.origin = 'client'
      FOR NO KEY UPDATE;
  IF v_old.mode = p_mode THEN RETURN 'requested_before'; END IF;
  IF p_mode = 'after_task' THEN RETURN 'weaker'; END IF;
  UPDATE calib_private.cancel_requests k SET mode = 'now', reason = p_reason WHERE k.job_id = p_job_id
      AND k.origin = 'client';
  PERFORM calib_private.write_event(p_job_id, 'cancel_escalated',
    jsonb_build_object('mode', p_mode, 'reason', p_reason));
  RETURN 'requested';
END $$;

-- Ends a job that waits; nothing if it does not wait.
CREATE OR REPLACE FUNCTION calib_private.cancel_waiting(p_job_id bigint)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  UPDATE calib_private.jobs j SET state = 'cancelled', finished_at = calib_private.now(),
    version = j.version + 1 WHERE j.job_id = p_job_id AND j.state = 'scheduled'
$$;

-- Locks a job that waits; false if it has started meanwhile.
CREATE OR REPLACE FUNCTION calib_private.lock_waiting(p_job_id bigint)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM FROM calib_private.jobs j WHERE j.job_id = p_job_id AND j.state = 'scheduled' FOR NO KEY UPDATE;
  -- A session that waited for a claim holds the row now although it runs. Only the end of a subtransaction
  -- gives that lock up; kept until the client commits, it would freeze the running job.
  IF NOT FOUND THEN RAISE EXCEPTION USING ERRCODE = 'CQ000'; END IF;
  RETURN true;
EXCEPTION WHEN SQLSTATE 'CQ000' THEN
  RETURN false;
END $$;

-- Cancels a job that waits; false if it has started meanwhile. The job is locked before its cancel request,
-- as claim and sweep do, or two of them could wait for each other.
CREATE OR REPLACE FUNCTION calib_private.cancel_before_start(p_job_id bigint, p_mode text, p_reason text)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT calib_private.lock_waiting(p_job_id) THEN RETURN false; END IF;
  PERFORM calib_private.store_cancel(p_job_id, p_mode, p_reason);
  PERFORM calib_private.cancel_waiting(p_job_id);
  RETURN true;
END $$;

-- cancelled: it waited; ended: too late, nothing was changed; else what store_cancel() answered. The caller
-- has checked the right to do it.
CREATE OR REPLACE FUNCTION calib_private.request_cancel(p_job_id bigint, p_mode text, p_reason text)
RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_job calib_private.jobs; v_verdict text; v_answer text;
  v_why text := 'it had already ended and was pruned';
BEGIN
  LOOP
    SELECT * INTO v_job FROM calib_private.jobs j WHERE j.job_id = p_job_id;
    EXIT WHEN v_job.state IS DISTINCT FROM 'scheduled';
    IF calib_private.cancel_before_start(p_job_id, p_mode, p_reason) THEN RETURN 'cancelled'; END IF;
  END LOOP;
  v_verdict := calib_private.verdict(p_job_id);
  IF v_job.state = 'running' AND v_verdict IS NULL THEN
    -- Another session's cancel of the job waits until this transaction ends.
    PERFORM calib_private.bound_transaction();
    v_answer := calib_private.store_cancel(p_job_id, p_mode, p_reason);
    IF v_answer = 'requested' THEN
      PERFORM calib_private.wake_chip(v_job.chip_id, 'cancel:' || p_job_id);
    END IF;
    RETURN v_answer;
  END IF;
  -- A job that is being pruned at this moment keeps no event, and must not undo a bulk cancel.
  PERFORM FROM calib_private.jobs j WHERE j.job_id = p_job_id FOR KEY SHARE SKIP LOCKED;
  IF FOUND THEN
    PERFORM calib_private.write_event(p_job_id, 'cancel_too_late',
      jsonb_build_object('mode', p_mode, 'reason', p_reason));
  END IF;
  -- No job: the statement still sees it, but a prune has committed meanwhile.
  IF v_job.finished_at IS NOT NULL THEN
    v_why := format('it had already ended (%s) at %s', v_job.state,
      to_char(v_job.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'));
  ELSIF v_verdict IS NOT NULL THEN v_why := format('it is just ending (%s)', v_verdict); END IF;
  RAISE WARNING 'job % was not cancelled: %', p_job_id, v_why
    USING ERRCODE = 'CQ011', COLUMN = 'cancel_requested';
  RETURN 'ended';
END $$;

-- The cancel that was requested of a running job, which counts as seen from now on; NULL: none.
CREATE OR REPLACE FUNCTION calib_private.see_cancel(p_job_id bigint)
RETURNS calib.cancel_request LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_cancel calib.cancel_request;
BEGIN
  SELECT max(k.mode), (array_agg(k.reason ORDER BY k.origin))[1],
    (array_agg(k.requested_by ORDER BY k.origin))[1] INTO v_cancel
    FROM calib_private.cancel_requests k WHERE k.job_id = p_job_id HAVING count(*) > 0;
  IF NOT FOUND THEN RETURN NULL; END IF;
  UPDATE calib_private.jobs j SET cancel_seen_at = calib_private.now(), version = j.version + 1
   WHERE j.job_id = p_job_id AND j.cancel_seen_at IS NULL;
  IF FOUND THEN
    PERFORM calib_private.write_event(p_job_id, 'cancel_seen',
      jsonb_build_object('mode', v_cancel.cancel_mode));
    PERFORM calib_private.mark_job(p_job_id);
  END IF;
  RETURN v_cancel;
END $$;

-- Cancels of the flow run in Prefect cancel the job.
CREATE OR REPLACE FUNCTION calib.cancel_from_prefect(p_job_id bigint, p_claim uuid, p_reason text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.hold_lease(p_job_id, p_claim);
  IF EXISTS (SELECT FROM calib_private.cancel_requests k WHERE k.job_id = p_job_id AND k.mode = 'now') THEN
      RETURN; END IF;
  IF calib_private.verdict(p_job_id) IS NOT NULL THEN
    PERFORM calib_private.write_event(p_job_id, 'cancel_too_late',
      jsonb_build_object('mode', 'now', 'reason', left(p_reason, 1000)));
    RETURN;
  END IF;
  PERFORM calib_private.write_event(p_job_id,
    CASE WHEN EXISTS (SELECT FROM calib_private.cancel_requests k
    WHERE k.job_id = p_job_id) THEN 'cancel_escalated' ELSE 'cancel_requested' END,
        jsonb_build_object('mode', 'now', 'reason', left(p_reason, 1000)));
  INSERT INTO calib_private.cancel_requests (job_id, origin, mode, reason, requested_by, requested_at)
  VALUES (p_job_id, 'prefect', 'now', coalesce(left(p_reason, 1000), ''), calib_private.actor(),
    calib_private.now());
END $$;
COMMENT ON FUNCTION calib.cancel_from_prefect(bigint, uuid, text) IS
  'Requests a cancel now of the running job, because Prefect shows its flow run as cancelling. For '
  'calib_executor. Raises CQ003, CQ020.';
