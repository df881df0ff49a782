-- What only executors and notebooks of 0.5.0 call, which know no sweeps: one of a single target.

CREATE OR REPLACE FUNCTION calib.start_task(p_job_id bigint, p_claim uuid, p_task text, p_qid text,
  p_task_type text, p_repetition integer, p_upstream_id uuid, p_input_parameters jsonb,
  p_run_parameters jsonb)
RETURNS uuid LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT s.task_run_id FROM calib.start_sweep(p_job_id, p_claim, jsonb_build_array(jsonb_build_object(
    'task', p_task, 'qid', p_qid, 'task_type', p_task_type, 'repetition', p_repetition, 'upstream_id',
    p_upstream_id, 'input_parameters', p_input_parameters, 'run_parameters', p_run_parameters))) s
$$;
COMMENT ON FUNCTION calib.start_task(bigint, uuid, text, text, text, integer, uuid, jsonb, jsonb) IS
  'As release 0.5.0 calls it: start_sweep() of one task; returns its task_run_id.';
