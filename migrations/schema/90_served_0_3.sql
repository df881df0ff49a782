-- What only an executor of 0.3.0 calls, which knows no claim: the lease that it takes is given one that job
-- and fence tell. Its verbs open such a lease, and no other.

CREATE OR REPLACE FUNCTION calib.claim(p_chip_id text, p_executor_id text,
  p_lease_seconds double precision DEFAULT 30, p_job_id bigint DEFAULT NULL)
RETURNS SETOF calib.claimed_job LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_claimed calib.claimed_job;
  -- Not used yet: the answer was lost, and is given again.
  v_claim uuid := (SELECT a.claim
    FROM calib_private.leases l JOIN calib_private.attempts a USING (job_id, fence)
      JOIN calib_private.jobs j USING (job_id)
   WHERE l.chip_id = p_chip_id AND l.executor_id = p_executor_id AND l.job_id = coalesce(p_job_id, l.job_id)
     AND a.claim = md5(l.job_id || '/' || l.fence)::uuid
     AND a.flow_run_id IS NULL AND a.verdict IS NULL AND j.tasks_total = 0);
BEGIN
  SELECT * INTO v_claimed FROM calib.claim(p_chip_id, p_executor_id, coalesce(v_claim, gen_random_uuid()),
    p_lease_seconds, p_job_id);
  IF NOT FOUND THEN RETURN; END IF;
  UPDATE calib_private.attempts a SET claim = md5(a.job_id || '/' || a.fence)::uuid
   WHERE a.job_id = v_claimed.job_id AND a.fence = v_claimed.fence;
  RETURN NEXT v_claimed;
END $$;
COMMENT ON FUNCTION calib.claim(text, text, double precision, bigint) IS
  'As release 0.3.0 calls it: without a claim.';

CREATE OR REPLACE FUNCTION calib.heartbeat(p_job_id bigint, p_fence bigint,
  p_lease_seconds double precision DEFAULT 30)
RETURNS SETOF calib.cancel_request LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT * FROM calib.heartbeat(p_job_id, md5(p_job_id || '/' || p_fence)::uuid, p_lease_seconds)
$$;
COMMENT ON FUNCTION calib.heartbeat(bigint, bigint, double precision) IS
  'As release 0.3.0 calls it: the same with p_fence in place of p_claim.';

CREATE OR REPLACE FUNCTION calib.cancel_from_prefect(p_job_id bigint, p_fence bigint, p_reason text)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib.cancel_from_prefect(p_job_id, md5(p_job_id || '/' || p_fence)::uuid, p_reason)
$$;
COMMENT ON FUNCTION calib.cancel_from_prefect(bigint, bigint, text) IS
  'As release 0.3.0 calls it: the same with p_fence in place of p_claim.';

CREATE OR REPLACE FUNCTION calib.set_flow_run(p_job_id bigint, p_fence bigint, p_flow_run_id uuid)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib.set_flow_run(p_job_id, md5(p_job_id || '/' || p_fence)::uuid, p_flow_run_id)
$$;
COMMENT ON FUNCTION calib.set_flow_run(bigint, bigint, uuid) IS
  'As release 0.3.0 calls it: the same with p_fence in place of p_claim.';

CREATE OR REPLACE FUNCTION calib.log_event(p_job_id bigint, p_fence bigint, p_event text,
  p_detail jsonb DEFAULT '{}')
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib.log_event(p_job_id, md5(p_job_id || '/' || p_fence)::uuid, p_event, p_detail)
$$;
COMMENT ON FUNCTION calib.log_event(bigint, bigint, text, jsonb) IS
  'As release 0.3.0 calls it: the same with p_fence in place of p_claim.';

CREATE OR REPLACE FUNCTION calib.quiesced(p_job_id bigint, p_fence bigint, p_detail jsonb DEFAULT '{}')
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib.quiesced(p_job_id, md5(p_job_id || '/' || p_fence)::uuid, p_detail)
$$;
COMMENT ON FUNCTION calib.quiesced(bigint, bigint, jsonb) IS
  'As release 0.3.0 calls it: the same with p_fence in place of p_claim.';

CREATE OR REPLACE FUNCTION calib.quiesce_failed(p_job_id bigint, p_fence bigint, p_reason text)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib.quiesce_failed(p_job_id, md5(p_job_id || '/' || p_fence)::uuid, p_reason)
$$;
COMMENT ON FUNCTION calib.quiesce_failed(bigint, bigint, text) IS
  'As release 0.3.0 calls it: the same with p_fence in place of p_claim.';

CREATE OR REPLACE FUNCTION calib.conclude(p_job_id bigint, p_fence bigint, p_state text,
  p_failure_kind text DEFAULT NULL, p_failure_message text DEFAULT NULL)
RETURNS text LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib.conclude(p_job_id, md5(p_job_id || '/' || p_fence)::uuid, p_state, p_failure_kind,
    p_failure_message)
$$;
COMMENT ON FUNCTION calib.conclude(bigint, bigint, text, text, text) IS
  'As release 0.3.0 calls it: the same with p_fence in place of p_claim.';

CREATE OR REPLACE FUNCTION calib.finish(p_job_id bigint, p_fence bigint)
RETURNS text LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib.finish(p_job_id, md5(p_job_id || '/' || p_fence)::uuid)
$$;
COMMENT ON FUNCTION calib.finish(bigint, bigint) IS
  'As release 0.3.0 calls it: the same with p_fence in place of p_claim.';

CREATE OR REPLACE FUNCTION calib.give_back(p_job_id bigint, p_fence bigint, p_reason text)
RETURNS text LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib.give_back(p_job_id, md5(p_job_id || '/' || p_fence)::uuid, p_reason)
$$;
COMMENT ON FUNCTION calib.give_back(bigint, bigint, text) IS
  'As release 0.3.0 calls it: the same with p_fence in place of p_claim.';

CREATE OR REPLACE FUNCTION calib.try_again(p_job_id bigint, p_fence bigint, p_failure_kind text,
  p_failure_message text)
RETURNS text LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib.try_again(p_job_id, md5(p_job_id || '/' || p_fence)::uuid, p_failure_kind, p_failure_message)
$$;
COMMENT ON FUNCTION calib.try_again(bigint, bigint, text, text) IS
  'As release 0.3.0 calls it: the same with p_fence in place of p_claim.';

CREATE OR REPLACE FUNCTION calib.plan_tasks(p_job_id bigint, p_fence bigint, p_tasks jsonb)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib.plan_tasks(p_job_id, md5(p_job_id || '/' || p_fence)::uuid, p_tasks)
$$;
COMMENT ON FUNCTION calib.plan_tasks(bigint, bigint, jsonb) IS
  'As release 0.3.0 calls it: the same with p_fence in place of p_claim.';

CREATE OR REPLACE FUNCTION calib.start_task(p_job_id bigint, p_fence bigint, p_task text, p_qid text,
  p_task_type text, p_repetition integer, p_upstream_id uuid, p_input_parameters jsonb,
  p_run_parameters jsonb)
RETURNS uuid LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib.start_task(p_job_id, md5(p_job_id || '/' || p_fence)::uuid, p_task, p_qid, p_task_type,
    p_repetition, p_upstream_id, p_input_parameters, p_run_parameters)
$$;
COMMENT ON FUNCTION calib.start_task(bigint, bigint, text, text, text, integer, uuid, jsonb, jsonb) IS
  'As release 0.3.0 calls it: the same with p_fence in place of p_claim.';

CREATE OR REPLACE FUNCTION calib.record_task(p_job_id bigint, p_fence bigint, p_task_run_id uuid,
  p_status text, p_result jsonb, p_figures jsonb DEFAULT '[]', p_raw_meta jsonb DEFAULT '[]',
  p_raw_data bytea[] DEFAULT '{}')
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib.record_task(p_job_id, md5(p_job_id || '/' || p_fence)::uuid, p_task_run_id, p_status,
    p_result, p_figures, p_raw_meta, p_raw_data)
$$;
COMMENT ON FUNCTION calib.record_task(bigint, bigint, uuid, text, jsonb, jsonb, jsonb, bytea[]) IS
  'As release 0.3.0 calls it: the same with p_fence in place of p_claim.';

-- What a function of 0.3.0 may call that was running when the database was upgraded.
CREATE OR REPLACE FUNCTION calib_private.sees_all()
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib_private.sees_all(calib_private.actor()::name)
$$;

CREATE OR REPLACE FUNCTION calib_private.readable_projects()
RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib_private.readable_projects(calib_private.actor()::name)
$$;
REVOKE ALL ON FUNCTION calib_private.readable_projects() FROM calib_reader;
