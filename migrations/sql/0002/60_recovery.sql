-- What becomes of attempts that nobody ends, and of flow runs that nobody looks after.

-- An attempt that failed through no fault of the job (its process was killed, its flow could not be started): by the same
-- policy as a lost one. The reason stands on the attempt, and on the job when no attempt is left.
CREATE FUNCTION calib.try_again(p_job_id bigint, p_fence bigint, p_failure_kind text, p_failure_message text) RETURNS text LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_lease calib_private.leases := calib_private.hold_lease(p_job_id, p_fence);
BEGIN
  IF p_failure_kind IS NULL OR NOT calib_private.is_failure_kind(p_failure_kind) THEN
    PERFORM calib_private.refuse('CQ007', 'failure_kind', format('failure_kind: expected one of the closed list (missing_input, no_signal, ...), got %s', calib_private.shown(p_failure_kind)));
  END IF;
  RETURN calib_private.end_by_policy(v_lease, p_failure_kind, left(coalesce(p_failure_message, ''), 4000), false);
END $$;

CREATE FUNCTION calib_private.is_served(p_chip_id text) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM calib_private.executors e WHERE e.chip_id = p_chip_id AND calib_private.alive(e.last_seen_at, e.stopped_at))
$$;

-- The chips whose flow runs an executor looks after: its own, and those that no living executor serves. Whose executors
-- are gone for ever would otherwise show running jobs in Prefect for ever.
CREATE FUNCTION calib.chips_to_reconcile(p_chip_id text) RETURNS SETOF text LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.chip_id FROM calib_private.chips c WHERE c.chip_id = p_chip_id OR NOT calib_private.is_served(c.chip_id) ORDER BY 1
$$;

CREATE OR REPLACE FUNCTION calib.unsynced_flow_runs(p_chip_id text)
RETURNS TABLE (job_id bigint, attempt smallint, flow_run_id uuid, outcome text, failure_kind text, failure_message text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT a.job_id, a.attempt, a.flow_run_id, a.outcome, a.failure_kind, a.failure_message
    FROM calib_private.attempts a JOIN calib_private.jobs j USING (job_id)
   WHERE a.ended_at IS NOT NULL AND a.flow_run_id IS NOT NULL AND NOT a.prefect_synced
     AND (j.chip_id = p_chip_id OR NOT calib_private.is_served(j.chip_id))
   ORDER BY j.chip_id = p_chip_id DESC, a.ended_at LIMIT 20
$$;

CREATE OR REPLACE FUNCTION calib.flow_run_synced(p_job_id bigint, p_attempt integer) RETURNS void LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE calib_private.attempts a SET prefect_synced = true
    FROM calib_private.jobs j
   WHERE a.job_id = p_job_id AND a.attempt = p_attempt AND j.job_id = a.job_id AND a.ended_at IS NOT NULL
     AND (NOT calib_private.is_served(j.chip_id)
       OR EXISTS (SELECT FROM calib_private.executor_permissions p WHERE p.chip_id = j.chip_id AND calib_private.actor_is(p.role_name)))
$$;

REVOKE ALL ON FUNCTION calib.try_again(bigint, bigint, text, text), calib_private.is_served(text), calib.chips_to_reconcile(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION calib.try_again(bigint, bigint, text, text), calib.chips_to_reconcile(text) TO calib_executor;
