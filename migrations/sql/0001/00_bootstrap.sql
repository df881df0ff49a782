-- Roles, schemas and extensions. Runs as whoever migrates (a superuser, or a role with CREATEROLE and CREATE on the
-- database); everything after this file belongs to calib_owner. Roles are cluster-wide, so nothing here drops or alters
-- one that exists.
DO $$
DECLARE
  role_name text;
BEGIN
  FOREACH role_name IN ARRAY ARRAY['calib_owner', 'calib_reader', 'calib_submitter', 'calib_operator',
                                   'calib_executor', 'calib_mirror', 'calib_admin'] LOOP
    BEGIN
      IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
      END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      RAISE DEBUG 'role % was made by another migration at the same moment', role_name;
    END;
  END LOOP;
  IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
     AND NOT pg_has_role(current_user, 'calib_owner', 'MEMBER') THEN
    EXECUTE format('GRANT calib_owner TO %I', current_user);
  END IF;
END $$;

DO $$
BEGIN
  -- Concurrent migrations of two databases of one cluster race on these shared rows; the loser may go on.
  IF NOT pg_has_role('calib_submitter', 'calib_reader', 'MEMBER') THEN GRANT calib_reader TO calib_submitter; END IF;
  IF NOT pg_has_role('calib_operator', 'calib_submitter', 'MEMBER') THEN GRANT calib_submitter TO calib_operator; END IF;
  IF NOT pg_has_role('calib_admin', 'calib_operator', 'MEMBER') THEN GRANT calib_operator TO calib_admin; END IF;
  IF NOT pg_has_role('calib_executor', 'calib_reader', 'MEMBER') THEN GRANT calib_reader TO calib_executor; END IF;
  IF NOT pg_has_role('calib_mirror', 'calib_reader', 'MEMBER') THEN GRANT calib_reader TO calib_mirror; END IF;
END $$;

CREATE SCHEMA IF NOT EXISTS calib AUTHORIZATION calib_owner;
CREATE SCHEMA IF NOT EXISTS calib_private AUTHORIZATION calib_owner;
CREATE SCHEMA IF NOT EXISTS calib_ext;
CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA calib_ext;
CREATE EXTENSION IF NOT EXISTS btree_gist SCHEMA calib_ext;
GRANT USAGE ON SCHEMA calib_ext TO calib_owner;

DO $$
DECLARE
  astray text;
BEGIN
  SELECT string_agg(format('%s is in schema %s', e.extname, n.nspname), ', ') INTO astray
    FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
   WHERE e.extname IN ('pg_trgm', 'btree_gist') AND n.nspname <> 'calib_ext';
  IF astray IS NOT NULL THEN
    RAISE EXCEPTION 'expected the extensions pg_trgm and btree_gist in schema calib_ext, but %', astray
      USING HINT = 'Give the queue a database of its own, or move them: ALTER EXTENSION pg_trgm SET SCHEMA calib_ext.';
  END IF;
END $$;
