-- What tables and constraints rest on. Applied before the first revision.

-- Nothing is for everybody: what a client may call or read is granted by name.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA calib REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA calib_private REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
REVOKE ALL ON SCHEMA calib, calib_private FROM PUBLIC;
COMMENT ON SCHEMA calib IS
  'The public contract of the queue: views to read, calib.jobs to INSERT into, and functions. Its errors '
  'have the SQLSTATEs CQ001 to CQ040.';
COMMENT ON SCHEMA calib_private IS
  'Tables and helper functions of the queue, for calib_owner only. Clients use schema calib.';

-- The one clock of the queue. Tests replace this function as its owner; no setting that a client can reach
-- shifts it.
CREATE OR REPLACE FUNCTION calib_private.now()
RETURNS timestamptz LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN clock_timestamp();
END $$;

-- The closed list. NULL, for "none", passes.
CREATE OR REPLACE FUNCTION calib_private.is_failure_kind(p_kind text)
RETURNS boolean LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN p_kind IN ('missing_input', 'no_signal', 'bad_fit', 'out_of_range', 'instrument',
    'timeout', 'lost', 'shutdown', 'invalid_request', 'internal');
END $$;

-- The role taken by SET ROLE, else the login. SECURITY DEFINER changes current_user but neither of these two.
CREATE OR REPLACE FUNCTION calib_private.actor()
RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN CASE current_setting('role') WHEN 'none' THEN session_user::text ELSE current_setting('role') END;
END $$;
