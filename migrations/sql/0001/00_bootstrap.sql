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
DECLARE
  pair text[];
BEGIN
  FOREACH pair SLICE 1 IN ARRAY ARRAY[['calib_reader', 'calib_submitter'], ['calib_submitter', 'calib_operator'], ['calib_operator', 'calib_admin'],
                                      ['calib_reader', 'calib_executor'], ['calib_reader', 'calib_mirror']] LOOP
    BEGIN
      IF NOT pg_has_role(pair[2], pair[1], 'MEMBER') THEN
        EXECUTE format('GRANT %I TO %I', pair[1], pair[2]);
      END IF;
    EXCEPTION WHEN unique_violation THEN
      -- Memberships are shared by all databases of the server; whoever comes second may go on.
      RAISE DEBUG '% was granted to % by another migration at the same moment', pair[1], pair[2];
    END;
  END LOOP;
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
