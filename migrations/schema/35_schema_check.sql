-- Checks JSON against the schema of a flow or task: a subset of JSON Schema, and qubits, couplings and tasks
-- of the chip. A registered schema is made flat once; what cannot be checked is refused there, by name.

-- What is wrong with a keyword of a schema: the end of its path. NULL: nothing.
CREATE OR REPLACE FUNCTION calib_private.unsupported(p_key text, p_rule jsonb)
RETURNS text LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_type text := jsonb_typeof(p_rule); v_word text := coalesce(p_rule #>> '{}', 'null');
BEGIN
  IF p_key <> ALL ('{title,description,default,examples,$ref,$defs,anyOf,type,enum,const,format,pattern,'
    'minimum,maximum,exclusiveMinimum,exclusiveMaximum,minLength,maxLength,minItems,maxItems,uniqueItems,'
    'items,properties,required,additionalProperties}') THEN
    RETURN '/' || p_key;
  END IF;
  RETURN '/' || p_key || CASE
    WHEN p_key IN ('properties', '$defs') AND v_type <> 'object' THEN ' (not an object)'
    WHEN p_key IN ('anyOf', 'enum', 'required') AND v_type <> 'array' THEN ' (not an array)'
    WHEN p_key = 'anyOf' AND p_rule = '[]' THEN ' (an empty array)'
    WHEN p_key = 'required' AND jsonb_path_exists(p_rule, '$[*] ? (@.type() != "string")')
      THEN ' (not an array of texts)'
    WHEN p_key ~ 'imum$' AND v_type <> 'number' THEN ' (not a number)'
    WHEN p_key ~ '^m..(Length|Items)$' AND (v_type <> 'number' OR v_word !~ '^[0-9]{1,9}$')
      THEN ' (not a count)'
    WHEN p_key = 'uniqueItems' AND v_type <> 'boolean' THEN ' (neither true nor false)'
    WHEN p_key = 'type' AND NOT
        '["null", "boolean", "integer", "number", "string", "array", "object"]' @> p_rule
      THEN format(' (%s)', left(p_rule::text, 60))
    WHEN p_key = 'format' AND v_word NOT IN ('qid', 'coupling', 'mux', 'task', 'run_parameters')
      THEN format(' ("%s")', left(v_word, 60))
    WHEN p_key = '$ref' AND v_word !~ '^#/\$defs/[A-Za-z0-9_.-]+$' THEN ' (only local #/$defs/...)'
    -- Without these a pattern takes one pass over a text, and less than a second to be understood.
    WHEN p_key = 'pattern' AND v_word ~ '\\[1-9]|\(\?<?[=!#]|\(\?[a-z]+\)|\)\{'
      THEN ' (refers back, looks around, sets an option or counts a group)'
    WHEN p_key = 'pattern' AND length(v_word) > 200 THEN ' (of more than 200 characters)'
    WHEN p_key = 'pattern' AND '' ~ v_word THEN NULL END;
EXCEPTION WHEN invalid_regular_expression THEN
  RETURN '/pattern (not a regular expression that the database understands)';
END $$;

-- The schema as check_value() takes it: what a $ref names stands in its place. Every path ends, and the whole
-- stays small, however often it names the same.
CREATE OR REPLACE FUNCTION calib_private.flat_schema(p_schema jsonb, p_of text, p_root jsonb DEFAULT NULL,
  p_path text DEFAULT '', p_within text[] DEFAULT '{}', p_size integer DEFAULT 0)
RETURNS jsonb LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_root jsonb := coalesce(p_root, p_schema); v_name text := substr(p_schema ->> '$ref', 9);
  v_flat jsonb := p_schema; v_inner jsonb; v_wrong text; v_place text[]; v_within text[];
BEGIN
  IF jsonb_typeof(p_schema) = 'boolean' AND p_path <> '' THEN
    RETURN p_schema;
  ELSIF jsonb_typeof(p_schema) <> 'object' THEN
    v_wrong := concat(CASE WHEN p_path <> '' THEN ': ' END, jsonb_typeof(p_schema),
      ' where a schema object is expected');
  ELSE
    SELECT u INTO v_wrong FROM jsonb_each(p_schema) e, calib_private.unsupported(e.key, e.value) u
      WHERE u IS NOT NULL LIMIT 1;
    v_wrong := coalesce(v_wrong, CASE
      WHEN v_name = ANY (p_within) THEN format('/$ref to #/$defs/%s, which leads back to itself', v_name)
      WHEN v_name IS NOT NULL AND NOT coalesce(v_root -> '$defs' ? v_name, false)
        THEN format('/$ref to #/$defs/%s, which is not there', v_name)
      WHEN p_schema ?& '{$ref,anyOf}' THEN '/anyOf (beside a $ref)'
      WHEN cardinality(string_to_array(p_path, '/')) > 64 THEN ' (more than 64 levels deep)'
      WHEN p_size + pg_column_size(p_schema) > 262144
        THEN ' (more than 256 KiB, each $ref counted as what it names)' END);
  END IF;
  IF v_wrong IS NOT NULL THEN
    PERFORM calib_private.refuse('CQ022', 'schema',
      format('%s: its schema uses %s%s, which the database cannot check', p_of, p_path, v_wrong));
  ELSIF v_name IS NOT NULL THEN
    -- All keywords of a schema hold at once, those beside a $ref too.
    v_flat := p_schema - '$ref'
      || jsonb_build_object('anyOf', jsonb_build_array(v_root -> '$defs' -> v_name));
  END IF;
  FOR v_place, v_within IN
    SELECT ARRAY['$defs', k], p_within || k FROM jsonb_object_keys(v_flat -> '$defs') k
    UNION ALL SELECT ARRAY['properties', k], p_within FROM jsonb_object_keys(v_flat -> 'properties') k
    UNION ALL SELECT ARRAY['anyOf', n::text], p_within || v_name
      FROM generate_series(0, jsonb_array_length(v_flat -> 'anyOf') - 1) n
    UNION ALL SELECT ARRAY[k], p_within FROM unnest('{items,additionalProperties}'::text[]) k WHERE v_flat ? k
  LOOP
    v_inner := v_flat #> v_place;
    v_inner := calib_private.flat_schema(v_inner, p_of, v_root, p_path || '/' || CASE
        WHEN v_place[1] <> 'anyOf' THEN array_to_string(v_place, '/')
        WHEN v_name IS NULL THEN 'anyOf' ELSE '$ref' END,
      v_within, p_size + pg_column_size(v_flat) - pg_column_size(v_inner));
    v_flat := jsonb_set(v_flat, v_place, v_inner);
  END LOOP;
  RETURN v_flat - '$defs';
END $$;
-- Once, for what was registered before schemas were made flat.
UPDATE calib_private.flows f SET schema = calib_private.flat_schema(f.schema, format('flow "%s"', f.flow))
 WHERE f.schema::text LIKE '%"$ref"%';
UPDATE calib_private.tasks t SET schema = calib_private.flat_schema(t.schema, format('task "%s"', t.task))
 WHERE t.schema::text LIKE '%"$ref"%';

-- What is wrong with a value by itself, whatever its items and properties are. NULL: nothing.
CREATE OR REPLACE FUNCTION calib_private.fault(p_value jsonb, p_schema jsonb)
RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_type text := jsonb_typeof(p_value);
  v_text text := CASE WHEN v_type = 'string' THEN p_value #>> '{}' END;
  v_number numeric := CASE WHEN v_type = 'number' THEN p_value::numeric END;
  v_size numeric := coalesce(v_number, length(v_text),
    CASE WHEN v_type = 'array' THEN jsonb_array_length(p_value) END);
  v_of text := CASE v_type WHEN 'number' THEN 'imum' WHEN 'string' THEN 'Length' ELSE 'Items' END;
  v_least numeric := p_schema -> ('min' || v_of); v_most numeric := p_schema -> ('max' || v_of);
  v_unit text := CASE v_type WHEN 'string' THEN ' characters' WHEN 'array' THEN ' items' ELSE '' END;
  v_expected text; v_fault text;
BEGIN
  IF p_schema = 'false' THEN
    RETURN 'nothing is expected here';
  ELSIF NOT p_schema -> 'type' ?| ARRAY[v_type, CASE v_number % 1 WHEN 0 THEN 'integer' END] THEN
    RETURN format('expected %s, got %s', replace(translate(p_schema ->> 'type', '["]', ''), ', ', ' or '),
      v_type || CASE v_type WHEN 'null' THEN '' ELSE ' ' || left(p_value::text, 40) END);
  END IF;
  v_expected := CASE
    WHEN p_schema -> 'const' <> p_value THEN coalesce(p_schema ->> 'const', 'null')
    WHEN v_size < v_least THEN 'at least ' || v_least || v_unit
    WHEN v_size > v_most THEN 'at most ' || v_most || v_unit
    WHEN v_number <= (p_schema -> 'exclusiveMinimum')::numeric
      THEN 'more than ' || (p_schema ->> 'exclusiveMinimum')
    WHEN v_number >= (p_schema -> 'exclusiveMaximum')::numeric
      THEN 'less than ' || (p_schema ->> 'exclusiveMaximum')
    WHEN v_text !~ (p_schema ->> 'pattern') THEN 'a text like ' || (p_schema ->> 'pattern') END;
  IF v_expected IS NULL AND p_schema ? 'enum' THEN
    -- Compared one by one: @> would take {} for every object.
    v_expected := (SELECT 'one of ' || coalesce(string_agg(e::text, ', '), 'nothing')
      FROM jsonb_array_elements(p_schema -> 'enum') e HAVING bool_or(e = p_value) IS NOT TRUE);
    v_fault := CASE WHEN v_expected IS NOT NULL AND v_type = 'string' THEN calib_private.suggestion(v_text,
      ARRAY(SELECT e #>> '{}' FROM jsonb_array_elements(p_schema -> 'enum') e
        WHERE jsonb_typeof(e) = 'string')) END;
    IF v_fault LIKE ': did you mean %' THEN
      RETURN format('unknown value %s%s', calib_private.shown(v_text), v_fault);
    END IF;
  END IF;
  IF v_expected IS NOT NULL THEN
    RETURN format('expected %s, got %s', v_expected, CASE
      WHEN v_type = 'string' THEN calib_private.shown(v_text)
      WHEN v_expected ~ '^at (least|most) .* items$' THEN v_size::text ELSE left(p_value::text, 40) END);
  ELSIF v_type = 'array' AND p_schema -> 'uniqueItems' = 'true' THEN
    v_fault := (SELECT 'expected every item once, got a repeated one' FROM jsonb_array_elements(p_value) e
      HAVING count(DISTINCT e) < v_size);
  ELSIF v_type <> 'object' THEN
    RETURN NULL;
  ELSIF NOT p_value ?& ARRAY(SELECT jsonb_array_elements_text(p_schema -> 'required')) THEN
    v_fault := (SELECT format('"%s" is missing: expected "%s"',
        (array_agg(r) FILTER (WHERE NOT p_value ? r))[1], string_agg(r, '", "'))
      FROM jsonb_array_elements_text(p_schema -> 'required') r);
  ELSIF p_schema -> 'additionalProperties' = 'false'
    AND p_value - ARRAY(SELECT jsonb_object_keys(p_schema -> 'properties')) <> '{}' THEN
    v_fault := (SELECT format('unknown parameter %s%s', calib_private.shown(min(k)), calib_private.suggestion(
        min(k), ARRAY(SELECT jsonb_object_keys(p_schema -> 'properties'))))
      FROM jsonb_object_keys(p_value) k WHERE p_schema #> ARRAY['properties', k] IS NULL);
  END IF;
  RETURN v_fault;
END $$;

-- What is wrong with a value by a flat schema, and where; no code: nothing.
CREATE OR REPLACE FUNCTION calib_private.check_value(p_value jsonb, p_schema jsonb, p_path text,
  p_chip_id text)
RETURNS calib_private.complaint LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  -- A schema of a type alone, which most are, is seen through here.
  v_fault text := CASE WHEN jsonb_typeof(p_value) IS DISTINCT FROM p_schema ->> 'type' OR p_schema ?|
    '{const,enum,minimum,maximum,exclusiveMinimum,exclusiveMaximum,minLength,maxLength,pattern,minItems,'
    'maxItems,uniqueItems,required,additionalProperties}' THEN calib_private.fault(p_value, p_schema) END;
  v_complaint calib_private.complaint; v_first calib_private.complaint;
  v_key text; v_item jsonb; v_rule jsonb;
BEGIN
  IF v_fault IS NOT NULL THEN
    v_complaint := ROW('CQ002', p_path || ': ' || v_fault, NULL);
    RETURN v_complaint;
  END IF;
  IF jsonb_typeof(p_value) = 'array' AND p_schema ? 'items' THEN
    FOR v_n IN 0 .. jsonb_array_length(p_value) - 1 LOOP
      v_complaint := calib_private.check_value(p_value -> v_n, p_schema -> 'items',
        format('%s[%s]', p_path, v_n), p_chip_id);
      IF v_complaint.code IS NOT NULL THEN RETURN v_complaint; END IF;
    END LOOP;
  ELSIF jsonb_typeof(p_value) = 'object' AND p_schema ?| '{properties,additionalProperties}' THEN
    FOR v_key, v_item IN SELECT * FROM jsonb_each(p_value) LOOP
      v_rule := coalesce(p_schema #> ARRAY['properties', v_key], p_schema -> 'additionalProperties', 'true');
      v_complaint := calib_private.check_value(v_item, v_rule, p_path || '.' || left(v_key, 60), p_chip_id);
      IF v_complaint.code IS NOT NULL THEN RETURN v_complaint; END IF;
    END LOOP;
  END IF;
  IF p_schema ? 'anyOf' THEN
    -- Of several refusals the first is the telling one: "or null" stands last. Not that of an alternative for
    -- another value of a constant: a step's "type" says which it is meant to be.
    FOR v_rule IN SELECT a.rule FROM jsonb_array_elements(p_schema -> 'anyOf') WITH ORDINALITY a (rule, n)
      ORDER BY EXISTS (SELECT FROM jsonb_each(a.rule -> 'properties') e
        WHERE e.value -> 'const' <> p_value -> e.key), n LOOP
      v_complaint := calib_private.check_value(p_value, v_rule, p_path, p_chip_id);
      EXIT WHEN v_complaint.code IS NULL;
      IF v_first.code IS NULL THEN v_first := v_complaint; END IF;
    END LOOP;
    IF v_complaint.code IS NOT NULL THEN RETURN v_first; END IF;
  END IF;
  IF NOT p_schema ? 'format' THEN RETURN NULL; END IF;
  RETURN calib_private.check_format(p_value, p_schema ->> 'format', p_path, p_chip_id);
END $$;

-- A coupling is listed once, by its design. A task may run on it with control and target exchanged, and what
-- that yields belongs to the name of this direction.
CREATE OR REPLACE FUNCTION calib_private.in_both_directions(p_qid text)
RETURNS text[] LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT ARRAY[p_qid, regexp_replace(p_qid, '^([0-9]+)-([0-9]+)$', '\2-\1')]
$$;

-- Words that only the catalogue can check: qubits, couplings, MUXes and tasks of the chip.
CREATE OR REPLACE FUNCTION calib_private.check_format(p_value jsonb, p_format text, p_path text,
  p_chip_id text)
RETURNS calib_private.complaint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_word text := p_value #>> '{}'; v_task text; v_given jsonb; v_schema jsonb; v calib_private.complaint;
BEGIN
  IF p_format = 'qid' THEN
    PERFORM FROM calib_private.qubits q WHERE q.chip_id = p_chip_id AND q.qid = v_word;
  ELSIF p_format = 'coupling' THEN
    PERFORM FROM calib_private.couplings k
      WHERE k.chip_id = p_chip_id AND k.qid = ANY (calib_private.in_both_directions(v_word));
  ELSIF p_format = 'mux' THEN
    PERFORM FROM calib_private.qubits q WHERE q.chip_id = p_chip_id AND q.mux::text = v_word;
  ELSIF p_format = 'task' THEN
    PERFORM FROM calib_private.tasks t WHERE t.chip_id = p_chip_id AND t.task = v_word;
  ELSIF jsonb_typeof(p_value) <> 'object' THEN
    v := ROW('CQ002', format('%s: expected object, got %s', p_path, jsonb_typeof(p_value)), NULL);
    RETURN v;
  ELSE
    FOR v_task, v_given, v_schema IN SELECT e.key, e.value, t.schema FROM jsonb_each(p_value) e
        LEFT JOIN calib_private.tasks t ON t.chip_id = p_chip_id AND t.task = e.key LOOP
      v := CASE
        WHEN v_schema IS NULL THEN calib_private.check_format(to_jsonb(v_task), 'task', p_path, p_chip_id)
        ELSE calib_private.check_value(v_given, v_schema, p_path || '.' || v_task, p_chip_id) END;
      EXIT WHEN v.code IS NOT NULL;
    END LOOP;
    RETURN v;
  END IF;
  IF FOUND THEN RETURN NULL; END IF;
  v.code := CASE WHEN p_format <> 'qid' OR v_word ~ '^(0|[1-9][0-9]*)$' THEN 'CQ001' ELSE 'CQ002' END;
  v.message := format(CASE p_format
      WHEN 'task' THEN '%s: unknown task %s%3$s'
      WHEN 'coupling' THEN '%s: chip "%4$s" has no coupling %2$s: expected control and target of neighbours '
        'such as "0-1"'
      WHEN 'mux' THEN '%s: chip "%4$s" has no MUX %2$s: expected %6$s'
      ELSE CASE v.code WHEN 'CQ001' THEN '%s: chip "%4$s" has no qubit %2$s: expected "0" to "%5$s"'
        ELSE '%s: %s is not a qubit id: expected a decimal number without leading zeros such as "0"' END END,
    p_path, calib_private.shown(v_word), CASE p_format WHEN 'task' THEN calib_private.suggestion(v_word,
      ARRAY(SELECT t.task FROM calib_private.tasks t WHERE t.chip_id = p_chip_id)) END, p_chip_id,
    (SELECT c.n_qubits - 1 FROM calib_private.chips c WHERE c.chip_id = p_chip_id),
    (SELECT coalesce(min(q.mux) || ' to ' || max(q.mux), 'none, for it has no MUXes')
      FROM calib_private.qubits q WHERE q.chip_id = p_chip_id));
  v.hint := CASE p_format WHEN 'coupling' THEN 'SELECT qid FROM calib.couplings shows them.'
    WHEN 'task' THEN 'SELECT task FROM calib.tasks shows what the chip''s executors can do.' END;
  RETURN v;
END $$;

-- What the JSON arguments of the executors' verbs look like, in the words of our own validator.
CREATE OR REPLACE FUNCTION calib_private.shape(p_of text)
RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE p_of
    WHEN 'tasks' THEN '{"type": "array", "maxItems": 500000, "items": {"type": "object", "required":
      ["task", "qid", "task_type"], "properties": {"task": {"type": "string", "minLength": 1, "maxLength":
      200}, "qid": {"type": "string", "maxLength": 200}, "task_type": {"enum": ["qubit", "coupling", "mux",
      "global", "system"]}, "repetition": {"type": ["integer", "null"], "minimum": 0, "maximum":
      32767}, "upstream_id": {"type": ["string", "null"], "pattern":
      "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"}, "input_parameters": {"type": "object"},
      "run_parameters": {"type": "object"}}}}'::jsonb
    WHEN 'result' THEN '{"type": "object", "properties": {"hardware_seconds": {"type": ["number", "null"],
      "minimum": 0, "maximum": 1000000000.0}, "persist_output_parameters": {"type": ["boolean", "null"]},
      "message": {"type": ["string", "null"], "maxLength": 10000}, "cause": {"type": ["string", "null"],
      "maxLength": 10000}, "remedy": {"type": ["string", "null"], "maxLength": 10000}, "failure_kind":
      {"type": ["string", "null"]}, "input_parameters": {"type": "object"}, "output_parameters": {"type":
      "object"}, "run_parameters": {"type": "object"}, "quality_metrics": {"type": "object"}, "note":
      {"type": "object"}}}'
    WHEN 'stage' THEN '{"type": "object", "required": ["name", "step", "status"], "additionalProperties":
      false, "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 200}, "step": {"type":
      "string", "minLength": 1, "maxLength": 200}, "mode": {"type": ["string", "null"], "maxLength": 200},
      "targets": {"type": "array", "maxItems": 10000, "items": {"type": "string", "maxLength": 200}},
      "status": {"enum": ["running", "completed", "failed", "cancelled", "skipped"]}, "result": {"type":
      "object"}, "message": {"type": ["string", "null"], "maxLength": 10000}}}'
    WHEN 'figures' THEN '{"type": "array", "maxItems": 1000, "items": {"type": "object", "required":
      ["name", "plotly"], "properties": {"name": {"type": "string", "maxLength": 200}, "plotly": {"type":
      "string"}}}}'
    WHEN 'raw_meta' THEN '{"type": "array", "maxItems": 1000, "items": {"type": "object", "required":
      ["name", "dtype", "shape", "unit"], "properties": {"name": {"type": "string", "maxLength": 200},
      "dtype": {"type": "string", "maxLength": 200}, "unit": {"type": "string", "maxLength": 200},
      "shape": {"type": "array", "maxItems": 32, "items": {"type": "integer", "minimum": 0, "maximum":
      2147483647}}}}}'
    WHEN 'flow' THEN '{"type": "object", "required": ["flow", "repeatable", "schema", "timeout_seconds"],
      "properties": {"flow": {"type": "string"}, "description": {"type": ["string", "null"], "maxLength":
      10000}, "repeatable": {"type": "boolean"}, "timeout_seconds": {"type": "integer", "minimum": 1,
      "maximum": 604800}, "on_cancellation": {"type": "array", "items": {"type": "string"}}}}'
    WHEN 'task' THEN '{"type": "object", "required": ["task", "task_type", "schema", "input_parameters",
      "output_parameters"], "properties": {"task": {"type": "string", "pattern":
      "^[A-Za-z][A-Za-z0-9]{0,62}$"}, "task_type": {"enum": ["qubit", "coupling", "mux", "global",
      "system"]}, "description": {"type": ["string", "null"], "maxLength": 10000}, "input_parameters":
      {"type": "array", "maxItems": 1000, "items": {"type": "string", "maxLength": 200}},
      "output_parameters": {"type": "array", "maxItems": 1000, "items": {"type": "string", "maxLength":
      200}}, "outputs": {"type": "array", "maxItems": 1000, "items": {"type": "object", "required": ["name",
      "unit", "kind"], "properties": {"name": {"type": "string", "maxLength": 200}, "unit": {"type": "string",
      "maxLength": 200}, "kind": {"enum": ["number", "integer"]}, "lower": {"type": ["number", "null"],
      "minimum": -1e300, "maximum": 1e300}, "upper": {"type": ["number", "null"], "minimum": -1e300,
      "maximum": 1e300}}}}}}'
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
    v_wrong := (calib_private.check_value(p_value, v_schema, p_name, NULL)).message;
  END IF;
  IF v_wrong IS NOT NULL THEN PERFORM calib_private.refuse(p_code, p_name, v_wrong); END IF;
END $$;
