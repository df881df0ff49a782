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

-- A name that is too long for a role would be cut by to_regrole(), and the rest might be one.
CREATE OR REPLACE FUNCTION calib_private.has_role(p_who name, p_role text)
RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN octet_length(p_role) < 64
     AND coalesce(pg_has_role(p_who, to_regrole(quote_ident(p_role))::oid, 'USAGE'), false);
END $$;

CREATE OR REPLACE FUNCTION calib_private.actor_is(p_role text)
RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN calib_private.has_role(calib_private.actor()::name, p_role);
END $$;

-- Best membership of the actor in a project: its own row before those of groups it belongs to.
CREATE OR REPLACE FUNCTION calib_private.membership(p_project_id text)
RETURNS calib_private.memberships
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_actor text := calib_private.actor(); v_member calib_private.memberships;
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
  v_actor text := calib_private.actor(); v_username text;
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

-- Chips are shared by projects: whoever operates a project may pause them and edit their parameters.
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
