-- What a client may change of a job: some columns while it waits, and its cancel.

-- The changed columns as {"column": {"old": ..., "new": ...}}.
CREATE OR REPLACE FUNCTION calib_private.edits(p_old calib.jobs, p_new calib.jobs)
RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(jsonb_object_agg(n.key, jsonb_build_object('old', o.value, 'new', n.value)), '{}')
    FROM jsonb_each(to_jsonb(p_old)) o JOIN jsonb_each(to_jsonb(p_new)) n USING (key)
   WHERE o.value <> n.value AND n.key IN ('priority', 'not_before', 'not_after', 'timeout_seconds', 'tags',
     'note')
$$;

CREATE OR REPLACE FUNCTION calib_private.check_edits(p_new calib.jobs, p_edits jsonb)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_column text; v_flow calib_private.flows;
BEGIN
  SELECT e.key INTO v_column FROM jsonb_each(p_edits) e WHERE e.value -> 'new' = 'null'
      AND e.key <> 'not_after' ORDER BY 1 LIMIT 1;
  IF FOUND THEN
    PERFORM calib_private.refuse('CQ007', v_column, format('%s: expected a value, got nothing', v_column));
  END IF;
  -- The number of attempts is not changed: as the flow said when the job was submitted.
  v_flow.repeatable := true;
  PERFORM calib_private.check_limits(p_new, v_flow);
  IF p_edits ? 'priority' THEN
    PERFORM calib_private.check_priority(calib_private.require_chip(p_new.chip_id), p_new.project_id,
      p_new.priority);
  END IF;
END $$;

-- False: the job does not wait any more, and nothing was changed.
CREATE OR REPLACE FUNCTION calib_private.edit_job(p_new calib.jobs, p_edits jsonb)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.check_edits(p_new, p_edits);
  IF NOT calib_private.lock_waiting(p_new.job_id) THEN
    RAISE WARNING 'job % does not wait any more: % not changed', p_new.job_id,
        (SELECT string_agg(k, ', ' ORDER BY k) || CASE WHEN count(*) = 1 THEN ' was' ELSE ' were' END
          FROM jsonb_object_keys(p_edits) k)
      USING ERRCODE = 'CQ010', COLUMN = (SELECT min(k) FROM jsonb_object_keys(p_edits) k);
    RETURN false;
  END IF;
  UPDATE calib_private.jobs j SET priority = p_new.priority, not_before = p_new.not_before,
    not_after = p_new.not_after, timeout_seconds = p_new.timeout_seconds, tags = p_new.tags,
    note = p_new.note, version = j.version + 1 WHERE j.job_id = p_new.job_id;
  -- The values of a note may be long, and may be somebody's secret.
  PERFORM calib_private.write_event(p_new.job_id, 'edited', CASE WHEN p_edits ? 'note'
    THEN p_edits || '{"note": {}}' ELSE p_edits END);
  RETURN true;
END $$;

-- False: too late, nothing was changed.
CREATE OR REPLACE FUNCTION calib_private.cancel_row(p_old calib.jobs, p_new calib.jobs)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_mode text := coalesce(p_new.cancel_mode, 'now'); v_answer text;
BEGIN
  IF p_new.cancel_requested IS NOT TRUE THEN
    PERFORM calib_private.refuse(CASE WHEN p_old.cancel_requested THEN 'CQ012' ELSE 'CQ007' END,
      'cancel_requested', CASE
        WHEN p_old.cancel_requested THEN format('job %s: a cancel cannot be taken back', p_old.job_id)
        ELSE 'cancel_mode and cancel_reason: expected together with cancel_requested = true' END);
  END IF;
  PERFORM calib_private.check_cancel(v_mode, p_new.cancel_reason);
  v_answer := calib_private.request_cancel(p_old.job_id, v_mode, coalesce(p_new.cancel_reason, ''));
  IF v_answer = 'weaker' THEN
    PERFORM calib_private.refuse('CQ012', 'cancel_mode',
      format('job %s: a cancel "now" cannot be softened to "after_task"', p_old.job_id));
  END IF;
  RETURN v_answer <> 'ended';
END $$;

-- False: the row is not to be counted as changed. One statement may edit and cancel: each does what it can.
CREATE OR REPLACE FUNCTION calib_private.changed_job(p_old calib.jobs, p_new calib.jobs)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_edits jsonb := calib_private.edits(p_old, p_new); v_edited boolean := false; v_cancelled boolean := false;
BEGIN
  IF NOT calib_private.may_change(p_old.submitted_by, p_old.project_id) THEN
    PERFORM calib_private.refuse('CQ003', 'job_id',
      format('%s may not change job %s of %s: expected its submitter or an operator of project "%s"',
        calib_private.actor(), p_old.job_id, p_old.submitted_by, p_old.project_id));
  END IF;
  IF v_edits <> '{}' THEN v_edited := calib_private.edit_job(p_new, v_edits); END IF;
  IF (p_new.cancel_requested, p_new.cancel_mode, p_new.cancel_reason)
    IS DISTINCT FROM (p_old.cancel_requested, p_old.cancel_mode, p_old.cancel_reason)
    OR (p_new.cancel_requested AND v_edits = '{}') THEN
    v_cancelled := calib_private.cancel_row(p_old, p_new);
  ELSIF v_edits = '{}' THEN
    RETURN true;
  END IF;
  RETURN v_edited OR v_cancelled;
END $$;

-- For RETURNING: the row as it is stored now. What it waits for stays as the statement saw it.
CREATE OR REPLACE FUNCTION calib_private.stored_row(p_row calib.jobs)
RETURNS calib.jobs LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_job calib_private.jobs; v_cancel calib_private.cancel_requests;
BEGIN
  SELECT * INTO v_job FROM calib_private.jobs j WHERE j.job_id = p_row.job_id;
  SELECT k.job_id, k.origin, max(k.mode) OVER (), k.reason, k.requested_by, k.requested_at INTO v_cancel
    FROM calib_private.cancel_requests k WHERE k.job_id = p_row.job_id
   ORDER BY k.origin <> 'client' LIMIT 1;
  -- A number and times that a transition or an edit sets; the rest of the row is what the statement said.
  p_row.state := v_job.state; p_row.version := v_job.version; p_row.finished_at := v_job.finished_at;
  p_row.priority := v_job.priority; p_row.not_before := v_job.not_before; p_row.not_after := v_job.not_after;
  p_row.timeout_seconds := v_job.timeout_seconds; p_row.tags := v_job.tags; p_row.note := v_job.note;
  p_row.cancel_requested := v_cancel.job_id IS NOT NULL; p_row.cancel_mode := v_cancel.mode;
  p_row.cancel_reason := v_cancel.reason; p_row.cancel_requested_by := v_cancel.requested_by;
  p_row.cancel_requested_at := v_cancel.requested_at;
  IF p_row.state <> 'scheduled' THEN p_row.waiting_for := NULL; END IF;
  RETURN p_row;
END $$;

CREATE OR REPLACE FUNCTION calib_private.update_job()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_message text; v_column text;
BEGIN
  PERFORM calib_private.require_speaker();
  IF calib_private.changed_job(OLD, NEW) THEN RETURN calib_private.stored_row(NEW); END IF;
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  IF SQLSTATE NOT LIKE 'CQ%' THEN RAISE; END IF;
  GET STACKED DIAGNOSTICS v_message = MESSAGE_TEXT, v_column = COLUMN_NAME;
  RAISE EXCEPTION '%', v_message USING ERRCODE = SQLSTATE, COLUMN = v_column, SCHEMA = 'calib',
    TABLE = 'jobs';
END $$;
CREATE OR REPLACE TRIGGER update_job INSTEAD OF UPDATE ON calib.jobs FOR EACH ROW
  EXECUTE FUNCTION calib_private.update_job();
