-- What only release 0.3.0 calls, or a function of it that was running when the database was upgraded.

CREATE OR REPLACE FUNCTION calib_private.sees_all()
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib_private.sees_all(calib_private.actor()::name)
$$;

CREATE OR REPLACE FUNCTION calib_private.readable_projects()
RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib_private.readable_projects(calib_private.actor()::name)
$$;
REVOKE ALL ON FUNCTION calib_private.readable_projects() FROM calib_reader;
