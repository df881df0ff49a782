-- What operators ask: why a job waits.

CREATE OR REPLACE FUNCTION calib.why_waits(p_job_id bigint)
RETURNS TABLE (job_id bigint, kind text, sentence text, blocking_job_id bigint, chip_id text,
  clears_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_readable text[]; v_job calib_private.jobs;
BEGIN
  PERFORM calib_private.require_speaker();
  v_readable := calib_private.readable_projects(calib_private.actor()::name);
  SELECT * INTO v_job FROM calib_private.jobs j WHERE j.job_id = p_job_id AND j.project_id = ANY (v_readable);
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ001', 'job_id', format('unknown job %s',
      coalesce(p_job_id::text, 'nothing')));
  END IF;
  IF v_job.state <> 'scheduled' THEN
    RETURN QUERY SELECT p_job_id, 'not_waiting', format('job %s does not wait: it is %s', p_job_id,
      v_job.state), NULL::bigint, v_job.chip_id, NULL::timestamptz;
    RETURN;
  END IF;
  RETURN QUERY SELECT p_job_id, h.kind, h.sentence, h.blocking_job_id, v_job.chip_id, h.clears_at
    FROM calib_private.hold_up(p_job_id, v_job.chip_id, v_job.flow, v_job.priority, v_job.attempt,
      v_job.not_before, v_job.not_after, v_readable) h;
END $$;
COMMENT ON FUNCTION calib.why_waits(bigint) IS
  'Why a job waits. kind: chip_paused, not_before, no_executor, executor_not_ready, job_running, jobs_ahead, '
  'ready, ending (by the next sweep) or not_waiting. clears_at: when at the latest, if known; '
  'blocking_job_id: NULL if there is none or you may not read it. For calib_reader. Raises CQ001, CQ003.';
