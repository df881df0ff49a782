-- Calibrated values as non-overlapping ranges of validity. A version comes from a passing task run, or from
-- an import, edit or revert with a reason.

CREATE OR REPLACE FUNCTION calib_private.guard_origin()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.source <> 'task' THEN RETURN NEW; END IF;
  SELECT j.job_id, j.execution_id INTO NEW.job_id, NEW.execution_id FROM calib_private.task_runs t
      JOIN calib_private.jobs j USING (job_id)
   WHERE t.task_run_id = NEW.task_run_id AND t.status = 'completed';
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ010', 'task_run_id',
      format('parameter %s of qid "%s": expected a completed task run as its origin', NEW.name, NEW.qid));
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER guard_origin BEFORE INSERT ON calib_private.parameter_versions FOR EACH ROW
  EXECUTE FUNCTION calib_private.guard_origin();

-- Of a coupling "0-1", an output with role control or target belongs to that qubit.
CREATE OR REPLACE FUNCTION calib_private.parameter_owner(p_chip_id text, p_qid text, p_role text)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(substring(p_role FROM '^[0-9]+$'),
    (SELECT CASE p_role WHEN 'control' THEN split_part(p_qid, '-', 1)
      WHEN 'target' THEN split_part(p_qid, '-', 2) END FROM calib_private.couplings k
      WHERE k.chip_id = p_chip_id AND k.qid = ANY (calib_private.in_both_directions(p_qid))), p_qid)
$$;

CREATE OR REPLACE FUNCTION calib_private.finite_number(p_value jsonb, p_key text, p_name text)
RETURNS double precision LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF jsonb_typeof(p_value -> p_key) IS DISTINCT FROM 'number' THEN
    PERFORM calib_private.refuse('CQ007', p_key,
      format('parameter %s: expected a finite number as %s, got %s', p_name, p_key,
      coalesce(left((p_value -> p_key)::text, 40), 'nothing')));
  END IF;
  RETURN (p_value ->> p_key)::double precision;
EXCEPTION WHEN numeric_value_out_of_range THEN
  PERFORM calib_private.refuse('CQ007', p_key,
    format('parameter %s: expected a finite number as %s, got one that is too large or too small', p_name,
    p_key));
  RETURN NULL;
END $$;

-- Versions of one qubit or coupling are written by one transaction at a time, in one order for all: two
-- writers of the same value would otherwise both end what is in force and both begin anew.
CREATE OR REPLACE FUNCTION calib_private.lock_owners(p_chip_id text, p_qids text[])
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM FROM calib_private.qubits q WHERE q.chip_id = p_chip_id AND q.qid = ANY (p_qids) ORDER BY q.qid
    FOR NO KEY UPDATE;
  PERFORM FROM calib_private.couplings k WHERE k.chip_id = p_chip_id AND k.qid = ANY (
      ARRAY(SELECT unnest(calib_private.in_both_directions(q)) FROM unnest(p_qids) q)) ORDER BY k.qid
    FOR NO KEY UPDATE;
END $$;

-- The caller holds the qubit or coupling by lock_owners().
CREATE OR REPLACE FUNCTION calib_private.put_parameter(p_chip_id text, p_qid text, p_name text, p_value jsonb,
  p_source text, p_task_run_id uuid, p_reason text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_now timestamptz; v_from timestamptz;
  v_value double precision := calib_private.finite_number(p_value, 'value', p_name);
  v_error double precision := CASE WHEN p_value ? 'error' THEN calib_private.finite_number(p_value, 'error',
    p_name) ELSE 0 END;
BEGIN
  IF NOT EXISTS (SELECT FROM calib_private.qubits q WHERE q.chip_id = p_chip_id AND q.qid = p_qid
    UNION ALL SELECT FROM calib_private.couplings k
      WHERE k.chip_id = p_chip_id AND k.qid = ANY (calib_private.in_both_directions(p_qid))) THEN
    PERFORM calib_private.refuse('CQ001', 'qid', format('chip "%s" has no qubit or coupling %s', p_chip_id,
      calib_private.shown(p_qid)));
  ELSIF p_name IS NULL OR p_name !~ '^[a-z][a-z0-9_]{0,62}$' THEN
    PERFORM calib_private.refuse('CQ007', 'name',
      format('parameter name: expected lower-case letters, digits and _, got %s',
      calib_private.shown(p_name)));
  ELSIF v_error < 0 THEN
    PERFORM calib_private.refuse('CQ007', 'error',
      format('parameter %s: expected an error of at least 0, got %s', p_name, v_error));
  ELSIF p_value ->> 'value_type' = 'int' AND v_value <> trunc(v_value) THEN
    PERFORM calib_private.refuse('CQ007', 'value',
      format('parameter %s: expected a whole number, as its value_type is int, got %s', p_name, v_value));
  END IF;
  v_now := calib_private.now();
  UPDATE calib_private.parameter_versions p SET valid = tstzrange(lower(p.valid),
      greatest(v_now, lower(p.valid) + interval '1 microsecond'))
   WHERE p.chip_id = p_chip_id AND p.qid = p_qid AND p.name = p_name AND upper_inf(p.valid)
       RETURNING upper(p.valid) INTO v_from;
  INSERT INTO calib_private.parameter_versions (chip_id, qid, name, value, value_type, error, unit,
    description, valid, source, task_run_id, actor, reason)
  VALUES (p_chip_id, p_qid, p_name, v_value, CASE WHEN p_value ->> 'value_type' = 'int' THEN 'int'
    ELSE 'float' END, v_error, coalesce(p_value ->> 'unit', ''), coalesce(p_value ->> 'description', ''),
    tstzrange(coalesce(v_from, v_now), NULL), p_source, p_task_run_id, calib_private.actor(), p_reason);
END $$;

CREATE OR REPLACE FUNCTION calib_private.require_reason(p_reason text)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF coalesce(length(trim(p_reason)), 0) NOT BETWEEN 1 AND 1000 THEN
    PERFORM calib_private.refuse('CQ007', 'reason',
      'reason: expected 1 to 1000 characters that say why');
  END IF;
END $$;

-- Checks the right to change values by hand, and the reason; leaves the qubits and couplings locked.
CREATE OR REPLACE FUNCTION calib_private.begin_edit(p_what text, p_chip_id text, p_qids text[], p_reason text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.require_operator(p_what);
  PERFORM calib_private.require_chip(p_chip_id);
  PERFORM calib_private.require_reason(p_reason);
  PERFORM calib_private.bound_transaction();
  PERFORM calib_private.lock_owners(p_chip_id, p_qids);
END $$;

-- Refuses unknown names in an import: with a misspelt "erorr" an uncertain value would look exact.
CREATE OR REPLACE FUNCTION calib_private.require_known_names(p_name text, p_value jsonb)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  -- As QDash stores a value; where it comes from is noted anew.
  v_known text[] := ARRAY['value', 'error', 'unit', 'value_type', 'description', 'parameter_name', 'qid_role',
    'calibrated_at', 'execution_id', 'task_id'];
  v_key text;
BEGIN
  IF jsonb_typeof(p_value) <> 'object' THEN RETURN; END IF;
  FOR v_key IN SELECT k FROM jsonb_object_keys(p_value) k WHERE k <> ALL (v_known) ORDER BY k LOOP
    PERFORM calib_private.refuse('CQ007', 'values',
      format('parameter %s: unknown name %s%s', left(p_name, 64), calib_private.shown(v_key),
        calib_private.suggestion(v_key, v_known[1:5])));
  END LOOP;
END $$;

-- extra_float_digits is the client's: set low, it would round the value on its way through JSON.
CREATE OR REPLACE FUNCTION calib.set_parameter(p_chip_id text, p_qid text, p_name text,
  p_value double precision, p_error double precision, p_unit text, p_reason text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 AS $$
BEGIN
  PERFORM calib_private.begin_edit('edit parameters', p_chip_id, ARRAY[p_qid], p_reason);
  IF p_value IN ('NaN', 'Infinity', '-Infinity') OR p_error IN ('NaN', 'Infinity', '-Infinity') THEN
    PERFORM calib_private.refuse('CQ007', 'value',
      format('parameter %s: expected a finite value and error, got %s ± %s', p_name, p_value, p_error));
  END IF;
  PERFORM calib_private.put_parameter(p_chip_id, p_qid, p_name,
    jsonb_build_object('value', p_value, 'error', coalesce(p_error, 0), 'unit', p_unit), 'edit', NULL,
    p_reason);
  PERFORM calib_private.mark_chip(p_chip_id);
END $$;
COMMENT ON FUNCTION calib.set_parameter(text, text, text, double precision, double precision, text, text) IS
  'Sets one value by hand, with a reason. p_error: one standard deviation, NULL means 0; value and error '
  'are in p_unit. For calib_operator of some project. Raises CQ001, CQ003, CQ007.';

CREATE OR REPLACE FUNCTION calib.import_parameters(p_chip_id text, p_values jsonb, p_reason text)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_qid text; v_named jsonb; v_name text; v_value jsonb; v_count integer := 0;
BEGIN
  PERFORM calib_private.require_speaker();
  IF jsonb_typeof(p_values) IS DISTINCT FROM 'object' THEN
    PERFORM calib_private.refuse('CQ007', 'values',
      'values: expected an object of qubits such as {"0": {"qubit_frequency": {"value": 4.2, "unit": '
      '"GHz"}}}');
  ELSIF calib_private.unreadable(p_values) IS NOT NULL THEN
    PERFORM calib_private.refuse('CQ007', 'values', 'values: ' || calib_private.unreadable(p_values));
  END IF;
  PERFORM calib_private.begin_edit('import parameters', p_chip_id, ARRAY(SELECT jsonb_object_keys(p_values)),
    p_reason);
  FOR v_qid, v_named IN SELECT * FROM jsonb_each(p_values) LOOP
    IF jsonb_typeof(v_named) <> 'object' THEN
      PERFORM calib_private.refuse('CQ007', 'values',
        format('values.%s: expected an object of named parameters, got %s', left(v_qid, 40),
        jsonb_typeof(v_named)));
    END IF;
    FOR v_name, v_value IN SELECT * FROM jsonb_each(v_named) LOOP
      PERFORM calib_private.require_known_names(v_name, v_value);
      PERFORM calib_private.put_parameter(p_chip_id, v_qid, v_name,
        CASE jsonb_typeof(v_value) WHEN 'number' THEN jsonb_build_object('value', v_value) ELSE v_value END,
          'import', NULL, p_reason);
      v_count := v_count + 1;
    END LOOP;
  END LOOP;
  PERFORM calib_private.mark_chip(p_chip_id);
  RETURN v_count;
END $$;
COMMENT ON FUNCTION calib.import_parameters(text, jsonb, text) IS
  'Sets many values by hand and returns how many: all or none. p_values: {"0": {"qubit_frequency": '
  '{"value": 4.2, "error": 0.001, "unit": "GHz"}}}; a plain number is a value without unit. For '
  'calib_operator of some project. Raises CQ001, CQ003, CQ007.';

CREATE OR REPLACE FUNCTION calib.revert_parameter(p_chip_id text, p_qid text, p_name text,
  p_as_of timestamptz, p_reason text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 AS $$
DECLARE
  v_then calib_private.parameter_versions;
BEGIN
  PERFORM calib_private.begin_edit('revert parameters', p_chip_id, ARRAY[p_qid], p_reason);
  SELECT * INTO v_then FROM calib_private.parameter_versions p
   WHERE p.chip_id = p_chip_id AND p.qid = p_qid AND p.name = p_name AND p.valid @> p_as_of;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ001', 'name',
      format('parameter %s of qid %s had no value at %s', calib_private.shown(p_name),
      calib_private.shown(p_qid), p_as_of));
  END IF;
  PERFORM calib_private.put_parameter(p_chip_id, p_qid, p_name,
    jsonb_build_object('value', v_then.value, 'error', v_then.error, 'unit', v_then.unit, 'value_type',
      v_then.value_type, 'description', v_then.description), 'revert', NULL, p_reason);
  PERFORM calib_private.mark_chip(p_chip_id);
END $$;
COMMENT ON FUNCTION calib.revert_parameter(text, text, text, timestamptz, text) IS
  'Makes the value that was in force at a time the present one, as a new version with a reason. For '
  'calib_operator of some project. Raises CQ001, CQ003, CQ007.';

-- The index is on the range of validity: a condition on its ends, valid_from and valid_to, would read all
-- versions.
CREATE OR REPLACE FUNCTION calib.parameters_as_of(p_chip_id text, p_as_of timestamptz)
RETURNS SETOF calib.parameter_history
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT p.chip_id, p.qid, p.name, p.value, p.error, p.unit, p.value_type, p.description, lower(p.valid),
    upper(p.valid), p.source, p.task_run_id, p.job_id, p.execution_id, p.actor, p.reason
    FROM calib_private.parameter_versions p WHERE p.chip_id = p_chip_id AND p.valid @> p_as_of
$$;
COMMENT ON FUNCTION calib.parameters_as_of(text, timestamptz) IS
  'Values of a chip that were in force at a time; fast, unlike a condition on valid_from. For '
  'calib_reader.';

-- For the mirror, which reads many qubits, each at other times.
CREATE OR REPLACE FUNCTION calib.parameters_at(p_chip_id text, p_qid text, p_instant timestamptz)
RETURNS SETOF calib.parameter_history
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT p.chip_id, p.qid, p.name, p.value, p.error, p.unit, p.value_type, p.description, lower(p.valid),
    upper(p.valid), p.source, p.task_run_id, p.job_id, p.execution_id, p.actor, p.reason
    FROM calib_private.parameter_versions p WHERE p.chip_id = p_chip_id AND p.qid = p_qid
        AND p.valid @> p_instant
$$;
COMMENT ON FUNCTION calib.parameters_at(text, text, timestamptz) IS
  'Values of one qubit or coupling that were in force at a time. For calib_reader.';
