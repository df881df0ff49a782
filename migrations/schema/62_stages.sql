-- Stages: the steps of the pipeline that an attempt runs, one row each.

CREATE OR REPLACE FUNCTION calib.record_stage(p_job_id bigint, p_claim uuid, p_position integer,
  p_stage jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_old calib_private.stages; v_new calib_private.stages; v_stored bigint;
BEGIN
  PERFORM calib_private.hold_lease(p_job_id, p_claim);
  PERFORM calib_private.require_shape('stage', p_stage, 'stage');
  IF p_position IS NULL OR p_position NOT BETWEEN 0 AND 1000 THEN
    PERFORM calib_private.refuse('CQ007', 'position',
      format('position: expected 0 to 1000, got %s', coalesce(p_position::text, 'nothing')));
  END IF;
  SELECT s.* INTO v_old FROM calib_private.stages s JOIN calib_private.jobs j USING (job_id, attempt)
   WHERE s.job_id = p_job_id AND s.position = p_position;
  SELECT j.job_id, j.attempt, p_position, p_stage ->> 'name', p_stage ->> 'step', p_stage ->> 'mode',
      ARRAY(SELECT jsonb_array_elements_text(p_stage -> 'targets')), p_stage ->> 'status',
      coalesce(p_stage -> 'result', '{}'), coalesce(p_stage ->> 'message', ''), CASE
        WHEN p_stage ->> 'status' = 'skipped' THEN v_old.started_at
        ELSE coalesce(v_old.started_at, calib_private.now()) END, CASE
        WHEN v_old.ended_at IS NOT NULL THEN v_old.ended_at
        WHEN p_stage ->> 'status' <> 'running' THEN calib_private.now() END
    INTO v_new FROM calib_private.jobs j WHERE j.job_id = p_job_id;
  SELECT sum(octet_length(s.result::text)) INTO v_stored FROM calib_private.stages s
   WHERE s.job_id = p_job_id AND s.attempt = v_new.attempt AND s.position <> p_position;
  IF v_old = v_new THEN
    RETURN;   -- asked again because the first answer was lost
  ELSIF v_old.ended_at IS NOT NULL THEN
    PERFORM calib_private.refuse('CQ010', 'status', format('stage %s (%s) has already ended (%s)', p_position,
      calib_private.shown(v_old.name), v_old.status));
  ELSIF (v_old.name, v_old.step) <> (v_new.name, v_new.step) THEN
    PERFORM calib_private.refuse('CQ010', 'position', format('stage %s is %s, a step %s: got %s, a step %s',
      p_position, calib_private.shown(v_old.name), calib_private.shown(v_old.step),
      calib_private.shown(v_new.name), calib_private.shown(v_new.step)));
  ELSIF octet_length(v_new.result::text) > 1048576 THEN
    PERFORM calib_private.refuse('CQ040', 'result', format('result: expected at most 1 MiB of JSON, got %s '
      'bytes', octet_length(v_new.result::text)));
  -- All of them stand in one document of MongoDB, which takes 16 MiB.
  ELSIF v_stored + octet_length(v_new.result::text) > 8388608 THEN
    PERFORM calib_private.refuse('CQ040', 'result', format('result: expected at most 8 MiB of JSON in all '
      'stages of an attempt, got %s bytes', v_stored + octet_length(v_new.result::text)));
  END IF;
  INSERT INTO calib_private.stages SELECT v_new.*
  ON CONFLICT (job_id, attempt, position) DO UPDATE SET mode = excluded.mode, targets = excluded.targets,
    status = excluded.status, result = excluded.result, message = excluded.message,
    ended_at = excluded.ended_at;
  IF v_old.status IS DISTINCT FROM v_new.status THEN
    PERFORM calib_private.write_event(p_job_id, 'stage_' || CASE v_new.status WHEN 'running' THEN 'started'
      ELSE v_new.status END, jsonb_build_object('position', p_position, 'name', v_new.name));
  END IF;
  PERFORM calib_private.touch_job(p_job_id);
  PERFORM calib_private.mark_job(p_job_id);
END $$;
COMMENT ON FUNCTION calib.record_stage(bigint, uuid, integer, jsonb) IS
  'Stores the stage of the attempt at p_position (0 to 1000), begun, going on or ended; an ended one stays '
  'as it is, and the same call again does nothing. p_stage: object {name, step, mode, targets, status, '
  'result, message}. For calib_notebook, calib_executor. Raises CQ003, CQ007, CQ010, CQ020, CQ040.';
