-- What an import names and nobody knows is a slip of the pen: an "erorr" would make an uncertain value look exact.
CREATE FUNCTION calib_private.require_known_names(p_name text, p_value jsonb) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  -- As QDash stores a value; where it comes from is noted anew.
  v_known text[] := ARRAY['value', 'error', 'unit', 'value_type', 'description', 'parameter_name', 'qid_role', 'calibrated_at', 'execution_id', 'task_id'];
  v_key text;
BEGIN
  IF jsonb_typeof(p_value) <> 'object' THEN RETURN; END IF;
  FOR v_key IN SELECT k FROM jsonb_object_keys(p_value) k WHERE k <> ALL (v_known) ORDER BY k LOOP
    PERFORM calib_private.refuse('CQ007', 'values', format('parameter %s: unknown name %s%s', left(p_name, 64), calib_private.shown(v_key),
      calib_private.suggestion(v_key, v_known[1:5])));
  END LOOP;
END $$;

CREATE OR REPLACE FUNCTION calib.import_parameters(p_chip_id text, p_values jsonb, p_reason text) RETURNS integer LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_qid text; v_named jsonb; v_name text; v_value jsonb; v_count integer := 0;
BEGIN
  IF jsonb_typeof(p_values) IS DISTINCT FROM 'object' THEN
    PERFORM calib_private.refuse('CQ007', 'values', 'values: expected an object of qubits such as {"0": {"qubit_frequency": {"value": 4.2, "unit": "GHz"}}}');
  END IF;
  PERFORM calib_private.begin_edit('import parameters', p_chip_id, ARRAY(SELECT jsonb_object_keys(p_values)), p_reason);
  FOR v_qid, v_named IN SELECT * FROM jsonb_each(p_values) LOOP
    IF jsonb_typeof(v_named) <> 'object' THEN
      PERFORM calib_private.refuse('CQ007', 'values', format('values.%s: expected an object of named parameters, got %s', left(v_qid, 40), jsonb_typeof(v_named)));
    END IF;
    FOR v_name, v_value IN SELECT * FROM jsonb_each(v_named) LOOP
      PERFORM calib_private.require_known_names(v_name, v_value);
      PERFORM calib_private.put_parameter(p_chip_id, v_qid, v_name,
        CASE jsonb_typeof(v_value) WHEN 'number' THEN jsonb_build_object('value', v_value) ELSE v_value END, 'import', NULL, p_reason);
      v_count := v_count + 1;
    END LOOP;
  END LOOP;
  PERFORM calib_private.mark_chip(p_chip_id);
  RETURN v_count;
END $$;
