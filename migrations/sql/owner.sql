-- The version table lives in the owner's schema, so both must be there before the first revision.
DO $$
DECLARE
  can_be_owner boolean;
BEGIN
  BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'calib_owner') THEN
      CREATE ROLE calib_owner NOLOGIN;
    END IF;
  EXCEPTION WHEN duplicate_object OR unique_violation THEN
    -- Roles are shared by all databases of the server; whoever comes second may go on.
    RAISE DEBUG 'role calib_owner was made by another migration at the same moment';
  END;
  -- Since PostgreSQL 16 whoever makes a role is a member of it without the right to become it.
  IF current_setting('server_version_num')::integer >= 160000 THEN
    can_be_owner := pg_has_role(current_user, 'calib_owner', 'SET');
  ELSE
    can_be_owner := pg_has_role(current_user, 'calib_owner', 'MEMBER');
  END IF;
  IF NOT can_be_owner THEN
    BEGIN
      EXECUTE format('GRANT calib_owner TO %I', current_user);
    EXCEPTION WHEN unique_violation THEN
      RAISE DEBUG 'calib_owner was granted to % by another migration at the same moment', current_user;
    END;
  END IF;
  IF to_regnamespace('calib_private') IS NULL THEN
    CREATE SCHEMA calib_private AUTHORIZATION calib_owner;
  END IF;
END $$;
