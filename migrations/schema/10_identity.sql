-- Who is speaking and what they may do: every check, view and audit asks these functions.

-- A name that is too long for a role would be cut by to_regrole(), and the rest might be one.
CREATE OR REPLACE FUNCTION calib_private.actor_is(p_role text)
RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN octet_length(p_role) < 64
     AND coalesce(pg_has_role(calib_private.actor()::name, to_regrole(quote_ident(p_role))::oid, 'USAGE'),
         false);
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

CREATE OR REPLACE FUNCTION calib_private.sees_all()
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib_private.actor_is('calib_admin') OR calib_private.actor_is('calib_mirror')
      OR calib_private.actor_is('calib_executor')
$$;

-- Evaluated once per query by the views, not once per row.
CREATE OR REPLACE FUNCTION calib_private.readable_projects()
RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN calib_private.sees_all() THEN ARRAY(SELECT p.project_id FROM calib_private.projects p)
    ELSE ARRAY(SELECT DISTINCT m.project_id FROM calib_private.memberships m
      WHERE calib_private.actor_is(m.role_name)) END
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
  IF calib_private.actor_is('calib_admin') THEN RETURN; END IF;
  IF NOT EXISTS (SELECT FROM calib_private.memberships m
    WHERE m.access = 'operator' AND calib_private.actor_is(m.role_name)) THEN
    RAISE EXCEPTION '% may not %: expected an operator of some project', calib_private.actor(), p_what
      USING ERRCODE = 'CQ003',
        HINT = 'Ask an administrator: qdash-queue members grant PROJECT ROLE --access operator.';
  END IF;
END $$;
