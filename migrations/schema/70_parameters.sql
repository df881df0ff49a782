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

-- QDash's spellings of "no unit" are one, and so are those of a unit; a radian has none.
CREATE OR REPLACE FUNCTION calib_private.plain_unit(p_unit text)
RETURNS text LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN CASE WHEN p_unit IN ('a.u.', '–', '-', 'rad') THEN '' WHEN p_unit = 'us' THEN 'μs'
    WHEN p_unit = 'deg' THEN 'degree' ELSE replace(p_unit, 'µ', 'μ') END;
END $$;

-- What a name stands for: unit and kind as the list says, the range as the chip's tasks declare it, else as
-- the list says. Of a name that only tasks declare, all as they say. No name: neither knows it.
CREATE OR REPLACE FUNCTION calib_private.known_parameter(p_chip_id text, p_name text)
RETURNS calib_private.known_parameters LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(k.name, d.name), coalesce(k.unit, d.unit), coalesce(k.kind, d.kind),
      coalesce(d.lower, k.lower), coalesce(d.upper, k.upper), k.description
    FROM (SELECT min(o.name) AS name, min(o.unit) AS unit, min(o.lower) AS lower, max(o.upper) AS upper,
        CASE WHEN bool_and(o.kind = 'integer') THEN 'integer' ELSE 'number' END AS kind
      FROM calib_private.tasks t, jsonb_to_recordset(t.outputs) AS o(name text, unit text, kind text,
        lower double precision, upper double precision)
     WHERE t.chip_id = p_chip_id AND o.name = p_name
       AND t.outputs @> jsonb_build_array(jsonb_build_object('name', p_name))) d
    LEFT JOIN calib_private.known_parameters k ON k.name = p_name
$$;

-- Refuses a value that is not what its name stands for, unless it is forced; with p_force NULL a name that
-- nobody knows passes. kept_unit: as it is kept, where none was given the known one; is_forced: it would have
-- been refused.
CREATE OR REPLACE FUNCTION calib_private.check_known_value(p_chip_id text, p_name text,
  p_value double precision, p_unit text, p_force boolean, OUT kept_unit text, OUT is_forced boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_known calib_private.known_parameters := calib_private.known_parameter(p_chip_id, p_name);
  v_column text; v_wrong text;
BEGIN
  kept_unit := coalesce(nullif(p_unit, ''), v_known.unit, '');
  IF v_known.name IS NULL AND p_force IS NULL THEN
    is_forced := false;
    RETURN;
  ELSIF v_known.name IS NULL THEN
    v_column := 'name';
    v_wrong := format('unknown parameter %s%s', calib_private.shown(p_name), calib_private.suggestion(p_name,
      ARRAY(SELECT k.name FROM calib_private.known_parameters k UNION SELECT o ->> 'name'
        FROM calib_private.tasks t, jsonb_array_elements(t.outputs) o WHERE t.chip_id = p_chip_id)));
  ELSIF calib_private.plain_unit(kept_unit) <> calib_private.plain_unit(v_known.unit) THEN
    v_column := 'unit';
    v_wrong := format('parameter %s: expected a value in "%s", got one in %s', p_name, v_known.unit,
      calib_private.shown(kept_unit));
  ELSIF v_known.kind = 'integer' AND p_value <> trunc(p_value) THEN
    v_column := 'value';
    v_wrong := format('parameter %s: expected a whole number, got %s', p_name, p_value);
  ELSIF p_value < v_known.lower OR p_value > v_known.upper THEN
    v_column := 'value';
    v_wrong := format('parameter %s: expected %s to %s%s, got %s', p_name,
      coalesce(v_known.lower, '-Infinity'), coalesce(v_known.upper, 'Infinity'),
      CASE WHEN calib_private.plain_unit(kept_unit) = '' THEN '' ELSE ' ' || kept_unit END, p_value);
  ELSE
    kept_unit := coalesce(v_known.unit, kept_unit);
  END IF;
  is_forced := v_wrong IS NOT NULL;
  IF is_forced AND p_force IS NOT TRUE THEN
    PERFORM calib_private.refuse('CQ007', v_column, v_wrong, 'calib.known_parameters shows what is expected; '
      'by hand, p_force => true (--force) with a reason keeps it nevertheless.');
  END IF;
END $$;

-- The caller holds the qubit or coupling by lock_owners().
CREATE OR REPLACE FUNCTION calib_private.put_parameter(p_chip_id text, p_qid text, p_name text, p_value jsonb,
  p_source text, p_task_run_id uuid, p_reason text, p_force boolean)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_now timestamptz; v_from timestamptz; v_unit text; v_forced boolean;
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
  SELECT * INTO v_unit, v_forced
    FROM calib_private.check_known_value(p_chip_id, p_name, v_value, p_value ->> 'unit', p_force);
  v_now := calib_private.now();
  UPDATE calib_private.parameter_versions p SET valid = tstzrange(lower(p.valid),
      greatest(v_now, lower(p.valid) + interval '1 microsecond'))
   WHERE p.chip_id = p_chip_id AND p.qid = p_qid AND p.name = p_name AND upper_inf(p.valid)
       RETURNING upper(p.valid) INTO v_from;
  INSERT INTO calib_private.parameter_versions (chip_id, qid, name, value, value_type, error, unit,
    description, valid, source, task_run_id, actor, reason)
  VALUES (p_chip_id, p_qid, p_name, v_value, CASE WHEN p_value ->> 'value_type' = 'int' THEN 'int'
    ELSE 'float' END, v_error, v_unit, coalesce(p_value ->> 'description', ''),
    tstzrange(coalesce(v_from, v_now), NULL), p_source, p_task_run_id, calib_private.actor(),
    CASE WHEN v_forced AND p_source <> 'task' THEN 'forced: ' ELSE '' END || p_reason);
END $$;

CREATE OR REPLACE FUNCTION calib_private.require_reason(p_reason text)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF coalesce(length(trim(p_reason)), 0) NOT BETWEEN 1 AND 1000 THEN
    PERFORM calib_private.refuse('CQ007', 'reason',
      'reason: expected 1 to 1000 characters that say why');
  END IF;
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

-- Sets values by hand, all or none; p_values as import_parameters() takes them. Where the transaction sees
-- the state of its beginning, what another one has changed since cannot be changed.
CREATE OR REPLACE FUNCTION calib_private.edit_parameters(p_what text, p_source text, p_chip_id text,
  p_values jsonb, p_reason text, p_force boolean)
RETURNS integer LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_qid text; v_named jsonb; v_name text; v_value jsonb; v_count integer := 0;
BEGIN
  PERFORM calib_private.require_operator(p_what || ' parameters');
  PERFORM calib_private.require_chip(p_chip_id);
  PERFORM calib_private.require_reason(p_reason);
  PERFORM calib_private.bound_transaction();
  PERFORM calib_private.lock_owners(p_chip_id, ARRAY(SELECT jsonb_object_keys(p_values)));
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
          p_source, NULL, p_reason, coalesce(p_force, false));
      v_count := v_count + 1;
    END LOOP;
  END LOOP;
  v_name := NULL;
  PERFORM calib_private.mark_chip(p_chip_id);
  RETURN v_count;
EXCEPTION WHEN serialization_failure OR exclusion_violation OR unique_violation THEN
  PERFORM calib_private.refuse('CQ010', 'name', format('%s of %s was changed meanwhile: ask again in a new '
    'transaction', coalesce('parameter ' || v_name, 'a parameter'), coalesce(CASE WHEN v_name IS NOT NULL
      THEN v_qid END, p_chip_id)));
  RETURN NULL;
END $$;

-- extra_float_digits is the client's: set low, it would round the value on its way through JSON.
CREATE OR REPLACE FUNCTION calib.set_parameter(p_chip_id text, p_qid text, p_name text,
  p_value double precision, p_error double precision, p_unit text, p_reason text,
  p_force boolean DEFAULT false)
RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 AS $$
  SELECT calib_private.edit_parameters('edit', 'edit', p_chip_id, jsonb_build_object(coalesce(p_qid, ''),
    jsonb_build_object(coalesce(p_name, ''), jsonb_build_object('value', p_value, 'error',
      coalesce(p_error, 0), 'unit', p_unit))), p_reason, p_force)
$$;
COMMENT ON FUNCTION
  calib.set_parameter(text, text, text, double precision, double precision, text, text, boolean) IS
  'Sets one value by hand, with a reason. p_error: one standard deviation, NULL means 0; value and error '
  'are in p_unit. p_force: keeps what calib.known_parameters or the chip''s tasks forbid. For calib_operator '
  'of some project. Raises CQ001, CQ003, CQ007, CQ010.';

CREATE OR REPLACE FUNCTION calib.import_parameters(p_chip_id text, p_values jsonb, p_reason text,
  p_force boolean DEFAULT false)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.require_speaker();
  IF jsonb_typeof(p_values) IS DISTINCT FROM 'object' THEN
    PERFORM calib_private.refuse('CQ007', 'values',
      'values: expected an object of qubits such as {"0": {"qubit_frequency": {"value": 4.2, "unit": '
      '"GHz"}}}');
  ELSIF calib_private.unreadable(p_values) IS NOT NULL THEN
    PERFORM calib_private.refuse('CQ007', 'values', 'values: ' || calib_private.unreadable(p_values));
  END IF;
  RETURN calib_private.edit_parameters('import', 'import', p_chip_id, p_values, p_reason, p_force);
END $$;
COMMENT ON FUNCTION calib.import_parameters(text, jsonb, text, boolean) IS
  'Sets many values by hand and returns how many: all or none. p_values: {"0": {"qubit_frequency": '
  '{"value": 4.2, "error": 0.001, "unit": "GHz"}}}; a plain number is a value in the known unit. p_force: '
  'as for set_parameter(). For calib_operator of some project. Raises CQ001, CQ003, CQ007, CQ010.';

CREATE OR REPLACE FUNCTION calib.revert_parameter(p_chip_id text, p_qid text, p_name text,
  p_as_of timestamptz, p_reason text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 AS $$
DECLARE
  v_then calib_private.parameter_versions;
BEGIN
  PERFORM calib_private.require_operator('revert parameters');
  PERFORM calib_private.require_chip(p_chip_id);
  SELECT * INTO v_then FROM calib_private.parameter_versions p
   WHERE p.chip_id = p_chip_id AND p.qid = p_qid AND p.name = p_name AND p.valid @> p_as_of;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ001', 'name',
      format('parameter %s of qid %s had no value at %s', calib_private.shown(p_name),
      calib_private.shown(p_qid), p_as_of));
  END IF;
  PERFORM calib_private.edit_parameters('revert', 'revert', p_chip_id, jsonb_build_object(p_qid,
    jsonb_build_object(p_name, jsonb_build_object('value', v_then.value, 'error', v_then.error, 'unit',
      v_then.unit, 'value_type', v_then.value_type, 'description', v_then.description))), p_reason, false);
END $$;
COMMENT ON FUNCTION calib.revert_parameter(text, text, text, timestamptz, text) IS
  'Makes the value that was in force at a time the present one, as a new version with a reason. For '
  'calib_operator of some project. Raises CQ001, CQ003, CQ007, CQ010.';

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
