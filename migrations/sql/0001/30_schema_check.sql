-- A validator for a subset of JSON Schema. A flow whose schema needs more is refused when it registers.

CREATE TYPE calib_private.complaint AS (code text, message text, hint text);

CREATE FUNCTION calib_private.complain(p_code text, p_message text, p_hint text) RETURNS calib_private.complaint LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$ SELECT (p_code, p_message, p_hint)::calib_private.complaint $$;

CREATE FUNCTION calib_private.unsupported_keyword(p_schema jsonb, p_path text DEFAULT '') RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_key text; v_value jsonb; v_bad text; v_item jsonb;
BEGIN
  IF jsonb_typeof(p_schema) = 'boolean' THEN RETURN NULL; END IF;
  IF jsonb_typeof(p_schema) IS DISTINCT FROM 'object' THEN
    RETURN format('%s: expected a schema object, got %s', nullif(p_path, ''), coalesce(jsonb_typeof(p_schema), 'nothing'));
  END IF;
  FOR v_key, v_value IN SELECT * FROM jsonb_each(p_schema) LOOP
    v_bad := NULL;
    CASE
      WHEN v_key IN ('title', 'description', 'default', 'examples', 'enum', 'const', 'required', 'minimum', 'maximum',
                     'exclusiveMinimum', 'exclusiveMaximum', 'minLength', 'maxLength', 'minItems', 'maxItems',
                     'uniqueItems', 'type') THEN NULL;
      WHEN v_key IN ('properties', '$defs') THEN
        SELECT calib_private.unsupported_keyword(e.value, p_path || '/' || v_key || '/' || e.key) INTO v_bad
          FROM jsonb_each(v_value) e
         WHERE calib_private.unsupported_keyword(e.value, p_path || '/' || v_key || '/' || e.key) IS NOT NULL LIMIT 1;
      WHEN v_key IN ('items', 'additionalProperties') THEN
        v_bad := calib_private.unsupported_keyword(v_value, p_path || '/' || v_key);
      WHEN v_key = 'anyOf' THEN
        FOR v_item IN SELECT * FROM jsonb_array_elements(v_value) LOOP
          v_bad := coalesce(v_bad, calib_private.unsupported_keyword(v_item, p_path || '/anyOf'));
        END LOOP;
      WHEN v_key = '$ref' THEN
        IF v_value #>> '{}' !~ '^#/\$defs/[A-Za-z0-9_.-]+$' THEN v_bad := p_path || '/$ref (only local #/$defs/...)'; END IF;
      WHEN v_key = 'pattern' THEN
        BEGIN
          PERFORM '' ~ (v_value #>> '{}');
        EXCEPTION WHEN invalid_regular_expression THEN
          v_bad := p_path || '/pattern (not a regular expression that the database understands)';
        END;
      WHEN v_key = 'format' THEN
        IF v_value #>> '{}' NOT IN ('qid', 'coupling', 'task', 'run_parameters') THEN
          v_bad := format('%s/format "%s"', p_path, v_value #>> '{}');
        END IF;
      ELSE v_bad := p_path || '/' || v_key;
    END CASE;
    IF v_bad IS NOT NULL THEN RETURN v_bad; END IF;
  END LOOP;
  RETURN NULL;
END $$;

CREATE FUNCTION calib_private.json_type_matches(p_value jsonb, p_type text) RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE p_type
    WHEN 'integer' THEN jsonb_typeof(p_value) = 'number' AND (p_value #>> '{}')::numeric % 1 = 0
    ELSE jsonb_typeof(p_value) = p_type END
$$;

-- Words that only the catalogue can check: qubits, couplings and tasks of the chip.
CREATE FUNCTION calib_private.check_format(p_value jsonb, p_format text, p_path text, p_chip_id text)
RETURNS calib_private.complaint LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_word text := p_value #>> '{}';
  v_task text; v_given jsonb; v_schema jsonb; v_complaint calib_private.complaint;
BEGIN
  CASE p_format
    WHEN 'qid' THEN
      IF v_word !~ '^(0|[1-9][0-9]*)$' THEN
        RETURN calib_private.complain('CQ002', format('%s: %s is not a qubit id: expected a decimal number without leading zeros such as "0"',
          p_path, calib_private.shown(v_word)), NULL);
      END IF;
      IF NOT EXISTS (SELECT FROM calib_private.qubits q WHERE q.chip_id = p_chip_id AND q.qid = v_word) THEN
        RETURN calib_private.complain('CQ001', format('%s: chip "%s" has no qubit %s: expected "0" to "%s"', p_path, p_chip_id,
          calib_private.shown(v_word), (SELECT c.n_qubits - 1 FROM calib_private.chips c WHERE c.chip_id = p_chip_id)), NULL);
      END IF;
    WHEN 'coupling' THEN
      IF NOT EXISTS (SELECT FROM calib_private.couplings k WHERE k.chip_id = p_chip_id AND k.qid = v_word) THEN
        RETURN calib_private.complain('CQ001', format('%s: chip "%s" has no coupling %s: expected control and target of neighbours such as "0-1"',
          p_path, p_chip_id, calib_private.shown(v_word)), 'SELECT qid FROM calib.couplings shows them.');
      END IF;
    WHEN 'task' THEN
      IF NOT EXISTS (SELECT FROM calib_private.tasks t WHERE t.chip_id = p_chip_id AND t.task = v_word) THEN
        RETURN calib_private.complain('CQ001', format('%s: unknown task %s%s', p_path, calib_private.shown(v_word),
          calib_private.suggestion(v_word, ARRAY(SELECT t.task FROM calib_private.tasks t WHERE t.chip_id = p_chip_id))),
          'SELECT task FROM calib.tasks shows what the chip''s executors can do.');
      END IF;
    WHEN 'run_parameters' THEN
      FOR v_task, v_given IN SELECT * FROM jsonb_each(p_value) LOOP
        v_complaint := calib_private.check_format(to_jsonb(v_task), 'task', p_path, p_chip_id);
        IF v_complaint.code IS NOT NULL THEN RETURN v_complaint; END IF;
        SELECT t.schema INTO v_schema FROM calib_private.tasks t WHERE t.chip_id = p_chip_id AND t.task = v_task;
        v_complaint := calib_private.check_value(v_given, v_schema, v_schema, p_path || '.' || v_task, p_chip_id);
        IF v_complaint.code IS NOT NULL THEN RETURN v_complaint; END IF;
      END LOOP;
  END CASE;
  RETURN NULL;
END $$;

CREATE FUNCTION calib_private.check_object(p_value jsonb, p_schema jsonb, p_root jsonb, p_path text, p_chip_id text)
RETURNS calib_private.complaint LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_known jsonb := coalesce(p_schema -> 'properties', '{}');
  v_extra jsonb := coalesce(p_schema -> 'additionalProperties', 'true');
  v_key text; v_item jsonb; v_complaint calib_private.complaint;
BEGIN
  SELECT r INTO v_key FROM jsonb_array_elements_text(coalesce(p_schema -> 'required', '[]')) r WHERE NOT p_value ? r LIMIT 1;
  IF FOUND THEN
    RETURN calib_private.complain('CQ002', format('%s: "%s" is missing: expected %s', p_path, v_key,
      (SELECT string_agg(format('"%s"', r), ', ') FROM jsonb_array_elements_text(p_schema -> 'required') r)), NULL);
  END IF;
  FOR v_key, v_item IN SELECT * FROM jsonb_each(p_value) LOOP
    IF v_known ? v_key THEN
      v_complaint := calib_private.check_value(v_item, v_known -> v_key, p_root, p_path || '.' || v_key, p_chip_id);
    ELSIF v_extra = 'false' THEN
      RETURN calib_private.complain('CQ002', format('%s: unknown parameter %s%s', p_path, calib_private.shown(v_key),
        calib_private.suggestion(v_key, ARRAY(SELECT jsonb_object_keys(v_known)))), NULL);
    ELSE
      v_complaint := calib_private.check_value(v_item, v_extra, p_root, p_path || '.' || left(v_key, 60), p_chip_id);
    END IF;
    IF v_complaint.code IS NOT NULL THEN RETURN v_complaint; END IF;
  END LOOP;
  RETURN NULL;
END $$;

CREATE FUNCTION calib_private.check_array(p_value jsonb, p_schema jsonb, p_root jsonb, p_path text, p_chip_id text)
RETURNS calib_private.complaint LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_count integer := jsonb_array_length(p_value);
  v_index integer := 0; v_item jsonb; v_complaint calib_private.complaint;
BEGIN
  IF v_count < (p_schema ->> 'minItems')::integer THEN
    RETURN calib_private.complain('CQ002', format('%s: expected at least %s items, got %s', p_path, p_schema ->> 'minItems', v_count), NULL);
  ELSIF v_count > (p_schema ->> 'maxItems')::integer THEN
    RETURN calib_private.complain('CQ002', format('%s: expected at most %s items, got %s', p_path, p_schema ->> 'maxItems', v_count), NULL);
  ELSIF (p_schema ->> 'uniqueItems')::boolean
        AND v_count <> (SELECT count(DISTINCT e) FROM jsonb_array_elements(p_value) e) THEN
    RETURN calib_private.complain('CQ002', format('%s: expected every item once, got a repeated one', p_path), NULL);
  END IF;
  IF NOT p_schema ? 'items' THEN RETURN NULL; END IF;
  FOR v_item IN SELECT * FROM jsonb_array_elements(p_value) LOOP
    v_complaint := calib_private.check_value(v_item, p_schema -> 'items', p_root, format('%s[%s]', p_path, v_index), p_chip_id);
    IF v_complaint.code IS NOT NULL THEN RETURN v_complaint; END IF;
    v_index := v_index + 1;
  END LOOP;
  RETURN NULL;
END $$;

CREATE FUNCTION calib_private.check_scalar(p_value jsonb, p_schema jsonb, p_path text)
RETURNS calib_private.complaint LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_text text := p_value #>> '{}'; v_number numeric; v_expected text;
BEGIN
  IF jsonb_typeof(p_value) = 'number' THEN
    v_number := v_text::numeric;
    v_expected := CASE
      WHEN v_number < (p_schema ->> 'minimum')::numeric THEN 'at least ' || (p_schema ->> 'minimum')
      WHEN v_number > (p_schema ->> 'maximum')::numeric THEN 'at most ' || (p_schema ->> 'maximum')
      WHEN v_number <= (p_schema ->> 'exclusiveMinimum')::numeric THEN 'more than ' || (p_schema ->> 'exclusiveMinimum')
      WHEN v_number >= (p_schema ->> 'exclusiveMaximum')::numeric THEN 'less than ' || (p_schema ->> 'exclusiveMaximum') END;
    v_text := left(v_text, 40);
  ELSIF jsonb_typeof(p_value) = 'string' THEN
    v_expected := CASE
      WHEN length(v_text) < (p_schema ->> 'minLength')::integer THEN format('at least %s characters', p_schema ->> 'minLength')
      WHEN length(v_text) > (p_schema ->> 'maxLength')::integer THEN format('at most %s characters', p_schema ->> 'maxLength')
      WHEN v_text !~ (p_schema ->> 'pattern') THEN format('a text like %s', p_schema ->> 'pattern') END;
    v_text := calib_private.shown(v_text);
  END IF;
  IF v_expected IS NOT NULL THEN
    RETURN calib_private.complain('CQ002', format('%s: expected %s, got %s', p_path, v_expected, v_text), NULL);
  END IF;
  RETURN NULL;
END $$;

-- NULL code: the value fits. Otherwise the first thing that is wrong, in words.
CREATE FUNCTION calib_private.check_value(p_value jsonb, p_schema jsonb, p_root jsonb, p_path text, p_chip_id text)
RETURNS calib_private.complaint LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_complaint calib_private.complaint; v_first calib_private.complaint; v_option jsonb; v_types jsonb;
BEGIN
  IF jsonb_typeof(p_schema) = 'boolean' THEN
    RETURN CASE WHEN p_schema = 'true' THEN NULL
                ELSE calib_private.complain('CQ002', format('%s: nothing is expected here', p_path), NULL) END;
  END IF;
  IF p_schema ? '$ref' THEN
    RETURN calib_private.check_value(p_value, p_root #> string_to_array(substr(p_schema ->> '$ref', 3), '/'), p_root, p_path, p_chip_id);
  END IF;
  IF p_schema ? 'anyOf' THEN
    FOR v_option IN SELECT * FROM jsonb_array_elements(p_schema -> 'anyOf') LOOP
      v_complaint := calib_private.check_value(p_value, v_option, p_root, p_path, p_chip_id);
      IF v_complaint.code IS NULL THEN RETURN NULL; END IF;
      -- Of several refusals the first is the telling one: "or null" stands last.
      IF v_first.code IS NULL THEN v_first := v_complaint; END IF;
    END LOOP;
    RETURN v_first;
  END IF;
  IF p_schema ? 'type' THEN
    v_types := CASE jsonb_typeof(p_schema -> 'type') WHEN 'array' THEN p_schema -> 'type'
                    ELSE jsonb_build_array(p_schema -> 'type') END;
    IF NOT EXISTS (SELECT FROM jsonb_array_elements_text(v_types) t WHERE calib_private.json_type_matches(p_value, t)) THEN
      RETURN calib_private.complain('CQ002', format('%s: expected %s, got %s', p_path,
        (SELECT string_agg(t, ' or ') FROM jsonb_array_elements_text(v_types) t),
        CASE jsonb_typeof(p_value) WHEN 'null' THEN 'null' ELSE jsonb_typeof(p_value) || ' ' || left(p_value::text, 40) END), NULL);
    END IF;
  END IF;
  IF p_schema ? 'enum' AND NOT (p_schema -> 'enum') @> jsonb_build_array(p_value) THEN
    RETURN calib_private.complain('CQ002', format('%s: expected one of %s, got %s', p_path,
      (SELECT string_agg(e::text, ', ') FROM jsonb_array_elements(p_schema -> 'enum') e), left(p_value::text, 60)), NULL);
  ELSIF p_schema ? 'const' AND p_schema -> 'const' <> p_value THEN
    RETURN calib_private.complain('CQ002', format('%s: expected %s, got %s', p_path, p_schema -> 'const', left(p_value::text, 60)), NULL);
  END IF;
  v_complaint := CASE jsonb_typeof(p_value)
    WHEN 'object' THEN calib_private.check_object(p_value, p_schema, p_root, p_path, p_chip_id)
    WHEN 'array' THEN calib_private.check_array(p_value, p_schema, p_root, p_path, p_chip_id)
    ELSE calib_private.check_scalar(p_value, p_schema, p_path) END;
  IF v_complaint.code IS NULL AND p_schema ? 'format' THEN
    v_complaint := calib_private.check_format(p_value, p_schema ->> 'format', p_path, p_chip_id);
  END IF;
  RETURN v_complaint;
END $$;
