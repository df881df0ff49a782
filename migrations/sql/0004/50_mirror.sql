-- Marks beside a prune: of jobs that are still there, and that nobody is removing.

CREATE OR REPLACE FUNCTION calib.mark(p_job_id bigint) RETURNS boolean LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.bound_transaction();
  PERFORM FROM calib_private.jobs j WHERE j.job_id = p_job_id AND j.execution_id IS NOT NULL FOR KEY SHARE;
  IF NOT FOUND THEN RETURN false; END IF;
  PERFORM calib_private.mark_job(p_job_id);
  RETURN true;
END $$;

CREATE OR REPLACE FUNCTION calib.mark_all() RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_jobs bigint;
BEGIN
  PERFORM calib_private.bound_transaction();
  -- A running job is marked by its own end, and must not wait until all others are.
  PERFORM calib_private.mark_job(k.job_id) FROM (
    SELECT j.job_id FROM calib_private.jobs j WHERE j.execution_id IS NOT NULL AND j.state <> 'running' FOR KEY SHARE SKIP LOCKED) k;
  GET DIAGNOSTICS v_jobs = ROW_COUNT;
  PERFORM calib_private.mark_chip(c.chip_id) FROM (SELECT DISTINCT p.chip_id FROM calib_private.parameter_versions p) c;
  RETURN v_jobs;
END $$;
