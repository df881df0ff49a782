DROP INDEX calib_private.parameter_versions_by_hand;
DROP FUNCTION calib.parameters_at(text, text, timestamptz);
