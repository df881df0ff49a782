-- Checks JSON against the schema of a flow or task: a subset of JSON Schema, and qubits, couplings and tasks
-- of the chip.

CREATE OR REPLACE FUNCTION calib_private.complain(p_code text, p_message text, p_hint text)
RETURNS calib_private.complaint LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT (p_code, p_message, p_hint)::calib_private.complaint
$$;

-- What is wrong with the value of one keyword, so that no insert meets a schema that cannot be evaluated.
CREATE OR REPLACE FUNCTION calib_private.malformed_keyword(p_key text, p_value jsonb)
RETURNS text LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_type text := jsonb_typeof(p_value); v_word text := p_value #>> '{}'; v_names text[];
BEGIN
  IF p_key IN ('properties', '$defs') AND v_type <> 'object' THEN RETURN 'not an object';
  ELSIF p_key IN ('anyOf', 'enum', 'required') AND v_type <> 'array' THEN RETURN 'not an array';
  ELSIF p_key IN ('minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum') AND v_type <> 'number' THEN
      RETURN 'not a number';
  ELSIF p_key IN ('minLength', 'maxLength', 'minItems', 'maxItems')
    AND (v_type <> 'number' OR v_word !~ '^[0-9]{1,9}$') THEN RETURN 'not a count';
  ELSIF p_key = 'uniqueItems' AND v_type <> 'boolean' THEN RETURN 'neither true nor false';
  ELSIF p_key = 'required' AND jsonb_path_exists(p_value, '$[*] ? (@.type() != "string")') THEN
      RETURN 'not an array of texts';
  ELSIF p_key = 'type' THEN
    v_names := CASE v_type WHEN 'array' THEN ARRAY(SELECT jsonb_array_elements_text(p_value))
      ELSE ARRAY[v_word] END;
    IF NOT v_names <@ ARRAY['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'] THEN
      RETURN format('"%s"', array_to_string(v_names, '", "'));
    END IF;
  ELSIF p_key = 'format' AND v_word NOT IN ('qid', 'coupling', 'task', 'run_parameters') THEN
      RETURN format('"%s"', v_word);
  ELSIF p_key = 'pattern' THEN
    PERFORM '' ~ v_word;
  END IF;
  RETURN NULL;
EXCEPTION WHEN invalid_regular_expression THEN
  RETURN 'not a regular expression that the database understands';
END $$;

-- Whether a schema asks about the same value again and again: a reference that leads back to itself before
-- any item or property is reached.
CREATE OR REPLACE FUNCTION calib_private.is_endless(p_schema jsonb, p_root jsonb, p_seen text[] DEFAULT '{}')
RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_reference text := p_schema ->> '$ref'; v_option jsonb;
BEGIN
  IF v_reference = ANY (p_seen) THEN RETURN true; END IF;
  IF v_reference IS NOT NULL AND calib_private.is_endless(calib_private.referenced(v_reference, p_root),
      p_root, p_seen || v_reference) THEN
    RETURN true;
  END IF;
  IF jsonb_typeof(p_schema -> 'anyOf') IS DISTINCT FROM 'array' THEN RETURN false; END IF;
  FOR v_option IN SELECT * FROM jsonb_array_elements(p_schema -> 'anyOf') LOOP
    IF calib_private.is_endless(v_option, p_root, p_seen) THEN RETURN true; END IF;
  END LOOP;
  RETURN false;
END $$;

CREATE OR REPLACE FUNCTION calib_private.referenced(p_reference text, p_root jsonb)
RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT p_root #> string_to_array(substr(p_reference, 3), '/')
$$;

CREATE OR REPLACE FUNCTION calib_private.unsupported_reference(p_schema jsonb, p_root jsonb)
RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_reference text := p_schema ->> '$ref';
BEGIN
  IF v_reference !~ '^#/\$defs/[A-Za-z0-9_.-]+$' THEN RETURN '$ref (only local #/$defs/...)';
  ELSIF calib_private.referenced(v_reference, p_root) IS NULL THEN
      RETURN format('$ref to %s, which is not there', v_reference);
  ELSIF calib_private.is_endless(p_schema, p_root) THEN
      RETURN format('$ref to %s, which leads back to itself', v_reference);
  END IF;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION calib_private.unsupported_keyword(p_schema jsonb, p_root jsonb DEFAULT NULL,
  p_path text DEFAULT '')
RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_root jsonb := coalesce(p_root, p_schema);
  v_key text; v_value jsonb; v_bad text;
BEGIN
  IF jsonb_typeof(p_schema) = 'boolean' AND p_path <> '' THEN RETURN NULL; END IF;
  IF jsonb_typeof(p_schema) IS DISTINCT FROM 'object' THEN
    RETURN format('%s%s where a schema object is expected', CASE WHEN p_path <> '' THEN p_path || ': ' END,
      coalesce(jsonb_typeof(p_schema), 'nothing'));
  END IF;
  FOR v_key, v_value IN SELECT * FROM jsonb_each(p_schema) LOOP
    v_bad := p_path || '/' || v_key || ' (' || calib_private.malformed_keyword(v_key, v_value) || ')';
    IF v_bad IS NOT NULL THEN RETURN v_bad; END IF;
    IF v_key IN ('properties', '$defs') THEN
      SELECT b INTO v_bad FROM jsonb_each(v_value) e,
          calib_private.unsupported_keyword(e.value, v_root, p_path || '/' || v_key || '/' || e.key) b
       WHERE b IS NOT NULL LIMIT 1;
    ELSIF v_key = 'anyOf' THEN
      SELECT b INTO v_bad FROM jsonb_array_elements(v_value) e,
          calib_private.unsupported_keyword(e.value, v_root, p_path || '/anyOf') b
       WHERE b IS NOT NULL LIMIT 1;
    ELSIF v_key IN ('items', 'additionalProperties') THEN
      v_bad := calib_private.unsupported_keyword(v_value, v_root, p_path || '/' || v_key);
    ELSIF v_key = '$ref' THEN
      v_bad := p_path || '/' || calib_private.unsupported_reference(p_schema, v_root);
    ELSIF v_key NOT IN ('title', 'description', 'default', 'examples', 'enum', 'const', 'required', 'minimum',
      'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'minLength', 'maxLength', 'minItems', 'maxItems',
        'uniqueItems', 'type', 'pattern', 'format') THEN
      v_bad := p_path || '/' || v_key;
    END IF;
    IF v_bad IS NOT NULL THEN RETURN v_bad; END IF;
  END LOOP;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION calib_private.json_type_matches(p_value jsonb, p_type text)
RETURNS boolean LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_type = 'integer' THEN RETURN jsonb_typeof(p_value) = 'number' AND (p_value #>> '{}')::numeric % 1 = 0;
      END IF;
  RETURN jsonb_typeof(p_value) = p_type;
END $$;

-- Of one type, or of one of an array of types; no types: any.
CREATE OR REPLACE FUNCTION calib_private.json_types_match(p_value jsonb, p_types jsonb)
RETURNS boolean LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_types IS NULL THEN RETURN true; END IF;
  IF jsonb_typeof(p_types) = 'string' THEN RETURN calib_private.json_type_matches(p_value, p_types #>> '{}');
      END IF;
  RETURN EXISTS (SELECT FROM jsonb_array_elements_text(p_types) t
    WHERE calib_private.json_type_matches(p_value, t));
END $$;

-- Words that only the catalogue can check: qubits, couplings and tasks of the chip.
CREATE OR REPLACE FUNCTION calib_private.check_format(p_value jsonb, p_format text, p_path text,
  p_chip_id text)
RETURNS calib_private.complaint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_word text := p_value #>> '{}';
  v_task text; v_given jsonb; v_schema jsonb; v_complaint calib_private.complaint;
BEGIN
  CASE p_format
    WHEN 'qid' THEN
      IF v_word !~ '^(0|[1-9][0-9]*)$' THEN
        RETURN calib_private.complain('CQ002',
          format('%s: %s is not a qubit id: expected a decimal number without leading zeros such as "0"',
            p_path, calib_private.shown(v_word)), NULL);
      END IF;
      IF NOT EXISTS (SELECT FROM calib_private.qubits q WHERE q.chip_id = p_chip_id AND q.qid = v_word) THEN
        RETURN calib_private.complain('CQ001', format('%s: chip "%s" has no qubit %s: expected "0" to "%s"',
          p_path, p_chip_id, calib_private.shown(v_word),
            (SELECT c.n_qubits - 1 FROM calib_private.chips c WHERE c.chip_id = p_chip_id)), NULL);
      END IF;
    WHEN 'coupling' THEN
      IF NOT EXISTS (SELECT FROM calib_private.couplings k WHERE k.chip_id = p_chip_id
          AND k.qid = v_word) THEN
        RETURN calib_private.complain('CQ001',
          format('%s: chip "%s" has no coupling %s: expected control and target of neighbours such as "0-1"',
            p_path, p_chip_id, calib_private.shown(v_word)), 'SELECT qid FROM calib.couplings shows them.');
      END IF;
    WHEN 'task' THEN
      IF NOT EXISTS (SELECT FROM calib_private.tasks t WHERE t.chip_id = p_chip_id AND t.task = v_word) THEN
        RETURN calib_private.complain('CQ001', format('%s: unknown task %s%s', p_path,
          calib_private.shown(v_word), calib_private.suggestion(v_word,
          ARRAY(SELECT t.task FROM calib_private.tasks t WHERE t.chip_id = p_chip_id))),
            'SELECT task FROM calib.tasks shows what the chip''s executors can do.');
      END IF;
    WHEN 'run_parameters' THEN
      IF jsonb_typeof(p_value) <> 'object' THEN
        RETURN calib_private.complain('CQ002', format('%s: expected object, got %s', p_path,
          jsonb_typeof(p_value)), NULL);
      END IF;
      FOR v_task, v_given IN SELECT * FROM jsonb_each(p_value) LOOP
        v_complaint := calib_private.check_format(to_jsonb(v_task), 'task', p_path, p_chip_id);
        IF v_complaint.code IS NOT NULL THEN RETURN v_complaint; END IF;
        SELECT t.schema INTO v_schema FROM calib_private.tasks t WHERE t.chip_id = p_chip_id
            AND t.task = v_task;
        v_complaint := calib_private.check_value(v_given, v_schema, v_schema, p_path || '.'
          || left(v_task, 64), p_chip_id);
        IF v_complaint.code IS NOT NULL THEN RETURN v_complaint; END IF;
      END LOOP;
  END CASE;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION calib_private.check_object(p_value jsonb, p_schema jsonb, p_root jsonb,
  p_path text, p_chip_id text)
RETURNS calib_private.complaint LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_known jsonb := coalesce(p_schema -> 'properties', '{}');
  v_extra jsonb := coalesce(p_schema -> 'additionalProperties', 'true');
  v_key text; v_item jsonb; v_complaint calib_private.complaint;
BEGIN
  SELECT r INTO v_key FROM jsonb_array_elements_text(coalesce(p_schema -> 'required', '[]')) r
      WHERE NOT p_value ? r LIMIT 1;
  IF FOUND THEN
    RETURN calib_private.complain('CQ002', format('%s: "%s" is missing: expected %s', p_path, v_key,
      (SELECT string_agg(format('"%s"', r), ', ') FROM jsonb_array_elements_text(p_schema -> 'required') r)),
        NULL);
  END IF;
  FOR v_key, v_item IN SELECT * FROM jsonb_each(p_value) LOOP
    IF v_known ? v_key THEN
      v_complaint := calib_private.check_value(v_item, v_known -> v_key, p_root, p_path || '.' || v_key,
        p_chip_id);
    ELSIF v_extra = 'false' THEN
      RETURN calib_private.complain('CQ002', format('%s: unknown parameter %s%s', p_path,
        calib_private.shown(v_key), calib_private.suggestion(v_key,
          ARRAY(SELECT jsonb_object_keys(v_known)))), NULL);
    ELSE
      v_complaint := calib_private.check_value(v_item, v_extra, p_root, p_path || '.' || left(v_key, 60),
        p_chip_id);
    END IF;
    IF v_complaint.code IS NOT NULL THEN RETURN v_complaint; END IF;
  END LOOP;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION calib_private.check_array(p_value jsonb, p_schema jsonb, p_root jsonb, p_path text,
  p_chip_id text)
RETURNS calib_private.complaint LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_count integer := jsonb_array_length(p_value);
  v_index integer := 0; v_item jsonb; v_complaint calib_private.complaint;
BEGIN
  IF v_count < (p_schema ->> 'minItems')::integer THEN
    RETURN calib_private.complain('CQ002', format('%s: expected at least %s items, got %s', p_path,
      p_schema ->> 'minItems', v_count), NULL);
  ELSIF v_count > (p_schema ->> 'maxItems')::integer THEN
    RETURN calib_private.complain('CQ002', format('%s: expected at most %s items, got %s', p_path,
      p_schema ->> 'maxItems', v_count), NULL);
  ELSIF (p_schema ->> 'uniqueItems')::boolean
    AND v_count <> (SELECT count(DISTINCT e) FROM jsonb_array_elements(p_value) e) THEN
    RETURN calib_private.complain('CQ002', format('%s: expected every item once, got a repeated one', p_path),
      NULL);
  END IF;
  IF NOT p_schema ? 'items' THEN RETURN NULL; END IF;
  FOR v_item IN SELECT * FROM jsonb_array_elements(p_value) LOOP
    v_complaint := calib_private.check_value(v_item, p_schema -> 'items', p_root,
      format('%s[%s]', p_path, v_index), p_chip_id);
    IF v_complaint.code IS NOT NULL THEN RETURN v_complaint; END IF;
    v_index := v_index + 1;
  END LOOP;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION calib_private.check_scalar(p_value jsonb, p_schema jsonb, p_path text)
RETURNS calib_private.complaint LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_text text := p_value #>> '{}'; v_number numeric; v_expected text;
BEGIN
  IF jsonb_typeof(p_value) = 'number' THEN
    v_number := v_text::numeric;
    v_expected := CASE
      WHEN v_number < (p_schema ->> 'minimum')::numeric THEN 'at least ' || (p_schema ->> 'minimum')
      WHEN v_number > (p_schema ->> 'maximum')::numeric THEN 'at most ' || (p_schema ->> 'maximum')
      WHEN v_number <= (p_schema ->> 'exclusiveMinimum')::numeric THEN 'more than '
        || (p_schema ->> 'exclusiveMinimum')
      WHEN v_number >= (p_schema ->> 'exclusiveMaximum')::numeric THEN 'less than '
        || (p_schema ->> 'exclusiveMaximum') END;
  ELSIF jsonb_typeof(p_value) = 'string' THEN
    v_expected := CASE
      WHEN length(v_text) < (p_schema ->> 'minLength')::integer THEN format('at least %s characters',
        p_schema ->> 'minLength')
      WHEN length(v_text) > (p_schema ->> 'maxLength')::integer THEN format('at most %s characters',
        p_schema ->> 'maxLength')
      WHEN v_text !~ (p_schema ->> 'pattern') THEN format('a text like %s', p_schema ->> 'pattern') END;
  END IF;
  IF v_expected IS NULL THEN RETURN NULL; END IF;
  RETURN calib_private.complain('CQ002', format('%s: expected %s, got %s', p_path, v_expected,
    CASE WHEN v_number IS NULL THEN calib_private.shown(v_text) ELSE left(v_text, 40) END), NULL);
END $$;

-- One of these must fit.
CREATE OR REPLACE FUNCTION calib_private.check_any_of(p_value jsonb, p_options jsonb, p_root jsonb,
  p_path text, p_chip_id text)
RETURNS calib_private.complaint LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_complaint calib_private.complaint; v_first calib_private.complaint; v_option jsonb;
BEGIN
  FOR v_option IN SELECT * FROM jsonb_array_elements(p_options) LOOP
    v_complaint := calib_private.check_value(p_value, v_option, p_root, p_path, p_chip_id);
    IF v_complaint.code IS NULL THEN RETURN NULL; END IF;
    -- Of several refusals the first is the telling one: "or null" stands last.
    IF v_first.code IS NULL THEN v_first := v_complaint; END IF;
  END LOOP;
  RETURN v_first;
END $$;

CREATE OR REPLACE FUNCTION calib_private.check_words(p_value jsonb, p_schema jsonb, p_path text)
RETURNS calib_private.complaint LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT calib_private.json_types_match(p_value, p_schema -> 'type') THEN
    RETURN calib_private.complain('CQ002', format('%s: expected %s, got %s', p_path,
      CASE jsonb_typeof(p_schema -> 'type') WHEN 'string' THEN p_schema ->> 'type'
        ELSE (SELECT string_agg(t, ' or ') FROM jsonb_array_elements_text(p_schema -> 'type') t) END,
      CASE jsonb_typeof(p_value) WHEN 'null' THEN 'null' ELSE jsonb_typeof(p_value) || ' '
        || left(p_value::text, 40) END), NULL);
  END IF;
  IF p_schema ? 'enum' THEN
    -- Compared one by one: @> would take {} for every object.
    IF NOT EXISTS (SELECT FROM jsonb_array_elements(p_schema -> 'enum') e WHERE e = p_value) THEN
      RETURN calib_private.complain('CQ002', format('%s: expected one of %s, got %s', p_path,
        (SELECT string_agg(e::text, ', ') FROM jsonb_array_elements(p_schema -> 'enum') e),
          left(p_value::text, 60)), NULL);
    END IF;
  END IF;
  IF p_schema -> 'const' <> p_value THEN
    RETURN calib_private.complain('CQ002', format('%s: expected %s, got %s', p_path, p_schema -> 'const',
      left(p_value::text, 60)), NULL);
  END IF;
  RETURN NULL;
END $$;

-- Words and limits are looked at only where the schema has any.
CREATE OR REPLACE FUNCTION calib_private.check_value(p_value jsonb, p_schema jsonb, p_root jsonb, p_path text,
  p_chip_id text)
RETURNS calib_private.complaint LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_complaint calib_private.complaint; v_type text := jsonb_typeof(p_value);
BEGIN
  IF jsonb_typeof(p_schema) = 'boolean' THEN
    RETURN CASE WHEN p_schema = 'true' THEN NULL
      ELSE calib_private.complain('CQ002', format('%s: nothing is expected here', p_path), NULL) END;
  END IF;
  -- All keywords of a schema hold at once, those beside a $ref or an anyOf too.
  IF v_type IS DISTINCT FROM p_schema ->> 'type' OR p_schema ?| ARRAY['enum', 'const'] THEN
    v_complaint := calib_private.check_words(p_value, p_schema, p_path);
  END IF;
  IF v_complaint.code IS NULL AND p_schema ? '$ref' THEN
    v_complaint := calib_private.check_value(p_value, calib_private.referenced(p_schema ->> '$ref', p_root),
      p_root, p_path, p_chip_id);
  END IF;
  IF v_complaint.code IS NULL AND p_schema ? 'anyOf' THEN
    v_complaint := calib_private.check_any_of(p_value, p_schema -> 'anyOf', p_root, p_path, p_chip_id);
  END IF;
  IF v_complaint.code IS NOT NULL THEN RETURN v_complaint; END IF;
  IF v_type = 'object' THEN
    v_complaint := calib_private.check_object(p_value, p_schema, p_root, p_path, p_chip_id);
  ELSIF v_type = 'array' THEN
    v_complaint := calib_private.check_array(p_value, p_schema, p_root, p_path, p_chip_id);
  ELSIF p_schema ?| ARRAY['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'minLength',
      'maxLength', 'pattern'] THEN
    v_complaint := calib_private.check_scalar(p_value, p_schema, p_path);
  END IF;
  IF v_complaint.code IS NULL AND p_schema ? 'format' THEN
    v_complaint := calib_private.check_format(p_value, p_schema ->> 'format', p_path, p_chip_id);
  END IF;
  RETURN v_complaint;
END $$;

-- What the JSON arguments of the executors' verbs look like, in the words of our own validator.
CREATE OR REPLACE FUNCTION calib_private.shape(p_of text)
RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE p_of
    WHEN 'tasks' THEN '{"type": "array", "maxItems": 500000, "items": {"type": "object", "required": '
      '["task", "qid", "task_type"], "properties": {
        "task": {"type": "string", "minLength": 1, "maxLength": 200}, "qid": {"type": "string",
        "maxLength": 200}, "task_type": {"enum": ["qubit", "coupling", "global", "system"]},
        "repetition": {"type": ["integer", "null"], "minimum": 0, "maximum": 32767}}}}'::jsonb
    WHEN 'result' THEN '{"type": "object", "properties": {
        "hardware_seconds": {"type": ["number", "null"], "minimum": 0, "maximum": 1e9},
        "persist_output_parameters": {"type": ["boolean", "null"]}, "message": {"type": ["string", "null"],
        "maxLength": 10000}, "cause": {"type": ["string", "null"], "maxLength": 10000},
          "remedy": {"type": ["string", "null"], "maxLength": 10000},
        "failure_kind": {"type": ["string", "null"]}, "input_parameters": {"type": "object"},
        "output_parameters": {"type": "object"}, "run_parameters": {"type": "object"},
          "quality_metrics": {"type": "object"}, "note": {"type": "object"}}}'
    WHEN 'figures' THEN '{"type": "array", "maxItems": 1000, "items": {"type": "object", "required": '
      '["name", "plotly"], "properties": {
        "name": {"type": "string", "maxLength": 200}, "plotly": {"type": "string"}}}}'
    WHEN 'raw_meta' THEN '{"type": "array", "maxItems": 1000, "items": {"type": "object", "required": '
      '["name", "dtype", "shape", "unit"], "properties": {
        "name": {"type": "string", "maxLength": 200}, "dtype": {"type": "string", "maxLength": 200},
        "unit": {"type": "string", "maxLength": 200}, "shape": {"type": "array", "maxItems": 32,
          "items": {"type": "integer", "minimum": 0, "maximum": 2147483647}}}}}'
    WHEN 'flow' THEN '{"type": "object", "required": ["flow", "repeatable", "schema", "timeout_seconds"], '
      '"properties": {
        "flow": {"type": "string"}, "description": {"type": ["string", "null"], "maxLength": 10000},
        "repeatable": {"type": "boolean"}, "timeout_seconds": {"type": "integer", "minimum": 1,
          "maximum": 604800}, "on_cancellation": {"type": "array", "items": {"type": "string"}}}}'
    WHEN 'task' THEN '{"type": "object", "required": ["task", "task_type", "schema", "input_parameters", '
      '"output_parameters"], "properties": {
        "task": {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9]{0,62}$"},
        "task_type": {"enum": ["qubit", "coupling", "global", "system"]},
        "description": {"type": ["string", "null"], "maxLength": 10000}, "input_parameters": {"type": "array",
        "maxItems": 1000, "items": {"type": "string", "maxLength": 200}},
          "output_parameters": {"type": "array", "maxItems": 1000, "items": {"type": "string",
          "maxLength": 200}}}}'
    WHEN 'object' THEN '{"type": "object"}' WHEN 'array' THEN '{"type": "array"}' END
$$;

CREATE OR REPLACE FUNCTION calib_private.require_shape(p_name text, p_value jsonb, p_shape text,
  p_code text DEFAULT 'CQ007')
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
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
