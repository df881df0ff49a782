-- Functions that nothing calls any more. A fresh database has never had them.
DROP FUNCTION IF EXISTS calib_private.access_rank(text);
