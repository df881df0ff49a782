-- Who is speaking and what they may do: every check, view and audit asks these functions.

-- Refuses where PostgreSQL runs a table owner's function inside another login's maintenance: ANALYZE, VACUUM,
-- REINDEX, CREATE INDEX, REFRESH MATERIALIZED VIEW, autovacuum. There the session's user, actor(), has not
-- called anything. No function tells a SECURITY DEFINER function so; a command that is refused in a
-- security-restricted operation does. Every verb and trigger that asks who is speaking, or writes, passes
-- through here; views answer for current_user, which maintenance sets to the table's owner.
CREATE OR REPLACE FUNCTION calib_private.require_speaker()
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UNLISTEN calib_never_used;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE EXCEPTION 'refused: called from inside a maintenance command (such as ANALYZE or REINDEX), where the '
    'session''s user % is not the caller', session_user USING ERRCODE = 'CQ003', SCHEMA = 'calib';
END $$;

-- The actor's role; NULL: there is no such role.
CREATE OR REPLACE FUNCTION calib_private.actor_role()
RETURNS regrole LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN to_regrole(quote_ident(nullif(calib_private.actor(), '')));
END $$;

-- By inheritance, as a GRANT gives it. Since PostgreSQL 16 each grant says whether it is inherited.
CREATE OR REPLACE FUNCTION calib_private.was_granted(p_member oid, p_role oid)
RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_granted oid[] := ARRAY[p_member]; v_next oid[] := v_granted;
BEGIN
  WHILE v_next <> '{}' AND p_role <> ALL (v_granted) LOOP
    v_next := ARRAY(SELECT m.roleid FROM pg_auth_members m
      WHERE m.member = ANY (v_next) AND m.roleid <> ALL (v_granted)
        AND coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, true));
    v_granted := v_granted || v_next;
  END LOOP;
  RETURN coalesce(p_role = ANY (v_granted), false);
END $$;

-- pg_has_role() says of a superuser that it is in every role. Here it has what was granted: maintenance such
-- as autovacuum runs as one, and with it the functions of others. A role that was dropped has no members. On
-- the way of every statement: it reads no table, but for a superuser, who alone is in role 0 too.
CREATE OR REPLACE FUNCTION calib_private.has_role(p_who name, p_role regrole)
RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_who oid := to_regrole(quote_ident(nullif(p_who, '')));
BEGIN
  IF pg_has_role(v_who, 0::oid, 'USAGE') THEN RETURN calib_private.was_granted(v_who, p_role); END IF;
  RETURN coalesce(pg_has_role(v_who, p_role::oid, 'USAGE'), false);
END $$;

CREATE OR REPLACE FUNCTION calib_private.actor_is(p_role regrole)
RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN calib_private.has_role(calib_private.actor()::name, p_role);
END $$;

-- EXECUTE cannot be taken from a superuser: a verb that no row's rights guard asks once more who calls it.
CREATE OR REPLACE FUNCTION calib_private.require_role(VARIADIC p_roles regrole[])
RETURNS void LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_role regrole;
BEGIN
  PERFORM calib_private.require_speaker();
  FOREACH v_role IN ARRAY p_roles LOOP
    IF calib_private.actor_is(v_role) THEN RETURN; END IF;
  END LOOP;
  PERFORM calib_private.refuse('CQ003', '',
    format('%s may not do this: expected a member of %s', calib_private.actor(),
      array_to_string(p_roles, ' or ')), format('GRANT %s TO %I;', p_roles[1], calib_private.actor()));
END $$;

-- A role as its name, without quotation marks; as its number once it is dropped.
CREATE OR REPLACE FUNCTION calib_private.role_label(p_role regrole)
RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce((SELECT r.rolname::text FROM pg_roles r WHERE r.oid = p_role), p_role::oid::text)
$$;

-- The role of that name; else, of a number, what role_label() shows of a role that was dropped. NULL: none.
CREATE OR REPLACE FUNCTION calib_private.labelled_role(p_label text)
RETURNS regrole LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce((SELECT r.oid FROM pg_roles r WHERE r.rolname::text = p_label),
    CASE WHEN p_label ~ '^[1-9][0-9]{0,8}$' OR p_label ~ '^[1-4][0-9]{9}$' AND p_label <= '4294967295'
      THEN p_label::oid END)
$$;

CREATE OR REPLACE FUNCTION calib_private.require_known_role(p_role_name text, p_hint text)
RETURNS regrole LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_role regrole := (SELECT r.oid FROM pg_roles r WHERE r.rolname::text = p_role_name);
BEGIN
  IF v_role IS NULL THEN
    PERFORM calib_private.refuse('CQ001', 'role_name',
      format('unknown database role %s', calib_private.shown(p_role_name)), p_hint);
  END IF;
  RETURN v_role;
END $$;

-- Best membership of the actor in a project: its own row before those of groups it belongs to.
CREATE OR REPLACE FUNCTION calib_private.membership(p_project_id text)
RETURNS calib_private.memberships
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_actor regrole := calib_private.actor_role(); v_member calib_private.memberships;
BEGIN
  SELECT m.* INTO v_member FROM calib_private.memberships m
   WHERE m.project_id = p_project_id AND calib_private.actor_is(m.role_name)
   ORDER BY array_position(ARRAY['operator', 'submitter', 'reader'], m.access), m.role_name = v_actor DESC,
     m.role_name
   LIMIT 1;
  RETURN v_member;
END $$;

-- Who I am in a project: my own membership names me, whatever group also lets me in.
CREATE OR REPLACE FUNCTION calib_private.own_username(p_project_id text)
RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_actor regrole := calib_private.actor_role(); v_username text;
BEGIN
  SELECT m.username INTO v_username FROM calib_private.memberships m
   WHERE m.project_id = p_project_id AND calib_private.actor_is(m.role_name)
   ORDER BY m.role_name = v_actor DESC, array_position(ARRAY['operator', 'submitter', 'reader'], m.access),
     m.role_name
   LIMIT 1;
  RETURN v_username;
END $$;

CREATE OR REPLACE FUNCTION calib_private.sees_all(p_reader name)
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib_private.has_role(p_reader, 'calib_admin') OR calib_private.has_role(p_reader, 'calib_mirror')
      OR calib_private.has_role(p_reader, 'calib_executor')
$$;

-- Evaluated once per query by the views, not once per row. They give current_user: in a view it is the
-- caller's.
CREATE OR REPLACE FUNCTION calib_private.readable_projects(p_reader name)
RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN calib_private.sees_all(p_reader) THEN ARRAY(SELECT p.project_id
      FROM calib_private.projects p)
    ELSE ARRAY(SELECT DISTINCT m.project_id FROM calib_private.memberships m
      WHERE calib_private.has_role(p_reader, m.role_name)) END
$$;

CREATE OR REPLACE FUNCTION calib_private.operates(p_project_id text)
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib_private.actor_is('calib_operator')
     AND (calib_private.actor_is('calib_admin')
         OR coalesce((calib_private.membership(p_project_id)).access = 'operator', false))
$$;

-- Chips are shared by projects: an operator of any project may pause them and edit their parameters.
CREATE OR REPLACE FUNCTION calib_private.require_operator(p_what text)
RETURNS void LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.require_speaker();
  IF calib_private.actor_is('calib_admin') THEN RETURN; END IF;
  IF NOT EXISTS (SELECT FROM calib_private.memberships m
    WHERE m.access = 'operator' AND calib_private.actor_is(m.role_name)) THEN
    RAISE EXCEPTION '% may not %: expected an operator of some project', calib_private.actor(), p_what
      USING ERRCODE = 'CQ003',
        HINT = 'Ask an administrator: qdash-queue members grant PROJECT ROLE --access operator.';
  END IF;
END $$;
