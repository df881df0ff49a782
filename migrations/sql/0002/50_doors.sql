-- The oldest version of the schema whose programs are still served. It rises only with a change that would break them.
CREATE FUNCTION calib.oldest_served_version() RETURNS integer LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT 1 $$;
GRANT EXECUTE ON FUNCTION calib.oldest_served_version() TO calib_reader;
