-- Superseded by nothing that calls them.
DROP FUNCTION IF EXISTS calib_private.access_rank(text);
-- A schema is made flat when it is registered; check_value() and fault() are what checks against it.
DROP FUNCTION IF EXISTS calib_private.complain(text, text, text),
  calib_private.malformed_keyword(text, jsonb), calib_private.is_endless(jsonb, jsonb, text[]),
  calib_private.referenced(text, jsonb), calib_private.unsupported_reference(jsonb, jsonb),
  calib_private.unsupported_keyword(jsonb, jsonb, text), calib_private.json_type_matches(jsonb, text),
  calib_private.json_types_match(jsonb, jsonb), calib_private.check_object(jsonb, jsonb, jsonb, text, text),
  calib_private.check_array(jsonb, jsonb, jsonb, text, text), calib_private.check_scalar(jsonb, jsonb, text),
  calib_private.check_any_of(jsonb, jsonb, jsonb, text, text), calib_private.check_words(jsonb, jsonb, text),
  calib_private.check_value(jsonb, jsonb, jsonb, text, text);
