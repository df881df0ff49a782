-- Roles, schemas and extensions. Runs first, as the login that migrates (a superuser, or a role with
-- CREATEROLE that may create schemas and extensions); everything after it belongs to calib_owner. Roles are
-- shared by all databases of the server, so nothing here drops or alters one that exists.
DO $$
DECLARE
  v_role text; v_pair text[]; v_astray text;
BEGIN
  FOREACH v_role IN ARRAY ARRAY['calib_owner', 'calib_reader', 'calib_submitter', 'calib_operator',
                                'calib_notebook', 'calib_executor', 'calib_mirror', 'calib_admin'] LOOP
    BEGIN
      IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = v_role) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
      END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      RAISE DEBUG 'role % was made by another migration at the same moment', v_role;
    END;
  END LOOP;
  FOREACH v_pair SLICE 1 IN ARRAY ARRAY[
      ['calib_reader', 'calib_submitter'], ['calib_submitter', 'calib_operator'],
        ['calib_operator', 'calib_admin'],
      ['calib_submitter', 'calib_notebook'],
      ['calib_reader', 'calib_executor'], ['calib_reader', 'calib_mirror'],
        ['calib_owner', current_user::text]] LOOP
    BEGIN
      -- Since PostgreSQL 16 a role that makes another is its member without the right to become it.
      IF NOT pg_has_role(v_pair[2], v_pair[1],
          CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET'
            ELSE 'MEMBER' END) THEN
        EXECUTE format('GRANT %I TO %I', v_pair[1], v_pair[2]);
      END IF;
    EXCEPTION WHEN unique_violation THEN
      RAISE DEBUG '% was granted to % by another migration at the same moment', v_pair[1], v_pair[2];
    END;
  END LOOP;

  IF to_regnamespace('calib') IS NULL THEN CREATE SCHEMA calib AUTHORIZATION calib_owner; END IF;
  IF to_regnamespace('calib_private') IS NULL THEN
      CREATE SCHEMA calib_private AUTHORIZATION calib_owner; END IF;
  IF to_regnamespace('calib_ext') IS NULL THEN
    CREATE SCHEMA calib_ext;
    COMMENT ON SCHEMA calib_ext IS 'Extensions that the queue uses.';
    GRANT USAGE ON SCHEMA calib_ext TO calib_owner;
  END IF;
  CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA calib_ext;
  CREATE EXTENSION IF NOT EXISTS btree_gist SCHEMA calib_ext;
  SELECT string_agg(format('%s is in schema %s', e.extname, n.nspname), ', ') INTO v_astray
    FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
   WHERE e.extname IN ('pg_trgm', 'btree_gist') AND n.nspname <> 'calib_ext';
  IF v_astray IS NOT NULL THEN
    RAISE EXCEPTION 'expected the extensions pg_trgm and btree_gist in schema calib_ext, but %', v_astray
      USING HINT = 'Give the queue a database of its own, or move them: ALTER EXTENSION pg_trgm SET SCHEMA '
        'calib_ext.';
  END IF;
END $$;
