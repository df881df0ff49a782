-- Who is speaking, and what may they do. Every check, view and audit asks these functions.

-- The role taken by SET ROLE, else the login. SECURITY DEFINER changes current_user but neither of these two.
CREATE FUNCTION calib_private.actor() RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE current_setting('role') WHEN 'none' THEN session_user::text ELSE current_setting('role') END $$;

-- USAGE, not MEMBER: a login that may become other roles by SET ROLE, as the web's may, is none of them before it does.
-- pg_has_role() raises for a role that was dropped after it was written down; such a role has no members.
CREATE FUNCTION calib_private.actor_is(p_role text) RETURNS boolean LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce((SELECT pg_has_role(calib_private.actor()::name, r.oid, 'USAGE') FROM pg_roles r
                    WHERE r.rolname = p_role), false)
$$;

CREATE FUNCTION calib_private.access_rank(p_access text) RETURNS integer LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT array_position(ARRAY['reader', 'submitter', 'operator'], p_access) $$;

-- Best membership of the actor in a project: its own row before those of groups it belongs to.
CREATE FUNCTION calib_private.membership(p_project_id text) RETURNS calib_private.memberships LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT m.* FROM calib_private.memberships m
   WHERE m.project_id = p_project_id AND calib_private.actor_is(m.role_name)
   ORDER BY calib_private.access_rank(m.access) DESC, m.role_name = calib_private.actor() DESC, m.role_name
   LIMIT 1
$$;

-- Who I am in a project: my own membership names me, whatever group also lets me in.
CREATE FUNCTION calib_private.own_username(p_project_id text) RETURNS text LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT m.username FROM calib_private.memberships m
   WHERE m.project_id = p_project_id AND calib_private.actor_is(m.role_name)
   ORDER BY m.role_name = calib_private.actor() DESC, calib_private.access_rank(m.access) DESC, m.role_name
   LIMIT 1
$$;

CREATE FUNCTION calib_private.sees_all() RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib_private.actor_is('calib_admin') OR calib_private.actor_is('calib_mirror')
      OR calib_private.actor_is('calib_executor')
$$;

-- Evaluated once per query by the views, not once per row.
CREATE FUNCTION calib_private.readable_projects() RETURNS text[] LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN calib_private.sees_all() THEN ARRAY(SELECT p.project_id FROM calib_private.projects p)
              ELSE ARRAY(SELECT DISTINCT m.project_id FROM calib_private.memberships m
                          WHERE calib_private.actor_is(m.role_name)) END
$$;

CREATE FUNCTION calib_private.operates(p_project_id text) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT calib_private.actor_is('calib_operator')
     AND (calib_private.actor_is('calib_admin') OR coalesce((calib_private.membership(p_project_id)).access = 'operator', false))
$$;

-- Chips are shared by projects: whoever operates a project may pause them and edit their parameters.
CREATE FUNCTION calib_private.require_operator(p_what text) RETURNS void LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF calib_private.actor_is('calib_admin') THEN RETURN; END IF;
  IF NOT EXISTS (SELECT FROM calib_private.memberships m
                  WHERE m.access = 'operator' AND calib_private.actor_is(m.role_name)) THEN
    RAISE EXCEPTION '% may not %: expected an operator of some project', calib_private.actor(), p_what
      USING ERRCODE = 'CQ003', HINT = 'Ask an administrator: qdash-queue members grant PROJECT ROLE --access operator.';
  END IF;
END $$;

-- The nearest valid word, as " did you mean ...?", or the list of what there is when nothing is near.
CREATE FUNCTION calib_private.suggestion(p_word text, p_known text[]) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, calib_ext, pg_temp AS $$
  SELECT coalesce(
    -- No name is longer than 64, and trigrams of a megabyte take seconds.
    (SELECT format(': did you mean "%s"?', k)
       FROM unnest(p_known) k, LATERAL (SELECT calib_ext.similarity(lower(k), lower(left(p_word, 100))) AS likeness) s
      WHERE likeness >= 0.3 ORDER BY likeness DESC, k LIMIT 1),
    CASE WHEN cardinality(p_known) = 0 THEN ': there is none yet'
         ELSE format(': expected one of %s', (SELECT string_agg(k, ', ' ORDER BY k) FROM
              (SELECT k FROM unnest(p_known) k ORDER BY k LIMIT 8) first_few))
              || CASE WHEN cardinality(p_known) > 8 THEN ', ...' ELSE '' END END)
$$;

-- The one way to say no. An absent hint or detail stays absent: an empty one would be printed as an empty line.
CREATE FUNCTION calib_private.refuse(p_code text, p_column text, p_message text, p_hint text DEFAULT NULL,
                                     p_detail text DEFAULT NULL, p_constraint text DEFAULT NULL)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_column text := coalesce(p_column, ''); v_constraint text := coalesce(p_constraint, '');
BEGIN
  IF p_hint IS NULL AND p_detail IS NULL THEN
    RAISE EXCEPTION '%', p_message USING ERRCODE = p_code, COLUMN = v_column, CONSTRAINT = v_constraint, SCHEMA = 'calib';
  ELSIF p_detail IS NULL THEN
    RAISE EXCEPTION '%', p_message USING ERRCODE = p_code, COLUMN = v_column, CONSTRAINT = v_constraint, SCHEMA = 'calib', HINT = p_hint;
  ELSIF p_hint IS NULL THEN
    RAISE EXCEPTION '%', p_message USING ERRCODE = p_code, COLUMN = v_column, CONSTRAINT = v_constraint, SCHEMA = 'calib', DETAIL = p_detail;
  ELSE
    RAISE EXCEPTION '%', p_message USING ERRCODE = p_code, COLUMN = v_column, CONSTRAINT = v_constraint, SCHEMA = 'calib', HINT = p_hint, DETAIL = p_detail;
  END IF;
END $$;

-- Client text shown back in a message: short and on one line.
CREATE FUNCTION calib_private.shown(p_text text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN p_text IS NULL THEN 'nothing'
                  ELSE '"' || regexp_replace(left(p_text, 60), '[[:cntrl:]]', '?', 'g')
                       || CASE WHEN length(p_text) > 60 THEN '...' ELSE '' END || '"' END $$;

CREATE FUNCTION calib_private.require_chip(p_chip_id text) RETURNS calib_private.chips LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_chip calib_private.chips;
BEGIN
  IF p_chip_id IS NULL THEN
    PERFORM calib_private.refuse('CQ007', 'chip_id', 'chip_id: expected the name of a chip, got nothing', 'SELECT chip_id FROM calib.chips shows the chips there are.');
  END IF;
  SELECT * INTO v_chip FROM calib_private.chips c WHERE c.chip_id = p_chip_id;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ001', 'chip_id', format('unknown chip %s%s', calib_private.shown(p_chip_id),
      calib_private.suggestion(p_chip_id, ARRAY(SELECT c.chip_id FROM calib_private.chips c))),
      'SELECT chip_id FROM calib.chips shows the chips there are.');
  END IF;
  RETURN v_chip;
END $$;

-- For verbs of people that lock rows which a running job writes too. Whoever leaves such a transaction open and goes to
-- lunch would freeze the job: the server ends it, well before the job's lease runs out.
CREATE FUNCTION calib_private.bound_transaction() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM set_config('idle_in_transaction_session_timeout', '10s', true);
END $$;

CREATE FUNCTION calib_private.write_event(p_job_id bigint, p_event text, p_detail jsonb DEFAULT '{}',
                                          p_old text DEFAULT NULL, p_new text DEFAULT NULL)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO calib_private.job_events (job_id, actor, event, old_state, new_state, attempt, fence, detail)
  SELECT p_job_id, calib_private.actor(), p_event, p_old, p_new, nullif(j.attempt, 0), j.fence, coalesce(p_detail, '{}')
    FROM calib_private.jobs j WHERE j.job_id = p_job_id
$$;

CREATE FUNCTION calib_private.mark_job(p_job_id bigint) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO calib_private.outbox AS o (job_id, marked_at, next_try_at)
  VALUES (p_job_id, calib_private.now(), calib_private.now())
  ON CONFLICT (job_id) DO UPDATE SET version = o.version + 1, next_try_at = least(o.next_try_at, excluded.next_try_at)
$$;

CREATE FUNCTION calib_private.mark_chip(p_chip_id text) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO calib_private.outbox AS o (chip_id, marked_at, next_try_at)
  VALUES (p_chip_id, calib_private.now(), calib_private.now())
  ON CONFLICT (chip_id) DO UPDATE SET version = o.version + 1, next_try_at = least(o.next_try_at, excluded.next_try_at)
$$;
