-- Cancels that meet another session's.

-- False: too late, nothing was changed. The caller has checked the right to do it.
CREATE OR REPLACE FUNCTION calib_private.request_cancel(p_job_id bigint, p_mode text, p_reason text) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_job calib_private.jobs; v_verdict text;
BEGIN
  LOOP
    SELECT * INTO v_job FROM calib_private.jobs j WHERE j.job_id = p_job_id;
    EXIT WHEN v_job.state IS DISTINCT FROM 'scheduled';
    IF calib_private.cancel_before_start(p_job_id, p_mode, p_reason) THEN RETURN true; END IF;
  END LOOP;
  -- The statement still sees it, but a prune has committed meanwhile.
  IF v_job.job_id IS NULL THEN
    RAISE WARNING 'job % was not cancelled: it had already ended and was pruned', p_job_id USING ERRCODE = 'CQ011', COLUMN = 'cancel_requested';
    RETURN false;
  END IF;
  v_verdict := calib_private.verdict(p_job_id);
  IF v_job.state = 'running' AND v_verdict IS NULL THEN
    -- Whoever else cancels the job waits until this transaction ends.
    PERFORM calib_private.bound_transaction();
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

-- A waiting job's cancel by the queue itself comes through the door that no client writes: beside a client's cancel that
-- was asked for while the job still ran, and is not committed, a row of the client's door would wait for that client.
CREATE OR REPLACE FUNCTION calib_private.sweep_expired() RETURNS SETOF calib.swept_job LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_job calib_private.jobs; v_now timestamptz := calib_private.now();
BEGIN
  FOR v_job IN SELECT * FROM calib_private.jobs j WHERE j.state = 'scheduled' AND j.not_after <= v_now
                ORDER BY j.not_after LIMIT 500 FOR NO KEY UPDATE SKIP LOCKED LOOP
    PERFORM calib_private.write_event(v_job.job_id, 'expired', jsonb_build_object('not_after', v_job.not_after));
    INSERT INTO calib_private.cancel_requests (job_id, door, mode, reason, requested_by, requested_at)
    VALUES (v_job.job_id, 'prefect', 'now', 'expired', 'calib_owner', v_now) ON CONFLICT DO NOTHING;
    PERFORM calib_private.cancel_waiting(v_job.job_id);
    RETURN NEXT (v_job.job_id, v_job.chip_id, 'cancelled')::calib.swept_job;
  END LOOP;
END $$;
