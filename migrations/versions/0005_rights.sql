-- All tables at once, those that running jobs write in the order in which they do.
LOCK TABLE calib_private.executors, calib_private.executor_permissions, calib_private.memberships,
  calib_private.mirrors, calib_private.chips, calib_private.projects, calib_private.leases,
  calib_private.jobs, calib_private.attempts, calib_private.task_runs, calib_private.parameter_versions,
  calib_private.job_events, calib_private.outbox, calib_private.execution_counters IN ACCESS EXCLUSIVE MODE;

-- Functions that nothing calls any more. A fresh database has never had them.
DROP FUNCTION IF EXISTS calib_private.access_rank(text);

-- A membership, a permission and a registration belong to the role itself, not to its name: a role that is
-- dropped and made again inherits nothing, a renamed one keeps what it had. The views of 0.3.0
-- use the columns: they look elsewhere until they are defined anew.
DO $$
DECLARE
  v_table text; v_gone text;
BEGIN
  IF to_regclass('calib.memberships') IS NOT NULL THEN
    CREATE OR REPLACE VIEW calib.memberships AS
    SELECT ''::text AS project_id, ''::text AS role_name, ''::text AS username, ''::text AS access;
    CREATE OR REPLACE VIEW calib.executors AS
    SELECT ''::text AS executor_id, ''::text AS chip_id, ''::text AS role_name, ''::text AS host, 0 AS pid,
      ''::text AS version, ''::text AS condition, now() AS started_at, now() AS last_seen_at,
      now() AS stopped_at, false AS alive, 0::bigint AS job_id;
    CREATE OR REPLACE VIEW calib.mirrors AS
    SELECT ''::text AS mirror_id, ''::text AS role_name, ''::text AS host, 0 AS pid, ''::text AS version,
      ''::text AS condition, now() AS started_at, now() AS last_seen_at, now() AS stopped_at, false AS alive,
      0::bigint AS marks_waiting, 0::double precision AS lag_seconds, 0::bigint AS dead_letters;
  END IF;
  FOREACH v_table IN ARRAY ARRAY['memberships', 'executor_permissions', 'executors', 'mirrors'] LOOP
    EXECUTE format('WITH gone AS (DELETE FROM calib_private.%I t WHERE NOT EXISTS (SELECT FROM pg_roles r'
      ' WHERE r.rolname = t.role_name) RETURNING t.role_name) SELECT string_agg(DISTINCT g.role_name, '', '')'
      ' FROM gone g', v_table) INTO v_gone;
    IF v_gone IS NOT NULL THEN
      RAISE NOTICE '%: rows of roles that no longer exist were removed: %', v_table, v_gone;
    END IF;
    EXECUTE format('ALTER TABLE calib_private.%I ALTER role_name TYPE regrole'
      ' USING to_regrole(quote_ident(role_name))', v_table);
  END LOOP;
END $$;
DROP FUNCTION IF EXISTS calib_private.actor_is(text);

-- Rights can be taken away.
ALTER TABLE calib_private.projects ADD archived_at timestamptz, ADD archived_by text;
ALTER TABLE calib_private.chips ADD retired_at timestamptz, ADD retired_by text;

-- A schema is made flat when it is registered; check_value() and fault() are what checks against it.
DROP FUNCTION IF EXISTS calib_private.complain(text, text, text),
  calib_private.malformed_keyword(text, jsonb), calib_private.is_endless(jsonb, jsonb, text[]),
  calib_private.referenced(text, jsonb), calib_private.unsupported_reference(jsonb, jsonb),
  calib_private.unsupported_keyword(jsonb, jsonb, text), calib_private.json_type_matches(jsonb, text),
  calib_private.json_types_match(jsonb, jsonb), calib_private.check_object(jsonb, jsonb, jsonb, text, text),
  calib_private.check_array(jsonb, jsonb, jsonb, text, text), calib_private.check_scalar(jsonb, jsonb, text),
  calib_private.check_any_of(jsonb, jsonb, jsonb, text, text), calib_private.check_words(jsonb, jsonb, text),
  calib_private.check_value(jsonb, jsonb, jsonb, text, text);

DROP FUNCTION IF EXISTS calib_private.hold_lease(bigint, bigint);
DROP FUNCTION IF EXISTS calib_private.require_lease(calib_private.leases, bigint, bigint);
DROP FUNCTION IF EXISTS calib_private.claim_is_unused(calib_private.leases, text);

-- A random number that only the attempt's executor knows: it proves who holds the lease. Who holds one now,
-- or has just ended and may ask again, came through the calls of 0.3.0, which show job and fence.
ALTER TABLE calib_private.attempts ADD COLUMN claim uuid;
UPDATE calib_private.attempts a SET claim = md5(a.job_id || '/' || a.fence)::uuid
 WHERE a.ended_at IS NULL OR a.ended_at > calib_private.now() - interval '1 hour';
ALTER TABLE calib_private.attempts
  ADD CONSTRAINT open_has_claim CHECK (ended_at IS NOT NULL OR claim IS NOT NULL);
