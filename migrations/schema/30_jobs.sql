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
  -- A job that never ran has no execution to show.
  IF NEW.execution_id IS NOT NULL THEN
    PERFORM calib_private.mark_job(NEW.job_id, NEW.state <> 'scheduled');
  END IF;
  IF NEW.state = 'scheduled' THEN PERFORM calib_private.wake_chip(NEW.chip_id, 'job'); END IF;
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER log_transition AFTER UPDATE OF state ON calib_private.jobs FOR EACH ROW
  WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION calib_private.log_transition();

CREATE OR REPLACE FUNCTION calib_private.client_columns()
RETURNS text[] LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN '{project_id,username,chip_id,flow,parameters,priority,not_before,not_after,timeout_seconds,'
    'max_attempts,dedup_key,tags,note,source_job_id}';
END $$;

CREATE OR REPLACE FUNCTION calib_private.refuse_system_columns(p_new calib.jobs)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_others jsonb := jsonb_strip_nulls(to_jsonb(p_new) - calib_private.client_columns());
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
  v_member calib_private.memberships; v_own text;
BEGIN
  -- Mostly one has a membership of one's own, which says it all.
  SELECT m.username INTO v_own
    FROM calib_private.memberships m JOIN calib_private.projects p USING (project_id)
   WHERE m.project_id = p_project_id AND m.role_name = calib_private.actor_role() AND m.access <> 'reader'
     AND p.archived_at IS NULL;
  IF v_own = coalesce(p_username, v_own) THEN RETURN v_own; END IF;
  v_member := calib_private.membership(p_project_id);
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

-- The row with its defaults filled in, once every check has passed. Reads only. p_coming: how many jobs come
-- at once for its project and chip, and for its chip in all; none: they were counted already.
CREATE OR REPLACE FUNCTION calib_private.checked_job(p_new calib.jobs, p_coming integer[])
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
  IF p_coming <> '{}' THEN
    PERFORM calib_private.check_backlog(v_chip, p_new.project_id, p_coming[1], p_coming[2]);
  END IF;
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
-- takes a number of its own, and thousands of them in one COPY would slow down every other session. p_place:
-- where the row stands among many, to begin the sentence with.
CREATE OR REPLACE FUNCTION calib_private.checked_or_refused(p_new calib.jobs,
  p_coming integer[] DEFAULT '{1,1}', p_place text DEFAULT '')
RETURNS calib.jobs LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_checked calib.jobs; v_message text; v_column text; v_hint text; v_constraint text;
BEGIN
  v_checked := calib_private.checked_job(p_new, p_coming);
  IF v_checked.dedup_key IS NOT NULL THEN PERFORM calib_private.require_free_key(v_checked.project_id,
      v_checked.dedup_key); END IF;
  RETURN v_checked;
EXCEPTION WHEN OTHERS THEN
  IF SQLSTATE NOT LIKE 'CQ%' THEN RAISE; END IF;
  GET STACKED DIAGNOSTICS v_message = MESSAGE_TEXT, v_column = COLUMN_NAME, v_hint = PG_EXCEPTION_HINT,
    v_constraint = CONSTRAINT_NAME;
  v_message := p_place || v_message;
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
  -- As alive() says it, but in sight of the planner: an index finds the living among all that ever were.
  IF NOT EXISTS (SELECT FROM calib_private.executors e
    WHERE e.chip_id = p_chip_id AND e.stopped_at IS NULL AND e.last_seen_at > v_alive_since) THEN
    RAISE NOTICE 'job % waits: no executor for chip "%" is alive at the moment', p_job_id, p_chip_id;
  -- A busy chip's executor looks again when its job ends. Commits with a notice wait for one another.
  ELSIF EXISTS (SELECT FROM calib_private.leases l WHERE l.chip_id = p_chip_id AND l.job_id IS NULL) THEN
    PERFORM calib_private.wake_chip(p_chip_id, 'job');
  END IF;
END $$;

-- Stores checked rows, in their order, and returns their numbers. Fewer: another session has taken a
-- dedup_key, or a flow was withdrawn, since they were looked at.
CREATE OR REPLACE FUNCTION calib_private.store_jobs(p_jobs calib.jobs[])
RETURNS bigint[] LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_ids bigint[];
BEGIN
  WITH stored AS (
    INSERT INTO calib_private.jobs (project_id, username, chip_id, flow, parameters, priority, not_before,
      not_after, timeout_seconds, max_attempts, repeatable, dedup_key, tags, note, submitted_by, submitted_at,
      source_job_id)
    SELECT j.project_id, j.username, j.chip_id, j.flow, j.parameters, j.priority, j.not_before, j.not_after,
        j.timeout_seconds, j.max_attempts, f.repeatable, j.dedup_key, j.tags, j.note, j.submitted_by,
        j.submitted_at, j.source_job_id
      FROM unnest(p_jobs) WITH ORDINALITY j JOIN calib_private.flows f USING (chip_id, flow)
     ORDER BY j.ordinality
    ON CONFLICT (project_id, dedup_key) WHERE dedup_key IS NOT NULL
      AND state IN ('scheduled', 'running') DO NOTHING
    RETURNING job_id, submitted_by, state),
  logged AS (
    INSERT INTO calib_private.job_events (job_id, actor, event, new_state)
    SELECT s.job_id, s.submitted_by, 'submitted', s.state FROM stored s)
  SELECT coalesce(array_agg(s.job_id ORDER BY s.job_id), '{}') INTO v_ids FROM stored s;
  RETURN v_ids;
END $$;

-- A job with the same dedup_key may be newer than the transaction's snapshot: PostgreSQL cannot show it.
CREATE OR REPLACE FUNCTION calib_private.store_or_refuse(p_jobs calib.jobs[])
RETURNS bigint[] LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF current_setting('transaction_isolation') = 'read committed' THEN
    RETURN calib_private.store_jobs(p_jobs);
  END IF;
  -- Only here: a subtransaction that writes takes a number of its own.
  BEGIN
    RETURN calib_private.store_jobs(p_jobs);
  EXCEPTION WHEN serialization_failure THEN
    PERFORM calib_private.refuse('CQ004', 'dedup_key',
      format('dedup_key %s is taken by a job that was submitted since this transaction began',
        calib_private.shown(p_jobs[1].dedup_key)), NULL, NULL, 'jobs_dedup_live');
  END;
END $$;

CREATE OR REPLACE FUNCTION calib_private.insert_job()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_job calib.jobs;
BEGIN
  PERFORM calib_private.require_speaker();
  -- As the foreign keys do later: who archives the project or retires the chip waits, or is seen.
  PERFORM FROM calib_private.projects p, calib_private.chips c
    WHERE p.project_id = NEW.project_id AND c.chip_id = NEW.chip_id FOR KEY SHARE;
  LOOP
    v_job := calib_private.checked_or_refused(NEW);
    v_job.job_id := (calib_private.store_or_refuse(ARRAY[v_job]))[1];
    EXIT WHEN v_job.job_id IS NOT NULL;
  END LOOP;
  v_job.state := 'scheduled'; v_job.attempt := 0; v_job.tasks_total := 0; v_job.tasks_done := 0;
  v_job.tasks_failed := 0; v_job.version := 1; v_job.cancel_requested := false;
  PERFORM calib_private.count_backlog(v_job.chip_id, v_job.job_id);
  PERFORM calib_private.wake_executor(v_job.job_id, v_job.chip_id);
  RETURN v_job;
END $$;
CREATE OR REPLACE TRIGGER insert_job INSTEAD OF INSERT ON calib.jobs FOR EACH ROW
  EXECUTE FUNCTION calib_private.insert_job();

-- A job as JSON: its columns as the view names them.
CREATE OR REPLACE FUNCTION calib_private.given_job(p_given jsonb, p_place text)
RETURNS calib.jobs LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_job calib.jobs; v_column text;
BEGIN
  IF jsonb_typeof(p_given) <> 'object' THEN
    PERFORM calib_private.refuse('CQ007', 'jobs',
      format('%sexpected a JSON object, got %s', p_place, jsonb_typeof(p_given)));
  END IF;
  v_job := jsonb_populate_record(NULL::calib.jobs, p_given);
  IF p_given - calib_private.client_columns() <> '{}' THEN
    SELECT k INTO v_column FROM jsonb_object_keys(p_given - calib_private.client_columns()) k
     WHERE NOT to_jsonb(v_job) ? k LIMIT 1;
    IF FOUND THEN
      PERFORM calib_private.refuse('CQ007', 'jobs', format('%sunknown column %s%s', p_place,
        calib_private.shown(v_column), calib_private.suggestion(v_column, calib_private.client_columns())));
    END IF;
  END IF;
  RETURN v_job;
EXCEPTION WHEN data_exception THEN
  PERFORM calib_private.refuse('CQ007', 'jobs', p_place || SQLERRM);
END $$;

-- Equal rows are checked once, and the backlog of a chip with all that come for it. Every row is looked at
-- before any is stored.
CREATE OR REPLACE FUNCTION calib.submit_many(p_jobs jsonb)
RETURNS SETOF bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_jobs calib.jobs[]; v_ids bigint[]; v_twice text;
BEGIN
  PERFORM calib_private.require_speaker();
  IF jsonb_typeof(p_jobs) IS DISTINCT FROM 'array' OR jsonb_array_length(p_jobs) > 10000 THEN
    PERFORM calib_private.refuse('CQ007', 'jobs', 'jobs: expected a JSON array of at most 10000 jobs, got '
      || CASE jsonb_typeof(p_jobs) WHEN 'array' THEN jsonb_array_length(p_jobs) || ' of them'
        ELSE coalesce(jsonb_typeof(p_jobs), 'nothing') END);
  END IF;
  -- As in insert_job(), in an order in which no two calls wait for each other.
  PERFORM FROM calib_private.projects p WHERE p.project_id IN (SELECT e ->> 'project_id'
    FROM jsonb_array_elements(p_jobs) e) ORDER BY p.project_id FOR KEY SHARE;
  PERFORM FROM calib_private.chips c WHERE c.chip_id IN (SELECT e ->> 'chip_id'
    FROM jsonb_array_elements(p_jobs) e) ORDER BY c.chip_id FOR KEY SHARE;
  SELECT array_agg(j ORDER BY n) INTO v_jobs
    FROM (SELECT e.value, array_agg(e.n) AS places, min(e.n) AS first,
        CASE WHEN min(e.n) = min(min(e.n)) OVER project THEN ARRAY[(sum(count(*)) OVER project)::integer,
          (sum(count(*)) OVER chip)::integer] ELSE '{}' END AS coming
      FROM jsonb_array_elements(p_jobs) WITH ORDINALITY e (value, n) GROUP BY e.value
      WINDOW chip AS (PARTITION BY e.value ->> 'chip_id'),
        project AS (PARTITION BY e.value ->> 'chip_id', e.value ->> 'project_id') ORDER BY first) g,
    LATERAL (SELECT format('jobs[%s]: ', g.first - 1) AS place) w,
    LATERAL calib_private.checked_or_refused(calib_private.given_job(g.value, w.place), g.coming,
      w.place) j, unnest(g.places) n;
  SELECT format('jobs[%s]: dedup_key %s is that of jobs[%s]', d.n - 1, calib_private.shown(d.dedup_key),
      d.earlier - 1) INTO v_twice
    FROM (SELECT j.dedup_key, j.ordinality AS n, lag(j.ordinality) OVER (PARTITION BY j.project_id,
        j.dedup_key ORDER BY j.ordinality) AS earlier
      FROM unnest(v_jobs) WITH ORDINALITY j WHERE j.dedup_key IS NOT NULL) d
   WHERE d.earlier IS NOT NULL ORDER BY d.n LIMIT 1;
  IF FOUND THEN
    PERFORM calib_private.refuse('CQ004', 'dedup_key', v_twice, NULL, NULL, 'jobs_dedup_live');
  END IF;
  v_ids := calib_private.store_or_refuse(v_jobs);
  IF cardinality(v_ids) <> cardinality(v_jobs) THEN
    PERFORM calib_private.refuse('CQ004', 'dedup_key', 'jobs: a dedup_key of theirs was taken, or a flow of '
      'theirs withdrawn, at this moment, and nothing was stored: submit them again');
  END IF;
  PERFORM calib_private.count_backlog(j.chip_id, max(j.job_id)),
      calib_private.wake_executor(min(j.job_id), j.chip_id)
    FROM calib_private.jobs j WHERE j.job_id = ANY (v_ids) GROUP BY j.chip_id;
  RETURN QUERY SELECT unnest(v_ids);
END $$;
COMMENT ON FUNCTION calib.submit_many(jsonb) IS
  'Submits a JSON array of at most 10,000 jobs, all or none: objects with the columns that an INSERT into '
  'calib.jobs takes. Returns their job_id in the order given; a refusal names the row as jobs[n], counted '
  'from 0. For calib_submitter. Raises CQ001, CQ002, CQ003, CQ004, CQ005, CQ007, CQ010, CQ030, CQ040.';

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
