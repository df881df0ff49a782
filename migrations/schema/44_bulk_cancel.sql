-- Many jobs cancelled by one call, which answers for each of them.

COMMENT ON TYPE calib.cancel_answer IS
  'What cancel_jobs() returns for each job: job_id, answer, the job''s state afterwards, and a sentence.';
COMMENT ON COLUMN calib.cancel_answer.answer IS
  'cancelled, requested (it runs), requested_before, ended, forbidden, not_matching, or unknown.';

-- NULL in a filter: any.
CREATE OR REPLACE FUNCTION calib_private.matches(p_job calib_private.jobs, p_chip_id text, p_project_id text,
  p_submitted_by text, p_tags text[], p_state text)
RETURNS boolean LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT p_job.chip_id = coalesce(p_chip_id, p_job.chip_id)
    AND p_job.project_id = coalesce(p_project_id, p_job.project_id)
    AND p_job.submitted_by = coalesce(p_submitted_by, p_job.submitted_by)
    AND p_job.tags @> coalesce(p_tags, '{}') AND p_job.state = coalesce(p_state, p_job.state)
$$;

-- What a cancel of the job would be answered now; changes nothing.
CREATE OR REPLACE FUNCTION calib_private.foreseen_answer(p_job calib_private.jobs, p_mode text)
RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN CASE
    WHEN NOT calib_private.may_change(p_job.submitted_by, p_job.project_id) THEN 'forbidden'
    WHEN p_job.finished_at IS NOT NULL OR calib_private.verdict(p_job.job_id) IS NOT NULL THEN 'ended'
    WHEN p_job.state = 'scheduled' THEN 'cancelled'
    WHEN EXISTS (SELECT FROM calib_private.cancel_requests k WHERE k.job_id = p_job.job_id
      AND k.origin = 'client' AND k.mode IN ('now', p_mode)) THEN 'requested_before'
    ELSE 'requested' END;
END $$;

CREATE OR REPLACE FUNCTION calib_private.cancel_sentence(p_job_id bigint, p_answer text, p_state text,
  p_dry_run boolean)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE p_answer
    WHEN 'cancelled' THEN format('job %s waits and %s cancelled', p_job_id, v.be)
    WHEN 'requested' THEN format('job %s runs and %s told to stop', p_job_id, v.be)
    WHEN 'requested_before' THEN format('job %s was told to stop before', p_job_id)
    WHEN 'ended' THEN CASE p_state WHEN 'running' THEN format('job %s is just ending', p_job_id)
      ELSE format('job %s had already ended (%s)', p_job_id, p_state) END
    WHEN 'forbidden' THEN format('%s may not change job %s: expected its submitter or an operator',
      calib_private.actor(), p_job_id)
    WHEN 'not_matching' THEN format('job %s does not match the other filters', p_job_id)
    ELSE format('unknown job %s', p_job_id) END
    FROM (SELECT CASE WHEN p_dry_run THEN 'would be' ELSE 'is' END AS be) v
$$;

-- In the order of their numbers, as every other function that locks many jobs.
CREATE OR REPLACE FUNCTION calib.cancel_jobs(p_chip_id text DEFAULT NULL, p_project_id text DEFAULT NULL,
  p_submitted_by text DEFAULT NULL, p_tags text[] DEFAULT NULL, p_state text DEFAULT NULL,
  p_job_ids bigint[] DEFAULT NULL, p_mode text DEFAULT 'now', p_reason text DEFAULT '',
  p_dry_run boolean DEFAULT false)
RETURNS SETOF calib.cancel_answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_readable text[] := calib_private.readable_projects(calib_private.actor()::name); v_id bigint;
  v_job calib_private.jobs; v_answer text;
BEGIN
  PERFORM calib_private.require_role('calib_submitter');
  PERFORM calib_private.check_cancel(p_mode, p_reason);
  IF num_nonnulls(p_chip_id, p_project_id, p_submitted_by, p_tags, p_state, p_job_ids) = 0 THEN
    PERFORM calib_private.refuse('CQ007', '', 'which jobs: expected a chip, project, submitter, tags, state '
      'or job ids, got nothing');
  ELSIF p_state NOT IN ('scheduled', 'running', 'completed', 'failed', 'cancelled') THEN
    PERFORM calib_private.refuse('CQ007', 'state', format('state: expected scheduled, running, completed, '
      'failed or cancelled, got %s', calib_private.shown(p_state)));
  END IF;
  FOR v_id IN SELECT i.job_id FROM unnest(p_job_ids) i (job_id) WHERE i.job_id IS NOT NULL
    UNION SELECT j.job_id FROM calib_private.jobs j
     WHERE p_job_ids IS NULL AND j.project_id = ANY (v_readable) AND j.state IN ('scheduled', 'running')
       AND calib_private.matches(j, p_chip_id, p_project_id, p_submitted_by, p_tags, p_state)
    ORDER BY 1 LOOP
    SELECT * INTO v_job FROM calib_private.jobs j WHERE j.job_id = v_id AND j.project_id = ANY (v_readable);
    v_answer := CASE WHEN NOT FOUND THEN 'unknown'
      WHEN NOT calib_private.matches(v_job, p_chip_id, p_project_id, p_submitted_by, p_tags, p_state)
        THEN 'not_matching'
      ELSE calib_private.foreseen_answer(v_job, p_mode) END;
    -- A job that had ended, or is told already, is not touched: no event, no warning.
    IF NOT p_dry_run AND v_answer IN ('cancelled', 'requested') THEN
      v_answer := replace(calib_private.request_cancel(v_id, p_mode, coalesce(p_reason, '')), 'weaker',
        'requested_before');
      SELECT j.state INTO v_job.state FROM calib_private.jobs j WHERE j.job_id = v_id;
    END IF;
    RETURN NEXT (v_id, v_answer, CASE WHEN v_answer <> 'unknown' THEN v_job.state END,
      calib_private.cancel_sentence(v_id, v_answer, v_job.state, p_dry_run))::calib.cancel_answer;
  END LOOP;
END $$;
COMMENT ON FUNCTION calib.cancel_jobs(text, text, text, text[], text, bigint[], text, text, boolean) IS
  'Cancels the jobs that match all filters; without p_job_ids, those that have not ended. Answers for each '
  'in the order of their numbers; a refused one stops no other. p_dry_run: says what it would do. For '
  'calib_submitter: own jobs, or those of a project as its operator. Raises CQ003, CQ007; warns CQ011.';
