-- Task runs and what they measured. A finished task is committed as a whole: verdict, outputs, figures, raw
-- data, parameters, event and outbox mark.

CREATE OR REPLACE FUNCTION calib_private.forbid_reopening()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF OLD.status IN ('completed', 'failed', 'skipped', 'cancelled') THEN
    PERFORM calib_private.refuse('CQ010', 'status',
      format('task %s on qid "%s" has already ended (%s)', OLD.task, OLD.qid, OLD.status));
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER forbid_reopening BEFORE UPDATE ON calib_private.task_runs FOR EACH ROW
  EXECUTE FUNCTION calib_private.forbid_reopening();

-- Tells watchers how far the job is.
CREATE OR REPLACE FUNCTION calib_private.count_tasks(p_job_id bigint)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  UPDATE calib_private.jobs j SET tasks_total = n.total, tasks_done = n.done, tasks_failed = n.failed,
      version = j.version + 1
    FROM (SELECT count(*) AS total, count(*) FILTER (WHERE t.status = 'completed') AS done,
        count(*) FILTER (WHERE t.status = 'failed') AS failed
      FROM calib_private.task_runs t JOIN calib_private.jobs i USING (job_id, attempt)
          WHERE i.job_id = p_job_id) n
   WHERE j.job_id = p_job_id
$$;

-- Why something ended that ran when its attempt did.
CREATE OR REPLACE FUNCTION calib_private.stopped_with(p_state text, p_failure_kind text)
RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE p_state WHEN 'failed' THEN format('stopped with the job (%s)', p_failure_kind)
    WHEN 'scheduled' THEN format('stopped with its attempt (%s)', p_failure_kind)
    ELSE 'stopped with the job' END
$$;

-- What an attempt leaves open when it ends.
CREATE OR REPLACE FUNCTION calib_private.close_task_runs(p_job_id bigint, p_state text, p_failure_kind text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_now timestamptz := calib_private.now();
BEGIN
  UPDATE calib_private.sweeps s SET ended_at = v_now WHERE s.job_id = p_job_id AND s.ended_at IS NULL;
  UPDATE calib_private.stages s SET ended_at = v_now, status = CASE p_state WHEN 'failed' THEN 'failed'
      ELSE 'cancelled' END, message = calib_private.stopped_with(p_state, p_failure_kind)
   WHERE s.job_id = p_job_id AND s.ended_at IS NULL;
  UPDATE calib_private.task_runs t
     SET status = CASE WHEN t.status = 'scheduled' THEN 'skipped' WHEN p_state = 'failed' THEN 'failed'
         ELSE 'cancelled' END, failure_kind = CASE WHEN t.status = 'running'
         AND p_state = 'failed' THEN coalesce(p_failure_kind, 'internal') END, message = CASE
             WHEN t.status = 'scheduled' THEN 'not started'
             ELSE calib_private.stopped_with(p_state, p_failure_kind) END,
         ended_at = v_now
   WHERE t.job_id = p_job_id AND t.status IN ('scheduled', 'running')
     AND t.attempt = (SELECT j.attempt FROM calib_private.jobs j WHERE j.job_id = p_job_id);
  IF FOUND THEN PERFORM calib_private.count_tasks(p_job_id); END IF;
END $$;

CREATE OR REPLACE FUNCTION calib.plan_tasks(p_job_id bigint, p_claim uuid, p_tasks jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.hold_lease(p_job_id, p_claim);
  PERFORM calib_private.require_shape('tasks', p_tasks, 'tasks');
  INSERT INTO calib_private.task_runs (job_id, attempt, task, qid, repetition, task_type, ordinal)
  SELECT j.job_id, j.attempt, e.item ->> 'task', e.item ->> 'qid',
      coalesce((e.item ->> 'repetition')::numeric::smallint, 0), e.item ->> 'task_type', j.tasks_total + e.n
    FROM calib_private.jobs j, jsonb_array_elements(p_tasks) WITH ORDINALITY AS e(item, n)
        WHERE j.job_id = p_job_id
  ON CONFLICT (job_id, attempt, task, qid, repetition) DO NOTHING;
  PERFORM calib_private.count_tasks(p_job_id);
  PERFORM calib_private.mark_job(p_job_id);
END $$;
COMMENT ON FUNCTION calib.plan_tasks(bigint, uuid, jsonb) IS
  'Announces the tasks that the attempt will run, in order. p_tasks: array of {task, qid, task_type, '
  'repetition}. For calib_notebook, calib_executor. Raises CQ003, CQ007, CQ020.';

CREATE OR REPLACE FUNCTION calib_private.store_figures(p_task_run_id uuid, p_figures jsonb)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_item jsonb; v_n smallint := 0;
BEGIN
  PERFORM calib_private.require_shape('figures', coalesce(p_figures, '[]'), 'figures');
  FOR v_item IN SELECT * FROM jsonb_array_elements(coalesce(p_figures, '[]')) LOOP
    IF octet_length(v_item ->> 'plotly') > 16777216 THEN
      PERFORM calib_private.refuse('CQ040', 'figures',
        format('figure "%s": expected at most 16 MiB of Plotly JSON, got %s bytes', v_item ->> 'name',
        octet_length(v_item ->> 'plotly')));
    END IF;
    INSERT INTO calib_private.figures (task_run_id, ordinal, name, plotly)
      VALUES (p_task_run_id, v_n, v_item ->> 'name', (v_item ->> 'plotly')::json);
    v_n := v_n + 1;
  END LOOP;
EXCEPTION WHEN invalid_text_representation OR untranslatable_character OR statement_too_complex THEN
  PERFORM calib_private.refuse('CQ007', 'figures',
    format('figure "%s": expected Plotly JSON, got no JSON that can be kept', v_item ->> 'name'));
END $$;

CREATE OR REPLACE FUNCTION calib_private.store_raw_data(p_task_run_id uuid, p_raw_meta jsonb,
  p_raw_data bytea[])
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_item jsonb; v_n integer := 0;
BEGIN
  PERFORM calib_private.require_shape('raw_meta', coalesce(p_raw_meta, '[]'), 'raw_meta');
  IF array_ndims(p_raw_data) > 1 OR array_lower(p_raw_data, 1) <> 1
      OR array_position(p_raw_data, NULL) IS NOT NULL
     OR coalesce(cardinality(p_raw_data), 0) <> jsonb_array_length(coalesce(p_raw_meta, '[]')) THEN
    PERFORM calib_private.refuse('CQ007', 'raw_data',
      format('raw_data: expected one byte string for each of the %s items of raw_meta',
      jsonb_array_length(coalesce(p_raw_meta, '[]'))));
  END IF;
  FOR v_item IN SELECT * FROM jsonb_array_elements(coalesce(p_raw_meta, '[]')) LOOP
    v_n := v_n + 1;
    IF octet_length(p_raw_data[v_n]) > 67108864 THEN
      PERFORM calib_private.refuse('CQ040', 'raw_data',
        format('raw data "%s": expected at most 64 MiB, got %s bytes', v_item ->> 'name',
        octet_length(p_raw_data[v_n])));
    END IF;
    INSERT INTO calib_private.raw_data (task_run_id, ordinal, name, dtype, shape, unit, data)
    VALUES (p_task_run_id, v_n - 1, v_item ->> 'name', v_item ->> 'dtype',
      ARRAY(SELECT jsonb_array_elements_text(v_item -> 'shape')::numeric::integer), v_item ->> 'unit',
        p_raw_data[v_n]);
  END LOOP;
END $$;

-- An executor completes only the tasks, and with the outputs, that are registered for its chip; a notebook or
-- script brings tasks of its own. An output of one qubit of a multiplexer has its number in front. Nor does
-- an output take another one's name; an executor of 0.7.0 does not register the names of storage.
CREATE OR REPLACE FUNCTION calib_private.require_registered(p_job_id bigint, p_task text, p_outputs jsonb)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_chip_id text; v_declared text[]; v_names text[]; v_key text;
BEGIN
  SELECT j.chip_id INTO v_chip_id FROM calib_private.jobs j
   WHERE j.job_id = p_job_id AND j.flow <> 'interactive';
  IF NOT FOUND THEN RETURN; END IF;
  SELECT t.output_parameters, CASE WHEN jsonb_path_exists(t.outputs, '$[*].unit') THEN t.output_parameters
      || ARRAY(SELECT o ->> 'name' FROM jsonb_array_elements(t.outputs) o) END INTO v_declared, v_names
    FROM calib_private.tasks t WHERE t.chip_id = v_chip_id AND t.task = p_task;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ001', 'task', format('task %s is not registered for chip "%s"%s',
      calib_private.shown(p_task), v_chip_id, calib_private.suggestion(p_task,
      ARRAY(SELECT t.task FROM calib_private.tasks t WHERE t.chip_id = v_chip_id))));
  END IF;
  SELECT e.key INTO v_key FROM jsonb_each(coalesce(p_outputs, '{}')) e
   WHERE e.key <> ALL (v_declared) AND regexp_replace(e.key, '^' || substring(e.value ->> 'qid_role'
       FROM '^[0-9]+$') || '_', '') = ANY (v_declared) IS NOT TRUE ORDER BY 1 LIMIT 1;
  IF NOT FOUND THEN
    v_declared := v_names;
    SELECT n INTO v_key FROM jsonb_each(coalesce(p_outputs, '{}')) e,
        nullif(e.value ->> 'parameter_name', '') n WHERE n <> ALL (v_names) ORDER BY 1 LIMIT 1;
  END IF;
  IF FOUND THEN
    PERFORM calib_private.refuse('CQ007', 'output_parameters', format('task %s declares no output %s%s',
      p_task, calib_private.shown(v_key), calib_private.suggestion(v_key, v_declared)));
  END IF;
END $$;

-- Only a passing run makes parameters; a refused one keeps its outputs in the task run, measured but not in
-- force.
CREATE OR REPLACE FUNCTION calib_private.store_outputs(p_task_run_id uuid)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_run calib_private.task_runs; v_chip_id text; v_name text; v_value jsonb;
BEGIN
  SELECT * INTO v_run FROM calib_private.task_runs t WHERE t.task_run_id = p_task_run_id;
  -- A multiplexer's number would be taken for the qubit of that number.
  IF v_run.task_type = 'mux' AND EXISTS (SELECT FROM jsonb_each(v_run.output_parameters) e
      WHERE e.value ->> 'qid_role' !~ '^[0-9]+$') THEN
    PERFORM calib_private.refuse('CQ007', 'output_parameters',
      format('task %s is about multiplexer %s: expected the number of a qubit as qid_role of each output',
      v_run.task, v_run.qid), 'With persist_output_parameters false they are kept in the task run only.');
  END IF;
  SELECT j.chip_id INTO v_chip_id FROM calib_private.jobs j WHERE j.job_id = v_run.job_id;
  PERFORM calib_private.lock_owners(v_chip_id, ARRAY(SELECT calib_private.parameter_owner(v_chip_id,
    v_run.qid, e.value ->> 'qid_role')
    FROM jsonb_each(v_run.output_parameters) e));
  FOR v_name, v_value IN SELECT coalesce(nullif(e.value ->> 'parameter_name', ''), e.key), e.value
    FROM jsonb_each(v_run.output_parameters) e LOOP
    PERFORM calib_private.put_parameter(v_chip_id,
      calib_private.parameter_owner(v_chip_id, v_run.qid, v_value ->> 'qid_role'), v_name, v_value, 'task',
      -- Neither the list nor a registered task has the name: it is of a caller's own task.
      p_task_run_id, '', NULL);
  END LOOP;
END $$;

CREATE OR REPLACE FUNCTION calib.record_task(p_job_id bigint, p_claim uuid, p_task_run_id uuid,
  p_status text, p_result jsonb, p_figures jsonb DEFAULT '[]', p_raw_meta jsonb DEFAULT '[]',
  p_raw_data bytea[] DEFAULT '{}')
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_run calib_private.task_runs;
BEGIN
  PERFORM calib_private.hold_lease(p_job_id, p_claim);
  PERFORM calib_private.require_shape('result', p_result, 'result');
  SELECT t.* INTO v_run FROM calib_private.task_runs t JOIN calib_private.jobs j USING (job_id, attempt)
   WHERE t.task_run_id = p_task_run_id AND t.job_id = p_job_id;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ001', 'task_run_id',
      format('unknown task run %s of job %s', p_task_run_id, p_job_id));
  ELSIF v_run.ended_at IS NOT NULL AND v_run.status = p_status THEN
    RETURN;   -- asked again because the first answer was lost
  ELSIF p_status IS NULL OR p_status NOT IN ('completed', 'failed', 'cancelled', 'skipped') THEN
    PERFORM calib_private.refuse('CQ007', 'status',
      format('status: expected completed, failed, cancelled or skipped, got %s',
      calib_private.shown(p_status)));
  ELSIF (p_status = 'failed') <> (p_result ->> 'failure_kind' IS NOT NULL)
      OR NOT calib_private.is_failure_kind(p_result ->> 'failure_kind') THEN
    PERFORM calib_private.refuse('CQ007', 'failure_kind',
      format('failure_kind: expected one of the closed list with status failed, and only with it, got %s '
      'with %s', calib_private.shown(p_result ->> 'failure_kind'), p_status));
  END IF;
  IF p_status = 'completed' THEN
    PERFORM calib_private.require_registered(p_job_id, v_run.task, p_result -> 'output_parameters');
  END IF;
  PERFORM calib_private.store_figures(p_task_run_id, p_figures);
  PERFORM calib_private.store_raw_data(p_task_run_id, p_raw_meta, p_raw_data);
  UPDATE calib_private.task_runs t SET status = p_status, ended_at = calib_private.now(),
    hardware_seconds = (p_result ->> 'hardware_seconds')::double precision,
    message = coalesce(p_result ->> 'message', ''), failure_kind = p_result ->> 'failure_kind',
    cause = coalesce(p_result ->> 'cause', ''), remedy = coalesce(p_result ->> 'remedy', ''),
    stack_trace = left(coalesce(p_result ->> 'stack_trace', ''), 10000),
      input_parameters = coalesce(p_result -> 'input_parameters', t.input_parameters),
    output_parameters = coalesce(p_result -> 'output_parameters', '{}'),
      run_parameters = coalesce(p_result -> 'run_parameters', t.run_parameters),
    quality_metrics = coalesce(p_result -> 'quality_metrics', '{}'), note = coalesce(p_result -> 'note', '{}')
   WHERE t.task_run_id = p_task_run_id;
  IF p_status = 'completed' AND coalesce((p_result ->> 'persist_output_parameters')::boolean, true) THEN
    PERFORM calib_private.store_outputs(p_task_run_id);
  END IF;
  PERFORM calib_private.count_tasks(p_job_id);
  PERFORM calib_private.write_event(p_job_id, 'task_' || p_status,
    jsonb_strip_nulls(jsonb_build_object('task', v_run.task, 'qid', v_run.qid, 'failure_kind',
      p_result ->> 'failure_kind')));
  PERFORM calib_private.mark_job(p_job_id);
END $$;
COMMENT ON FUNCTION calib.record_task(bigint, uuid, uuid, text, jsonb, jsonb, jsonb, bytea[]) IS
  'Ends a task run and stores all its results. p_result: object of columns of calib.task_runs and '
  'persist_output_parameters; p_figures: array of {name, plotly}; p_raw_meta: array of {name, dtype, '
  'shape, unit}, with the bytes in p_raw_data. If it completed, its outputs become parameters. For '
  'calib_notebook, calib_executor. Raises CQ001, CQ003, CQ007, CQ020, CQ040.';
