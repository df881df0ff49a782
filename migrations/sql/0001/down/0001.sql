-- Removes the contract and the truth, all but the version table. Roles and extensions belong to the cluster and stay.
DROP SCHEMA calib CASCADE;
CREATE SCHEMA calib AUTHORIZATION calib_owner;
DO $$
DECLARE
  v_object record;
BEGIN
  FOR v_object IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'calib_private'::regnamespace AND c.relkind = 'r'
                     AND c.relname <> 'alembic_version' LOOP
    EXECUTE format('DROP TABLE calib_private.%I CASCADE', v_object.relname);
  END LOOP;
  FOR v_object IN SELECT p.oid::regprocedure::text AS signature FROM pg_proc p WHERE p.pronamespace = 'calib_private'::regnamespace LOOP
    EXECUTE format('DROP FUNCTION IF EXISTS %s CASCADE', v_object.signature);
  END LOOP;
  FOR v_object IN SELECT t.typname FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid
                   WHERE t.typnamespace = 'calib_private'::regnamespace AND c.relkind = 'c' LOOP
    EXECUTE format('DROP TYPE calib_private.%I CASCADE', v_object.typname);
  END LOOP;
END $$;
