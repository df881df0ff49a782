-- The same checks and the same words in less time. Before PostgreSQL 18 a function in SQL is planned anew by each
-- statement that calls it; one in PL/pgSQL keeps its plans for the session. So whatever a submit, a claim or an end
-- passes through is in PL/pgSQL here, asks each question once, and composes a sentence only to say it.

-- ---------------------------------------------------------------------------------------------------- who is speaking

CREATE OR REPLACE FUNCTION calib_private.actor() RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN CASE current_setting('role') WHEN 'none' THEN session_user::text ELSE current_setting('role') END;
END $$;

-- A name that is too long for a role would be cut by to_regrole(), and the rest might be one.
CREATE OR REPLACE FUNCTION calib_private.actor_is(p_role text) RETURNS boolean LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN octet_length(p_role) < 64
     AND coalesce(pg_has_role(calib_private.actor()::name, to_regrole(quote_ident(p_role))::oid, 'USAGE'), false);
END $$;

CREATE OR REPLACE FUNCTION calib_private.membership(p_project_id text) RETURNS calib_private.memberships LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_actor text := calib_private.actor(); v_member calib_private.memberships;
BEGIN
  SELECT m.* INTO v_member FROM calib_private.memberships m
   WHERE m.project_id = p_project_id AND calib_private.actor_is(m.role_name)
   ORDER BY array_position(ARRAY['operator', 'submitter', 'reader'], m.access), m.role_name = v_actor DESC, m.role_name
   LIMIT 1;
  RETURN v_member;
END $$;

CREATE OR REPLACE FUNCTION calib_private.own_username(p_project_id text) RETURNS text LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_actor text := calib_private.actor(); v_username text;
BEGIN
  SELECT m.username INTO v_username FROM calib_private.memberships m
   WHERE m.project_id = p_project_id AND calib_private.actor_is(m.role_name)
   ORDER BY m.role_name = v_actor DESC, array_position(ARRAY['operator', 'submitter', 'reader'], m.access), m.role_name
   LIMIT 1;
  RETURN v_username;
END $$;

-- ---------------------------------------------------------------------------------------------------- events

CREATE OR REPLACE FUNCTION calib_private.is_failure_kind(p_kind text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN p_kind IN ('missing_input', 'no_signal', 'bad_fit', 'out_of_range', 'instrument',
                    'timeout', 'lost', 'shutdown', 'invalid_request', 'internal');
END $$;

CREATE OR REPLACE FUNCTION calib_private.write_event(p_job_id bigint, p_event text, p_detail jsonb DEFAULT '{}',
                                                     p_old text DEFAULT NULL, p_new text DEFAULT NULL)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO calib_private.job_events (job_id, actor, event, old_state, new_state, attempt, fence, detail)
  SELECT p_job_id, calib_private.actor(), p_event, p_old, p_new, nullif(j.attempt, 0), j.fence, coalesce(p_detail, '{}')
    FROM calib_private.jobs j WHERE j.job_id = p_job_id;
END $$;

CREATE OR REPLACE FUNCTION calib_private.log_transition() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO calib_private.job_events (job_id, actor, event, old_state, new_state, attempt, fence, detail)
  VALUES (NEW.job_id, calib_private.actor(),
    CASE NEW.state WHEN 'running' THEN 'claimed' WHEN 'scheduled' THEN 'requeued' ELSE NEW.state END,
    OLD.state, NEW.state, nullif(NEW.attempt, 0), NEW.fence,
    jsonb_strip_nulls(jsonb_build_object('executor_id', CASE WHEN NEW.state = 'running' THEN NEW.executor_id END,
      'execution_id', CASE WHEN NEW.state = 'running' THEN NEW.execution_id END,
      'failure_kind', NEW.failure_kind, 'failure_message', NEW.failure_message)));
  -- A job that never ran has no execution to show.
  IF NEW.execution_id IS NOT NULL THEN PERFORM calib_private.mark_job(NEW.job_id); END IF;
  IF NEW.state = 'scheduled' THEN PERFORM pg_notify('calib_' || NEW.chip_id, 'job'); END IF;
  RETURN NULL;
END $$;

-- ---------------------------------------------------------------------------------------------------- checking a schema

CREATE OR REPLACE FUNCTION calib_private.json_type_matches(p_value jsonb, p_type text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_type = 'integer' THEN RETURN jsonb_typeof(p_value) = 'number' AND (p_value #>> '{}')::numeric % 1 = 0; END IF;
  RETURN jsonb_typeof(p_value) = p_type;
END $$;

-- Of one type, or of one of an array of types; no types: any.
CREATE FUNCTION calib_private.json_types_match(p_value jsonb, p_types jsonb) RETURNS boolean LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_types IS NULL THEN RETURN true; END IF;
  IF jsonb_typeof(p_types) = 'string' THEN RETURN calib_private.json_type_matches(p_value, p_types #>> '{}'); END IF;
  RETURN EXISTS (SELECT FROM jsonb_array_elements_text(p_types) t WHERE calib_private.json_type_matches(p_value, t));
END $$;

CREATE OR REPLACE FUNCTION calib_private.check_words(p_value jsonb, p_schema jsonb, p_path text) RETURNS calib_private.complaint LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT calib_private.json_types_match(p_value, p_schema -> 'type') THEN
    RETURN calib_private.complain('CQ002', format('%s: expected %s, got %s', p_path,
      CASE jsonb_typeof(p_schema -> 'type') WHEN 'string' THEN p_schema ->> 'type'
           ELSE (SELECT string_agg(t, ' or ') FROM jsonb_array_elements_text(p_schema -> 'type') t) END,
      CASE jsonb_typeof(p_value) WHEN 'null' THEN 'null' ELSE jsonb_typeof(p_value) || ' ' || left(p_value::text, 40) END), NULL);
  END IF;
  IF p_schema ? 'enum' THEN
    -- Compared one by one: @> would take {} for every object.
    IF NOT EXISTS (SELECT FROM jsonb_array_elements(p_schema -> 'enum') e WHERE e = p_value) THEN
      RETURN calib_private.complain('CQ002', format('%s: expected one of %s, got %s', p_path,
        (SELECT string_agg(e::text, ', ') FROM jsonb_array_elements(p_schema -> 'enum') e), left(p_value::text, 60)), NULL);
    END IF;
  END IF;
  IF p_schema -> 'const' <> p_value THEN
    RETURN calib_private.complain('CQ002', format('%s: expected %s, got %s', p_path, p_schema -> 'const', left(p_value::text, 60)), NULL);
  END IF;
  RETURN NULL;
END $$;

-- Words and limits are looked at only where the schema has any.
CREATE OR REPLACE FUNCTION calib_private.check_value(p_value jsonb, p_schema jsonb, p_root jsonb, p_path text, p_chip_id text)
RETURNS calib_private.complaint LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_complaint calib_private.complaint; v_type text := jsonb_typeof(p_value);
BEGIN
  IF jsonb_typeof(p_schema) = 'boolean' THEN
    RETURN CASE WHEN p_schema = 'true' THEN NULL
                ELSE calib_private.complain('CQ002', format('%s: nothing is expected here', p_path), NULL) END;
  END IF;
  -- All keywords of a schema hold at once, those beside a $ref or an anyOf too.
  IF v_type IS DISTINCT FROM p_schema ->> 'type' OR p_schema ?| ARRAY['enum', 'const'] THEN
    v_complaint := calib_private.check_words(p_value, p_schema, p_path);
  END IF;
  IF v_complaint.code IS NULL AND p_schema ? '$ref' THEN
    v_complaint := calib_private.check_value(p_value, calib_private.referenced(p_schema ->> '$ref', p_root), p_root, p_path, p_chip_id);
  END IF;
  IF v_complaint.code IS NULL AND p_schema ? 'anyOf' THEN
    v_complaint := calib_private.check_any_of(p_value, p_schema -> 'anyOf', p_root, p_path, p_chip_id);
  END IF;
  IF v_complaint.code IS NOT NULL THEN RETURN v_complaint; END IF;
  IF v_type = 'object' THEN
    v_complaint := calib_private.check_object(p_value, p_schema, p_root, p_path, p_chip_id);
  ELSIF v_type = 'array' THEN
    v_complaint := calib_private.check_array(p_value, p_schema, p_root, p_path, p_chip_id);
  ELSIF p_schema ?| ARRAY['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'minLength', 'maxLength', 'pattern'] THEN
    v_complaint := calib_private.check_scalar(p_value, p_schema, p_path);
  END IF;
  IF v_complaint.code IS NULL AND p_schema ? 'format' THEN
    v_complaint := calib_private.check_format(p_value, p_schema ->> 'format', p_path, p_chip_id);
  END IF;
  RETURN v_complaint;
END $$;

CREATE OR REPLACE FUNCTION calib_private.check_scalar(p_value jsonb, p_schema jsonb, p_path text)
RETURNS calib_private.complaint LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_text text := p_value #>> '{}'; v_number numeric; v_expected text;
BEGIN
  IF jsonb_typeof(p_value) = 'number' THEN
    v_number := v_text::numeric;
    v_expected := CASE
      WHEN v_number < (p_schema ->> 'minimum')::numeric THEN 'at least ' || (p_schema ->> 'minimum')
      WHEN v_number > (p_schema ->> 'maximum')::numeric THEN 'at most ' || (p_schema ->> 'maximum')
      WHEN v_number <= (p_schema ->> 'exclusiveMinimum')::numeric THEN 'more than ' || (p_schema ->> 'exclusiveMinimum')
      WHEN v_number >= (p_schema ->> 'exclusiveMaximum')::numeric THEN 'less than ' || (p_schema ->> 'exclusiveMaximum') END;
  ELSIF jsonb_typeof(p_value) = 'string' THEN
    v_expected := CASE
      WHEN length(v_text) < (p_schema ->> 'minLength')::integer THEN format('at least %s characters', p_schema ->> 'minLength')
      WHEN length(v_text) > (p_schema ->> 'maxLength')::integer THEN format('at most %s characters', p_schema ->> 'maxLength')
      WHEN v_text !~ (p_schema ->> 'pattern') THEN format('a text like %s', p_schema ->> 'pattern') END;
  END IF;
  IF v_expected IS NULL THEN RETURN NULL; END IF;
  RETURN calib_private.complain('CQ002', format('%s: expected %s, got %s', p_path, v_expected,
    CASE WHEN v_number IS NULL THEN calib_private.shown(v_text) ELSE left(v_text, 40) END), NULL);
END $$;

-- ---------------------------------------------------------------------------------------------------- inserting

CREATE OR REPLACE FUNCTION calib_private.refuse_system_columns(p_new calib.jobs) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_others jsonb := jsonb_strip_nulls(to_jsonb(p_new) - ARRAY['project_id', 'username', 'chip_id', 'flow', 'parameters', 'priority',
    'not_before', 'not_after', 'timeout_seconds', 'max_attempts', 'dedup_key', 'tags', 'note']);
  v_column text;
BEGIN
  IF v_others IN ('{}', '{"cancel_requested": false}') THEN RETURN; END IF;
  SELECT k INTO v_column FROM jsonb_object_keys(v_others) k WHERE v_others -> k <> 'false' OR k <> 'cancel_requested' LIMIT 1;
  PERFORM calib_private.refuse('CQ005', v_column, format('column "%s" is set by the queue: leave it out of the INSERT', v_column),
    'A client gives project_id, chip_id and parameters, and may give username, flow, priority, not_before, not_after, timeout_seconds, max_attempts, dedup_key, tags and note.');
END $$;

CREATE OR REPLACE FUNCTION calib_private.check_submitter(p_project_id text, p_username text) RETURNS text LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_member calib_private.memberships := calib_private.membership(p_project_id);
  v_own text;
BEGIN
  -- A membership of one's own names oneself; only a group's leaves the question open.
  IF v_member.role_name = calib_private.actor() THEN v_own := v_member.username;
  ELSE v_own := calib_private.own_username(p_project_id); END IF;
  IF p_project_id IS NULL THEN
    PERFORM calib_private.refuse('CQ007', 'project_id', 'project_id: expected the project that asks for the job, got nothing');
  ELSIF v_member.access IS NULL AND NOT EXISTS (SELECT FROM calib_private.projects p WHERE p.project_id = p_project_id) THEN
    PERFORM calib_private.refuse('CQ001', 'project_id', format('unknown project %s%s', calib_private.shown(p_project_id),
      calib_private.suggestion(p_project_id, calib_private.readable_projects())));
  ELSIF v_member.access IS NULL OR v_member.access = 'reader' THEN
    PERFORM calib_private.refuse('CQ003', 'project_id', format('%s may not submit to project "%s"', calib_private.actor(), p_project_id),
      format('Ask an administrator: qdash-queue members grant %s %s --access submitter.', p_project_id, calib_private.actor()));
  ELSIF p_username IS NULL THEN
    RETURN v_own;
  ELSIF p_username !~ '^[a-z0-9][a-z0-9_-]{2,63}$' THEN
    PERFORM calib_private.refuse('CQ007', 'username', format('username: expected 3 to 64 of a-z, 0-9, _ and -, got %s', calib_private.shown(p_username)),
      NULL, NULL, 'username_form');
  ELSIF p_username <> v_own AND NOT calib_private.operates(p_project_id) THEN
    PERFORM calib_private.refuse('CQ003', 'username', format('%s may submit as "%s" only, not as "%s": submitting for another needs an operator of the project',
      calib_private.actor(), v_own, p_username));
  END IF;
  RETURN p_username;
END $$;

CREATE FUNCTION calib_private.require_free_key(p_project_id text, p_dedup_key text) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_live bigint;
BEGIN
  SELECT j.job_id INTO v_live FROM calib_private.jobs j
   WHERE j.project_id = p_project_id AND j.dedup_key = p_dedup_key AND j.state IN ('scheduled', 'running');
  IF FOUND THEN
    PERFORM calib_private.refuse('CQ004', 'dedup_key', format('dedup_key %s is taken by job %s, which has not ended', calib_private.shown(p_dedup_key), v_live),
      NULL, NULL, 'jobs_dedup_live');
  END IF;
END $$;

CREATE OR REPLACE FUNCTION calib_private.wake_executor(p_job_id bigint, p_chip_id text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_alive_since timestamptz := calib_private.now() - interval '30 seconds';
BEGIN
  -- A busy chip's executor looks again when its job ends; waking it now would only cost.
  IF EXISTS (SELECT FROM calib_private.leases l WHERE l.chip_id = p_chip_id AND l.job_id IS NULL) THEN
    PERFORM pg_notify('calib_' || p_chip_id, 'job');
  END IF;
  -- As alive() says it, but in sight of the planner: an index finds the living among all that ever were.
  IF NOT EXISTS (SELECT FROM calib_private.executors e
                  WHERE e.chip_id = p_chip_id AND e.stopped_at IS NULL AND e.last_seen_at > v_alive_since) THEN
    RAISE NOTICE 'job % waits: no executor for chip "%" is alive at the moment', p_job_id, p_chip_id;
  END IF;
END $$;

-- The checked row, or the refusal said once more from here, so that a client reads the sentence and not the path through
-- our functions. Nothing is written under the EXCEPTION clause: a subtransaction that writes takes a number of its own,
-- and thousands of them in one COPY would slow down every other session.
CREATE FUNCTION calib_private.checked_or_refused(p_new calib.jobs) RETURNS calib.jobs LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_checked calib.jobs; v_message text; v_column text; v_hint text; v_constraint text;
BEGIN
  v_checked := calib_private.checked_job(p_new);
  IF v_checked.dedup_key IS NOT NULL THEN PERFORM calib_private.require_free_key(v_checked.project_id, v_checked.dedup_key); END IF;
  RETURN v_checked;
EXCEPTION WHEN OTHERS THEN
  IF SQLSTATE NOT LIKE 'CQ%' THEN RAISE; END IF;
  GET STACKED DIAGNOSTICS v_message = MESSAGE_TEXT, v_column = COLUMN_NAME, v_hint = PG_EXCEPTION_HINT, v_constraint = CONSTRAINT_NAME;
  IF v_hint = '' THEN
    RAISE EXCEPTION '%', v_message USING ERRCODE = SQLSTATE, COLUMN = v_column, CONSTRAINT = v_constraint, SCHEMA = 'calib', TABLE = 'jobs',
      DETAIL = calib_private.given_values(p_new);
  END IF;
  RAISE EXCEPTION '%', v_message USING ERRCODE = SQLSTATE, COLUMN = v_column, CONSTRAINT = v_constraint, SCHEMA = 'calib', TABLE = 'jobs',
    DETAIL = calib_private.given_values(p_new), HINT = v_hint;
END $$;

CREATE OR REPLACE FUNCTION calib_private.insert_job() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_job calib.jobs;
BEGIN
  LOOP
    v_job := calib_private.checked_or_refused(NEW);
    INSERT INTO calib_private.jobs (project_id, username, chip_id, flow, parameters, priority, not_before, not_after,
        timeout_seconds, max_attempts, repeatable, dedup_key, tags, note, submitted_by, submitted_at)
    SELECT v_job.project_id, v_job.username, v_job.chip_id, v_job.flow, v_job.parameters, v_job.priority, v_job.not_before, v_job.not_after,
        v_job.timeout_seconds, v_job.max_attempts, f.repeatable, v_job.dedup_key, v_job.tags, v_job.note, v_job.submitted_by, v_job.submitted_at
      FROM calib_private.flows f WHERE f.chip_id = v_job.chip_id AND f.flow = v_job.flow
    ON CONFLICT (project_id, dedup_key) WHERE dedup_key IS NOT NULL AND state IN ('scheduled', 'running') DO NOTHING
    RETURNING job_id, state, attempt, tasks_total, tasks_done, tasks_failed, version, false
         INTO v_job.job_id, v_job.state, v_job.attempt, v_job.tasks_total, v_job.tasks_done, v_job.tasks_failed, v_job.version, v_job.cancel_requested;
    -- Not stored: another session has taken the dedup_key, or the flow was withdrawn, since it was looked at. Look again.
    EXIT WHEN v_job.job_id IS NOT NULL;
  END LOOP;
  INSERT INTO calib_private.job_events (job_id, actor, event, new_state)
  VALUES (v_job.job_id, v_job.submitted_by, 'submitted', v_job.state);
  PERFORM calib_private.wake_executor(v_job.job_id, v_job.chip_id);
  RETURN v_job;
END $$;
DROP FUNCTION calib_private.store_job_once(calib.jobs);
DROP FUNCTION calib_private.store_job(calib.jobs);
