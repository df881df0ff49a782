-- Every verb refuses in words what it cannot use, whoever calls it: no constraint's name, no accident in the middle of a
-- function, and nothing that a terminal would obey.

-- Characters that move a cursor, colour a terminal, begin a line or turn the direction of reading. An E string means the
-- same whatever the client has set standard_conforming_strings to.
CREATE FUNCTION calib_private.one_line(p_text text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT regexp_replace(p_text, E'[\\x01-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]', '?', 'g') $$;

CREATE OR REPLACE FUNCTION calib_private.refuse(p_code text, p_column text, p_message text, p_hint text DEFAULT NULL,
                                                p_detail text DEFAULT NULL, p_constraint text DEFAULT NULL)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_column text := coalesce(p_column, ''); v_constraint text := coalesce(p_constraint, '');
  v_message text := calib_private.one_line(left(p_message, 600)); v_hint text := calib_private.one_line(left(p_hint, 600));
BEGIN
  IF v_hint IS NULL AND p_detail IS NULL THEN
    RAISE EXCEPTION '%', v_message USING ERRCODE = p_code, COLUMN = v_column, CONSTRAINT = v_constraint, SCHEMA = 'calib';
  ELSIF p_detail IS NULL THEN
    RAISE EXCEPTION '%', v_message USING ERRCODE = p_code, COLUMN = v_column, CONSTRAINT = v_constraint, SCHEMA = 'calib', HINT = v_hint;
  ELSIF v_hint IS NULL THEN
    RAISE EXCEPTION '%', v_message USING ERRCODE = p_code, COLUMN = v_column, CONSTRAINT = v_constraint, SCHEMA = 'calib', DETAIL = p_detail;
  ELSE
    RAISE EXCEPTION '%', v_message USING ERRCODE = p_code, COLUMN = v_column, CONSTRAINT = v_constraint, SCHEMA = 'calib', HINT = v_hint, DETAIL = p_detail;
  END IF;
END $$;

CREATE OR REPLACE FUNCTION calib_private.shown(p_text text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN p_text IS NULL THEN 'nothing'
                  ELSE '"' || calib_private.one_line(left(p_text, 60))
                       || CASE WHEN length(p_text) > 60 THEN '...' ELSE '' END || '"' END $$;

CREATE OR REPLACE FUNCTION calib_private.given_values(p_new calib.jobs) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'Nothing was stored. Row: ' || left(string_agg(e.key || ' ' || calib_private.one_line(left(e.value, 120)), ', '), 500)
    FROM jsonb_each_text(to_jsonb(p_new)) e WHERE e.value IS NOT NULL
$$;

-- Refuses a text that is absent or longer than it may be.
CREATE FUNCTION calib_private.require_text(p_name text, p_text text, p_least integer, p_most integer) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF coalesce(length(p_text), -1) NOT BETWEEN p_least AND p_most THEN
    PERFORM calib_private.refuse('CQ007', p_name, format('%s: expected %s to %s characters, got %s', p_name, p_least, p_most,
      CASE WHEN length(p_text) > 60 THEN length(p_text)::text ELSE calib_private.shown(p_text) END));
  END IF;
END $$;

-- ---------------------------------------------------------------------------------------------------- documents of executors

-- What the JSON arguments of the executors' verbs look like, in the words of our own validator.
CREATE FUNCTION calib_private.shape(p_of text) RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE p_of
    WHEN 'tasks' THEN '{"type": "array", "maxItems": 500000, "items": {"type": "object", "required": ["task", "qid", "task_type"], "properties": {
        "task": {"type": "string", "minLength": 1, "maxLength": 200}, "qid": {"type": "string", "maxLength": 200},
        "task_type": {"enum": ["qubit", "coupling", "global", "system"]},
        "repetition": {"type": ["integer", "null"], "minimum": 0, "maximum": 32767}}}}'::jsonb
    WHEN 'result' THEN '{"type": "object", "properties": {
        "hardware_seconds": {"type": ["number", "null"], "minimum": 0, "maximum": 1e9}, "persist_output_parameters": {"type": ["boolean", "null"]},
        "message": {"type": ["string", "null"], "maxLength": 10000}, "cause": {"type": ["string", "null"], "maxLength": 10000},
        "remedy": {"type": ["string", "null"], "maxLength": 10000}, "failure_kind": {"type": ["string", "null"]},
        "input_parameters": {"type": "object"}, "output_parameters": {"type": "object"}, "run_parameters": {"type": "object"},
        "quality_metrics": {"type": "object"}, "note": {"type": "object"}}}'
    WHEN 'figures' THEN '{"type": "array", "maxItems": 1000, "items": {"type": "object", "required": ["name", "plotly"], "properties": {
        "name": {"type": "string", "maxLength": 200}, "plotly": {"type": "string"}}}}'
    WHEN 'raw_meta' THEN '{"type": "array", "maxItems": 1000, "items": {"type": "object", "required": ["name", "dtype", "shape", "unit"], "properties": {
        "name": {"type": "string", "maxLength": 200}, "dtype": {"type": "string", "maxLength": 200}, "unit": {"type": "string", "maxLength": 200},
        "shape": {"type": "array", "maxItems": 32, "items": {"type": "integer", "minimum": 0, "maximum": 2147483647}}}}}'
    WHEN 'flow' THEN '{"type": "object", "required": ["flow", "repeatable", "schema", "timeout_seconds"], "properties": {
        "flow": {"type": "string"}, "description": {"type": ["string", "null"], "maxLength": 10000}, "repeatable": {"type": "boolean"},
        "timeout_seconds": {"type": "integer", "minimum": 1, "maximum": 604800}, "on_cancellation": {"type": "array", "items": {"type": "string"}}}}'
    WHEN 'task' THEN '{"type": "object", "required": ["task", "task_type", "schema", "input_parameters", "output_parameters"], "properties": {
        "task": {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9]{0,62}$"}, "task_type": {"enum": ["qubit", "coupling", "global", "system"]},
        "description": {"type": ["string", "null"], "maxLength": 10000},
        "input_parameters": {"type": "array", "maxItems": 1000, "items": {"type": "string", "maxLength": 200}},
        "output_parameters": {"type": "array", "maxItems": 1000, "items": {"type": "string", "maxLength": 200}}}}'
    WHEN 'object' THEN '{"type": "object"}' WHEN 'array' THEN '{"type": "array"}' END
$$;

CREATE FUNCTION calib_private.require_shape(p_name text, p_value jsonb, p_shape text, p_code text DEFAULT 'CQ007') RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_schema jsonb := calib_private.shape(p_shape); v_wrong text;
BEGIN
  IF p_value IS NULL THEN
    v_wrong := format('%s: expected %s, got nothing', p_name, v_schema ->> 'type');
  ELSIF calib_private.unreadable(p_value) IS NOT NULL THEN
    v_wrong := format('%s: %s', p_name, calib_private.unreadable(p_value));
  ELSE
    v_wrong := (calib_private.check_value(p_value, v_schema, v_schema, p_name, NULL)).message;
  END IF;
  IF v_wrong IS NOT NULL THEN PERFORM calib_private.refuse(p_code, p_name, v_wrong); END IF;
END $$;

CREATE OR REPLACE FUNCTION calib.register_executor(p_executor_id text, p_chip_id text, p_backend text, p_host text, p_pid integer, p_version text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_chip calib_private.chips := calib_private.require_chip(p_chip_id);
BEGIN
  PERFORM calib_private.require_executor_permission(p_chip_id);
  PERFORM calib_private.require_backend(v_chip, p_backend);
  PERFORM calib_private.require_text('executor_id', p_executor_id, 1, 200);
  PERFORM calib_private.require_text('host', p_host, 1, 255);
  PERFORM calib_private.require_text('version', p_version, 1, 200);
  IF p_pid IS NULL THEN PERFORM calib_private.refuse('CQ007', 'pid', 'pid: expected the number of a process, got nothing'); END IF;
  INSERT INTO calib_private.executors (executor_id, chip_id, role_name, host, pid, version, started_at, last_seen_at)
  VALUES (p_executor_id, p_chip_id, calib_private.actor(), p_host, p_pid, p_version, calib_private.now(), calib_private.now())
  ON CONFLICT (executor_id) DO UPDATE SET last_seen_at = excluded.last_seen_at, stopped_at = NULL
    WHERE calib_private.executors.chip_id = excluded.chip_id AND calib_private.executors.role_name = excluded.role_name;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ021', 'executor_id', format('executor %s belongs to another chip or role', calib_private.shown(p_executor_id)));
  END IF;
END $$;

CREATE OR REPLACE FUNCTION calib.executor_seen(p_executor_id text, p_condition text DEFAULT 'ready') RETURNS void LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE calib_private.executors e SET last_seen_at = calib_private.now(), condition = left(coalesce(p_condition, 'ready'), 200)
   WHERE e.executor_id = p_executor_id AND calib_private.actor_is(e.role_name)
$$;

CREATE OR REPLACE FUNCTION calib_private.register_flow(p_chip_id text, p_version text, p_flow jsonb) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_name text := p_flow ->> 'flow'; v_bad text;
BEGIN
  IF v_name IS NULL OR v_name !~ '^[a-z][a-z0-9_]{0,62}$' THEN
    PERFORM calib_private.refuse('CQ022', 'flow', format('flow name: expected lower-case letters, digits and _, got %s', calib_private.shown(v_name)));
  ELSIF NOT coalesce(p_flow -> 'on_cancellation', '[]') ? 'on_flow_cancellation' THEN
    PERFORM calib_private.refuse('CQ022', 'flow', format('flow "%s" does not register on_flow_cancellation', v_name),
      'Decorate it with @flow(on_cancellation=[on_flow_cancellation]).');
  END IF;
  PERFORM calib_private.require_shape('flow ' || v_name, p_flow, 'flow', 'CQ022');
  v_bad := calib_private.unsupported_keyword(p_flow -> 'schema');
  IF v_bad IS NOT NULL THEN
    PERFORM calib_private.refuse('CQ022', 'schema', format('flow "%s": its schema uses %s, which the database cannot check', v_name, v_bad));
  END IF;
  INSERT INTO calib_private.flows AS f (chip_id, flow, description, schema, repeatable, timeout_seconds, version, registered_by, registered_at)
  VALUES (p_chip_id, v_name, coalesce(p_flow ->> 'description', ''), p_flow -> 'schema', (p_flow ->> 'repeatable')::boolean,
          (p_flow ->> 'timeout_seconds')::numeric::integer, p_version, calib_private.actor(), calib_private.now())
  ON CONFLICT (chip_id, flow) DO UPDATE SET description = excluded.description, schema = excluded.schema,
     repeatable = excluded.repeatable, timeout_seconds = excluded.timeout_seconds, version = excluded.version,
     registered_by = excluded.registered_by, registered_at = excluded.registered_at;
END $$;

CREATE OR REPLACE FUNCTION calib_private.register_task(p_chip_id text, p_version text, p_task jsonb) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_bad text;
BEGIN
  PERFORM calib_private.require_shape('task', p_task, 'task', 'CQ022');
  v_bad := calib_private.unsupported_keyword(p_task -> 'schema');
  IF v_bad IS NOT NULL THEN
    PERFORM calib_private.refuse('CQ022', 'schema', format('task "%s": its schema uses %s, which the database cannot check', p_task ->> 'task', v_bad));
  END IF;
  INSERT INTO calib_private.tasks AS t (chip_id, task, task_type, description, schema, input_parameters, output_parameters,
                                        version, registered_by, registered_at)
  VALUES (p_chip_id, p_task ->> 'task', p_task ->> 'task_type', coalesce(p_task ->> 'description', ''), p_task -> 'schema',
          ARRAY(SELECT jsonb_array_elements_text(p_task -> 'input_parameters')),
          ARRAY(SELECT jsonb_array_elements_text(p_task -> 'output_parameters')), p_version, calib_private.actor(), calib_private.now())
  ON CONFLICT (chip_id, task) DO UPDATE SET task_type = excluded.task_type, description = excluded.description,
     schema = excluded.schema, input_parameters = excluded.input_parameters, output_parameters = excluded.output_parameters,
     version = excluded.version, registered_by = excluded.registered_by, registered_at = excluded.registered_at;
END $$;

CREATE OR REPLACE FUNCTION calib.register_catalogue(p_chip_id text, p_backend text, p_version text, p_flows jsonb, p_tasks jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_chip calib_private.chips := calib_private.require_chip(p_chip_id); v_item jsonb;
BEGIN
  PERFORM calib_private.require_executor_permission(p_chip_id);
  PERFORM calib_private.require_backend(v_chip, p_backend);
  PERFORM calib_private.require_text('version', p_version, 1, 200);
  PERFORM calib_private.require_shape('flows', p_flows, 'array', 'CQ022');
  PERFORM calib_private.require_shape('tasks', p_tasks, 'array', 'CQ022');
  FOR v_item IN SELECT * FROM jsonb_array_elements(p_flows) LOOP
    PERFORM calib_private.register_flow(p_chip_id, p_version, v_item);
  END LOOP;
  FOR v_item IN SELECT * FROM jsonb_array_elements(p_tasks) LOOP
    PERFORM calib_private.register_task(p_chip_id, p_version, v_item);
  END LOOP;
  DELETE FROM calib_private.flows f WHERE f.chip_id = p_chip_id AND NOT p_flows @> jsonb_build_array(jsonb_build_object('flow', f.flow));
  DELETE FROM calib_private.tasks t WHERE t.chip_id = p_chip_id AND NOT p_tasks @> jsonb_build_array(jsonb_build_object('task', t.task));
END $$;

-- ---------------------------------------------------------------------------------------------------- a running job

CREATE OR REPLACE FUNCTION calib.log_event(p_job_id bigint, p_fence bigint, p_event text, p_detail jsonb DEFAULT '{}') RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.hold_lease(p_job_id, p_fence);
  IF p_event IS NULL OR p_event NOT IN ('flow_started', 'stop_requested', 'sigterm', 'sigkill', 'child_exited', 'hook_ran') THEN
    PERFORM calib_private.refuse('CQ007', 'event', format('event: an executor may not write %s itself', calib_private.shown(p_event)));
  END IF;
  PERFORM calib_private.require_shape('detail', coalesce(p_detail, '{}'), 'object');
  PERFORM calib_private.write_event(p_job_id, p_event, p_detail);
END $$;

CREATE OR REPLACE FUNCTION calib.quiesced(p_job_id bigint, p_fence bigint, p_detail jsonb DEFAULT '{}') RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_lease calib_private.leases := calib_private.hold_lease(p_job_id, p_fence);
BEGIN
  PERFORM calib_private.require_shape('detail', coalesce(p_detail, '{}'), 'object');
  UPDATE calib_private.leases l SET dirty = false WHERE l.chip_id = v_lease.chip_id;
  PERFORM calib_private.write_event(p_job_id, 'quiesced', p_detail);
END $$;

CREATE OR REPLACE FUNCTION calib.plan_tasks(p_job_id bigint, p_fence bigint, p_tasks jsonb) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.hold_lease(p_job_id, p_fence);
  PERFORM calib_private.require_shape('tasks', p_tasks, 'tasks');
  INSERT INTO calib_private.task_runs (job_id, attempt, task, qid, repetition, task_type, ordinal)
  SELECT j.job_id, j.attempt, e.item ->> 'task', e.item ->> 'qid', coalesce((e.item ->> 'repetition')::numeric::smallint, 0), e.item ->> 'task_type', j.tasks_total + e.n
    FROM calib_private.jobs j, jsonb_array_elements(p_tasks) WITH ORDINALITY AS e(item, n) WHERE j.job_id = p_job_id
  ON CONFLICT (job_id, attempt, task, qid, repetition) DO NOTHING;
  PERFORM calib_private.count_tasks(p_job_id);
  PERFORM calib_private.mark_job(p_job_id);
END $$;

CREATE OR REPLACE FUNCTION calib.start_task(p_job_id bigint, p_fence bigint, p_task text, p_qid text, p_task_type text, p_repetition integer,
                                            p_upstream_id uuid, p_input_parameters jsonb, p_run_parameters jsonb) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_id uuid; v_new boolean;
BEGIN
  PERFORM calib_private.hold_lease(p_job_id, p_fence);
  PERFORM calib_private.require_shape('tasks', jsonb_build_array(jsonb_build_object('task', p_task, 'qid', p_qid, 'task_type', p_task_type,
    'repetition', p_repetition)), 'tasks');
  PERFORM calib_private.require_shape('input_parameters', p_input_parameters, 'object');
  PERFORM calib_private.require_shape('run_parameters', p_run_parameters, 'object');
  INSERT INTO calib_private.task_runs AS t (job_id, attempt, task, qid, repetition, task_type, ordinal, status, started_at, upstream_id, input_parameters, run_parameters)
  SELECT j.job_id, j.attempt, p_task, p_qid, coalesce(p_repetition, 0), p_task_type, j.tasks_total + 1, 'running', calib_private.now(), p_upstream_id, p_input_parameters, p_run_parameters
    FROM calib_private.jobs j WHERE j.job_id = p_job_id
  ON CONFLICT (job_id, attempt, task, qid, repetition) DO UPDATE SET status = 'running', started_at = coalesce(t.started_at, excluded.started_at),
     upstream_id = excluded.upstream_id, input_parameters = excluded.input_parameters, run_parameters = excluded.run_parameters
  RETURNING t.task_run_id, t.xmax = 0 INTO v_id, v_new;
  IF v_new THEN PERFORM calib_private.count_tasks(p_job_id); ELSE PERFORM calib_private.touch_job(p_job_id); END IF;
  PERFORM calib_private.mark_job(p_job_id);
  RETURN v_id;
END $$;

CREATE OR REPLACE FUNCTION calib_private.store_figures(p_task_run_id uuid, p_figures jsonb) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_item jsonb; v_n smallint := 0;
BEGIN
  PERFORM calib_private.require_shape('figures', coalesce(p_figures, '[]'), 'figures');
  FOR v_item IN SELECT * FROM jsonb_array_elements(coalesce(p_figures, '[]')) LOOP
    IF octet_length(v_item ->> 'plotly') > 16777216 THEN
      PERFORM calib_private.refuse('CQ040', 'figures', format('figure "%s": expected at most 16 MiB of Plotly JSON, got %s bytes', v_item ->> 'name', octet_length(v_item ->> 'plotly')));
    END IF;
    INSERT INTO calib_private.figures (task_run_id, ordinal, name, plotly) VALUES (p_task_run_id, v_n, v_item ->> 'name', (v_item ->> 'plotly')::json);
    v_n := v_n + 1;
  END LOOP;
EXCEPTION WHEN invalid_text_representation OR untranslatable_character OR statement_too_complex THEN
  PERFORM calib_private.refuse('CQ007', 'figures', format('figure "%s": expected Plotly JSON, got no JSON that can be kept', v_item ->> 'name'));
END $$;

CREATE OR REPLACE FUNCTION calib_private.store_raw_data(p_task_run_id uuid, p_raw_meta jsonb, p_raw_data bytea[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_item jsonb; v_n integer := 0;
BEGIN
  PERFORM calib_private.require_shape('raw_meta', coalesce(p_raw_meta, '[]'), 'raw_meta');
  IF array_ndims(p_raw_data) > 1 OR array_lower(p_raw_data, 1) <> 1 OR array_position(p_raw_data, NULL) IS NOT NULL
     OR coalesce(cardinality(p_raw_data), 0) <> jsonb_array_length(coalesce(p_raw_meta, '[]')) THEN
    PERFORM calib_private.refuse('CQ007', 'raw_data', format('raw_data: expected one byte string for each of the %s items of raw_meta', jsonb_array_length(coalesce(p_raw_meta, '[]'))));
  END IF;
  FOR v_item IN SELECT * FROM jsonb_array_elements(coalesce(p_raw_meta, '[]')) LOOP
    v_n := v_n + 1;
    IF octet_length(p_raw_data[v_n]) > 67108864 THEN
      PERFORM calib_private.refuse('CQ040', 'raw_data', format('raw data "%s": expected at most 64 MiB, got %s bytes', v_item ->> 'name', octet_length(p_raw_data[v_n])));
    END IF;
    INSERT INTO calib_private.raw_data (task_run_id, ordinal, name, dtype, shape, unit, data)
    VALUES (p_task_run_id, v_n - 1, v_item ->> 'name', v_item ->> 'dtype', ARRAY(SELECT jsonb_array_elements_text(v_item -> 'shape')::numeric::integer),
            v_item ->> 'unit', p_raw_data[v_n]);
  END LOOP;
END $$;

CREATE OR REPLACE FUNCTION calib.record_task(p_job_id bigint, p_fence bigint, p_task_run_id uuid, p_status text, p_result jsonb,
                                  p_figures jsonb DEFAULT '[]', p_raw_meta jsonb DEFAULT '[]', p_raw_data bytea[] DEFAULT '{}')
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_run calib_private.task_runs;
BEGIN
  PERFORM calib_private.hold_lease(p_job_id, p_fence);
  PERFORM calib_private.require_shape('result', p_result, 'result');
  SELECT t.* INTO v_run FROM calib_private.task_runs t JOIN calib_private.jobs j USING (job_id, attempt)
   WHERE t.task_run_id = p_task_run_id AND t.job_id = p_job_id;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ001', 'task_run_id', format('unknown task run %s of job %s', p_task_run_id, p_job_id));
  ELSIF v_run.ended_at IS NOT NULL AND v_run.status = p_status THEN
    RETURN;   -- asked again because the first answer was lost
  ELSIF p_status IS NULL OR p_status NOT IN ('completed', 'failed', 'cancelled', 'skipped') THEN
    PERFORM calib_private.refuse('CQ007', 'status', format('status: expected completed, failed, cancelled or skipped, got %s', calib_private.shown(p_status)));
  ELSIF (p_status = 'failed') <> (p_result ->> 'failure_kind' IS NOT NULL) OR NOT calib_private.is_failure_kind(p_result ->> 'failure_kind') THEN
    PERFORM calib_private.refuse('CQ007', 'failure_kind', format('failure_kind: expected one of the closed list with status failed, and only with it, got %s with %s',
      calib_private.shown(p_result ->> 'failure_kind'), p_status));
  END IF;
  PERFORM calib_private.store_figures(p_task_run_id, p_figures);
  PERFORM calib_private.store_raw_data(p_task_run_id, p_raw_meta, p_raw_data);
  UPDATE calib_private.task_runs t SET status = p_status, ended_at = calib_private.now(),
         hardware_seconds = (p_result ->> 'hardware_seconds')::double precision, message = coalesce(p_result ->> 'message', ''),
         failure_kind = p_result ->> 'failure_kind', cause = coalesce(p_result ->> 'cause', ''), remedy = coalesce(p_result ->> 'remedy', ''),
         stack_trace = left(coalesce(p_result ->> 'stack_trace', ''), 10000),
         input_parameters = coalesce(p_result -> 'input_parameters', t.input_parameters), output_parameters = coalesce(p_result -> 'output_parameters', '{}'),
         run_parameters = coalesce(p_result -> 'run_parameters', t.run_parameters), quality_metrics = coalesce(p_result -> 'quality_metrics', '{}'),
         note = coalesce(p_result -> 'note', '{}')
   WHERE t.task_run_id = p_task_run_id;
  IF p_status = 'completed' AND coalesce((p_result ->> 'persist_output_parameters')::boolean, true) THEN
    PERFORM calib_private.store_outputs(p_task_run_id);
  END IF;
  PERFORM calib_private.count_tasks(p_job_id);
  PERFORM calib_private.write_event(p_job_id, 'task_' || p_status, jsonb_strip_nulls(jsonb_build_object('task', v_run.task, 'qid', v_run.qid,
    'failure_kind', p_result ->> 'failure_kind')));
  PERFORM calib_private.mark_job(p_job_id);
END $$;

-- Rows that every chip's running jobs write too: the marks of the outbox, and the day's counter of execution ids. Whoever
-- writes one and leaves the transaction open is ended by the server, by whatever function it came.
CREATE FUNCTION calib_private.bound_writer() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.bound_transaction();
  RETURN NULL;
END $$;
CREATE TRIGGER bound_writer BEFORE UPDATE OR DELETE ON calib_private.outbox FOR EACH STATEMENT EXECUTE FUNCTION calib_private.bound_writer();
CREATE TRIGGER bound_writer BEFORE INSERT ON calib_private.execution_counters FOR EACH STATEMENT EXECUTE FUNCTION calib_private.bound_writer();

-- ---------------------------------------------------------------------------------------------------- mirror and administrator

CREATE OR REPLACE FUNCTION calib.unrendered_figures(p_max integer) RETURNS TABLE (figure_id bigint, job_id bigint, plotly json) LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT f.figure_id, t.job_id, f.plotly FROM calib_private.figures f JOIN calib_private.task_runs t USING (task_run_id)
   WHERE f.png IS NULL AND f.render_error IS NULL ORDER BY f.figure_id LIMIT greatest(p_max, 0)
$$;

CREATE OR REPLACE FUNCTION calib.add_project(p_project_id text, p_description text DEFAULT '') RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_project_id IS NULL OR p_project_id !~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$' THEN
    PERFORM calib_private.refuse('CQ007', 'project_id', format('project_id: expected 1 to 63 letters, digits, _ and -, got %s', calib_private.shown(p_project_id)));
  END IF;
  PERFORM calib_private.require_text('description', coalesce(p_description, ''), 0, 10000);
  INSERT INTO calib_private.projects (project_id, description, created_by) VALUES (p_project_id, coalesce(p_description, ''), calib_private.actor())
  ON CONFLICT (project_id) DO NOTHING;
END $$;
