-- How the queue refuses: one sentence, one line, an error code of class CQ, the column, the nearest valid
-- word.

-- Characters that move a cursor, colour a terminal, begin a line or turn the direction of reading. An E
-- string means the same whatever the client has set standard_conforming_strings to.
CREATE OR REPLACE FUNCTION calib_private.one_line(p_text text)
RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT regexp_replace(p_text,
      E'[\\x01-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]', '?', 'g')
$$;

-- Client text shown back in a message: short and on one line.
CREATE OR REPLACE FUNCTION calib_private.shown(p_text text)
RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN p_text IS NULL THEN 'nothing'
    ELSE '"' || calib_private.one_line(left(p_text, 60))
      || CASE WHEN length(p_text) > 60 THEN '...' ELSE '' END || '"' END
$$;

-- The nearest valid word, as " did you mean ...?", or the list of what there is when nothing is near.
CREATE OR REPLACE FUNCTION calib_private.suggestion(p_word text, p_known text[])
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, calib_ext, pg_temp AS $$
  SELECT coalesce(
    -- No name is longer than 64, and trigrams of a megabyte take seconds.
    (SELECT format(': did you mean "%s"?', k)
       FROM unnest(p_known) k, LATERAL (SELECT calib_ext.similarity(lower(k),
           lower(left(p_word, 100))) AS likeness) s
      WHERE likeness >= 0.3 ORDER BY likeness DESC, k LIMIT 1),
    CASE WHEN cardinality(p_known) = 0 THEN ': there is none yet'
      ELSE format(': expected one of %s', (SELECT string_agg(k, ', ' ORDER BY k) FROM
        (SELECT k FROM unnest(p_known) k ORDER BY k LIMIT 8) first_few))
        || CASE WHEN cardinality(p_known) > 8 THEN ', ...' ELSE '' END END)
$$;

-- Raises a refusal. An absent hint or detail stays absent: psql would print an empty one as an empty line.
CREATE OR REPLACE FUNCTION calib_private.refuse(p_code text, p_column text, p_message text,
  p_hint text DEFAULT NULL, p_detail text DEFAULT NULL, p_constraint text DEFAULT NULL)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_column text := coalesce(p_column, ''); v_constraint text := coalesce(p_constraint, '');
  v_message text := calib_private.one_line(left(p_message, 600));
    v_hint text := calib_private.one_line(left(p_hint, 600));
BEGIN
  IF v_hint IS NULL AND p_detail IS NULL THEN
    RAISE EXCEPTION '%', v_message USING ERRCODE = p_code, COLUMN = v_column, CONSTRAINT = v_constraint,
      SCHEMA = 'calib';
  ELSIF p_detail IS NULL THEN
    RAISE EXCEPTION '%', v_message USING ERRCODE = p_code, COLUMN = v_column, CONSTRAINT = v_constraint,
      SCHEMA = 'calib', HINT = v_hint;
  ELSIF v_hint IS NULL THEN
    RAISE EXCEPTION '%', v_message USING ERRCODE = p_code, COLUMN = v_column, CONSTRAINT = v_constraint,
      SCHEMA = 'calib', DETAIL = p_detail;
  ELSE
    RAISE EXCEPTION '%', v_message USING ERRCODE = p_code, COLUMN = v_column, CONSTRAINT = v_constraint,
      SCHEMA = 'calib', HINT = v_hint, DETAIL = p_detail;
  END IF;
END $$;

-- Refuses a text that is absent or longer than it may be.
CREATE OR REPLACE FUNCTION calib_private.require_text(p_name text, p_text text, p_least integer,
  p_most integer)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF coalesce(length(p_text), -1) NOT BETWEEN p_least AND p_most THEN
    PERFORM calib_private.refuse('CQ007', p_name,
      format('%s: expected %s to %s characters, got %s', p_name, p_least, p_most, CASE
        WHEN length(p_text) > 60 THEN length(p_text)::text ELSE calib_private.shown(p_text) END));
  END IF;
END $$;

CREATE OR REPLACE FUNCTION calib_private.require_chip(p_chip_id text)
RETURNS calib_private.chips
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_chip calib_private.chips;
BEGIN
  IF p_chip_id IS NULL THEN
    PERFORM calib_private.refuse('CQ007', 'chip_id', 'chip_id: expected the name of a chip, got nothing',
      'SELECT chip_id FROM calib.chips shows the chips there are.');
  END IF;
  SELECT * INTO v_chip FROM calib_private.chips c WHERE c.chip_id = p_chip_id;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ001', 'chip_id',
      format('unknown chip %s%s', calib_private.shown(p_chip_id),
      calib_private.suggestion(p_chip_id, ARRAY(SELECT c.chip_id FROM calib_private.chips c))),
        'SELECT chip_id FROM calib.chips shows the chips there are.');
  END IF;
  RETURN v_chip;
END $$;

CREATE OR REPLACE FUNCTION calib_private.require_in_use(p_chip calib_private.chips)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_chip.retired_at IS NOT NULL THEN
    PERFORM calib_private.refuse('CQ010', 'chip_id',
      format('chip "%s" was retired by %s: it takes no jobs', p_chip.chip_id, p_chip.retired_by));
  END IF;
END $$;
