DROP FUNCTION calib_private.require_known_names(text, jsonb);
