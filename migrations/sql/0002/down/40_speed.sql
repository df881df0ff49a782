DROP FUNCTION calib_private.json_types_match(jsonb, jsonb);
DROP FUNCTION calib_private.require_free_key(text, text);
DROP FUNCTION calib_private.checked_or_refused(calib.jobs);
DROP FUNCTION calib_private.require_lease(calib_private.leases, bigint, bigint);
