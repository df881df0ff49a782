-- A job's row: its transitions, and what a client may insert.

CREATE OR REPLACE FUNCTION calib_private.guard_transition()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF (OLD.state, NEW.state) NOT IN (('scheduled', 'running'), ('scheduled', 'cancelled'),
    ('running', 'scheduled'), ('running', 'completed'), ('running', 'failed'), ('running', 'cancelled')) THEN
    PERFORM calib_private.refuse('CQ010', 'state',
      format('job %s cannot go from %s to %s', OLD.job_id, OLD.state, NEW.state));
  END IF;
  IF 'running' IN (OLD.state, NEW.state) AND NOT EXISTS (
    SELECT FROM calib_private.leases l WHERE l.chip_id = NEW.chip_id AND l.job_id = NEW.job_id
        AND l.fence = NEW.fence) THEN
    PERFORM calib_private.refuse('CQ020', 'fence',
      format('job %s: fence %s does not hold the lease on chip %s', NEW.job_id,
        coalesce(NEW.fence::text, 'none'), NEW.chip_id));
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER guard_transition BEFORE UPDATE OF state ON calib_private.jobs FOR EACH ROW
  WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION calib_private.guard_transition();

-- One event for each change of state, written by the change itself so that none can be forgotten.
CREATE OR REPLACE FUNCTION calib_private.log_transition()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO calib_private.job_events (job_id, actor, event, old_state, new_state, attempt, fence, detail)
  VALUES (NEW.job_id, calib_private.actor(),
    CASE NEW.state WHEN 'running' THEN 'claimed' WHEN 'scheduled' THEN 'requeued' ELSE NEW.state END,
    OLD.state, NEW.state, nullif(NEW.attempt, 0), NEW.fence,
    jsonb_strip_nulls(jsonb_build_object('executor_id', CASE
      WHEN NEW.state = 'running' THEN NEW.executor_id END, 'execution_id', CASE
      WHEN NEW.state = 'running' THEN NEW.execution_id END, 'failure_kind', NEW.failure_kind,
        'failure_message', NEW.failure_message)));
  PERFORM calib_private.mark_job(NEW.job_id, NEW.state <> 'scheduled');
  IF NEW.state = 'scheduled' THEN PERFORM calib_private.wake_chip(NEW.chip_id, 'job'); END IF;
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER log_transition AFTER UPDATE OF state ON calib_private.jobs FOR EACH ROW
  WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION calib_private.log_transition();

CREATE OR REPLACE FUNCTION calib_private.refuse_system_columns(p_new calib.jobs)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_others jsonb := jsonb_strip_nulls(to_jsonb(p_new) - ARRAY['project_id', 'username', 'chip_id', 'flow',
    'parameters', 'priority', 'not_before', 'not_after', 'timeout_seconds', 'max_attempts', 'dedup_key',
      'tags', 'note', 'source_job_id']);
  v_column text;
BEGIN
  IF v_others IN ('{}', '{"cancel_requested": false}') THEN RETURN; END IF;
  SELECT k INTO v_column FROM jsonb_object_keys(v_others) k WHERE v_others -> k <> 'false'
      OR k <> 'cancel_requested' LIMIT 1;
  PERFORM calib_private.refuse('CQ005', v_column,
    format('column "%s" is set by the queue: leave it out of the INSERT', v_column),
      'A client gives project_id, chip_id and parameters, and may give username, flow, priority, '
      'not_before, not_after, timeout_seconds, max_attempts, dedup_key, tags, note and source_job_id.');
END $$;

-- The username under which the job runs; refuses an actor that may not submit.
CREATE OR REPLACE FUNCTION calib_private.check_submitter(p_project_id text, p_username text)
RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_member calib_private.memberships := calib_private.membership(p_project_id);
  v_own text;
BEGIN
  -- A membership of one's own names oneself; only a group's leaves the question open.
  IF v_member.role_name = calib_private.actor_role() THEN v_own := v_member.username;
  ELSE v_own := calib_private.own_username(p_project_id); END IF;
  IF p_project_id IS NULL THEN
    PERFORM calib_private.refuse('CQ007', 'project_id',
      'project_id: expected the project that asks for the job, got nothing');
  ELSIF v_member.access IS NULL AND NOT EXISTS (SELECT FROM calib_private.projects p
      WHERE p.project_id = p_project_id) THEN
    PERFORM calib_private.refuse('CQ001', 'project_id',
      format('unknown project %s%s', calib_private.shown(p_project_id),
        calib_private.suggestion(p_project_id,
          calib_private.readable_projects(calib_private.actor()::name))));
  ELSIF v_member.access IS NULL OR v_member.access = 'reader' THEN
    PERFORM calib_private.refuse('CQ003', 'project_id',
      format('%s may not submit to project "%s"', calib_private.actor(), p_project_id),
        format('Ask an administrator: qdash-queue members grant %s %s --access submitter.', p_project_id,
        calib_private.actor()));
  ELSIF EXISTS (SELECT FROM calib_private.projects p WHERE p.project_id = p_project_id
      AND p.archived_at IS NOT NULL) THEN
    PERFORM calib_private.refuse('CQ010', 'project_id',
      format('project "%s" is archived: it takes no jobs', p_project_id));
  ELSIF p_username IS NULL THEN
    RETURN v_own;
  ELSIF p_username !~ '^[a-z0-9][a-z0-9_-]{2,63}$' THEN
    PERFORM calib_private.refuse('CQ007', 'username',
      format('username: expected 3 to 64 of a-z, 0-9, _ and -, got %s', calib_private.shown(p_username)),
        NULL, NULL, 'username_form');
  ELSIF p_username <> v_own AND NOT calib_private.operates(p_project_id) THEN
    PERFORM calib_private.refuse('CQ003', 'username',
      format('%s may submit as "%s" only, not as "%s": submitting for another needs an operator of the '
      'project', calib_private.actor(), v_own, p_username));
  END IF;
  RETURN p_username;
END $$;

CREATE OR REPLACE FUNCTION calib_private.check_flow(p_chip_id text, p_flow text)
RETURNS calib_private.flows
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_flow calib_private.flows;
BEGIN
  SELECT * INTO v_flow FROM calib_private.flows f WHERE f.chip_id = p_chip_id AND f.flow = p_flow;
  IF FOUND THEN RETURN v_flow; END IF;
  IF NOT EXISTS (SELECT FROM calib_private.flows f WHERE f.chip_id = p_chip_id) THEN
    PERFORM calib_private.refuse('CQ001', 'flow',
      format('no executor has registered for %s: start one with qdash-executor --chip %s, or only register '
      'with qdash-executor register --chip %s', p_chip_id, p_chip_id, p_chip_id));
  END IF;
  PERFORM calib_private.refuse('CQ001', 'flow', format('unknown flow %s%s', calib_private.shown(p_flow),
    calib_private.suggestion(p_flow, ARRAY(SELECT f.flow FROM calib_private.flows f
    WHERE f.chip_id = p_chip_id))), 'SELECT flow FROM calib.flows shows what the chip''s executors can do.');
  RETURN NULL;
END $$;

-- Every reader of a job must be able to load it: Python gives up on JSON that is nested deeply and on numbers
-- of thousands of digits, MongoDB and JavaScript sooner. To be asked before anything makes a text of the
-- JSON: 1e131071 is a few bytes as it is kept and 131 kB as a text. NULL: fine.
CREATE OR REPLACE FUNCTION calib_private.unreadable(p_json jsonb)
RETURNS text LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_most bigint := greatest(1048576, 4 * pg_column_size(p_json)::bigint);
BEGIN
  IF jsonb_path_exists(p_json, 'strict $.**{33}') THEN
    RETURN 'expected JSON nested at most 32 levels deep, got more';
  ELSIF jsonb_path_exists(p_json, 'strict $.** ? (@.type() == "number" && (@ > 1e308 || @ < -1e308))') THEN
    RETURN 'expected numbers between -1e308 and 1e308, got a larger one';
  -- A number is kept in 12 bytes or more and has 16,700 digits at most: in less there cannot be so many.
  ELSIF pg_column_size(p_json) > 740 THEN
    RETURN (SELECT format('expected at most %s digits in all its numbers, got more', v_most)
      FROM jsonb_path_query(p_json, 'strict $.** ? (@.type() == "number")') n
      HAVING sum(scale(n::numeric) + length(trunc(n::numeric)::text)) > v_most);
  END IF;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION calib_private.check_parameters(p_parameters jsonb, p_flow calib_private.flows)
RETURNS void LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_complaint calib_private.complaint;
BEGIN
  IF jsonb_typeof(p_parameters) <> 'object' THEN
    PERFORM calib_private.refuse('CQ002', 'parameters',
      format('parameters: expected a JSON object such as {"qids": ["0"], "tasks": ["CheckRabi"]}, got %s',
        jsonb_typeof(p_parameters)));
  ELSIF calib_private.unreadable(p_parameters) IS NOT NULL THEN
    PERFORM calib_private.refuse('CQ002', 'parameters', 'parameters: '
      || calib_private.unreadable(p_parameters));
  ELSIF octet_length(p_parameters::text) > 1048576 THEN
    PERFORM calib_private.refuse('CQ040', 'parameters',
      format('parameters: expected at most 1 MiB of JSON, got %s bytes', octet_length(p_parameters::text)));
  END IF;
  v_complaint := calib_private.check_value(p_parameters, p_flow.schema, 'parameters', p_flow.chip_id);
  IF v_complaint.code IS NOT NULL THEN
    PERFORM calib_private.refuse(v_complaint.code, 'parameters', v_complaint.message, v_complaint.hint);
  END IF;
END $$;

-- In every time zone a time that Python can hold; no infinity.
CREATE OR REPLACE FUNCTION calib_private.is_writable(p_time timestamptz)
RETURNS boolean LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT p_time > '0001-01-03 00:00:00+00' AND p_time < '9999-12-30 00:00:00+00'
$$;

CREATE OR REPLACE FUNCTION calib_private.check_limits(p_new calib.jobs, p_flow calib_private.flows)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_new.priority NOT BETWEEN -100 AND 100 THEN
    PERFORM calib_private.refuse('CQ007', 'priority',
      format('priority: expected -100 to 100, got %s', p_new.priority));
  ELSIF p_new.timeout_seconds NOT BETWEEN 1 AND 604800 THEN
    PERFORM calib_private.refuse('CQ007', 'timeout_seconds',
      format('timeout_seconds: expected 1 to 604800 (a week), got %s', p_new.timeout_seconds));
  ELSIF p_new.max_attempts NOT BETWEEN 1 AND 10 THEN
    PERFORM calib_private.refuse('CQ007', 'max_attempts',
      format('max_attempts: expected 1 to 10, got %s', p_new.max_attempts));
  ELSIF p_new.max_attempts > 1 AND NOT p_flow.repeatable THEN
    PERFORM calib_private.refuse('CQ007', 'max_attempts',
      format('max_attempts: flow "%s" does not declare itself repeatable: expected 1, got %s', p_flow.flow,
      p_new.max_attempts));
  ELSIF NOT calib_private.is_writable(p_new.not_before) THEN
    PERFORM calib_private.refuse('CQ007', 'not_before',
      format('not_before: expected a time between the years 1 and 9999, got %s', p_new.not_before));
  ELSIF NOT calib_private.is_writable(p_new.not_after) THEN
    PERFORM calib_private.refuse('CQ007', 'not_after',
      format('not_after: expected a time between the years 1 and 9999, got %s', p_new.not_after));
  ELSIF p_new.not_after <= p_new.not_before THEN
    PERFORM calib_private.refuse('CQ007', 'not_after',
      format('not_after: expected a time after not_before (%s), got %s', p_new.not_before, p_new.not_after));
  ELSIF length(p_new.dedup_key) NOT BETWEEN 1 AND 200 THEN
    PERFORM calib_private.refuse('CQ007', 'dedup_key',
      format('dedup_key: expected 1 to 200 characters, got %s', length(p_new.dedup_key)));
  ELSIF cardinality(p_new.tags) > 32 OR array_ndims(p_new.tags) > 1
    OR EXISTS (SELECT FROM unnest(p_new.tags) t WHERE t IS NULL OR length(t) NOT BETWEEN 1 AND 100) THEN
    PERFORM calib_private.refuse('CQ007', 'tags', 'tags: expected at most 32 texts of 1 to 100 characters');
  ELSIF jsonb_typeof(p_new.note) <> 'object' THEN
    PERFORM calib_private.refuse('CQ007', 'note',
      format('note: expected a JSON object, got %s', jsonb_typeof(p_new.note)));
  ELSIF calib_private.unreadable(p_new.note) IS NOT NULL THEN
    PERFORM calib_private.refuse('CQ007', 'note', 'note: ' || calib_private.unreadable(p_new.note));
  ELSIF octet_length(p_new.note::text) > 65536 THEN
    PERFORM calib_private.refuse('CQ040', 'note',
      format('note: expected at most 64 KiB of JSON, got %s bytes', octet_length(p_new.note::text)));
  END IF;
END $$;

CREATE OR REPLACE FUNCTION calib_private.require_free_key(p_project_id text, p_dedup_key text)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_live bigint;
BEGIN
  SELECT j.job_id INTO v_live FROM calib_private.jobs j
   WHERE j.project_id = p_project_id AND j.dedup_key = p_dedup_key AND j.state IN ('scheduled', 'running');
  IF FOUND THEN
    PERFORM calib_private.refuse('CQ004', 'dedup_key',
      format('dedup_key %s is taken by job %s, which has not ended', calib_private.shown(p_dedup_key),
      v_live), NULL, NULL, 'jobs_dedup_live');
  END IF;
END $$;

-- No tie between jobs that one client may not see both, nor between chips.
CREATE OR REPLACE FUNCTION calib_private.check_source(p_source_job_id bigint, p_chip_id text)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_chip_id text;
BEGIN
  SELECT j.chip_id INTO v_chip_id FROM calib_private.jobs j WHERE j.job_id = p_source_job_id
      AND j.project_id = ANY (calib_private.readable_projects(calib_private.actor()::name));
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ001', 'source_job_id',
      format('source_job_id: unknown job %s', p_source_job_id));
  ELSIF v_chip_id <> p_chip_id THEN
    PERFORM calib_private.refuse('CQ007', 'source_job_id',
      format('source_job_id: expected a job of chip "%s", got job %s of chip "%s"', p_chip_id,
      p_source_job_id, v_chip_id));
  END IF;
END $$;

-- The row with its defaults filled in, once every check has passed. Reads only.
CREATE OR REPLACE FUNCTION calib_private.checked_job(p_new calib.jobs)
RETURNS calib.jobs LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_chip calib_private.chips; v_flow calib_private.flows;
BEGIN
  PERFORM calib_private.refuse_system_columns(p_new);
  p_new.username := calib_private.check_submitter(p_new.project_id, p_new.username);
  v_chip := calib_private.require_chip(p_new.chip_id);
  PERFORM calib_private.require_in_use(v_chip);
  p_new.flow := coalesce(p_new.flow, 'calibrate');
  v_flow := calib_private.check_flow(p_new.chip_id, p_new.flow);
  p_new.parameters := coalesce(p_new.parameters, '{}');
  p_new.priority := coalesce(p_new.priority, 0);
  p_new.submitted_by := calib_private.actor();
  p_new.submitted_at := calib_private.now();
  p_new.not_before := coalesce(p_new.not_before, p_new.submitted_at);
  -- A session that dies before it claims its job must not leave it waiting.
  IF p_new.flow = 'interactive' THEN p_new.not_after := coalesce(p_new.not_after, p_new.not_before
      + interval '1 minute'); END IF;
  p_new.timeout_seconds := coalesce(p_new.timeout_seconds, v_flow.timeout_seconds);
  p_new.max_attempts := coalesce(p_new.max_attempts, 1);
  p_new.tags := coalesce(p_new.tags, '{}');
  p_new.note := coalesce(p_new.note, '{}');
  PERFORM calib_private.check_limits(p_new, v_flow);
  PERFORM calib_private.check_parameters(p_new.parameters, v_flow);
  IF p_new.source_job_id IS NOT NULL THEN
    PERFORM calib_private.check_source(p_new.source_job_id, p_new.chip_id);
  END IF;
  PERFORM calib_private.check_priority(v_chip, p_new.project_id, p_new.priority);
  PERFORM calib_private.check_backlog(v_chip, p_new.project_id, 1);
  RETURN p_new;
END $$;

-- A COPY may give nothing at all in a row, and the DETAIL of a refusal may not be NULL.
CREATE OR REPLACE FUNCTION calib_private.given_values(p_new calib.jobs)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'Nothing was stored. Row: '
      || coalesce(left(string_agg(e.key || ' ' || CASE WHEN calib_private.unreadable(e.value) IS NULL
        THEN calib_private.one_line(left(e.value #>> '{}', 120)) ELSE '...' END, ', '), 500),
        'nothing was given')
    FROM jsonb_each(to_jsonb(p_new)) e WHERE e.value <> 'null'
$$;

-- The checked row, or the refusal said once more from here, so that a client reads the sentence and not the
-- path through our functions. Nothing is written under the EXCEPTION clause: a subtransaction that writes
-- takes a number of its own, and thousands of them in one COPY would slow down every other session.
CREATE OR REPLACE FUNCTION calib_private.checked_or_refused(p_new calib.jobs)
RETURNS calib.jobs LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_checked calib.jobs; v_message text; v_column text; v_hint text; v_constraint text;
BEGIN
  v_checked := calib_private.checked_job(p_new);
  IF v_checked.dedup_key IS NOT NULL THEN PERFORM calib_private.require_free_key(v_checked.project_id,
      v_checked.dedup_key); END IF;
  RETURN v_checked;
EXCEPTION WHEN OTHERS THEN
  IF SQLSTATE NOT LIKE 'CQ%' THEN RAISE; END IF;
  GET STACKED DIAGNOSTICS v_message = MESSAGE_TEXT, v_column = COLUMN_NAME, v_hint = PG_EXCEPTION_HINT,
    v_constraint = CONSTRAINT_NAME;
  IF v_hint = '' THEN
    RAISE EXCEPTION '%', v_message USING ERRCODE = SQLSTATE, COLUMN = v_column, CONSTRAINT = v_constraint,
      SCHEMA = 'calib', TABLE = 'jobs', DETAIL = calib_private.given_values(p_new);
  END IF;
  RAISE EXCEPTION '%', v_message USING ERRCODE = SQLSTATE, COLUMN = v_column, CONSTRAINT = v_constraint,
    SCHEMA = 'calib', TABLE = 'jobs', DETAIL = calib_private.given_values(p_new), HINT = v_hint;
END $$;

CREATE OR REPLACE FUNCTION calib_private.wake_executor(p_job_id bigint, p_chip_id text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_alive_since timestamptz := calib_private.now() - interval '30 seconds';
BEGIN
  -- A busy chip's executor looks again when its job ends; waking it now would only cost.
  IF EXISTS (SELECT FROM calib_private.leases l WHERE l.chip_id = p_chip_id AND l.job_id IS NULL) THEN
    PERFORM calib_private.wake_chip(p_chip_id, 'job');
  END IF;
  -- As alive() says it, but in sight of the planner: an index finds the living among all that ever were.
  IF NOT EXISTS (SELECT FROM calib_private.executors e
    WHERE e.chip_id = p_chip_id AND e.stopped_at IS NULL AND e.last_seen_at > v_alive_since) THEN
    RAISE NOTICE 'job % waits: no executor for chip "%" is alive at the moment', p_job_id, p_chip_id;
  END IF;
END $$;

CREATE OR REPLACE FUNCTION calib_private.insert_job()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_job calib.jobs;
BEGIN
  PERFORM calib_private.require_speaker();
  -- As the foreign keys do later: who archives the project or retires the chip waits, or is seen.
  PERFORM FROM calib_private.projects p WHERE p.project_id = NEW.project_id FOR KEY SHARE;
  PERFORM FROM calib_private.chips c WHERE c.chip_id = NEW.chip_id FOR KEY SHARE;
  LOOP
    v_job := calib_private.checked_or_refused(NEW);
    INSERT INTO calib_private.jobs (project_id, username, chip_id, flow, parameters, priority, not_before,
      not_after,
        timeout_seconds, max_attempts, repeatable, dedup_key, tags, note, submitted_by, submitted_at,
        source_job_id)
    SELECT v_job.project_id, v_job.username, v_job.chip_id, v_job.flow, v_job.parameters, v_job.priority,
        v_job.not_before, v_job.not_after, v_job.timeout_seconds, v_job.max_attempts, f.repeatable,
          v_job.dedup_key, v_job.tags, v_job.note, v_job.submitted_by, v_job.submitted_at, v_job.source_job_id
      FROM calib_private.flows f WHERE f.chip_id = v_job.chip_id AND f.flow = v_job.flow
    ON CONFLICT (project_id, dedup_key) WHERE dedup_key IS NOT NULL
      AND state IN ('scheduled', 'running') DO NOTHING
    RETURNING job_id, state, attempt, tasks_total, tasks_done, tasks_failed, version, false
      INTO v_job.job_id, v_job.state, v_job.attempt, v_job.tasks_total, v_job.tasks_done, v_job.tasks_failed,
        v_job.version, v_job.cancel_requested;
    -- Not stored: another session has taken the dedup_key, or the flow was withdrawn, since it was looked at.
    -- Look again.
    EXIT WHEN v_job.job_id IS NOT NULL;
  END LOOP;
  INSERT INTO calib_private.job_events (job_id, actor, event, new_state)
  VALUES (v_job.job_id, v_job.submitted_by, 'submitted', v_job.state);
  PERFORM calib_private.count_backlog(v_job.chip_id, v_job.job_id);
  PERFORM calib_private.wake_executor(v_job.job_id, v_job.chip_id);
  RETURN v_job;
END $$;
CREATE OR REPLACE TRIGGER insert_job INSTEAD OF INSERT ON calib.jobs FOR EACH ROW
  EXECUTE FUNCTION calib_private.insert_job();

CREATE OR REPLACE FUNCTION calib.requeue(p_job_id bigint, p_reason text DEFAULT '')
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_old calib_private.jobs; v_new bigint;
BEGIN
  PERFORM calib_private.require_speaker();
  SELECT * INTO v_old FROM calib_private.jobs j WHERE j.job_id = p_job_id
      AND j.project_id = ANY (calib_private.readable_projects(calib_private.actor()::name));
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ001', 'job_id', format('unknown job %s', p_job_id));
  ELSIF v_old.state IN ('scheduled', 'running') THEN
    PERFORM calib_private.refuse('CQ010', 'state',
      format('job %s is %s: only a job that has ended can be asked for again', p_job_id, v_old.state));
  END IF;
  INSERT INTO calib.jobs (project_id, username, chip_id, flow, parameters, priority, timeout_seconds,
    max_attempts, source_job_id, tags, note)
  VALUES (v_old.project_id, v_old.username, v_old.chip_id, v_old.flow, v_old.parameters, v_old.priority,
    v_old.timeout_seconds, v_old.max_attempts, p_job_id, v_old.tags, v_old.note
      || jsonb_build_object('requeue_of', p_job_id, 'requeue_reason', p_reason))
  RETURNING job_id INTO v_new;
  RETURN v_new;
END $$;
COMMENT ON FUNCTION calib.requeue(bigint, text) IS
  'Submits a copy of a job that has ended and returns the number of the new job; source_job_id and note '
  'name the old job, note the reason. For calib_submitter. Raises CQ001, CQ003, CQ010, and what an INSERT '
  'into calib.jobs raises.';
