-- What operators ask: why a job waits.

CREATE OR REPLACE FUNCTION calib.why_waits(p_job_id bigint)
RETURNS TABLE (job_id bigint, kind text, sentence text, blocking_job_id bigint, chip_id text,
  clears_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_readable text[]; v_job calib_private.jobs;
BEGIN
  PERFORM calib_private.require_speaker();
  v_readable := calib_private.readable_projects(calib_private.actor()::name);
  SELECT * INTO v_job FROM calib_private.jobs j WHERE j.job_id = p_job_id AND j.project_id = ANY (v_readable);
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ001', 'job_id', format('unknown job %s',
      coalesce(p_job_id::text, 'nothing')));
  END IF;
  IF v_job.state <> 'scheduled' THEN
    RETURN QUERY SELECT p_job_id, 'not_waiting', format('job %s does not wait: it is %s', p_job_id,
      v_job.state), NULL::bigint, v_job.chip_id, NULL::timestamptz;
    RETURN;
  END IF;
  RETURN QUERY SELECT p_job_id, h.kind, h.sentence, h.blocking_job_id, v_job.chip_id, h.clears_at
    FROM calib_private.hold_up(p_job_id, v_job.chip_id, v_job.flow, v_job.priority, v_job.attempt,
      v_job.not_before, v_job.not_after, v_readable) h;
END $$;
COMMENT ON FUNCTION calib.why_waits(bigint) IS
  'Why a job waits. kind: chip_paused, not_before, no_executor, executor_not_ready, job_running, jobs_ahead, '
  'ready, ending (by the next sweep) or not_waiting. clears_at: when at the latest, if known; '
  'blocking_job_id: NULL if there is none or you may not read it. For calib_reader. Raises CQ001, CQ003.';

-- The number under which a job is kept in job_keys. Two may meet in one number: who finds by it looks at the
-- job once more.
CREATE OR REPLACE FUNCTION calib_private.job_key(p_project_id text, p_kind text, p_value text)
RETURNS bigint LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN hashtextextended(p_project_id || chr(31) || p_kind || chr(31) || p_value, 0);
END $$;

-- A pair of a note as its key says it; NULL: an object, array or null, by which none is found.
CREATE OR REPLACE FUNCTION calib_private.note_pair(p_name text, p_value jsonb)
RETURNS text LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN CASE jsonb_typeof(p_value) WHEN 'number' THEN p_name || '=' || trim_scale(p_value::numeric)
    WHEN 'string' THEN p_name || '=' || (p_value #>> '{}') WHEN 'boolean' THEN p_name || '=' || p_value END;
END $$;

-- All keys that follow from the row of a job.
CREATE OR REPLACE FUNCTION calib_private.keys_of(p_job calib_private.jobs)
RETURNS bigint[] LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_project text := p_job.project_id; v_keys bigint[] := ARRAY[
    calib_private.job_key(v_project, 'chip', p_job.chip_id),
    calib_private.job_key(v_project, 'submitted_by', p_job.submitted_by)];
BEGIN
  IF p_job.dedup_key IS NOT NULL THEN
    v_keys := v_keys || calib_private.job_key(v_project, 'dedup_key', p_job.dedup_key);
  END IF;
  IF p_job.tags <> '{}' THEN
    v_keys := v_keys || ARRAY(SELECT calib_private.job_key(v_project, 'tag', t) FROM unnest(p_job.tags) t);
  END IF;
  IF p_job.note <> '{}' THEN
    v_keys := v_keys || ARRAY(SELECT calib_private.job_key(v_project, 'note', p.pair)
      FROM jsonb_each(p_job.note) e, calib_private.note_pair(e.key, e.value) p (pair)
     WHERE p.pair IS NOT NULL);
  END IF;
  RETURN v_keys;
END $$;

CREATE OR REPLACE FUNCTION calib_private.task_key(p_project_id text, p_chip_id text, p_task text, p_qid text)
RETURNS bigint LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN calib_private.job_key(p_project_id, 'task', concat_ws(chr(31), p_chip_id, p_task, p_qid));
END $$;

CREATE OR REPLACE FUNCTION calib_private.keep_job_keys()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    DELETE FROM calib_private.job_keys k WHERE k.job_id = OLD.job_id
      AND k.key = ANY (calib_private.keys_of(OLD)) AND k.key <> ALL (calib_private.keys_of(NEW));
  END IF;
  INSERT INTO calib_private.job_keys SELECT k, NEW.job_id FROM unnest(calib_private.keys_of(NEW)) k
    ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER keep_new_keys AFTER INSERT ON calib_private.jobs FOR EACH ROW
  EXECUTE FUNCTION calib_private.keep_job_keys();
CREATE OR REPLACE TRIGGER keep_changed_keys AFTER UPDATE OF tags, note ON calib_private.jobs FOR EACH ROW
  WHEN (OLD.tags <> NEW.tags OR OLD.note <> NEW.note) EXECUTE FUNCTION calib_private.keep_job_keys();

CREATE OR REPLACE FUNCTION calib_private.keep_flow_run_key()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO calib_private.job_keys
  SELECT calib_private.job_key(j.project_id, 'flow_run_id', NEW.flow_run_id::text), j.job_id
    FROM calib_private.jobs j WHERE j.job_id = NEW.job_id ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER keep_flow_run_key AFTER UPDATE OF flow_run_id ON calib_private.attempts FOR EACH ROW
  WHEN (NEW.flow_run_id IS NOT NULL) EXECUTE FUNCTION calib_private.keep_flow_run_key();

CREATE OR REPLACE FUNCTION calib_private.keep_task_keys()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO calib_private.job_keys
  SELECT calib_private.task_key(j.project_id, j.chip_id, t.task, t.qid), t.job_id
    FROM new_runs t JOIN calib_private.jobs j USING (job_id) ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER keep_task_keys AFTER INSERT ON calib_private.task_runs
  REFERENCING NEW TABLE AS new_runs FOR EACH STATEMENT EXECUTE FUNCTION calib_private.keep_task_keys();

-- Before its attempts and task runs are gone.
CREATE OR REPLACE FUNCTION calib_private.forget_job()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_keys bigint[] := calib_private.keys_of(OLD);
BEGIN
  -- A job that never started has no attempts and no task runs; that of one attempt names its flow run itself.
  IF OLD.attempt > 1 OR OLD.attempt = 1 AND OLD.flow_run_id IS NULL THEN
    v_keys := v_keys || ARRAY(SELECT calib_private.job_key(OLD.project_id, 'flow_run_id', a.flow_run_id::text)
      FROM calib_private.attempts a WHERE a.job_id = OLD.job_id AND a.flow_run_id IS NOT NULL);
  ELSIF OLD.flow_run_id IS NOT NULL THEN
    v_keys := v_keys || calib_private.job_key(OLD.project_id, 'flow_run_id', OLD.flow_run_id::text);
  END IF;
  IF OLD.attempt > 0 THEN
    v_keys := v_keys || ARRAY(SELECT calib_private.task_key(OLD.project_id, OLD.chip_id, t.task, t.qid)
      FROM calib_private.task_runs t WHERE t.job_id = OLD.job_id);
  END IF;
  DELETE FROM calib_private.job_keys k
   WHERE (k.key, k.job_id) IN (SELECT f, OLD.job_id FROM unnest(v_keys) f);
  IF OLD.finished_at IS NOT NULL THEN
    INSERT INTO calib_private.deleted_jobs VALUES (OLD.project_id, OLD.chip_id, OLD.state, OLD.finished_at);
  END IF;
  RETURN OLD;
END $$;
CREATE OR REPLACE TRIGGER forget_job BEFORE DELETE ON calib_private.jobs FOR EACH ROW
  EXECUTE FUNCTION calib_private.forget_job();

-- The first jobs of several sources together, each in p_order: a FROM and WHERE for one project, so that no
-- other project's rows are passed over. Hash joins and sorts would read all there is; where pages
-- cost nothing, the plan is the one that passes over the fewest rows.
CREATE OR REPLACE FUNCTION calib_private.merged_jobs(p_sources text[], p_where text, p_order text,
  p_limit integer)
RETURNS SETOF calib.found_job
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
  SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off SET jit = off
  SET max_parallel_workers_per_gather = 0 SET seq_page_cost = 0 SET random_page_cost = 0 AS $$
BEGIN
  IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 1000 THEN
    PERFORM calib_private.refuse('CQ007', 'limit', format('limit: expected 1 to 1000, got %s',
      coalesce(p_limit::text, 'nothing')));
  ELSIF p_sources = '{}' THEN RETURN;
  END IF;
  RETURN QUERY EXECUTE format('SELECT job_id, project_id, username, chip_id, flow, state, priority, tags, '
    'note, dedup_key, execution_id, flow_run_id, submitted_by, submitted_at, not_before, started_at, '
    'finished_at, failure_kind, failure_message FROM (%s) j ORDER BY %s LIMIT %s',
    (SELECT string_agg(format('(SELECT j.* FROM %s AND %s ORDER BY %s LIMIT %s)', s, p_where, p_order,
      p_limit), ' UNION ALL ') FROM unnest(p_sources) s), p_order, p_limit);
END $$;

-- The projects that the caller reads, or the one of them that is asked for.
CREATE OR REPLACE FUNCTION calib_private.asked_projects(p_project_id text)
RETURNS text[] LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.require_speaker();
  RETURN ARRAY(SELECT p FROM unnest(calib_private.readable_projects(calib_private.actor()::name)) p
    WHERE p = p_project_id OR p_project_id IS NULL);
END $$;

CREATE OR REPLACE FUNCTION calib_private.require_criteria(p_state text, p_chip_id text, p_task text,
  p_qid text, p_note jsonb)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_state NOT IN ('scheduled', 'running', 'completed', 'failed', 'cancelled', 'live') THEN
    PERFORM calib_private.refuse('CQ007', 'state', format('state: expected scheduled, running, completed, '
      'failed, cancelled, or live for the first two, got %s', calib_private.shown(p_state)));
  ELSIF num_nonnulls(p_task, p_qid) > 0 AND num_nonnulls(p_task, p_qid, p_chip_id) < 3 THEN
    PERFORM calib_private.refuse('CQ007', 'task', 'task: expected together with qid and chip_id');
  ELSIF p_note IS NOT NULL AND NOT EXISTS (SELECT FROM jsonb_each(CASE jsonb_typeof(p_note)
      WHEN 'object' THEN p_note ELSE '{}' END) e
      HAVING count(calib_private.note_pair(e.key, e.value)) = count(*) AND count(*) > 0) THEN
    PERFORM calib_private.refuse('CQ007', 'note',
      'note: expected an object of texts, numbers and booleans, such as {"ticket": "QX-12"}');
  END IF;
END $$;

-- One criterion finds, by job_keys or an index of the jobs; the others are looked at in what it finds. A task
-- is not looked at again: a client that asks for one reads its task runs next.
CREATE OR REPLACE FUNCTION calib.find_jobs(p_project_id text DEFAULT NULL, p_chip_id text DEFAULT NULL,
  p_state text DEFAULT NULL, p_submitted_by text DEFAULT NULL, p_tag text DEFAULT NULL,
  p_note jsonb DEFAULT NULL, p_flow text DEFAULT NULL, p_dedup_key text DEFAULT NULL,
  p_flow_run_id uuid DEFAULT NULL, p_task text DEFAULT NULL, p_qid text DEFAULT NULL,
  p_before_job_id bigint DEFAULT NULL, p_limit integer DEFAULT 50)
RETURNS SETOF calib.found_job
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_projects text[] := calib_private.asked_projects(p_project_id); v_kind text; v_value text; v_where text;
  v_source text := 'calib_private.job_keys k JOIN calib_private.jobs j USING (job_id) WHERE k.key = %s '
    'AND j.project_id = %L';
BEGIN
  PERFORM calib_private.require_criteria(p_state, p_chip_id, p_task, p_qid, p_note);
  v_where := concat_ws(' AND ', 'true',
    CASE WHEN p_state = 'live' THEN 'j.state IN (''scheduled'', ''running'')'
      WHEN p_state IS NOT NULL THEN format('j.state = %L', p_state) END,
    CASE WHEN p_chip_id IS NOT NULL THEN format('j.chip_id = %L', p_chip_id) END,
    CASE WHEN p_submitted_by IS NOT NULL THEN format('j.submitted_by = %L', p_submitted_by) END,
    CASE WHEN p_tag IS NOT NULL THEN format('%L = ANY (j.tags)', p_tag) END,
    CASE WHEN p_note IS NOT NULL THEN format('j.note @> %L', p_note) END,
    CASE WHEN p_flow IS NOT NULL THEN format('j.flow = %L', p_flow) END,
    CASE WHEN p_dedup_key IS NOT NULL THEN format('j.dedup_key = %L', p_dedup_key) END,
    CASE WHEN p_flow_run_id IS NOT NULL THEN format('EXISTS (SELECT FROM calib_private.attempts a '
      'WHERE a.job_id = j.job_id AND a.flow_run_id = %L)', p_flow_run_id) END,
    CASE WHEN p_before_job_id IS NOT NULL THEN format('j.job_id < %s', p_before_job_id) END);
  IF p_flow_run_id IS NOT NULL THEN v_kind := 'flow_run_id'; v_value := p_flow_run_id;
  ELSIF p_dedup_key IS NOT NULL THEN v_kind := 'dedup_key'; v_value := p_dedup_key;
  ELSIF p_note IS NOT NULL THEN
    v_kind := 'note';
    SELECT calib_private.note_pair(e.key, e.value) INTO v_value FROM jsonb_each(p_note) e LIMIT 1;
  ELSIF p_task IS NOT NULL THEN v_kind := 'task'; v_value := concat_ws(chr(31), p_chip_id, p_task, p_qid);
  ELSIF p_state IN ('live', 'scheduled', 'running') AND p_submitted_by IS NULL THEN
    -- All of them, sorted: read in the order of their numbers, all that has ended would be passed over.
    v_source := '(SELECT w.* FROM calib_private.jobs w WHERE w.state = ''scheduled'' AND w.project_id = %2$L '
      'UNION ALL SELECT r.* FROM calib_private.jobs r WHERE r.state = ''running'' AND r.project_id = %2$L '
      'OFFSET 0) j WHERE true';
  ELSIF p_state IN ('live', 'scheduled', 'running')
      OR p_state IN ('failed', 'cancelled') AND p_tag IS NULL THEN
    v_source := 'calib_private.jobs j WHERE j.project_id = %2$L';
  ELSIF p_tag IS NOT NULL THEN v_kind := 'tag'; v_value := p_tag;
  ELSIF p_submitted_by IS NOT NULL THEN v_kind := 'submitted_by'; v_value := p_submitted_by;
  ELSIF p_chip_id IS NOT NULL THEN v_kind := 'chip'; v_value := p_chip_id;
  ELSE v_source := 'calib_private.jobs j WHERE j.project_id = %2$L';
  END IF;
  RETURN QUERY SELECT * FROM calib_private.merged_jobs(
    ARRAY(SELECT format(v_source, calib_private.job_key(p, v_kind, v_value), p) FROM unnest(v_projects) p),
    v_where, 'job_id DESC', p_limit);
END $$;
COMMENT ON FUNCTION calib.find_jobs(text, text, text, text, text, jsonb, text, text, uuid, text, text, bigint,
    integer) IS
  'Jobs of your projects that meet all that is given, the newest first; before_job_id: only older ones. '
  'state: as in calib.jobs, or live for scheduled and running; note: an object that the note contains; task: '
  'with qid and chip_id. limit: 1 to 1000. For calib_reader. Raises CQ003, CQ007.';

CREATE OR REPLACE FUNCTION calib.waiting_jobs(p_chip_id text, p_limit integer DEFAULT 50)
RETURNS SETOF calib.found_job
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY SELECT * FROM calib_private.merged_jobs(
    ARRAY(SELECT format('calib_private.jobs j WHERE j.project_id = %L AND j.state = %L', p, 'scheduled')
      FROM unnest(calib_private.asked_projects(NULL)) p),
    format('j.chip_id = %L', p_chip_id), 'priority DESC, job_id', p_limit);
END $$;
COMMENT ON FUNCTION calib.waiting_jobs(text, integer) IS
  'Waiting jobs of your projects on a chip, in the order in which they are claimed. limit: 1 to 1000. For '
  'calib_reader. Raises CQ003, CQ007.';
COMMENT ON TYPE calib.found_job IS
  'What find_jobs() and waiting_jobs() return: columns of calib.jobs, without those that cost another look.';

-- The newest events. A job's events are not after its end, of one that has not started not after its
-- submission: jobs are taken by these times, the newest first, until none can have a newer event than those
-- found. Those that run, or wait once more, come first.
CREATE OR REPLACE FUNCTION calib.recent_events(p_since timestamptz, p_project_id text DEFAULT NULL,
  p_limit integer DEFAULT 50)
RETURNS SETOF calib.job_events
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
  SET enable_bitmapscan = off SET max_parallel_workers_per_gather = 0 SET seq_page_cost = 0
  SET random_page_cost = 0 AS $$
DECLARE
  v_sources text; v_job record; v_seen bigint[] := '{}'; v_events calib.job_events[] := '{}';
  v_last timestamptz; v_margin interval := '1 second';   -- an event is written just after its job's time
BEGIN
  IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 1000 THEN
    PERFORM calib_private.refuse('CQ007', 'limit', format('limit: expected 1 to 1000, got %s',
      coalesce(p_limit::text, 'nothing')));
  END IF;
  SELECT string_agg(format('(SELECT j.job_id, j.finished_at AS at FROM calib_private.jobs j '
      'WHERE j.project_id = %1$L AND j.finished_at >= %2$L ORDER BY j.finished_at DESC LIMIT %3$s) UNION ALL '
      '(SELECT n.job_id, n.submitted_at FROM (SELECT * FROM calib_private.jobs j WHERE j.project_id = %1$L '
      'ORDER BY j.job_id DESC LIMIT %3$s) n WHERE n.submitted_at >= %2$L AND n.state = ''scheduled'') '
      'UNION ALL (SELECT j.job_id, ''infinity'' FROM calib_private.jobs j WHERE j.project_id = %1$L '
      'AND j.state = ''running'') UNION ALL (SELECT j.job_id, ''infinity'' FROM calib_private.jobs j '
      'WHERE j.project_id = %1$L AND j.state = ''scheduled'' AND j.attempt > 0)', p,
      p_since - v_margin, p_limit),
      ' UNION ALL ') INTO v_sources FROM unnest(calib_private.asked_projects(p_project_id)) p;
  IF v_sources IS NULL THEN RETURN; END IF;
  FOR v_job IN EXECUTE v_sources || ' ORDER BY 2 DESC' LOOP
    EXIT WHEN v_job.at < v_last - v_margin;
    CONTINUE WHEN v_job.job_id = ANY (v_seen);
    v_seen := v_seen || v_job.job_id;
    v_events := v_events || ARRAY(SELECT (e.event_id, e.job_id, e.at, e.actor, e.event, e.old_state,
        e.new_state, e.attempt, e.detail)::calib.job_events
      FROM calib_private.job_events e WHERE e.job_id = v_job.job_id AND e.at >= p_since
      ORDER BY e.event_id DESC LIMIT p_limit);
    IF cardinality(v_events) >= p_limit THEN
      v_last := (SELECT e.at FROM unnest(v_events) e ORDER BY e.at DESC OFFSET p_limit - 1 LIMIT 1);
    END IF;
  END LOOP;
  RETURN QUERY SELECT * FROM unnest(v_events) e ORDER BY e.at DESC, e.event_id DESC LIMIT p_limit;
END $$;
COMMENT ON FUNCTION calib.recent_events(timestamptz, text, integer) IS
  'The newest events of your projects, or of one of them, since a time, the newest first. limit: 1 to 1000. '
  'For calib_reader. Raises CQ003, CQ007.';

-- Counts anew at most once a minute, by one session: what has ended since the last time, and what is live.
CREATE OR REPLACE FUNCTION calib_private.count_jobs()
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_last calib_private.job_counting; v_now timestamptz := calib_private.now(); v_until timestamptz;
BEGIN
  SELECT * INTO v_last FROM calib_private.job_counting c WHERE c.counted_at <= v_now - interval '1 minute'
    FOR NO KEY UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN; END IF;
  v_until := v_last.ended_until;
  IF pg_snapshot_xmin(pg_current_snapshot()) >= v_last.next_xid THEN
    v_until := v_last.next_until;
    v_last.next_until := greatest(v_until, v_now - interval '10 seconds');
    v_last.next_xid := pg_snapshot_xmax(pg_current_snapshot());
  END IF;
  -- In one statement, so that of each deleted job either the row is counted and taken off later, or neither.
  WITH gone AS (DELETE FROM calib_private.deleted_jobs d WHERE d.finished_at < v_until RETURNING d.*),
    changes AS (
      SELECT c.project_id, c.chip_id, c.state, c.settled, c.settled AS jobs FROM calib_private.job_counts c
      UNION ALL
      SELECT j.project_id, j.chip_id, j.state, count(*) FILTER (WHERE j.finished_at < v_until), count(*)
        FROM calib_private.jobs j WHERE j.finished_at >= v_last.ended_until GROUP BY 1, 2, 3
      UNION ALL
      SELECT j.project_id, j.chip_id, j.state, 0, count(*) FROM calib_private.jobs j
       WHERE j.state IN ('scheduled', 'running') AND j.submitted_by <> '' GROUP BY 1, 2, 3
      UNION ALL
      SELECT g.project_id, g.chip_id, g.state, -count(*), -count(*) FROM gone g
       WHERE g.finished_at < v_last.ended_until GROUP BY 1, 2, 3)
  INSERT INTO calib_private.job_counts AS c (project_id, chip_id, state, settled, jobs)
  SELECT n.project_id, n.chip_id, n.state, sum(n.settled), sum(n.jobs) FROM changes n GROUP BY 1, 2, 3
  ON CONFLICT (project_id, chip_id, state) DO UPDATE SET settled = excluded.settled, jobs = excluded.jobs
   WHERE (c.settled, c.jobs) <> (excluded.settled, excluded.jobs);
  UPDATE calib_private.job_counting SET counted_at = v_now, ended_until = v_until,
    next_until = v_last.next_until, next_xid = v_last.next_xid;
END $$;

CREATE OR REPLACE VIEW calib.job_counts WITH (security_barrier) AS
SELECT c.project_id, c.chip_id, c.state, c.jobs, k.counted_at
  FROM calib_private.job_counts c, calib_private.job_counting k
 WHERE c.jobs > 0
   AND c.project_id = ANY ((SELECT calib_private.readable_projects(current_user))::text[]);
COMMENT ON VIEW calib.job_counts IS
  'How many jobs of each project, chip and state there were at counted_at, for members of the project; '
  'counted by sweep(), about once a minute.';
COMMENT ON COLUMN calib.job_counts.jobs IS 'Number of jobs.';
COMMENT ON COLUMN calib.job_counts.counted_at IS 'When they were counted, all at one time.';
