-- Executors make themselves and their catalogue of flows and tasks known.

CREATE OR REPLACE FUNCTION calib_private.may_execute(p_chip_id text)
RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN EXISTS (SELECT FROM calib_private.executor_permissions p WHERE p.chip_id = p_chip_id
    AND calib_private.actor_is(p.role_name));
END $$;

CREATE OR REPLACE FUNCTION calib_private.require_executor_permission(p_chip_id text)
RETURNS void LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.require_speaker();
  IF NOT calib_private.may_execute(p_chip_id) THEN
    PERFORM calib_private.refuse('CQ021', 'chip_id',
      format('%s may not execute on chip %s', calib_private.actor(), calib_private.shown(p_chip_id)),
        format('Ask an administrator: qdash-queue executors allow %s %s.', calib_private.actor(), p_chip_id));
  END IF;
END $$;

CREATE OR REPLACE FUNCTION calib_private.require_backend(p_chip calib_private.chips, p_backend text)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_chip.backend IS DISTINCT FROM p_backend THEN
    PERFORM calib_private.refuse('CQ021', 'backend',
      format('chip "%s" is driven by backend "%s": an executor of backend %s is refused, so that simulated '
      'values never enter a real chip''s history', p_chip.chip_id, p_chip.backend,
        calib_private.shown(p_backend)));
  END IF;
END $$;

CREATE OR REPLACE FUNCTION calib_private.require_executor(p_executor_id text, p_chip_id text)
RETURNS void LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.require_speaker();
  PERFORM FROM calib_private.executors e JOIN calib_private.executor_permissions p USING (chip_id)
    WHERE e.executor_id = p_executor_id AND e.chip_id = p_chip_id
      AND calib_private.actor_is(e.role_name) AND calib_private.actor_is(p.role_name);
  IF FOUND THEN RETURN; END IF;
  PERFORM calib_private.require_executor_permission(p_chip_id);
  PERFORM calib_private.refuse('CQ021', 'executor_id',
    format('executor %s is not registered for chip "%s"', calib_private.shown(p_executor_id), p_chip_id));
END $$;

CREATE OR REPLACE FUNCTION calib.register_executor(p_executor_id text, p_chip_id text, p_backend text,
  p_host text, p_pid integer, p_version text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_chip calib_private.chips;
BEGIN
  PERFORM calib_private.require_speaker();
  v_chip := calib_private.require_chip(p_chip_id);
  PERFORM calib_private.require_executor_permission(p_chip_id);
  PERFORM calib_private.require_in_use(v_chip);
  PERFORM calib_private.require_backend(v_chip, p_backend);
  PERFORM calib_private.require_text('executor_id', p_executor_id, 1, 200);
  PERFORM calib_private.require_text('host', p_host, 1, 255);
  PERFORM calib_private.require_text('version', p_version, 1, 200);
  IF p_pid IS NULL THEN PERFORM calib_private.refuse('CQ007', 'pid',
      'pid: expected the number of a process, got nothing'); END IF;
  INSERT INTO calib_private.executors (executor_id, chip_id, role_name, host, pid, version, condition,
    started_at, last_seen_at)
  VALUES (p_executor_id, p_chip_id, calib_private.actor_role(), p_host, p_pid, p_version, 'starting',
    calib_private.now(), calib_private.now())
  ON CONFLICT (executor_id) DO UPDATE SET last_seen_at = excluded.last_seen_at, stopped_at = NULL
    WHERE calib_private.executors.chip_id = excluded.chip_id
        AND calib_private.executors.role_name = excluded.role_name;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ021', 'executor_id',
      format('executor %s belongs to another chip or role', calib_private.shown(p_executor_id)));
  END IF;
END $$;
COMMENT ON FUNCTION calib.register_executor(text, text, text, text, integer, text) IS
  'Makes the start of an executor process known, or known again; its condition is starting until it tells '
  'another. For calib_notebook, calib_executor. '
  'Raises CQ001, CQ003, CQ007, CQ010, CQ021 (not allowed on the chip, wrong backend, or an id of another '
  'role).';

CREATE OR REPLACE FUNCTION calib.executor_seen(p_executor_id text, p_condition text DEFAULT 'ready')
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib_private.require_speaker();
  UPDATE calib_private.executors e SET last_seen_at = calib_private.now(),
      condition = left(coalesce(p_condition, 'ready'), 200)
   WHERE e.executor_id = p_executor_id AND calib_private.actor_is(e.role_name)
     AND calib_private.may_execute(e.chip_id)
$$;
COMMENT ON FUNCTION calib.executor_seen(text, text) IS
  'Sign of life, at least every 30 seconds. p_condition: ready, or why no job is taken. Does nothing for '
  'an executor of another role. For calib_executor. Raises CQ003.';

CREATE OR REPLACE FUNCTION calib.executor_stopped(p_executor_id text)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib_private.require_speaker();
  UPDATE calib_private.executors e SET stopped_at = calib_private.now()
   WHERE e.executor_id = p_executor_id AND calib_private.actor_is(e.role_name)
$$;
COMMENT ON FUNCTION calib.executor_stopped(text) IS
  'Notes that the executor stops. Does nothing for an executor of another role. For calib_notebook, '
  'calib_executor. Raises CQ003.';

CREATE OR REPLACE FUNCTION calib_private.register_flow(p_chip_id text, p_version text, p_flow jsonb)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_name text := p_flow ->> 'flow';
BEGIN
  IF v_name IS NULL OR v_name !~ '^[a-z][a-z0-9_-]{0,62}$' THEN
    PERFORM calib_private.refuse('CQ022', 'flow',
      format('flow name: expected lower-case letters, digits, _ and -, got %s', calib_private.shown(v_name)));
  ELSIF NOT coalesce(p_flow -> 'on_cancellation', '[]') ? 'on_flow_cancellation' THEN
    PERFORM calib_private.refuse('CQ022', 'flow',
      format('flow "%s" does not register on_flow_cancellation', v_name),
        'Decorate it with @flow(on_cancellation=[on_flow_cancellation]).');
  END IF;
  PERFORM calib_private.require_shape('flow ' || v_name, p_flow, 'flow', 'CQ022');
  INSERT INTO calib_private.flows AS f (chip_id, flow, description, schema, repeatable, timeout_seconds,
    version, registered_by, registered_at)
  VALUES (p_chip_id, v_name, coalesce(p_flow ->> 'description', ''),
    calib_private.flat_schema(p_flow -> 'schema', format('flow "%s"', v_name)),
    (p_flow ->> 'repeatable')::boolean, (p_flow ->> 'timeout_seconds')::numeric::integer, p_version,
      calib_private.actor(), calib_private.now())
  ON CONFLICT (chip_id, flow) DO UPDATE SET description = excluded.description, schema = excluded.schema,
     repeatable = excluded.repeatable, timeout_seconds = excluded.timeout_seconds, version = excluded.version,
     registered_by = excluded.registered_by, registered_at = excluded.registered_at;
END $$;

CREATE OR REPLACE FUNCTION calib_private.register_task(p_chip_id text, p_version text, p_task jsonb)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.require_shape('task', p_task, 'task', 'CQ022');
  INSERT INTO calib_private.tasks AS t (chip_id, task, task_type, description, schema, input_parameters,
    output_parameters, outputs, version, registered_by, registered_at)
  VALUES (p_chip_id, p_task ->> 'task', p_task ->> 'task_type', coalesce(p_task ->> 'description', ''),
    calib_private.flat_schema(p_task -> 'schema', format('task "%s"', p_task ->> 'task')),
    ARRAY(SELECT jsonb_array_elements_text(p_task -> 'input_parameters')),
    ARRAY(SELECT jsonb_array_elements_text(p_task -> 'output_parameters')),
    coalesce(nullif(p_task -> 'outputs', '[]'), (SELECT jsonb_agg(jsonb_build_object('name', n))
        FROM jsonb_array_elements_text(p_task -> 'output_parameters') n), '[]'),
    p_version, calib_private.actor(), calib_private.now())
  ON CONFLICT (chip_id, task) DO UPDATE SET task_type = excluded.task_type,
    description = excluded.description,
     schema = excluded.schema, input_parameters = excluded.input_parameters,
     output_parameters = excluded.output_parameters, outputs = excluded.outputs, version = excluded.version,
       registered_by = excluded.registered_by, registered_at = excluded.registered_at;
END $$;

CREATE OR REPLACE FUNCTION calib.register_catalogue(p_chip_id text, p_backend text, p_version text,
  p_flows jsonb, p_tasks jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_chip calib_private.chips; v_item jsonb;
BEGIN
  PERFORM calib_private.require_speaker();
  v_chip := calib_private.require_chip(p_chip_id);
  PERFORM calib_private.require_executor_permission(p_chip_id);
  PERFORM calib_private.require_role('calib_executor');
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
  DELETE FROM calib_private.flows f WHERE f.chip_id = p_chip_id
    AND NOT p_flows @> jsonb_build_array(jsonb_build_object('flow', f.flow));
  DELETE FROM calib_private.tasks t WHERE t.chip_id = p_chip_id
    AND NOT p_tasks @> jsonb_build_array(jsonb_build_object('task', t.task));
END $$;
COMMENT ON FUNCTION calib.register_catalogue(text, text, text, jsonb, jsonb) IS
  'Replaces the chip''s flows and tasks. p_flows: array of {flow, schema, repeatable, timeout_seconds, '
  'on_cancellation, description}; p_tasks: array of {task, task_type, schema, input_parameters, '
  'output_parameters, outputs, description}; outputs: array of {name, unit, kind, lower, upper}. For '
  'calib_executor. Raises CQ001, CQ003, CQ007, CQ021, CQ022.';
