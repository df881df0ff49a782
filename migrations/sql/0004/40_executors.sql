-- Claims beside a pause, and flow runs that Prefect refuses.

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
    -- Nothing starts once a pause has returned: it waits for this claim, or this claim goes without. Locked only now,
    -- when a job is due; held against nobody else who reads or names the chip.
    PERFORM FROM calib_private.chips c WHERE c.chip_id = p_chip_id AND NOT c.paused FOR SHARE SKIP LOCKED;
    IF NOT FOUND THEN RETURN; END IF;
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

-- Twenty by lot, half of them of other chips: what Prefect refuses for good, however much it is, keeps nothing from its turn.
CREATE OR REPLACE FUNCTION calib.unsynced_flow_runs(p_chip_id text)
RETURNS TABLE (job_id bigint, attempt smallint, flow_run_id uuid, outcome text, failure_kind text, failure_message text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT a.job_id, a.attempt, a.flow_run_id, a.outcome, a.failure_kind, a.failure_message
    FROM calib_private.attempts a JOIN calib_private.jobs j USING (job_id)
   WHERE a.ended_at IS NOT NULL AND a.flow_run_id IS NOT NULL AND NOT a.prefect_synced
     AND (j.chip_id = p_chip_id OR NOT calib_private.is_served(j.chip_id))
   ORDER BY row_number() OVER (PARTITION BY j.chip_id = p_chip_id ORDER BY random()), j.chip_id = p_chip_id DESC LIMIT 20
$$;
