-- Superseded by nothing that calls them.
DROP FUNCTION IF EXISTS calib_private.access_rank(text);
