--
-- PostgreSQL database dump
--

\restrict snapshot


SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: calib; Type: SCHEMA; Schema: -; Owner: calib_owner
--

CREATE SCHEMA calib;


ALTER SCHEMA calib OWNER TO calib_owner;

--
-- Name: SCHEMA calib; Type: COMMENT; Schema: -; Owner: calib_owner
--

COMMENT ON SCHEMA calib IS 'The public contract of the queue: views to read, calib.jobs to INSERT into, and functions. Its errors have the SQLSTATEs CQ001 to CQ040.';


--
-- Name: calib_private; Type: SCHEMA; Schema: -; Owner: calib_owner
--

CREATE SCHEMA calib_private;


ALTER SCHEMA calib_private OWNER TO calib_owner;

--
-- Name: SCHEMA calib_private; Type: COMMENT; Schema: -; Owner: calib_owner
--

COMMENT ON SCHEMA calib_private IS 'Tables and helper functions of the queue, for calib_owner only. Clients use schema calib.';


--
-- Name: cancel_answer; Type: TYPE; Schema: calib; Owner: calib_owner
--

CREATE TYPE calib.cancel_answer AS (
	job_id bigint,
	answer text,
	state text,
	message text
);


ALTER TYPE calib.cancel_answer OWNER TO calib_owner;

--
-- Name: TYPE cancel_answer; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON TYPE calib.cancel_answer IS 'What cancel_jobs() returns for each job: job_id, answer, the job''s state afterwards, and a sentence.';


--
-- Name: COLUMN cancel_answer.answer; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.cancel_answer.answer IS 'cancelled, requested (it runs), requested_before, ended, forbidden, not_matching, or unknown.';


--
-- Name: cancel_request; Type: TYPE; Schema: calib; Owner: calib_owner
--

CREATE TYPE calib.cancel_request AS (
	cancel_mode text,
	cancel_reason text,
	cancel_requested_by text
);


ALTER TYPE calib.cancel_request OWNER TO calib_owner;

--
-- Name: TYPE cancel_request; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON TYPE calib.cancel_request IS 'What heartbeat() returns when a cancel was requested; of several requests the strongest mode.';


--
-- Name: claimed_job; Type: TYPE; Schema: calib; Owner: calib_owner
--

CREATE TYPE calib.claimed_job AS (
	job_id bigint,
	fence bigint,
	attempt smallint,
	max_attempts smallint,
	execution_id text,
	project_id text,
	username text,
	chip_id text,
	flow text,
	parameters jsonb,
	tags text[],
	note jsonb,
	timeout_seconds integer,
	repeatable boolean,
	submitted_by text,
	submitted_at timestamp with time zone,
	started_at timestamp with time zone,
	dirty boolean
);


ALTER TYPE calib.claimed_job OWNER TO calib_owner;

--
-- Name: TYPE claimed_job; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON TYPE calib.claimed_job IS 'What claim() returns: the job, the attempt and the lease.';


--
-- Name: COLUMN claimed_job.fence; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.claimed_job.fence IS 'Number of the lease.';


--
-- Name: COLUMN claimed_job.dirty; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.claimed_job.dirty IS 'Whether the last holder of the chip was lost: put the instrument into a safe idle state first.';


--
-- Name: found_job; Type: TYPE; Schema: calib; Owner: calib_owner
--

CREATE TYPE calib.found_job AS (
	job_id bigint,
	project_id text,
	username text,
	chip_id text,
	flow text,
	state text,
	priority smallint,
	tags text[],
	note jsonb,
	dedup_key text,
	execution_id text,
	flow_run_id uuid,
	submitted_by text,
	submitted_at timestamp with time zone,
	not_before timestamp with time zone,
	started_at timestamp with time zone,
	finished_at timestamp with time zone,
	failure_kind text,
	failure_message text
);


ALTER TYPE calib.found_job OWNER TO calib_owner;

--
-- Name: TYPE found_job; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON TYPE calib.found_job IS 'What find_jobs() and waiting_jobs() return: columns of calib.jobs, without those that cost another look.';


--
-- Name: outbox_mark; Type: TYPE; Schema: calib; Owner: calib_owner
--

CREATE TYPE calib.outbox_mark AS (
	mark_id bigint,
	job_id bigint,
	chip_id text,
	version integer,
	attempts integer
);


ALTER TYPE calib.outbox_mark OWNER TO calib_owner;

--
-- Name: TYPE outbox_mark; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON TYPE calib.outbox_mark IS 'What take_marks() returns: a job or a chip to mirror; the other one is NULL. version is passed to mark_done(); attempts counts the tries.';


--
-- Name: started_task; Type: TYPE; Schema: calib; Owner: calib_owner
--

CREATE TYPE calib.started_task AS (
	qid text,
	task_run_id uuid,
	sweep_id uuid
);


ALTER TYPE calib.started_task OWNER TO calib_owner;

--
-- Name: TYPE started_task; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON TYPE calib.started_task IS 'What start_sweep() returns: a task that runs now, and its sweep.';


--
-- Name: swept_job; Type: TYPE; Schema: calib; Owner: calib_owner
--

CREATE TYPE calib.swept_job AS (
	job_id bigint,
	chip_id text,
	outcome text
);


ALTER TYPE calib.swept_job OWNER TO calib_owner;

--
-- Name: TYPE swept_job; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON TYPE calib.swept_job IS 'What sweep() returns: a job that it ended, and its new state in outcome; scheduled: it waits for another attempt.';


--
-- Name: complaint; Type: TYPE; Schema: calib_private; Owner: calib_owner
--

CREATE TYPE calib_private.complaint AS (
	code text,
	message text,
	hint text
);


ALTER TYPE calib_private.complaint OWNER TO calib_owner;

--
-- Name: add_chip(text, text, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.add_chip(p_chip_id text, p_backend text, p_topology text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  v_n integer := calib_private.topology_size(p_topology);
BEGIN
  PERFORM calib_private.require_role('calib_admin');
  IF p_chip_id IS NULL OR p_chip_id !~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$' THEN
    PERFORM calib_private.refuse('CQ007', 'chip_id',
      format('chip_id: expected 1 to 48 letters, digits, _ and -, got %s', calib_private.shown(p_chip_id)));
  ELSIF p_backend IS NULL OR p_backend NOT IN ('fake', 'qubex') THEN
    PERFORM calib_private.refuse('CQ007', 'backend',
      format('backend: expected fake or qubex, got %s', calib_private.shown(p_backend)));
  ELSIF v_n IS NULL OR v_n > 4096 THEN
    PERFORM calib_private.refuse('CQ007', 'topology',
      format('topology: expected square-lattice-mux-4, -16, -64, -144, -256 or -1024, or linear-N, got %s',
      calib_private.shown(p_topology)));
  ELSIF EXISTS (SELECT FROM calib_private.chips c WHERE c.chip_id = p_chip_id
      AND (c.backend, c.topology) <> (p_backend, p_topology)) THEN
    PERFORM calib_private.refuse('CQ010', 'chip_id',
      format('chip "%s" is there already with another backend or topology, and both are fixed', p_chip_id));
  END IF;
  INSERT INTO calib_private.chips (chip_id, backend, topology, n_qubits, created_by)
    VALUES (p_chip_id, p_backend, p_topology, v_n, calib_private.actor())
  ON CONFLICT (chip_id) DO NOTHING;
  IF NOT FOUND THEN RETURN; END IF;
  INSERT INTO calib_private.leases (chip_id) VALUES (p_chip_id);
  INSERT INTO calib_private.backlogs (chip_id) VALUES (p_chip_id);
  PERFORM calib_private.place_qubits(p_chip_id, p_topology, v_n);
  PERFORM calib_private.place_couplings(p_chip_id, p_topology);
END $_$;


ALTER FUNCTION calib.add_chip(p_chip_id text, p_backend text, p_topology text) OWNER TO calib_owner;

--
-- Name: FUNCTION add_chip(p_chip_id text, p_backend text, p_topology text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.add_chip(p_chip_id text, p_backend text, p_topology text) IS 'Makes a chip with its qubits and couplings; does nothing if it exists. p_backend: fake or qubex; p_topology: square-lattice-mux-N or linear-N. Both are fixed. For calib_admin. Raises CQ003, CQ007, CQ010.';


--
-- Name: add_project(text, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.add_project(p_project_id text, p_description text DEFAULT ''::text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
BEGIN
  PERFORM calib_private.require_role('calib_admin');
  IF p_project_id IS NULL OR p_project_id !~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$' THEN
    PERFORM calib_private.refuse('CQ007', 'project_id',
      format('project_id: expected 1 to 63 letters, digits, _ and -, got %s',
      calib_private.shown(p_project_id)));
  END IF;
  PERFORM calib_private.require_text('description', coalesce(p_description, ''), 0, 10000);
  INSERT INTO calib_private.projects (project_id, description, created_by)
    VALUES (p_project_id, coalesce(p_description, ''), calib_private.actor())
  ON CONFLICT (project_id) DO NOTHING;
END $_$;


ALTER FUNCTION calib.add_project(p_project_id text, p_description text) OWNER TO calib_owner;

--
-- Name: FUNCTION add_project(p_project_id text, p_description text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.add_project(p_project_id text, p_description text) IS 'Makes a project of 1 to 63 letters, digits, _ and -; does nothing if it exists. For calib_admin. Raises CQ003, CQ007.';


--
-- Name: allow_executor(text, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.allow_executor(p_role_name text, p_chip_id text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.require_role('calib_admin');
  PERFORM calib_private.require_chip(p_chip_id);
  INSERT INTO calib_private.executor_permissions (role_name, chip_id)
  VALUES (calib_private.require_known_role(p_role_name,
    'Make it first: CREATE ROLE name LOGIN IN ROLE calib_executor.'), p_chip_id)
  ON CONFLICT DO NOTHING;
END $$;


ALTER FUNCTION calib.allow_executor(p_role_name text, p_chip_id text) OWNER TO calib_owner;

--
-- Name: FUNCTION allow_executor(p_role_name text, p_chip_id text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.allow_executor(p_role_name text, p_chip_id text) IS 'Allows a database role to execute jobs on a chip. For calib_admin. Raises CQ001, CQ003, CQ007.';


--
-- Name: announce_jobs(); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.announce_jobs() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_job_ids bigint[];
BEGIN
  PERFORM calib_private.require_role('calib_mirror');
  IF NOT EXISTS (SELECT FROM calib_private.outbox o WHERE o.announce) THEN RETURN 0; END IF;
  WITH announced AS (UPDATE calib_private.outbox o SET announce = false
    WHERE o.mark_id = ANY (ARRAY(SELECT d.mark_id FROM calib_private.outbox d WHERE d.announce
      ORDER BY d.mark_id LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED)) RETURNING o.job_id)
  SELECT coalesce(array_agg(a.job_id ORDER BY a.job_id), '{}') INTO v_job_ids FROM announced a;
  PERFORM calib_private.announce(v_job_ids);
  RETURN cardinality(v_job_ids);
END $$;


ALTER FUNCTION calib.announce_jobs() OWNER TO calib_owner;

--
-- Name: FUNCTION announce_jobs(); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.announce_jobs() IS 'Announces starts and ends of at most 1000 jobs on the channel calibration_jobs, and returns of how many. For calib_mirror. Raises CQ003.';


--
-- Name: archive_project(text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.archive_project(p_project_id text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '5s'
    AS $$
BEGIN
  PERFORM calib_private.require_role('calib_admin');
  PERFORM calib_private.require_read_committed('archive_project');
  PERFORM calib_private.require_project(p_project_id);
  PERFORM calib_private.bound_transaction();
  -- Waits for jobs that were inserted and not yet committed: an INSERT locks the project before it looks.
  PERFORM FROM calib_private.projects p WHERE p.project_id = p_project_id FOR UPDATE;
  UPDATE calib_private.projects p SET archived_at = calib_private.now(), archived_by = calib_private.actor()
   WHERE p.project_id = p_project_id AND p.archived_at IS NULL;
  RETURN calib_private.cancel_all_waiting(p_project_id, NULL, format('project %s was archived',
    p_project_id));
END $$;


ALTER FUNCTION calib.archive_project(p_project_id text) OWNER TO calib_owner;

--
-- Name: FUNCTION archive_project(p_project_id text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.archive_project(p_project_id text) IS 'Archives a project: it takes no new jobs, and those that wait are cancelled; a running job goes on, and everything can still be read. Returns how many were cancelled. For calib_admin. Raises CQ001, CQ003, CQ010.';


--
-- Name: cancel_from_prefect(bigint, uuid, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.cancel_from_prefect(p_job_id bigint, p_claim uuid, p_reason text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.hold_lease(p_job_id, p_claim);
  IF EXISTS (SELECT FROM calib_private.cancel_requests k WHERE k.job_id = p_job_id AND k.mode = 'now') THEN
      RETURN; END IF;
  IF calib_private.verdict(p_job_id) IS NOT NULL THEN
    PERFORM calib_private.write_event(p_job_id, 'cancel_too_late',
      jsonb_build_object('mode', 'now', 'reason', left(p_reason, 1000)));
    RETURN;
  END IF;
  PERFORM calib_private.write_event(p_job_id,
    CASE WHEN EXISTS (SELECT FROM calib_private.cancel_requests k
    WHERE k.job_id = p_job_id) THEN 'cancel_escalated' ELSE 'cancel_requested' END,
        jsonb_build_object('mode', 'now', 'reason', left(p_reason, 1000)));
  INSERT INTO calib_private.cancel_requests (job_id, origin, mode, reason, requested_by, requested_at)
  VALUES (p_job_id, 'prefect', 'now', coalesce(left(p_reason, 1000), ''), calib_private.actor(),
    calib_private.now());
END $$;


ALTER FUNCTION calib.cancel_from_prefect(p_job_id bigint, p_claim uuid, p_reason text) OWNER TO calib_owner;

--
-- Name: FUNCTION cancel_from_prefect(p_job_id bigint, p_claim uuid, p_reason text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.cancel_from_prefect(p_job_id bigint, p_claim uuid, p_reason text) IS 'Requests a cancel now of the running job, because Prefect shows its flow run as cancelling. For calib_executor. Raises CQ003, CQ020.';


--
-- Name: cancel_jobs(text, text, text, text[], text, bigint[], text, text, boolean); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.cancel_jobs(p_chip_id text DEFAULT NULL::text, p_project_id text DEFAULT NULL::text, p_submitted_by text DEFAULT NULL::text, p_tags text[] DEFAULT NULL::text[], p_state text DEFAULT NULL::text, p_job_ids bigint[] DEFAULT NULL::bigint[], p_mode text DEFAULT 'now'::text, p_reason text DEFAULT ''::text, p_dry_run boolean DEFAULT false) RETURNS SETOF calib.cancel_answer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_readable text[] := calib_private.readable_projects(calib_private.actor()::name); v_id bigint;
  v_job calib_private.jobs; v_answer text;
BEGIN
  PERFORM calib_private.require_role('calib_submitter');
  PERFORM calib_private.check_cancel(p_mode, p_reason);
  IF num_nonnulls(p_chip_id, p_project_id, p_submitted_by, p_tags, p_state, p_job_ids) = 0 THEN
    PERFORM calib_private.refuse('CQ007', '', 'which jobs: expected a chip, project, submitter, tags, state '
      'or job ids, got nothing');
  ELSIF p_state NOT IN ('scheduled', 'running', 'completed', 'failed', 'cancelled') THEN
    PERFORM calib_private.refuse('CQ007', 'state', format('state: expected scheduled, running, completed, '
      'failed or cancelled, got %s', calib_private.shown(p_state)));
  END IF;
  FOR v_id IN SELECT i.job_id FROM unnest(p_job_ids) i (job_id) WHERE i.job_id IS NOT NULL
    UNION SELECT j.job_id FROM calib_private.jobs j
     WHERE p_job_ids IS NULL AND j.project_id = ANY (v_readable) AND j.state IN ('scheduled', 'running')
       AND calib_private.matches(j, p_chip_id, p_project_id, p_submitted_by, p_tags, p_state)
    ORDER BY 1 LOOP
    SELECT * INTO v_job FROM calib_private.jobs j WHERE j.job_id = v_id AND j.project_id = ANY (v_readable);
    v_answer := CASE WHEN NOT FOUND THEN 'unknown'
      WHEN NOT calib_private.matches(v_job, p_chip_id, p_project_id, p_submitted_by, p_tags, p_state)
        THEN 'not_matching'
      ELSE calib_private.foreseen_answer(v_job, p_mode) END;
    -- A job that had ended, or is told already, is not touched: no event, no warning.
    IF NOT p_dry_run AND v_answer IN ('cancelled', 'requested') THEN
      v_answer := replace(calib_private.request_cancel(v_id, p_mode, coalesce(p_reason, '')), 'weaker',
        'requested_before');
      SELECT j.state INTO v_job.state FROM calib_private.jobs j WHERE j.job_id = v_id;
    END IF;
    RETURN NEXT (v_id, v_answer, CASE WHEN v_answer <> 'unknown' THEN v_job.state END,
      calib_private.cancel_sentence(v_id, v_answer, v_job.state, p_dry_run))::calib.cancel_answer;
  END LOOP;
END $$;


ALTER FUNCTION calib.cancel_jobs(p_chip_id text, p_project_id text, p_submitted_by text, p_tags text[], p_state text, p_job_ids bigint[], p_mode text, p_reason text, p_dry_run boolean) OWNER TO calib_owner;

--
-- Name: FUNCTION cancel_jobs(p_chip_id text, p_project_id text, p_submitted_by text, p_tags text[], p_state text, p_job_ids bigint[], p_mode text, p_reason text, p_dry_run boolean); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.cancel_jobs(p_chip_id text, p_project_id text, p_submitted_by text, p_tags text[], p_state text, p_job_ids bigint[], p_mode text, p_reason text, p_dry_run boolean) IS 'Cancels the jobs that match all filters; without p_job_ids, those that have not ended. Answers for each in the order of their numbers; a refused one stops no other. p_dry_run: says what it would do. For calib_submitter: own jobs, or those of a project as its operator. Raises CQ003, CQ007; warns CQ011.';


--
-- Name: chips_to_reconcile(text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.chips_to_reconcile(p_chip_id text) RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT calib_private.require_role('calib_executor');
  SELECT c.chip_id FROM calib_private.chips c WHERE c.chip_id = p_chip_id
      OR NOT calib_private.is_served(c.chip_id) ORDER BY 1
$$;


ALTER FUNCTION calib.chips_to_reconcile(p_chip_id text) OWNER TO calib_owner;

--
-- Name: FUNCTION chips_to_reconcile(p_chip_id text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.chips_to_reconcile(p_chip_id text) IS 'Chips whose flow runs an executor compares with Prefect: its own chip, and each one without a living executor. For calib_executor. Raises CQ003.';


--
-- Name: claim(text, text, uuid, double precision, bigint); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.claim(p_chip_id text, p_executor_id text, p_claim uuid, p_lease_seconds double precision DEFAULT 30, p_job_id bigint DEFAULT NULL::bigint) RETURNS SETOF calib.claimed_job
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_lease calib_private.leases; v_claimed calib.claimed_job; v_job_id bigint; v_now timestamptz;
  v_duration interval;
BEGIN
  PERFORM calib_private.require_executor(p_executor_id, p_chip_id);
  v_duration := calib_private.lease_interval(p_lease_seconds);
  PERFORM calib_private.require_claimable(p_job_id);
  IF p_claim IS NULL THEN
    PERFORM calib_private.refuse('CQ007', 'claim', 'claim: expected a random uuid, got nothing');
  END IF;
  IF NOT calib_private.may_claim(p_chip_id, p_executor_id, p_job_id) THEN RETURN; END IF;
  -- Nothing starts once a pause has returned: it waits for this claim, or this claim goes without. The chip
  -- is locked only now, when a job is due; that blocks no reader of it and no row that names it.
  SELECT l.* INTO v_lease FROM calib_private.leases l JOIN calib_private.chips c USING (chip_id)
   WHERE l.chip_id = p_chip_id AND (l.job_id IS NOT NULL OR NOT c.paused AND c.retired_at IS NULL)
     FOR NO KEY UPDATE OF l SKIP LOCKED FOR SHARE OF c SKIP LOCKED;
  IF NOT FOUND THEN RETURN; END IF;
  IF v_lease.job_id IS NULL THEN
    v_job_id := calib_private.take_due_job(p_chip_id, p_job_id);
  ELSIF v_lease.executor_id = p_executor_id
      AND (calib_private.claimed_attempt(v_lease.job_id, p_claim)).fence = v_lease.fence THEN
    -- An answer that was lost on the way is given again, with a full lease: the executor counts from now.
    UPDATE calib_private.leases l SET expires_at = calib_private.now() + v_duration
        WHERE l.chip_id = p_chip_id;
    RETURN NEXT calib_private.claimed_row(v_lease.job_id);
  END IF;
  IF v_job_id IS NULL THEN RETURN; END IF;
  v_now := calib_private.now();
  UPDATE calib_private.leases l SET fence = l.fence + 1, job_id = v_job_id, executor_id = p_executor_id,
    expires_at = v_now + v_duration WHERE l.chip_id = p_chip_id;
  UPDATE calib_private.jobs j SET state = 'running', attempt = j.attempt + 1, fence = v_lease.fence + 1,
    executor_id = p_executor_id, flow_run_id = NULL, started_at = coalesce(j.started_at, v_now),
    tasks_total = 0, tasks_done = 0, tasks_failed = 0,
      execution_id = coalesce(j.execution_id, calib_private.next_execution_id()), version = j.version + 1
   WHERE j.job_id = v_job_id
  RETURNING j.job_id, j.fence, j.attempt, j.max_attempts, j.execution_id, j.project_id, j.username, j.chip_id,
    j.flow, j.parameters, j.tags, j.note, j.timeout_seconds, j.repeatable, j.submitted_by, j.submitted_at,
      j.started_at, v_lease.dirty INTO v_claimed;
  INSERT INTO calib_private.attempts (job_id, attempt, fence, executor_id, claim, started_at)
  VALUES (v_job_id, v_claimed.attempt, v_claimed.fence, p_executor_id, p_claim, v_now);
  -- An executor that takes a job is ready, even if it has not reported that yet.
  UPDATE calib_private.executors e SET condition = 'ready'
      WHERE e.executor_id = p_executor_id AND e.condition NOT LIKE 'ready%';
  RETURN NEXT v_claimed;
END $$;


ALTER FUNCTION calib.claim(p_chip_id text, p_executor_id text, p_claim uuid, p_lease_seconds double precision, p_job_id bigint) OWNER TO calib_owner;

--
-- Name: FUNCTION claim(p_chip_id text, p_executor_id text, p_claim uuid, p_lease_seconds double precision, p_job_id bigint); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.claim(p_chip_id text, p_executor_id text, p_claim uuid, p_lease_seconds double precision, p_job_id bigint) IS 'Starts the first due job of a chip, or the one named, and returns it; no row: none is due, or the chip is paused or busy. p_claim: a random uuid, passed to each later call for the attempt; the same one again repeats a lost answer. p_lease_seconds: 0.1 to 3600. For calib_notebook, calib_executor. Raises CQ003, CQ007, CQ021.';


--
-- Name: conclude(bigint, uuid, text, text, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.conclude(p_job_id bigint, p_claim uuid, p_state text, p_failure_kind text DEFAULT NULL::text, p_failure_message text DEFAULT NULL::text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  RETURN calib_private.conclude(calib_private.hold_lease(p_job_id, p_claim), p_state, p_failure_kind,
    p_failure_message);
END $$;


ALTER FUNCTION calib.conclude(p_job_id bigint, p_claim uuid, p_state text, p_failure_kind text, p_failure_message text) OWNER TO calib_owner;

--
-- Name: FUNCTION conclude(p_job_id bigint, p_claim uuid, p_state text, p_failure_kind text, p_failure_message text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.conclude(p_job_id bigint, p_claim uuid, p_state text, p_failure_kind text, p_failure_message text) IS 'Records the verdict of the attempt and returns the one that stands: the first one, and cancelled after a cancel was seen. p_state: completed, failed or cancelled; p_failure_kind: with failed only. For calib_notebook, calib_executor. Raises CQ003, CQ007, CQ010, CQ020.';


--
-- Name: disallow_executor(text, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.disallow_executor(p_role_name text, p_chip_id text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.require_role('calib_admin');
  PERFORM calib_private.require_chip(p_chip_id);
  DELETE FROM calib_private.executor_permissions p
   WHERE p.chip_id = p_chip_id AND p.role_name = calib_private.require_labelled_role(p_role_name);
END $$;


ALTER FUNCTION calib.disallow_executor(p_role_name text, p_chip_id text) OWNER TO calib_owner;

--
-- Name: FUNCTION disallow_executor(p_role_name text, p_chip_id text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.disallow_executor(p_role_name text, p_chip_id text) IS 'Ends the permission of a database role to execute jobs on a chip: its executors claim nothing, and lose the lease that they hold. p_role_name: as calib.executor_permissions shows it, a number if the role was dropped. For calib_admin. Raises CQ001, CQ003, CQ007.';


--
-- Name: end_job(bigint, uuid, text, text, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.end_job(p_job_id bigint, p_claim uuid, p_state text, p_failure_kind text DEFAULT NULL::text, p_failure_message text DEFAULT NULL::text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_attempt calib_private.attempts; v_lease calib_private.leases; v_state text;
BEGIN
  PERFORM FROM calib_private.leases l WHERE l.job_id = p_job_id FOR NO KEY UPDATE;   -- as finish() does
  IF NOT FOUND THEN
    v_attempt := calib_private.claimed_attempt(p_job_id, p_claim);
    IF v_attempt.outcome = v_attempt.verdict THEN RETURN v_attempt.outcome; END IF;
  END IF;
  v_lease := calib_private.hold_lease(p_job_id, p_claim);
  v_state := calib_private.conclude(v_lease, p_state, p_failure_kind, p_failure_message);
  IF v_state = 'completed' THEN
    PERFORM calib_private.end_attempt(v_lease, v_state, NULL, NULL, false);
  END IF;
  RETURN v_state;
END $$;


ALTER FUNCTION calib.end_job(p_job_id bigint, p_claim uuid, p_state text, p_failure_kind text, p_failure_message text) OWNER TO calib_owner;

--
-- Name: FUNCTION end_job(p_job_id bigint, p_claim uuid, p_state text, p_failure_kind text, p_failure_message text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.end_job(p_job_id bigint, p_claim uuid, p_state text, p_failure_kind text, p_failure_message text) IS 'conclude() and, if completed is the verdict that stands, finish() in one commit. Returns the verdict; after any other one put the instrument into a safe idle state and call finish(). Call it once the job''s process is dead. For calib_notebook, calib_executor. Raises CQ003, CQ007, CQ010, CQ020.';


--
-- Name: end_sweep(bigint, uuid, uuid, double precision); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.end_sweep(p_job_id bigint, p_claim uuid, p_sweep_id uuid, p_hardware_seconds double precision) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_lease calib_private.leases := calib_private.hold_lease(p_job_id, p_claim); v_sweep calib_private.sweeps;
BEGIN
  SELECT s.* INTO v_sweep FROM calib_private.sweeps s JOIN calib_private.jobs j USING (job_id, attempt)
   WHERE s.sweep_id = p_sweep_id AND s.job_id = p_job_id;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ001', 'sweep_id',
      format('unknown sweep %s of job %s', coalesce(p_sweep_id::text, 'nothing'), p_job_id));
  ELSIF (p_hardware_seconds BETWEEN 0 AND 1000000000) IS NOT TRUE THEN
    PERFORM calib_private.refuse('CQ007', 'hardware_seconds',
      format('hardware_seconds: expected a number from 0 to 1000000000, got %s',
      coalesce(p_hardware_seconds::text, 'nothing')));
  ELSIF v_sweep.hardware_seconds <> p_hardware_seconds THEN
    PERFORM calib_private.refuse('CQ010', 'hardware_seconds',
      format('sweep %s of task %s has already ended, with %s hardware_seconds', p_sweep_id, v_sweep.task,
      v_sweep.hardware_seconds));
  END IF;
  UPDATE calib_private.sweeps s SET ended_at = calib_private.now(), hardware_seconds = p_hardware_seconds
   WHERE s.sweep_id = p_sweep_id AND s.ended_at IS NULL;
END $$;


ALTER FUNCTION calib.end_sweep(p_job_id bigint, p_claim uuid, p_sweep_id uuid, p_hardware_seconds double precision) OWNER TO calib_owner;

--
-- Name: FUNCTION end_sweep(p_job_id bigint, p_claim uuid, p_sweep_id uuid, p_hardware_seconds double precision); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.end_sweep(p_job_id bigint, p_claim uuid, p_sweep_id uuid, p_hardware_seconds double precision) IS 'Ends a sweep with the instrument time of all its targets together, in seconds. For calib_notebook, calib_executor. Raises CQ001, CQ003, CQ007, CQ010, CQ020.';


--
-- Name: executor_seen(text, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.executor_seen(p_executor_id text, p_condition text DEFAULT 'ready'::text) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT calib_private.require_speaker();
  UPDATE calib_private.executors e SET last_seen_at = calib_private.now(),
      condition = left(coalesce(p_condition, 'ready'), 200)
   WHERE e.executor_id = p_executor_id AND calib_private.actor_is(e.role_name)
     AND calib_private.may_execute(e.chip_id)
$$;


ALTER FUNCTION calib.executor_seen(p_executor_id text, p_condition text) OWNER TO calib_owner;

--
-- Name: FUNCTION executor_seen(p_executor_id text, p_condition text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.executor_seen(p_executor_id text, p_condition text) IS 'Sign of life, at least every 30 seconds. p_condition: ready, or why no job is taken. Does nothing for an executor of another role. For calib_executor. Raises CQ003.';


--
-- Name: executor_stopped(text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.executor_stopped(p_executor_id text) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT calib_private.require_speaker();
  UPDATE calib_private.executors e SET stopped_at = calib_private.now()
   WHERE e.executor_id = p_executor_id AND calib_private.actor_is(e.role_name)
$$;


ALTER FUNCTION calib.executor_stopped(p_executor_id text) OWNER TO calib_owner;

--
-- Name: FUNCTION executor_stopped(p_executor_id text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.executor_stopped(p_executor_id text) IS 'Notes that the executor stops. Does nothing for an executor of another role. For calib_notebook, calib_executor. Raises CQ003.';


--
-- Name: find_jobs(text, text, text, text, text, jsonb, text, text, uuid, text, text, bigint, integer); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.find_jobs(p_project_id text DEFAULT NULL::text, p_chip_id text DEFAULT NULL::text, p_state text DEFAULT NULL::text, p_submitted_by text DEFAULT NULL::text, p_tag text DEFAULT NULL::text, p_note jsonb DEFAULT NULL::jsonb, p_flow text DEFAULT NULL::text, p_dedup_key text DEFAULT NULL::text, p_flow_run_id uuid DEFAULT NULL::uuid, p_task text DEFAULT NULL::text, p_qid text DEFAULT NULL::text, p_before_job_id bigint DEFAULT NULL::bigint, p_limit integer DEFAULT 50) RETURNS SETOF calib.found_job
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
END $_$;


ALTER FUNCTION calib.find_jobs(p_project_id text, p_chip_id text, p_state text, p_submitted_by text, p_tag text, p_note jsonb, p_flow text, p_dedup_key text, p_flow_run_id uuid, p_task text, p_qid text, p_before_job_id bigint, p_limit integer) OWNER TO calib_owner;

--
-- Name: FUNCTION find_jobs(p_project_id text, p_chip_id text, p_state text, p_submitted_by text, p_tag text, p_note jsonb, p_flow text, p_dedup_key text, p_flow_run_id uuid, p_task text, p_qid text, p_before_job_id bigint, p_limit integer); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.find_jobs(p_project_id text, p_chip_id text, p_state text, p_submitted_by text, p_tag text, p_note jsonb, p_flow text, p_dedup_key text, p_flow_run_id uuid, p_task text, p_qid text, p_before_job_id bigint, p_limit integer) IS 'Jobs of your projects that meet all that is given, the newest first; before_job_id: only older ones. state: as in calib.jobs, or live for scheduled and running; note: an object that the note contains; task: with qid and chip_id. limit: 1 to 1000. For calib_reader. Raises CQ003, CQ007.';


--
-- Name: finish(bigint, uuid); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.finish(p_job_id bigint, p_claim uuid) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_attempt calib_private.attempts; v_lease calib_private.leases;
BEGIN
  -- Locked first: a sweep that ends the job by the same verdict at this moment is waited for.
  PERFORM FROM calib_private.leases l WHERE l.job_id = p_job_id FOR NO KEY UPDATE;
  v_attempt := calib_private.claimed_attempt(p_job_id, p_claim);
  IF v_attempt.outcome = v_attempt.verdict THEN
    RETURN v_attempt.outcome;   -- asked again because the first answer was lost
  END IF;
  v_lease := calib_private.hold_lease(p_job_id, p_claim);
  IF v_attempt.verdict IS NULL THEN
    PERFORM calib_private.refuse('CQ010', 'state',
      format('job %s has no verdict yet: conclude it first', p_job_id));
  END IF;
  PERFORM calib_private.end_attempt(v_lease, v_attempt.verdict, v_attempt.failure_kind,
    v_attempt.failure_message, false);
  RETURN v_attempt.verdict;
END $$;


ALTER FUNCTION calib.finish(p_job_id bigint, p_claim uuid) OWNER TO calib_owner;

--
-- Name: FUNCTION finish(p_job_id bigint, p_claim uuid); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.finish(p_job_id bigint, p_claim uuid) IS 'Ends the job by its verdict, frees the chip and returns the state of the job. Call it once the job''s process is dead. For calib_notebook, calib_executor. Raises CQ003, CQ010, CQ020.';


--
-- Name: flow_run_synced(bigint, integer); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.flow_run_synced(p_job_id bigint, p_attempt integer) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT calib_private.require_role('calib_executor');
  UPDATE calib_private.attempts a SET prefect_synced = true
    FROM calib_private.jobs j
   WHERE a.job_id = p_job_id AND a.attempt = p_attempt AND j.job_id = a.job_id AND a.ended_at IS NOT NULL
     AND (NOT calib_private.is_served(j.chip_id)
       OR calib_private.may_execute(j.chip_id))
$$;


ALTER FUNCTION calib.flow_run_synced(p_job_id bigint, p_attempt integer) OWNER TO calib_owner;

--
-- Name: FUNCTION flow_run_synced(p_job_id bigint, p_attempt integer); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.flow_run_synced(p_job_id bigint, p_attempt integer) IS 'Notes that Prefect shows the outcome of an attempt; does nothing for a chip of other executors. For calib_executor. Raises CQ003.';


--
-- Name: give_back(bigint, uuid, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.give_back(p_job_id bigint, p_claim uuid, p_reason text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  RETURN coalesce(calib_private.given_back(p_job_id, p_claim), calib_private.end_by_policy(
    calib_private.hold_lease(p_job_id, p_claim), 'shutdown', left(p_reason, 4000), false));
END $$;


ALTER FUNCTION calib.give_back(p_job_id bigint, p_claim uuid, p_reason text) OWNER TO calib_owner;

--
-- Name: FUNCTION give_back(p_job_id bigint, p_claim uuid, p_reason text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.give_back(p_job_id bigint, p_claim uuid, p_reason text) IS 'Ends the attempt because the executor stops, and returns the state of the job: that of its verdict, cancelled if requested, scheduled if another attempt is left, else failed with kind shutdown. For calib_executor. Raises CQ003, CQ020.';


--
-- Name: grant_member(text, text, text, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.grant_member(p_project_id text, p_role_name text, p_username text, p_access text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  v_role regrole;
BEGIN
  PERFORM calib_private.require_role('calib_admin');
  PERFORM calib_private.require_project(p_project_id);
  v_role := calib_private.require_known_role(p_role_name,
    'Make it first: CREATE ROLE name LOGIN IN ROLE calib_submitter.');
  IF p_username IS NULL OR p_username !~ '^[a-z0-9][a-z0-9_-]{2,63}$' THEN
    PERFORM calib_private.refuse('CQ007', 'username',
      format('username: expected 3 to 64 of a-z, 0-9, _ and -, got %s', calib_private.shown(p_username)));
  ELSIF p_access IS NULL OR p_access NOT IN ('reader', 'submitter', 'operator') THEN
    PERFORM calib_private.refuse('CQ007', 'access',
      format('access: expected reader, submitter or operator, got %s', calib_private.shown(p_access)));
  END IF;
  INSERT INTO calib_private.memberships (project_id, role_name, username, access)
    VALUES (p_project_id, v_role, p_username, p_access)
  ON CONFLICT (project_id, role_name) DO UPDATE SET username = excluded.username, access = excluded.access;
END $_$;


ALTER FUNCTION calib.grant_member(p_project_id text, p_role_name text, p_username text, p_access text) OWNER TO calib_owner;

--
-- Name: FUNCTION grant_member(p_project_id text, p_role_name text, p_username text, p_access text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.grant_member(p_project_id text, p_role_name text, p_username text, p_access text) IS 'Makes a database role a member of a project, or changes its membership. p_username: its name in QDash; p_access: reader, submitter or operator. For calib_admin. Raises CQ001, CQ003, CQ007.';


--
-- Name: heartbeat(bigint, uuid, double precision); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.heartbeat(p_job_id bigint, p_claim uuid, p_lease_seconds double precision DEFAULT 30) RETURNS SETOF calib.cancel_request
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_lease calib_private.leases := calib_private.hold_lease(p_job_id, p_claim); v_cancel calib.cancel_request;
BEGIN
  UPDATE calib_private.leases l SET expires_at = calib_private.now()
      + calib_private.lease_interval(p_lease_seconds) WHERE l.chip_id = v_lease.chip_id;
  UPDATE calib_private.executors e SET last_seen_at = calib_private.now()
      WHERE e.executor_id = v_lease.executor_id;
  -- A verdict stands: who asks now asks too late, and must not be told that the request was seen.
  IF calib_private.verdict(p_job_id) IS NOT NULL THEN RETURN; END IF;
  v_cancel := calib_private.see_cancel(p_job_id);
  IF v_cancel.cancel_mode IS NOT NULL THEN RETURN NEXT v_cancel; END IF;
END $$;


ALTER FUNCTION calib.heartbeat(p_job_id bigint, p_claim uuid, p_lease_seconds double precision) OWNER TO calib_owner;

--
-- Name: FUNCTION heartbeat(p_job_id bigint, p_claim uuid, p_lease_seconds double precision); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.heartbeat(p_job_id bigint, p_claim uuid, p_lease_seconds double precision) IS 'Renews the lease for p_lease_seconds (0.1 to 3600) from now. Returns a cancel request, which counts as seen from then on; no row: none, or a verdict stands. For calib_notebook, calib_executor. Raises CQ003, CQ007, CQ020.';


--
-- Name: import_parameters(text, jsonb, text, boolean); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.import_parameters(p_chip_id text, p_values jsonb, p_reason text, p_force boolean DEFAULT false) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.require_speaker();
  IF jsonb_typeof(p_values) IS DISTINCT FROM 'object' THEN
    PERFORM calib_private.refuse('CQ007', 'values',
      'values: expected an object of qubits such as {"0": {"qubit_frequency": {"value": 4.2, "unit": '
      '"GHz"}}}');
  ELSIF calib_private.unreadable(p_values) IS NOT NULL THEN
    PERFORM calib_private.refuse('CQ007', 'values', 'values: ' || calib_private.unreadable(p_values));
  END IF;
  RETURN calib_private.edit_parameters('import', 'import', p_chip_id, p_values, p_reason, p_force);
END $$;


ALTER FUNCTION calib.import_parameters(p_chip_id text, p_values jsonb, p_reason text, p_force boolean) OWNER TO calib_owner;

--
-- Name: FUNCTION import_parameters(p_chip_id text, p_values jsonb, p_reason text, p_force boolean); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.import_parameters(p_chip_id text, p_values jsonb, p_reason text, p_force boolean) IS 'Sets many values by hand and returns how many: all or none. p_values: {"0": {"qubit_frequency": {"value": 4.2, "error": 0.001, "unit": "GHz"}}}; a plain number is a value in the known unit. p_force: as for set_parameter(). For calib_operator of some project. Raises CQ001, CQ003, CQ007, CQ010.';


--
-- Name: log_event(bigint, uuid, text, jsonb); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.log_event(p_job_id bigint, p_claim uuid, p_event text, p_detail jsonb DEFAULT '{}'::jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.hold_lease(p_job_id, p_claim);
  IF p_event IS NULL OR p_event NOT IN ('flow_started', 'stop_requested', 'sigterm', 'sigkill',
      'child_exited', 'hook_ran') THEN
    PERFORM calib_private.refuse('CQ007', 'event',
      format('event: an executor may not write %s itself', calib_private.shown(p_event)));
  END IF;
  PERFORM calib_private.require_shape('detail', coalesce(p_detail, '{}'), 'object');
  PERFORM calib_private.write_event(p_job_id, p_event, p_detail);
END $$;


ALTER FUNCTION calib.log_event(p_job_id bigint, p_claim uuid, p_event text, p_detail jsonb) OWNER TO calib_owner;

--
-- Name: FUNCTION log_event(p_job_id bigint, p_claim uuid, p_event text, p_detail jsonb); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.log_event(p_job_id bigint, p_claim uuid, p_event text, p_detail jsonb) IS 'Adds an event to the job''s log: flow_started, stop_requested, sigterm, sigkill, child_exited or hook_ran. p_detail: a JSON object. For calib_executor. Raises CQ003, CQ007, CQ020.';


--
-- Name: mark(bigint); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.mark(p_job_id bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.require_role('calib_admin', 'calib_mirror');
  PERFORM calib_private.bound_transaction();
  PERFORM FROM calib_private.jobs j WHERE j.job_id = p_job_id AND j.execution_id IS NOT NULL FOR KEY SHARE;
  IF NOT FOUND THEN RETURN false; END IF;
  PERFORM calib_private.mark_job(p_job_id);
  RETURN true;
END $$;


ALTER FUNCTION calib.mark(p_job_id bigint) OWNER TO calib_owner;

--
-- Name: FUNCTION mark(p_job_id bigint); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.mark(p_job_id bigint) IS 'Mirrors a job again. False: there is no such job, or it never started. For calib_mirror, calib_admin. Raises CQ003.';


--
-- Name: mark_all(); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.mark_all() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_jobs bigint;
BEGIN
  PERFORM calib_private.require_role('calib_admin', 'calib_mirror');
  PERFORM calib_private.bound_transaction();
  -- A running job is marked by its own end, and must not wait until all others are.
  PERFORM calib_private.mark_job(k.job_id) FROM (
    SELECT j.job_id FROM calib_private.jobs j WHERE j.execution_id IS NOT NULL
        AND j.state <> 'running' FOR KEY SHARE SKIP LOCKED) k;
  GET DIAGNOSTICS v_jobs = ROW_COUNT;
  PERFORM calib_private.mark_chip(c.chip_id) FROM (SELECT DISTINCT p.chip_id
    FROM calib_private.parameter_versions p) c;
  RETURN v_jobs;
END $$;


ALTER FUNCTION calib.mark_all() OWNER TO calib_owner;

--
-- Name: FUNCTION mark_all(); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.mark_all() IS 'Mirrors all started jobs and all chips with parameters again and returns the number of jobs; running jobs are left out. For calib_mirror, calib_admin. Raises CQ003.';


--
-- Name: mark_done(bigint, integer); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.mark_done(p_mark_id bigint, p_version integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_job_id bigint; v_announce boolean;
BEGIN
  PERFORM calib_private.require_role('calib_mirror');
  DELETE FROM calib_private.outbox o WHERE o.mark_id = p_mark_id AND o.version = p_version
    RETURNING o.job_id, o.announce INTO v_job_id, v_announce;
  -- It came between the last announcements and take_marks().
  IF v_announce THEN PERFORM calib_private.announce(ARRAY[v_job_id]); END IF;
  IF v_announce IS NULL THEN
    -- What was read is mirrored: the lag counts from here on.
    UPDATE calib_private.outbox o SET marked_at = calib_private.now(), next_try_at = calib_private.now(),
      attempts = 0, last_error = NULL, refusals = 0, refused = '[]'
     WHERE o.mark_id = p_mark_id;
  END IF;
END $$;


ALTER FUNCTION calib.mark_done(p_mark_id bigint, p_version integer) OWNER TO calib_owner;

--
-- Name: FUNCTION mark_done(p_mark_id bigint, p_version integer); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.mark_done(p_mark_id bigint, p_version integer) IS 'Removes a mark, or makes it due again if its version has risen since take_marks(). For calib_mirror. Raises CQ003.';


--
-- Name: mark_failed(bigint, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.mark_failed(p_mark_id bigint, p_error text) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT calib_private.require_role('calib_mirror');
  UPDATE calib_private.outbox o SET last_error = left(p_error, 2000), refused = '[]',
    next_try_at = calib_private.now() + make_interval(secs => least(300, power(2, least(o.attempts, 9))))
   WHERE o.mark_id = p_mark_id
$$;


ALTER FUNCTION calib.mark_failed(p_mark_id bigint, p_error text) OWNER TO calib_owner;

--
-- Name: FUNCTION mark_failed(p_mark_id bigint, p_error text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.mark_failed(p_mark_id bigint, p_error text) IS 'Stores why a mark could not be mirrored now and tries it again later, after 300 seconds at most. Does not count as a refusal. For calib_mirror. Raises CQ003.';


--
-- Name: mark_refused(bigint, integer, text, jsonb, integer); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.mark_refused(p_mark_id bigint, p_version integer, p_error text, p_refused jsonb, p_limit integer DEFAULT 5) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_dead boolean;
BEGIN
  PERFORM calib_private.require_role('calib_mirror');
  IF p_refused IS NULL THEN
    PERFORM calib_private.refuse('CQ007', 'refused',
      'refused: expected the documents that MongoDB refused, got nothing');
  END IF;
  UPDATE calib_private.outbox o SET last_error = left(p_error, 2000), refused = p_refused,
    refusals = CASE WHEN o.version = p_version THEN o.refusals + 1 ELSE 0 END,
    dead_at = CASE WHEN o.version = p_version AND o.refusals + 1 >= p_limit THEN calib_private.now() END,
    next_try_at = calib_private.now() + make_interval(secs => least(300, power(2, least(o.attempts, 9))))
   WHERE o.mark_id = p_mark_id RETURNING o.dead_at IS NOT NULL INTO v_dead;
  RETURN coalesce(v_dead, false);
END $$;


ALTER FUNCTION calib.mark_refused(p_mark_id bigint, p_version integer, p_error text, p_refused jsonb, p_limit integer) OWNER TO calib_owner;

--
-- Name: FUNCTION mark_refused(p_mark_id bigint, p_version integer, p_error text, p_refused jsonb, p_limit integer); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.mark_refused(p_mark_id bigint, p_version integer, p_error text, p_refused jsonb, p_limit integer) IS 'Stores that MongoDB refused documents of a mark. p_refused: array of {document, reason, remedy}. True: it was refused p_limit times without a change and is set aside. For calib_mirror. Raises CQ003, CQ007.';


--
-- Name: mirror_seen(text, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.mirror_seen(p_mirror_id text, p_condition text DEFAULT 'ready'::text) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT calib_private.require_speaker();
  UPDATE calib_private.mirrors m SET last_seen_at = calib_private.now(), condition = left(p_condition, 1000)
   WHERE m.mirror_id = p_mirror_id AND calib_private.actor_is(m.role_name)
$$;


ALTER FUNCTION calib.mirror_seen(p_mirror_id text, p_condition text) OWNER TO calib_owner;

--
-- Name: FUNCTION mirror_seen(p_mirror_id text, p_condition text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.mirror_seen(p_mirror_id text, p_condition text) IS 'Sign of life, at least every 30 seconds. p_condition: ready, or what is wrong. Does nothing for a mirror of another role. For calib_mirror. Raises CQ003.';


--
-- Name: mirror_stopped(text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.mirror_stopped(p_mirror_id text) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT calib_private.require_speaker();
  UPDATE calib_private.mirrors m SET stopped_at = calib_private.now()
   WHERE m.mirror_id = p_mirror_id AND calib_private.actor_is(m.role_name)
$$;


ALTER FUNCTION calib.mirror_stopped(p_mirror_id text) OWNER TO calib_owner;

--
-- Name: FUNCTION mirror_stopped(p_mirror_id text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.mirror_stopped(p_mirror_id text) IS 'Notes that the mirror stops. Does nothing for a mirror of another role. For calib_mirror. Raises CQ003.';


--
-- Name: oldest_served_version(); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.oldest_served_version() RETURNS integer
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT 8
$$;


ALTER FUNCTION calib.oldest_served_version() OWNER TO calib_owner;

--
-- Name: FUNCTION oldest_served_version(); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.oldest_served_version() IS 'The oldest version of the public contract whose programs still work with this database. For calib_reader.';


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: parameter_versions; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.parameter_versions (
    version_id bigint NOT NULL,
    chip_id text NOT NULL,
    qid text NOT NULL,
    name text NOT NULL,
    value double precision NOT NULL,
    value_type text NOT NULL,
    error double precision NOT NULL,
    unit text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    valid tstzrange NOT NULL,
    source text NOT NULL,
    task_run_id uuid,
    actor text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    job_id bigint,
    execution_id text,
    CONSTRAINT error_finite CHECK (((error >= (0)::double precision) AND (error <> ALL (ARRAY['NaN'::double precision, 'Infinity'::double precision])))),
    CONSTRAINT has_origin CHECK (
CASE
    WHEN (source = 'task'::text) THEN (task_run_id IS NOT NULL)
    ELSE ((task_run_id IS NULL) AND (reason <> ''::text))
END),
    CONSTRAINT origin_is_whole CHECK (((num_nonnulls(job_id, execution_id) = 0) OR (num_nonnulls(job_id, execution_id) =
CASE source
    WHEN 'task'::text THEN 2
    ELSE 0
END))),
    CONSTRAINT parameter_versions_name_check CHECK ((name ~ '^[a-z][a-z0-9_]{0,62}$'::text)),
    CONSTRAINT parameter_versions_source_check CHECK ((source = ANY (ARRAY['task'::text, 'import'::text, 'edit'::text, 'revert'::text]))),
    CONSTRAINT parameter_versions_valid_check CHECK ((NOT isempty(valid))),
    CONSTRAINT parameter_versions_value_type_check CHECK ((value_type = ANY (ARRAY['float'::text, 'int'::text]))),
    CONSTRAINT value_finite CHECK ((value <> ALL (ARRAY['NaN'::double precision, 'Infinity'::double precision, '-Infinity'::double precision])))
);


ALTER TABLE calib_private.parameter_versions OWNER TO calib_owner;

--
-- Name: parameter_history; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.parameter_history AS
 SELECT chip_id,
    qid,
    name,
    value,
    error,
    unit,
    value_type,
    description,
    lower(valid) AS valid_from,
    upper(valid) AS valid_to,
    source,
    task_run_id,
    job_id,
    execution_id,
    actor,
    reason
   FROM calib_private.parameter_versions p;


ALTER VIEW calib.parameter_history OWNER TO calib_owner;

--
-- Name: VIEW parameter_history; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.parameter_history IS 'All versions of all calibrated values, present and past; their times never overlap.';


--
-- Name: COLUMN parameter_history.name; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.parameter_history.name IS 'Name of the parameter, such as qubit_frequency.';


--
-- Name: COLUMN parameter_history.valid_to; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.parameter_history.valid_to IS 'Until when, exclusive, the value was in force. NULL: it still is.';


--
-- Name: parameters_as_of(text, timestamp with time zone); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.parameters_as_of(p_chip_id text, p_as_of timestamp with time zone) RETURNS SETOF calib.parameter_history
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT p.chip_id, p.qid, p.name, p.value, p.error, p.unit, p.value_type, p.description, lower(p.valid),
    upper(p.valid), p.source, p.task_run_id, p.job_id, p.execution_id, p.actor, p.reason
    FROM calib_private.parameter_versions p WHERE p.chip_id = p_chip_id AND p.valid @> p_as_of
$$;


ALTER FUNCTION calib.parameters_as_of(p_chip_id text, p_as_of timestamp with time zone) OWNER TO calib_owner;

--
-- Name: FUNCTION parameters_as_of(p_chip_id text, p_as_of timestamp with time zone); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.parameters_as_of(p_chip_id text, p_as_of timestamp with time zone) IS 'Values of a chip that were in force at a time; fast, unlike a condition on valid_from. For calib_reader.';


--
-- Name: parameters_at(text, text, timestamp with time zone); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.parameters_at(p_chip_id text, p_qid text, p_instant timestamp with time zone) RETURNS SETOF calib.parameter_history
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT p.chip_id, p.qid, p.name, p.value, p.error, p.unit, p.value_type, p.description, lower(p.valid),
    upper(p.valid), p.source, p.task_run_id, p.job_id, p.execution_id, p.actor, p.reason
    FROM calib_private.parameter_versions p WHERE p.chip_id = p_chip_id AND p.qid = p_qid
        AND p.valid @> p_instant
$$;


ALTER FUNCTION calib.parameters_at(p_chip_id text, p_qid text, p_instant timestamp with time zone) OWNER TO calib_owner;

--
-- Name: FUNCTION parameters_at(p_chip_id text, p_qid text, p_instant timestamp with time zone); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.parameters_at(p_chip_id text, p_qid text, p_instant timestamp with time zone) IS 'Values of one qubit or coupling that were in force at a time. For calib_reader.';


--
-- Name: pause_chip(text, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.pause_chip(p_chip_id text, p_reason text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.require_operator('pause a chip');
  PERFORM calib_private.require_chip(p_chip_id);
  PERFORM calib_private.bound_transaction();
  PERFORM calib_private.require_reason(p_reason);
  UPDATE calib_private.chips c SET paused = true, pause_reason = p_reason, paused_by = calib_private.actor(),
      paused_at = calib_private.now()
   WHERE c.chip_id = p_chip_id;
END $$;


ALTER FUNCTION calib.pause_chip(p_chip_id text, p_reason text) OWNER TO calib_owner;

--
-- Name: FUNCTION pause_chip(p_chip_id text, p_reason text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.pause_chip(p_chip_id text, p_reason text) IS 'Pauses a chip with a reason: once it returns, no job starts; a running job goes on. For calib_operator of some project. Raises CQ001, CQ003, CQ007.';


--
-- Name: plan_tasks(bigint, uuid, jsonb); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.plan_tasks(p_job_id bigint, p_claim uuid, p_tasks jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.hold_lease(p_job_id, p_claim);
  PERFORM calib_private.require_shape('tasks', p_tasks, 'tasks');
  INSERT INTO calib_private.task_runs (job_id, attempt, task, qid, repetition, task_type, ordinal)
  SELECT j.job_id, j.attempt, e.item ->> 'task', e.item ->> 'qid',
      coalesce((e.item ->> 'repetition')::numeric::smallint, 0), e.item ->> 'task_type', j.tasks_total + e.n
    FROM calib_private.jobs j, jsonb_array_elements(p_tasks) WITH ORDINALITY AS e(item, n)
        WHERE j.job_id = p_job_id
  ON CONFLICT (job_id, attempt, task, qid, repetition) DO NOTHING;
  PERFORM calib_private.count_tasks(p_job_id);
  PERFORM calib_private.mark_job(p_job_id);
END $$;


ALTER FUNCTION calib.plan_tasks(p_job_id bigint, p_claim uuid, p_tasks jsonb) OWNER TO calib_owner;

--
-- Name: FUNCTION plan_tasks(p_job_id bigint, p_claim uuid, p_tasks jsonb); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.plan_tasks(p_job_id bigint, p_claim uuid, p_tasks jsonb) IS 'Announces the tasks that the attempt will run, in order. p_tasks: array of {task, qid, task_type, repetition}. For calib_notebook, calib_executor. Raises CQ003, CQ007, CQ020.';


--
-- Name: prune(integer); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.prune(p_max integer DEFAULT 200) RETURNS TABLE(jobs bigint, events bigint, figures bigint, raw_data bigint, executors bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_kept calib_private.retention; v_now timestamptz := calib_private.now();
BEGIN
  PERFORM calib_private.require_role('calib_admin', 'calib_mirror');
  IF p_max IS NULL OR p_max NOT BETWEEN 1 AND 10000 THEN
    PERFORM calib_private.refuse('CQ007', 'max', format('max: expected 1 to 10000, got %s',
      coalesce(p_max::text, 'nothing')));
  END IF;
  -- From an old snapshot it would not see that a job was marked for the mirror since.
  PERFORM calib_private.require_read_committed('prune');
  PERFORM calib_private.bound_transaction();
  SELECT * INTO v_kept FROM calib_private.retention;
  jobs := 0; events := 0; figures := 0; raw_data := 0;
  IF v_kept.jobs IS NOT NULL THEN jobs := calib_private.prune_part('jobs', v_now - v_kept.jobs, p_max);
      END IF;
  IF v_kept.events IS NOT NULL THEN events := calib_private.prune_part('events', v_now - v_kept.events,
      p_max); END IF;
  IF v_kept.figures IS NOT NULL THEN figures := calib_private.prune_part('figures', v_now - v_kept.figures,
      p_max); END IF;
  IF v_kept.raw_data IS NOT NULL THEN raw_data := calib_private.prune_part('raw_data',
      v_now - v_kept.raw_data, p_max); END IF;
  executors := calib_private.prune_executors(p_max);
  RETURN NEXT;
END $$;


ALTER FUNCTION calib.prune(p_max integer) OWNER TO calib_owner;

--
-- Name: FUNCTION prune(p_max integer); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.prune(p_max integer) IS 'Deletes one batch by the policy, at most p_max (1 to 10000) of each kind, and returns how many. All zeros: finished, or 100000 rows that must stay were passed. Does not wait for locks. For calib_mirror, calib_admin. Raises CQ003, CQ007, CQ010.';


--
-- Name: quiesce_failed(bigint, uuid, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.quiesce_failed(p_job_id bigint, p_claim uuid, p_reason text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_lease calib_private.leases := calib_private.hold_lease(p_job_id, p_claim);
BEGIN
  UPDATE calib_private.leases l SET dirty = true WHERE l.chip_id = v_lease.chip_id;
  UPDATE calib_private.chips c SET paused = true, pause_reason = 'instrument not in a safe idle state: '
    || left(coalesce(p_reason, ''), 500), paused_by = calib_private.actor(), paused_at = calib_private.now()
      WHERE c.chip_id = v_lease.chip_id;
  PERFORM calib_private.write_event(p_job_id, 'quiesce_failed',
    jsonb_build_object('reason', left(coalesce(p_reason, ''), 500)));
END $$;


ALTER FUNCTION calib.quiesce_failed(p_job_id bigint, p_claim uuid, p_reason text) OWNER TO calib_owner;

--
-- Name: FUNCTION quiesce_failed(p_job_id bigint, p_claim uuid, p_reason text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.quiesce_failed(p_job_id bigint, p_claim uuid, p_reason text) IS 'Notes that the instrument could not be put into a safe idle state, and pauses the chip with the reason. For calib_notebook, calib_executor. Raises CQ003, CQ020.';


--
-- Name: quiesced(bigint, uuid, jsonb); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.quiesced(p_job_id bigint, p_claim uuid, p_detail jsonb DEFAULT '{}'::jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_lease calib_private.leases := calib_private.hold_lease(p_job_id, p_claim);
BEGIN
  PERFORM calib_private.require_shape('detail', coalesce(p_detail, '{}'), 'object');
  UPDATE calib_private.leases l SET dirty = false WHERE l.chip_id = v_lease.chip_id;
  PERFORM calib_private.write_event(p_job_id, 'quiesced', p_detail);
END $$;


ALTER FUNCTION calib.quiesced(p_job_id bigint, p_claim uuid, p_detail jsonb) OWNER TO calib_owner;

--
-- Name: FUNCTION quiesced(p_job_id bigint, p_claim uuid, p_detail jsonb); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.quiesced(p_job_id bigint, p_claim uuid, p_detail jsonb) IS 'Notes that the instrument is in a safe idle state. p_detail: a JSON object. For calib_notebook, calib_executor. Raises CQ003, CQ007, CQ020.';


--
-- Name: is_failure_kind(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.is_failure_kind(p_kind text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  RETURN p_kind IN ('missing_input', 'no_signal', 'bad_fit', 'out_of_range', 'instrument',
    'timeout', 'lost', 'shutdown', 'invalid_request', 'internal');
END $$;


ALTER FUNCTION calib_private.is_failure_kind(p_kind text) OWNER TO calib_owner;

--
-- Name: now(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.now() RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  RETURN clock_timestamp();
END $$;


ALTER FUNCTION calib_private.now() OWNER TO calib_owner;

--
-- Name: readable_projects(name); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.readable_projects(p_reader name) RETURNS text[]
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT CASE WHEN calib_private.sees_all(p_reader) THEN ARRAY(SELECT p.project_id
      FROM calib_private.projects p)
    ELSE ARRAY(SELECT DISTINCT m.project_id FROM calib_private.memberships m
      WHERE calib_private.has_role(p_reader, m.role_name)) END
$$;


ALTER FUNCTION calib_private.readable_projects(p_reader name) OWNER TO calib_owner;

--
-- Name: job_events; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.job_events (
    event_id bigint NOT NULL,
    job_id bigint NOT NULL,
    at timestamp with time zone DEFAULT calib_private.now() NOT NULL,
    actor text NOT NULL,
    event text NOT NULL,
    old_state text,
    new_state text,
    attempt smallint,
    fence bigint,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='5000', autovacuum_vacuum_insert_scale_factor='0.05', autovacuum_analyze_scale_factor='0.02');


ALTER TABLE calib_private.job_events OWNER TO calib_owner;

--
-- Name: jobs; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.jobs (
    job_id bigint NOT NULL,
    project_id text NOT NULL,
    username text NOT NULL,
    chip_id text NOT NULL,
    flow text NOT NULL,
    parameters jsonb NOT NULL,
    priority smallint NOT NULL,
    not_before timestamp with time zone NOT NULL,
    not_after timestamp with time zone,
    timeout_seconds integer NOT NULL,
    max_attempts smallint NOT NULL,
    repeatable boolean NOT NULL,
    dedup_key text,
    tags text[] NOT NULL,
    note jsonb NOT NULL,
    state text DEFAULT 'scheduled'::text NOT NULL,
    attempt smallint DEFAULT 0 NOT NULL,
    fence bigint,
    execution_id text,
    flow_run_id uuid,
    executor_id text,
    submitted_by text NOT NULL,
    submitted_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    cancel_seen_at timestamp with time zone,
    tasks_total integer DEFAULT 0 NOT NULL,
    tasks_done integer DEFAULT 0 NOT NULL,
    tasks_failed integer DEFAULT 0 NOT NULL,
    failure_kind text,
    failure_message text,
    version integer DEFAULT 1 NOT NULL,
    source_job_id bigint,
    CONSTRAINT attempts_in_range CHECK (((attempt >= 0) AND (attempt <= max_attempts))),
    CONSTRAINT failed_has_kind CHECK (((failure_kind IS NOT NULL) = (state = 'failed'::text))),
    CONSTRAINT failure_kind_known CHECK (calib_private.is_failure_kind(failure_kind)),
    CONSTRAINT finished_iff_terminal CHECK (((finished_at IS NOT NULL) = (state = ANY (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text])))),
    CONSTRAINT jobs_max_attempts_check CHECK (((max_attempts >= 1) AND (max_attempts <= 10))),
    CONSTRAINT jobs_note_check CHECK ((jsonb_typeof(note) = 'object'::text)),
    CONSTRAINT jobs_parameters_check CHECK ((jsonb_typeof(parameters) = 'object'::text)),
    CONSTRAINT jobs_priority_check CHECK (((priority >= '-100'::integer) AND (priority <= 100))),
    CONSTRAINT jobs_state_check CHECK ((state = ANY (ARRAY['scheduled'::text, 'running'::text, 'completed'::text, 'failed'::text, 'cancelled'::text]))),
    CONSTRAINT jobs_timeout_seconds_check CHECK (((timeout_seconds >= 1) AND (timeout_seconds <= 604800))),
    CONSTRAINT once_unless_repeatable CHECK ((repeatable OR (max_attempts = 1))),
    CONSTRAINT running_holds_fence CHECK (((state <> 'running'::text) OR ((fence IS NOT NULL) AND (started_at IS NOT NULL)))),
    CONSTRAINT username_form CHECK ((username ~ '^[a-z0-9][a-z0-9_-]{2,63}$'::text))
)
WITH (fillfactor='80', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='500');


ALTER TABLE calib_private.jobs OWNER TO calib_owner;

--
-- Name: job_events; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.job_events WITH (security_barrier='true') AS
 SELECT e.event_id,
    e.job_id,
    e.at,
    e.actor,
    e.event,
    e.old_state,
    e.new_state,
    e.attempt,
    e.detail
   FROM (calib_private.job_events e
     JOIN calib_private.jobs j USING (job_id))
  WHERE (j.project_id = ANY (( SELECT calib_private.readable_projects(CURRENT_USER) AS readable_projects)::text[]));


ALTER VIEW calib.job_events OWNER TO calib_owner;

--
-- Name: VIEW job_events; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.job_events IS 'Log of each job, for members of its project. Rows are never changed; ORDER BY event_id gives their order.';


--
-- Name: COLUMN job_events.event_id; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.job_events.event_id IS 'Number of the event; a later event of the same job has a larger one.';


--
-- Name: COLUMN job_events.at; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.job_events.at IS 'When it happened.';


--
-- Name: COLUMN job_events.actor; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.job_events.actor IS 'Database role that did it.';


--
-- Name: COLUMN job_events.event; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.job_events.event IS 'What happened: submitted, claimed, requeued, cancel_requested, task_completed, completed, and so on.';


--
-- Name: COLUMN job_events.old_state; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.job_events.old_state IS 'State of the job before a change of state; NULL: submitted, or no change of state.';


--
-- Name: COLUMN job_events.new_state; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.job_events.new_state IS 'State of the job after a change of state; NULL: no change of state.';


--
-- Name: COLUMN job_events.detail; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.job_events.detail IS 'JSON object with what belongs to the event, such as mode and reason of a cancel.';


--
-- Name: recent_events(timestamp with time zone, text, integer); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.recent_events(p_since timestamp with time zone, p_project_id text DEFAULT NULL::text, p_limit integer DEFAULT 50) RETURNS SETOF calib.job_events
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    SET seq_page_cost TO '0'
    SET random_page_cost TO '0'
    AS $_$
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
END $_$;


ALTER FUNCTION calib.recent_events(p_since timestamp with time zone, p_project_id text, p_limit integer) OWNER TO calib_owner;

--
-- Name: FUNCTION recent_events(p_since timestamp with time zone, p_project_id text, p_limit integer); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.recent_events(p_since timestamp with time zone, p_project_id text, p_limit integer) IS 'The newest events of your projects, or of one of them, since a time, the newest first. limit: 1 to 1000. For calib_reader. Raises CQ003, CQ007.';


--
-- Name: record_stage(bigint, uuid, integer, jsonb); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.record_stage(p_job_id bigint, p_claim uuid, p_position integer, p_stage jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_old calib_private.stages; v_new calib_private.stages; v_stored bigint;
BEGIN
  PERFORM calib_private.hold_lease(p_job_id, p_claim);
  PERFORM calib_private.require_shape('stage', p_stage, 'stage');
  IF p_position IS NULL OR p_position NOT BETWEEN 0 AND 1000 THEN
    PERFORM calib_private.refuse('CQ007', 'position',
      format('position: expected 0 to 1000, got %s', coalesce(p_position::text, 'nothing')));
  END IF;
  SELECT s.* INTO v_old FROM calib_private.stages s JOIN calib_private.jobs j USING (job_id, attempt)
   WHERE s.job_id = p_job_id AND s.position = p_position;
  SELECT j.job_id, j.attempt, p_position, p_stage ->> 'name', p_stage ->> 'step', p_stage ->> 'mode',
      ARRAY(SELECT jsonb_array_elements_text(p_stage -> 'targets')), p_stage ->> 'status',
      coalesce(p_stage -> 'result', '{}'), coalesce(p_stage ->> 'message', ''), CASE
        WHEN p_stage ->> 'status' = 'skipped' THEN v_old.started_at
        ELSE coalesce(v_old.started_at, calib_private.now()) END, CASE
        WHEN v_old.ended_at IS NOT NULL THEN v_old.ended_at
        WHEN p_stage ->> 'status' <> 'running' THEN calib_private.now() END
    INTO v_new FROM calib_private.jobs j WHERE j.job_id = p_job_id;
  SELECT sum(octet_length(s.result::text)) INTO v_stored FROM calib_private.stages s
   WHERE s.job_id = p_job_id AND s.attempt = v_new.attempt AND s.position <> p_position;
  IF v_old = v_new THEN
    RETURN;   -- asked again because the first answer was lost
  ELSIF v_old.ended_at IS NOT NULL THEN
    PERFORM calib_private.refuse('CQ010', 'status', format('stage %s (%s) has already ended (%s)', p_position,
      calib_private.shown(v_old.name), v_old.status));
  ELSIF (v_old.name, v_old.step) <> (v_new.name, v_new.step) THEN
    PERFORM calib_private.refuse('CQ010', 'position', format('stage %s is %s, a step %s: got %s, a step %s',
      p_position, calib_private.shown(v_old.name), calib_private.shown(v_old.step),
      calib_private.shown(v_new.name), calib_private.shown(v_new.step)));
  ELSIF octet_length(v_new.result::text) > 1048576 THEN
    PERFORM calib_private.refuse('CQ040', 'result', format('result: expected at most 1 MiB of JSON, got %s '
      'bytes', octet_length(v_new.result::text)));
  -- All of them stand in one document of MongoDB, which takes 16 MiB.
  ELSIF v_stored + octet_length(v_new.result::text) > 8388608 THEN
    PERFORM calib_private.refuse('CQ040', 'result', format('result: expected at most 8 MiB of JSON in all '
      'stages of an attempt, got %s bytes', v_stored + octet_length(v_new.result::text)));
  END IF;
  INSERT INTO calib_private.stages SELECT v_new.*
  ON CONFLICT (job_id, attempt, position) DO UPDATE SET mode = excluded.mode, targets = excluded.targets,
    status = excluded.status, result = excluded.result, message = excluded.message,
    ended_at = excluded.ended_at;
  IF v_old.status IS DISTINCT FROM v_new.status THEN
    PERFORM calib_private.write_event(p_job_id, 'stage_' || CASE v_new.status WHEN 'running' THEN 'started'
      ELSE v_new.status END, jsonb_build_object('position', p_position, 'name', v_new.name));
  END IF;
  PERFORM calib_private.touch_job(p_job_id);
  PERFORM calib_private.mark_job(p_job_id);
END $$;


ALTER FUNCTION calib.record_stage(p_job_id bigint, p_claim uuid, p_position integer, p_stage jsonb) OWNER TO calib_owner;

--
-- Name: FUNCTION record_stage(p_job_id bigint, p_claim uuid, p_position integer, p_stage jsonb); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.record_stage(p_job_id bigint, p_claim uuid, p_position integer, p_stage jsonb) IS 'Stores the stage of the attempt at p_position (0 to 1000), begun, going on or ended; an ended one stays as it is, and the same call again does nothing. p_stage: object {name, step, mode, targets, status, result, message}. For calib_notebook, calib_executor. Raises CQ003, CQ007, CQ010, CQ020, CQ040.';


--
-- Name: record_task(bigint, uuid, uuid, text, jsonb, jsonb, jsonb, bytea[]); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.record_task(p_job_id bigint, p_claim uuid, p_task_run_id uuid, p_status text, p_result jsonb, p_figures jsonb DEFAULT '[]'::jsonb, p_raw_meta jsonb DEFAULT '[]'::jsonb, p_raw_data bytea[] DEFAULT '{}'::bytea[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_run calib_private.task_runs;
BEGIN
  PERFORM calib_private.hold_lease(p_job_id, p_claim);
  PERFORM calib_private.require_shape('result', p_result, 'result');
  SELECT t.* INTO v_run FROM calib_private.task_runs t JOIN calib_private.jobs j USING (job_id, attempt)
   WHERE t.task_run_id = p_task_run_id AND t.job_id = p_job_id;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ001', 'task_run_id',
      format('unknown task run %s of job %s', p_task_run_id, p_job_id));
  ELSIF v_run.ended_at IS NOT NULL AND v_run.status = p_status THEN
    RETURN;   -- asked again because the first answer was lost
  ELSIF p_status IS NULL OR p_status NOT IN ('completed', 'failed', 'cancelled', 'skipped') THEN
    PERFORM calib_private.refuse('CQ007', 'status',
      format('status: expected completed, failed, cancelled or skipped, got %s',
      calib_private.shown(p_status)));
  ELSIF (p_status = 'failed') <> (p_result ->> 'failure_kind' IS NOT NULL)
      OR NOT calib_private.is_failure_kind(p_result ->> 'failure_kind') THEN
    PERFORM calib_private.refuse('CQ007', 'failure_kind',
      format('failure_kind: expected one of the closed list with status failed, and only with it, got %s '
      'with %s', calib_private.shown(p_result ->> 'failure_kind'), p_status));
  END IF;
  IF p_status = 'completed' THEN
    PERFORM calib_private.require_registered(p_job_id, v_run.task, p_result -> 'output_parameters');
  END IF;
  PERFORM calib_private.store_figures(p_task_run_id, p_figures);
  PERFORM calib_private.store_raw_data(p_task_run_id, p_raw_meta, p_raw_data);
  UPDATE calib_private.task_runs t SET status = p_status, ended_at = calib_private.now(),
    hardware_seconds = (p_result ->> 'hardware_seconds')::double precision,
    message = coalesce(p_result ->> 'message', ''), failure_kind = p_result ->> 'failure_kind',
    cause = coalesce(p_result ->> 'cause', ''), remedy = coalesce(p_result ->> 'remedy', ''),
    stack_trace = left(coalesce(p_result ->> 'stack_trace', ''), 10000),
      input_parameters = coalesce(p_result -> 'input_parameters', t.input_parameters),
    output_parameters = coalesce(p_result -> 'output_parameters', '{}'),
      run_parameters = coalesce(p_result -> 'run_parameters', t.run_parameters),
    quality_metrics = coalesce(p_result -> 'quality_metrics', '{}'), note = coalesce(p_result -> 'note', '{}')
   WHERE t.task_run_id = p_task_run_id;
  IF p_status = 'completed' AND coalesce((p_result ->> 'persist_output_parameters')::boolean, true) THEN
    PERFORM calib_private.store_outputs(p_task_run_id);
  END IF;
  PERFORM calib_private.count_tasks(p_job_id);
  PERFORM calib_private.write_event(p_job_id, 'task_' || p_status,
    jsonb_strip_nulls(jsonb_build_object('task', v_run.task, 'qid', v_run.qid, 'failure_kind',
      p_result ->> 'failure_kind')));
  PERFORM calib_private.mark_job(p_job_id);
END $$;


ALTER FUNCTION calib.record_task(p_job_id bigint, p_claim uuid, p_task_run_id uuid, p_status text, p_result jsonb, p_figures jsonb, p_raw_meta jsonb, p_raw_data bytea[]) OWNER TO calib_owner;

--
-- Name: FUNCTION record_task(p_job_id bigint, p_claim uuid, p_task_run_id uuid, p_status text, p_result jsonb, p_figures jsonb, p_raw_meta jsonb, p_raw_data bytea[]); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.record_task(p_job_id bigint, p_claim uuid, p_task_run_id uuid, p_status text, p_result jsonb, p_figures jsonb, p_raw_meta jsonb, p_raw_data bytea[]) IS 'Ends a task run and stores all its results. p_result: object of columns of calib.task_runs and persist_output_parameters; p_figures: array of {name, plotly}; p_raw_meta: array of {name, dtype, shape, unit}, with the bytes in p_raw_data. If it completed, its outputs become parameters. For calib_notebook, calib_executor. Raises CQ001, CQ003, CQ007, CQ020, CQ040.';


--
-- Name: register_catalogue(text, text, text, jsonb, jsonb); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.register_catalogue(p_chip_id text, p_backend text, p_version text, p_flows jsonb, p_tasks jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_chip calib_private.chips; v_item jsonb;
BEGIN
  PERFORM calib_private.require_speaker();
  v_chip := calib_private.require_chip(p_chip_id);
  PERFORM calib_private.require_executor_permission(p_chip_id);
  PERFORM calib_private.require_role('calib_executor');
  PERFORM calib_private.require_backend(v_chip, p_backend);
  PERFORM calib_private.require_text('version', p_version, 1, 200);
  PERFORM calib_private.require_shape('flows', p_flows, 'array', 'CQ022');
  PERFORM calib_private.require_shape('tasks', p_tasks, 'array', 'CQ022');
  FOR v_item IN SELECT * FROM jsonb_array_elements(p_flows) LOOP
    PERFORM calib_private.register_flow(p_chip_id, p_version, v_item);
  END LOOP;
  FOR v_item IN SELECT * FROM jsonb_array_elements(p_tasks) LOOP
    PERFORM calib_private.register_task(p_chip_id, p_version, v_item);
  END LOOP;
  DELETE FROM calib_private.flows f WHERE f.chip_id = p_chip_id
    AND NOT p_flows @> jsonb_build_array(jsonb_build_object('flow', f.flow));
  DELETE FROM calib_private.tasks t WHERE t.chip_id = p_chip_id
    AND NOT p_tasks @> jsonb_build_array(jsonb_build_object('task', t.task));
END $$;


ALTER FUNCTION calib.register_catalogue(p_chip_id text, p_backend text, p_version text, p_flows jsonb, p_tasks jsonb) OWNER TO calib_owner;

--
-- Name: FUNCTION register_catalogue(p_chip_id text, p_backend text, p_version text, p_flows jsonb, p_tasks jsonb); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.register_catalogue(p_chip_id text, p_backend text, p_version text, p_flows jsonb, p_tasks jsonb) IS 'Replaces the chip''s flows and tasks. p_flows: array of {flow, schema, repeatable, timeout_seconds, on_cancellation, description}; p_tasks: array of {task, task_type, schema, input_parameters, output_parameters, outputs, description}; outputs: array of {name, unit, kind, lower, upper}. For calib_executor. Raises CQ001, CQ003, CQ007, CQ021, CQ022.';


--
-- Name: register_executor(text, text, text, text, integer, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.register_executor(p_executor_id text, p_chip_id text, p_backend text, p_host text, p_pid integer, p_version text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_chip calib_private.chips;
BEGIN
  PERFORM calib_private.require_speaker();
  v_chip := calib_private.require_chip(p_chip_id);
  PERFORM calib_private.require_executor_permission(p_chip_id);
  PERFORM calib_private.require_in_use(v_chip);
  PERFORM calib_private.require_backend(v_chip, p_backend);
  PERFORM calib_private.require_text('executor_id', p_executor_id, 1, 200);
  PERFORM calib_private.require_text('host', p_host, 1, 255);
  PERFORM calib_private.require_text('version', p_version, 1, 200);
  IF p_pid IS NULL THEN PERFORM calib_private.refuse('CQ007', 'pid',
      'pid: expected the number of a process, got nothing'); END IF;
  INSERT INTO calib_private.executors (executor_id, chip_id, role_name, host, pid, version, condition,
    started_at, last_seen_at)
  VALUES (p_executor_id, p_chip_id, calib_private.actor_role(), p_host, p_pid, p_version, 'starting',
    calib_private.now(), calib_private.now())
  ON CONFLICT (executor_id) DO UPDATE SET last_seen_at = excluded.last_seen_at, stopped_at = NULL
    WHERE calib_private.executors.chip_id = excluded.chip_id
        AND calib_private.executors.role_name = excluded.role_name;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ021', 'executor_id',
      format('executor %s belongs to another chip or role', calib_private.shown(p_executor_id)));
  END IF;
END $$;


ALTER FUNCTION calib.register_executor(p_executor_id text, p_chip_id text, p_backend text, p_host text, p_pid integer, p_version text) OWNER TO calib_owner;

--
-- Name: FUNCTION register_executor(p_executor_id text, p_chip_id text, p_backend text, p_host text, p_pid integer, p_version text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.register_executor(p_executor_id text, p_chip_id text, p_backend text, p_host text, p_pid integer, p_version text) IS 'Makes the start of an executor process known, or known again; its condition is starting until it tells another. For calib_notebook, calib_executor. Raises CQ001, CQ003, CQ007, CQ010, CQ021 (not allowed on the chip, wrong backend, or an id of another role).';


--
-- Name: register_mirror(text, text, integer, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.register_mirror(p_mirror_id text, p_host text, p_pid integer, p_version text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.require_role('calib_mirror');
  IF coalesce(length(p_mirror_id), 0) NOT BETWEEN 1 AND 200 THEN
    PERFORM calib_private.refuse('CQ007', 'mirror_id',
      format('mirror_id: expected 1 to 200 characters, got %s', calib_private.shown(p_mirror_id)));
  END IF;
  PERFORM calib_private.require_text('host', p_host, 1, 255);
  PERFORM calib_private.require_text('version', p_version, 1, 200);
  IF p_pid IS NULL THEN PERFORM calib_private.refuse('CQ007', 'pid',
      'pid: expected the number of a process, got nothing'); END IF;
  DELETE FROM calib_private.mirrors m WHERE m.last_seen_at < calib_private.now() - interval '7 days';
  INSERT INTO calib_private.mirrors (mirror_id, role_name, host, pid, version, started_at, last_seen_at)
  VALUES (p_mirror_id, calib_private.actor_role(), left(p_host, 200), p_pid, left(p_version, 200),
    calib_private.now(), calib_private.now())
  ON CONFLICT (mirror_id) DO UPDATE SET last_seen_at = excluded.last_seen_at, stopped_at = NULL
    WHERE calib_private.mirrors.role_name = excluded.role_name;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ021', 'mirror_id',
      format('mirror %s belongs to another role', calib_private.shown(p_mirror_id)));
  END IF;
END $$;


ALTER FUNCTION calib.register_mirror(p_mirror_id text, p_host text, p_pid integer, p_version text) OWNER TO calib_owner;

--
-- Name: FUNCTION register_mirror(p_mirror_id text, p_host text, p_pid integer, p_version text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.register_mirror(p_mirror_id text, p_host text, p_pid integer, p_version text) IS 'Makes the start of a mirror process known, or known again; forgets those not seen for 7 days. For calib_mirror. Raises CQ003, CQ007, CQ021.';


--
-- Name: requeue(bigint, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.requeue(p_job_id bigint, p_reason text DEFAULT ''::text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib.requeue(p_job_id bigint, p_reason text) OWNER TO calib_owner;

--
-- Name: FUNCTION requeue(p_job_id bigint, p_reason text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.requeue(p_job_id bigint, p_reason text) IS 'Submits a copy of a job that has ended and returns the number of the new job; source_job_id and note name the old job, note the reason. For calib_submitter. Raises CQ001, CQ003, CQ010, and what an INSERT into calib.jobs raises.';


--
-- Name: resume_chip(text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.resume_chip(p_chip_id text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.require_operator('resume a chip');
  PERFORM calib_private.require_chip(p_chip_id);
  PERFORM calib_private.bound_transaction();
  UPDATE calib_private.chips c SET paused = false, pause_reason = NULL, paused_by = NULL, paused_at = NULL
      WHERE c.chip_id = p_chip_id;
  PERFORM calib_private.wake_chip(p_chip_id, 'job');
END $$;


ALTER FUNCTION calib.resume_chip(p_chip_id text) OWNER TO calib_owner;

--
-- Name: FUNCTION resume_chip(p_chip_id text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.resume_chip(p_chip_id text) IS 'Resumes a paused chip. For calib_operator of some project. Raises CQ001, CQ003, CQ007.';


--
-- Name: retire_chip(text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.retire_chip(p_chip_id text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '5s'
    AS $$
DECLARE
  v_job_id bigint;
BEGIN
  PERFORM calib_private.require_role('calib_admin');
  PERFORM calib_private.require_read_committed('retire_chip');
  PERFORM calib_private.require_chip(p_chip_id);
  PERFORM calib_private.bound_transaction();
  SELECT l.job_id INTO v_job_id FROM calib_private.leases l WHERE l.chip_id = p_chip_id FOR NO KEY UPDATE;
  IF v_job_id IS NOT NULL THEN
    PERFORM calib_private.refuse('CQ010', 'chip_id',
      format('chip "%s" runs job %s: it can be retired once that has ended', p_chip_id, v_job_id));
  END IF;
  -- As in archive_project().
  PERFORM FROM calib_private.chips c WHERE c.chip_id = p_chip_id FOR UPDATE;
  UPDATE calib_private.chips c SET retired_at = calib_private.now(), retired_by = calib_private.actor()
   WHERE c.chip_id = p_chip_id AND c.retired_at IS NULL;
  RETURN calib_private.cancel_all_waiting(NULL, p_chip_id, format('chip %s was retired', p_chip_id));
END $$;


ALTER FUNCTION calib.retire_chip(p_chip_id text) OWNER TO calib_owner;

--
-- Name: FUNCTION retire_chip(p_chip_id text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.retire_chip(p_chip_id text) IS 'Retires a chip on which no job runs: it takes no new jobs and no executor, and jobs that wait are cancelled; everything can still be read. Returns how many were cancelled. For calib_admin. Raises CQ001, CQ003, CQ007, CQ010.';


--
-- Name: retry_marks(bigint); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.retry_marks(p_job_id bigint DEFAULT NULL::bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_marks bigint;
BEGIN
  PERFORM calib_private.require_role('calib_admin', 'calib_mirror');
  PERFORM calib_private.bound_transaction();
  UPDATE calib_private.outbox o SET next_try_at = calib_private.now(), attempts = 0, refusals = 0,
      dead_at = NULL
   WHERE (p_job_id IS NULL OR o.job_id = p_job_id) AND (o.dead_at IS NOT NULL OR o.last_error IS NOT NULL);
  GET DIAGNOSTICS v_marks = ROW_COUNT;
  RETURN v_marks;
END $$;


ALTER FUNCTION calib.retry_marks(p_job_id bigint) OWNER TO calib_owner;

--
-- Name: FUNCTION retry_marks(p_job_id bigint); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.retry_marks(p_job_id bigint) IS 'Makes marks that failed or were set aside due now and returns how many. NULL: of all jobs and chips. For calib_mirror, calib_admin. Raises CQ003.';


--
-- Name: revert_parameter(text, text, text, timestamp with time zone, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.revert_parameter(p_chip_id text, p_qid text, p_name text, p_as_of timestamp with time zone, p_reason text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET extra_float_digits TO '1'
    AS $$
DECLARE
  v_then calib_private.parameter_versions;
BEGIN
  PERFORM calib_private.require_operator('revert parameters');
  PERFORM calib_private.require_chip(p_chip_id);
  SELECT * INTO v_then FROM calib_private.parameter_versions p
   WHERE p.chip_id = p_chip_id AND p.qid = p_qid AND p.name = p_name AND p.valid @> p_as_of;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ001', 'name',
      format('parameter %s of qid %s had no value at %s', calib_private.shown(p_name),
      calib_private.shown(p_qid), p_as_of));
  END IF;
  PERFORM calib_private.edit_parameters('revert', 'revert', p_chip_id, jsonb_build_object(p_qid,
    jsonb_build_object(p_name, jsonb_build_object('value', v_then.value, 'error', v_then.error, 'unit',
      v_then.unit, 'value_type', v_then.value_type, 'description', v_then.description))), p_reason, false);
END $$;


ALTER FUNCTION calib.revert_parameter(p_chip_id text, p_qid text, p_name text, p_as_of timestamp with time zone, p_reason text) OWNER TO calib_owner;

--
-- Name: FUNCTION revert_parameter(p_chip_id text, p_qid text, p_name text, p_as_of timestamp with time zone, p_reason text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.revert_parameter(p_chip_id text, p_qid text, p_name text, p_as_of timestamp with time zone, p_reason text) IS 'Makes the value that was in force at a time the present one, as a new version with a reason. For calib_operator of some project. Raises CQ001, CQ003, CQ007, CQ010.';


--
-- Name: revoke_member(text, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.revoke_member(p_project_id text, p_role_name text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.require_role('calib_admin');
  PERFORM calib_private.require_project(p_project_id);
  DELETE FROM calib_private.memberships m
   WHERE m.project_id = p_project_id AND m.role_name = calib_private.require_labelled_role(p_role_name);
END $$;


ALTER FUNCTION calib.revoke_member(p_project_id text, p_role_name text) OWNER TO calib_owner;

--
-- Name: FUNCTION revoke_member(p_project_id text, p_role_name text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.revoke_member(p_project_id text, p_role_name text) IS 'Ends the membership of a database role: it no longer reads, submits or cancels; its jobs stay. p_role_name: as calib.memberships shows it, a number if the role was dropped. For calib_admin. Raises CQ001, CQ003.';


--
-- Name: schema_version(); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.schema_version() RETURNS integer
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT 9
$$;


ALTER FUNCTION calib.schema_version() OWNER TO calib_owner;

--
-- Name: FUNCTION schema_version(); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.schema_version() IS 'Version of the public contract. For calib_reader.';


--
-- Name: set_chip(text, integer, integer, integer); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.set_chip(p_chip_id text, p_max_waiting integer DEFAULT NULL::integer, p_max_waiting_per_project integer DEFAULT NULL::integer, p_submitter_priority integer DEFAULT NULL::integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.require_role('calib_admin');
  PERFORM calib_private.require_chip(p_chip_id);
  PERFORM calib_private.require_limit('max_waiting', p_max_waiting, 1, 1000000);
  PERFORM calib_private.require_limit('max_waiting_per_project', p_max_waiting_per_project, 1, 1000000);
  PERFORM calib_private.require_limit('submitter_priority', p_submitter_priority, -100, 100);
  PERFORM calib_private.bound_transaction();
  UPDATE calib_private.chips c SET max_waiting = coalesce(p_max_waiting, c.max_waiting),
    max_waiting_per_project = coalesce(p_max_waiting_per_project, c.max_waiting_per_project),
    submitter_priority = coalesce(p_submitter_priority, c.submitter_priority) WHERE c.chip_id = p_chip_id;
END $$;


ALTER FUNCTION calib.set_chip(p_chip_id text, p_max_waiting integer, p_max_waiting_per_project integer, p_submitter_priority integer) OWNER TO calib_owner;

--
-- Name: FUNCTION set_chip(p_chip_id text, p_max_waiting integer, p_max_waiting_per_project integer, p_submitter_priority integer); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.set_chip(p_chip_id text, p_max_waiting integer, p_max_waiting_per_project integer, p_submitter_priority integer) IS 'Sets how many jobs may wait for a chip, in all and of one project (1 to 1000000), and the highest priority that a submitter may give (-100 to 100); NULL: unchanged. For calib_admin. Raises CQ001, CQ003, CQ007.';


--
-- Name: set_flow_run(bigint, uuid, uuid); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.set_flow_run(p_job_id bigint, p_claim uuid, p_flow_run_id uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_lease calib_private.leases := calib_private.hold_lease(p_job_id, p_claim);
BEGIN
  UPDATE calib_private.jobs j SET flow_run_id = p_flow_run_id, version = j.version + 1
   WHERE j.job_id = p_job_id AND j.flow_run_id IS DISTINCT FROM p_flow_run_id;
  IF NOT FOUND THEN RETURN; END IF;   -- asked again because the first answer was lost
  UPDATE calib_private.attempts a SET flow_run_id = p_flow_run_id WHERE a.job_id = p_job_id
      AND a.fence = v_lease.fence;
  PERFORM calib_private.write_event(p_job_id, 'flow_run_created',
    jsonb_build_object('flow_run_id', p_flow_run_id));
  PERFORM calib_private.mark_job(p_job_id);
END $$;


ALTER FUNCTION calib.set_flow_run(p_job_id bigint, p_claim uuid, p_flow_run_id uuid) OWNER TO calib_owner;

--
-- Name: FUNCTION set_flow_run(p_job_id bigint, p_claim uuid, p_flow_run_id uuid); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.set_flow_run(p_job_id bigint, p_claim uuid, p_flow_run_id uuid) IS 'Stores Prefect''s flow run of the attempt, before any work. For calib_executor. Raises CQ003, CQ020.';


--
-- Name: set_parameter(text, text, text, double precision, double precision, text, text, boolean); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.set_parameter(p_chip_id text, p_qid text, p_name text, p_value double precision, p_error double precision, p_unit text, p_reason text, p_force boolean DEFAULT false) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET extra_float_digits TO '1'
    AS $$
  SELECT calib_private.edit_parameters('edit', 'edit', p_chip_id, jsonb_build_object(coalesce(p_qid, ''),
    jsonb_build_object(coalesce(p_name, ''), jsonb_build_object('value', p_value, 'error',
      coalesce(p_error, 0), 'unit', p_unit))), p_reason, p_force)
$$;


ALTER FUNCTION calib.set_parameter(p_chip_id text, p_qid text, p_name text, p_value double precision, p_error double precision, p_unit text, p_reason text, p_force boolean) OWNER TO calib_owner;

--
-- Name: FUNCTION set_parameter(p_chip_id text, p_qid text, p_name text, p_value double precision, p_error double precision, p_unit text, p_reason text, p_force boolean); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.set_parameter(p_chip_id text, p_qid text, p_name text, p_value double precision, p_error double precision, p_unit text, p_reason text, p_force boolean) IS 'Sets one value by hand, with a reason. p_error: one standard deviation, NULL means 0; value and error are in p_unit. p_force: keeps what calib.known_parameters or the chip''s tasks forbid. For calib_operator of some project. Raises CQ001, CQ003, CQ007, CQ010.';


--
-- Name: set_retention(interval, interval, interval, interval); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.set_retention(p_jobs interval, p_events interval, p_figures interval, p_raw_data interval) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.require_role('calib_admin');
  PERFORM calib_private.require_age('jobs', p_jobs);
  PERFORM calib_private.require_age('events', p_events);
  PERFORM calib_private.require_age('figures', p_figures);
  PERFORM calib_private.require_age('raw_data', p_raw_data);
  UPDATE calib_private.retention SET jobs = p_jobs, events = p_events, figures = p_figures,
    raw_data = p_raw_data, set_by = calib_private.actor(), set_at = calib_private.now();
END $$;


ALTER FUNCTION calib.set_retention(p_jobs interval, p_events interval, p_figures interval, p_raw_data interval) OWNER TO calib_owner;

--
-- Name: FUNCTION set_retention(p_jobs interval, p_events interval, p_figures interval, p_raw_data interval); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.set_retention(p_jobs interval, p_events interval, p_figures interval, p_raw_data interval) IS 'Sets the whole policy: ages, counted from the end of the job, from which prune() deletes; 1 hour to 100 years, NULL keeps. For calib_admin. Raises CQ003, CQ007.';


--
-- Name: set_time_zone(text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.set_time_zone(p_time_zone text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.require_role('calib_admin');
  IF NOT EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = p_time_zone) THEN
    PERFORM calib_private.refuse('CQ007', 'time_zone',
      format('time_zone: expected a name such as "Asia/Tokyo", got %s', calib_private.shown(p_time_zone)));
  END IF;
  UPDATE calib_private.settings SET time_zone = p_time_zone;
END $$;


ALTER FUNCTION calib.set_time_zone(p_time_zone text) OWNER TO calib_owner;

--
-- Name: FUNCTION set_time_zone(p_time_zone text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.set_time_zone(p_time_zone text) IS 'Sets the time zone of the day in execution_id, such as Asia/Tokyo. For calib_admin. Raises CQ003, CQ007.';


--
-- Name: start_sweep(bigint, uuid, jsonb); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.start_sweep(p_job_id bigint, p_claim uuid, p_tasks jsonb) RETURNS SETOF calib.started_task
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_sweep_id uuid; v_new boolean;
BEGIN
  PERFORM calib_private.hold_lease(p_job_id, p_claim);
  PERFORM calib_private.require_shape('tasks', p_tasks, 'tasks');
  PERFORM calib_private.require_one_sweep(p_tasks);
  IF NOT calib_private.sweep_runs(p_job_id, p_tasks) THEN
    INSERT INTO calib_private.sweeps (job_id, attempt, task, targets, started_at)
    SELECT j.job_id, j.attempt, p_tasks -> 0 ->> 'task', ARRAY(SELECT e.item ->> 'qid'
      FROM jsonb_array_elements(p_tasks) WITH ORDINALITY AS e(item, n) ORDER BY e.n), calib_private.now()
      FROM calib_private.jobs j WHERE j.job_id = p_job_id
    RETURNING sweep_id INTO v_sweep_id;
    WITH started AS (
      INSERT INTO calib_private.task_runs AS t (job_id, attempt, task, qid, repetition, task_type, ordinal,
        status, started_at, upstream_id, input_parameters, run_parameters, sweep_id)
      SELECT j.job_id, j.attempt, e.item ->> 'task', e.item ->> 'qid',
          coalesce((e.item ->> 'repetition')::numeric::smallint, 0), e.item ->> 'task_type',
          j.tasks_total + e.n, 'running', calib_private.now(), (e.item ->> 'upstream_id')::uuid,
          coalesce(e.item -> 'input_parameters', '{}'), coalesce(e.item -> 'run_parameters', '{}'), v_sweep_id
        FROM calib_private.jobs j, jsonb_array_elements(p_tasks) WITH ORDINALITY AS e(item, n)
       WHERE j.job_id = p_job_id ORDER BY e.n
      ON CONFLICT (job_id, attempt, task, qid, repetition) DO UPDATE SET status = 'running',
        started_at = coalesce(t.started_at, excluded.started_at), upstream_id = excluded.upstream_id,
        input_parameters = excluded.input_parameters, run_parameters = excluded.run_parameters,
        sweep_id = excluded.sweep_id
      RETURNING t.xmax = 0 AS is_new)
    SELECT bool_or(s.is_new) INTO v_new FROM started s;
    IF v_new THEN PERFORM calib_private.count_tasks(p_job_id);
        ELSE PERFORM calib_private.touch_job(p_job_id); END IF;
    PERFORM calib_private.mark_job(p_job_id);
  END IF;
  RETURN QUERY SELECT * FROM calib_private.started_tasks(p_job_id, p_tasks);
END $$;


ALTER FUNCTION calib.start_sweep(p_job_id bigint, p_claim uuid, p_tasks jsonb) OWNER TO calib_owner;

--
-- Name: FUNCTION start_sweep(p_job_id bigint, p_claim uuid, p_tasks jsonb); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.start_sweep(p_job_id bigint, p_claim uuid, p_tasks jsonb) IS 'Marks the tasks of a sweep as running, announced or not, all or none. p_tasks: array of {task, qid, task_type, repetition, upstream_id, input_parameters, run_parameters}, one task on each qid once. While they run, the same call again repeats the answer; after end_sweep() a part of them may run in another sweep. For calib_notebook, calib_executor. Raises CQ003, CQ007, CQ010, CQ020.';


--
-- Name: store_png(bigint, bytea, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.store_png(p_figure_id bigint, p_png bytea, p_render_error text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_job_id bigint;
BEGIN
  PERFORM calib_private.require_role('calib_mirror');
  IF octet_length(p_png) > 16777216 THEN
    PERFORM calib_private.refuse('CQ040', 'png', format('png: expected at most 16 MiB, got %s bytes',
      octet_length(p_png)));
  END IF;
  UPDATE calib_private.figures f SET png = p_png, render_error = left(p_render_error, 2000)
      FROM calib_private.task_runs t
   WHERE f.figure_id = p_figure_id AND t.task_run_id = f.task_run_id RETURNING t.job_id INTO v_job_id;
  IF v_job_id IS NULL THEN RETURN; END IF;
  PERFORM calib_private.touch_job(v_job_id);
  PERFORM calib_private.mark_job(v_job_id);
END $$;


ALTER FUNCTION calib.store_png(p_figure_id bigint, p_png bytea, p_render_error text) OWNER TO calib_owner;

--
-- Name: FUNCTION store_png(p_figure_id bigint, p_png bytea, p_render_error text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.store_png(p_figure_id bigint, p_png bytea, p_render_error text) IS 'Stores the image of a figure, or in p_render_error why there is none. For calib_mirror. Raises CQ003, CQ040.';


--
-- Name: submit_many(jsonb); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.submit_many(p_jobs jsonb) RETURNS SETOF bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib.submit_many(p_jobs jsonb) OWNER TO calib_owner;

--
-- Name: FUNCTION submit_many(p_jobs jsonb); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.submit_many(p_jobs jsonb) IS 'Submits a JSON array of at most 10,000 jobs, all or none: objects with the columns that an INSERT into calib.jobs takes. Returns their job_id in the order given; a refusal names the row as jobs[n], counted from 0. For calib_submitter. Raises CQ001, CQ002, CQ003, CQ004, CQ005, CQ007, CQ010, CQ030, CQ040.';


--
-- Name: sweep(); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.sweep() RETURNS SETOF calib.swept_job
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_now timestamptz := calib_private.now();
BEGIN
  PERFORM calib_private.require_role('calib_executor', 'calib_mirror');
  IF EXISTS (SELECT FROM calib_private.leases l WHERE l.expires_at < v_now) THEN
    RETURN QUERY SELECT * FROM calib_private.sweep_leases();
  END IF;
  IF EXISTS (SELECT FROM calib_private.jobs j WHERE j.state = 'scheduled' AND j.not_after <= v_now) THEN
    RETURN QUERY SELECT * FROM calib_private.sweep_expired();
  END IF;
  IF EXISTS (SELECT FROM calib_private.jobs j JOIN calib_private.cancel_requests k USING (job_id)
      WHERE j.state = 'scheduled' AND j.attempt > 0) THEN
    RETURN QUERY SELECT * FROM calib_private.sweep_cancelled();
  END IF;
  IF EXISTS (SELECT FROM calib_private.job_counting c WHERE c.counted_at <= v_now - interval '1 minute') THEN
    PERFORM calib_private.count_jobs();
  END IF;
END $$;


ALTER FUNCTION calib.sweep() OWNER TO calib_owner;

--
-- Name: FUNCTION sweep(); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.sweep() IS 'Ends what was left behind on any chip: attempts whose lease ran out, waiting jobs past not_after or with an unseen cancel. Returns them. For calib_executor, calib_mirror. Raises CQ003.';


--
-- Name: take_marks(integer, double precision); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.take_marks(p_max integer, p_hold_seconds double precision) RETURNS SETOF calib.outbox_mark
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT calib_private.require_role('calib_mirror');
  UPDATE calib_private.outbox o SET next_try_at = calib_private.now()
      + make_interval(secs => least(greatest(coalesce(p_hold_seconds, 0), 0), 86400)), attempts = o.attempts
      + 1
   -- An array, because a subquery with LIMIT and SKIP LOCKED takes more than its limit when the planner runs
   -- it twice.
   WHERE o.mark_id = ANY (ARRAY(SELECT d.mark_id FROM calib_private.outbox d
     WHERE d.next_try_at <= calib_private.now() AND d.dead_at IS NULL
     ORDER BY d.next_try_at LIMIT greatest(p_max, 0) FOR NO KEY UPDATE SKIP LOCKED))
  RETURNING o.mark_id, o.job_id, o.chip_id, o.version, o.attempts
$$;


ALTER FUNCTION calib.take_marks(p_max integer, p_hold_seconds double precision) OWNER TO calib_owner;

--
-- Name: FUNCTION take_marks(p_max integer, p_hold_seconds double precision); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.take_marks(p_max integer, p_hold_seconds double precision) IS 'At most p_max marks that are due; no other call returns them for p_hold_seconds. For calib_mirror. Raises CQ003.';


--
-- Name: try_again(bigint, uuid, text, text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.try_again(p_job_id bigint, p_claim uuid, p_failure_kind text, p_failure_message text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.require_speaker();
  IF p_failure_kind IS NULL OR NOT calib_private.is_failure_kind(p_failure_kind) THEN
    PERFORM calib_private.refuse('CQ007', 'failure_kind',
      format('failure_kind: expected one of the closed list (missing_input, no_signal, ...), got %s',
      calib_private.shown(p_failure_kind)));
  END IF;
  RETURN coalesce(calib_private.given_back(p_job_id, p_claim), calib_private.end_by_policy(
    calib_private.hold_lease(p_job_id, p_claim), p_failure_kind, left(coalesce(p_failure_message, ''), 4000),
    false));
END $$;


ALTER FUNCTION calib.try_again(p_job_id bigint, p_claim uuid, p_failure_kind text, p_failure_message text) OWNER TO calib_owner;

--
-- Name: FUNCTION try_again(p_job_id bigint, p_claim uuid, p_failure_kind text, p_failure_message text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.try_again(p_job_id bigint, p_claim uuid, p_failure_kind text, p_failure_message text) IS 'Ends an attempt that failed through no fault of the job, with that failure, and returns the state of the job as give_back() does. For calib_executor. Raises CQ003, CQ007, CQ020.';


--
-- Name: unrendered_figures(integer); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.unrendered_figures(p_max integer) RETURNS TABLE(figure_id bigint, job_id bigint, plotly json)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT calib_private.require_role('calib_mirror');
  SELECT f.figure_id, t.job_id, f.plotly FROM calib_private.figures f JOIN calib_private.task_runs t
      USING (task_run_id)
   WHERE f.png IS NULL AND f.render_error IS NULL ORDER BY f.figure_id LIMIT greatest(p_max, 0)
$$;


ALTER FUNCTION calib.unrendered_figures(p_max integer) OWNER TO calib_owner;

--
-- Name: FUNCTION unrendered_figures(p_max integer); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.unrendered_figures(p_max integer) IS 'At most p_max figures without image and without error, the oldest first. For calib_mirror. Raises CQ003.';


--
-- Name: unsynced_flow_runs(text); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.unsynced_flow_runs(p_chip_id text) RETURNS TABLE(job_id bigint, attempt smallint, flow_run_id uuid, outcome text, failure_kind text, failure_message text)
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT calib_private.require_role('calib_executor');
  SELECT a.job_id, a.attempt, a.flow_run_id, a.outcome, a.failure_kind, a.failure_message
    FROM calib_private.attempts a JOIN calib_private.jobs j USING (job_id)
   WHERE a.ended_at IS NOT NULL AND a.flow_run_id IS NOT NULL AND NOT a.prefect_synced
     AND (j.chip_id = p_chip_id OR NOT calib_private.is_served(j.chip_id))
   ORDER BY row_number() OVER (PARTITION BY j.chip_id = p_chip_id ORDER BY random()),
     j.chip_id = p_chip_id DESC LIMIT 20
$$;


ALTER FUNCTION calib.unsynced_flow_runs(p_chip_id text) OWNER TO calib_owner;

--
-- Name: FUNCTION unsynced_flow_runs(p_chip_id text); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.unsynced_flow_runs(p_chip_id text) IS 'At most 20 ended attempts, chosen at random, whose outcome Prefect does not show yet: of this chip and of chips without a living executor. For calib_executor. Raises CQ003.';


--
-- Name: waiting_jobs(text, integer); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.waiting_jobs(p_chip_id text, p_limit integer DEFAULT 50) RETURNS SETOF calib.found_job
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  RETURN QUERY SELECT * FROM calib_private.merged_jobs(
    ARRAY(SELECT format('calib_private.jobs j WHERE j.project_id = %L AND j.state = %L', p, 'scheduled')
      FROM unnest(calib_private.asked_projects(NULL)) p),
    format('j.chip_id = %L', p_chip_id), 'priority DESC, job_id', p_limit);
END $$;


ALTER FUNCTION calib.waiting_jobs(p_chip_id text, p_limit integer) OWNER TO calib_owner;

--
-- Name: FUNCTION waiting_jobs(p_chip_id text, p_limit integer); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.waiting_jobs(p_chip_id text, p_limit integer) IS 'Waiting jobs of your projects on a chip, in the order in which they are claimed. limit: 1 to 1000. For calib_reader. Raises CQ003, CQ007.';


--
-- Name: why_waits(bigint); Type: FUNCTION; Schema: calib; Owner: calib_owner
--

CREATE FUNCTION calib.why_waits(p_job_id bigint) RETURNS TABLE(job_id bigint, kind text, sentence text, blocking_job_id bigint, chip_id text, clears_at timestamp with time zone)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib.why_waits(p_job_id bigint) OWNER TO calib_owner;

--
-- Name: FUNCTION why_waits(p_job_id bigint); Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON FUNCTION calib.why_waits(p_job_id bigint) IS 'Why a job waits. kind: chip_paused, not_before, no_executor, executor_not_ready, job_running, jobs_ahead, ready, ending (by the next sweep) or not_waiting. clears_at: when at the latest, if known; blocking_job_id: NULL if there is none or you may not read it. For calib_reader. Raises CQ001, CQ003.';


--
-- Name: actor(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.actor() RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  RETURN CASE current_setting('role') WHEN 'none' THEN session_user::text ELSE current_setting('role') END;
END $$;


ALTER FUNCTION calib_private.actor() OWNER TO calib_owner;

--
-- Name: actor_is(regrole); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.actor_is(p_role regrole) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  RETURN calib_private.has_role(calib_private.actor()::name, p_role);
END $$;


ALTER FUNCTION calib_private.actor_is(p_role regrole) OWNER TO calib_owner;

--
-- Name: actor_role(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.actor_role() RETURNS regrole
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  RETURN to_regrole(quote_ident(nullif(calib_private.actor(), '')));
END $$;


ALTER FUNCTION calib_private.actor_role() OWNER TO calib_owner;

--
-- Name: alive(timestamp with time zone, timestamp with time zone); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.alive(p_last_seen_at timestamp with time zone, p_stopped_at timestamp with time zone) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT p_stopped_at IS NULL AND p_last_seen_at > calib_private.now() - interval '30 seconds'
$$;


ALTER FUNCTION calib_private.alive(p_last_seen_at timestamp with time zone, p_stopped_at timestamp with time zone) OWNER TO calib_owner;

--
-- Name: announce(bigint[]); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.announce(p_job_ids bigint[]) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT calib_private.notify('calibration_jobs', jsonb_agg(n.notice ORDER BY n.position)::text)
    FROM (SELECT i.position, jsonb_build_object('job_id', j.job_id, 'state', j.state) AS notice
      FROM unnest(p_job_ids) WITH ORDINALITY i (job_id, position)
      JOIN calib_private.jobs j USING (job_id)) n
   GROUP BY n.position / 100
$$;


ALTER FUNCTION calib_private.announce(p_job_ids bigint[]) OWNER TO calib_owner;

--
-- Name: asked_projects(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.asked_projects(p_project_id text) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.require_speaker();
  RETURN ARRAY(SELECT p FROM unnest(calib_private.readable_projects(calib_private.actor()::name)) p
    WHERE p = p_project_id OR p_project_id IS NULL);
END $$;


ALTER FUNCTION calib_private.asked_projects(p_project_id text) OWNER TO calib_owner;

--
-- Name: bound_transaction(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.bound_transaction() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.require_speaker();
  PERFORM set_config('idle_in_transaction_session_timeout', '10s', true);
END $$;


ALTER FUNCTION calib_private.bound_transaction() OWNER TO calib_owner;

--
-- Name: bound_writer(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.bound_writer() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.bound_transaction();
  RETURN NULL;
END $$;


ALTER FUNCTION calib_private.bound_writer() OWNER TO calib_owner;

--
-- Name: cancel_all_waiting(text, text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.cancel_all_waiting(p_project_id text, p_chip_id text, p_reason text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_job_id bigint; v_count bigint := 0;
BEGIN
  FOR v_job_id IN SELECT j.job_id FROM calib_private.jobs j
    WHERE j.state = 'scheduled' AND (j.project_id = p_project_id OR j.chip_id = p_chip_id)
    ORDER BY j.job_id LOOP
    IF calib_private.cancel_before_start(v_job_id, 'now', p_reason) THEN v_count := v_count + 1; END IF;
  END LOOP;
  RETURN v_count;
END $$;


ALTER FUNCTION calib_private.cancel_all_waiting(p_project_id text, p_chip_id text, p_reason text) OWNER TO calib_owner;

--
-- Name: cancel_before_start(bigint, text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.cancel_before_start(p_job_id bigint, p_mode text, p_reason text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF NOT calib_private.lock_waiting(p_job_id) THEN RETURN false; END IF;
  PERFORM calib_private.store_cancel(p_job_id, p_mode, p_reason);
  PERFORM calib_private.cancel_waiting(p_job_id);
  RETURN true;
END $$;


ALTER FUNCTION calib_private.cancel_before_start(p_job_id bigint, p_mode text, p_reason text) OWNER TO calib_owner;

--
-- Name: waiting_for(bigint, text, smallint, timestamp with time zone); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.waiting_for(p_job_id bigint, p_chip_id text, p_priority smallint, p_not_before timestamp with time zone) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_flow text; v_attempt smallint; v_not_after timestamptz;
BEGIN
  SELECT j.flow, j.attempt, j.not_after INTO v_flow, v_attempt, v_not_after FROM calib_private.jobs j
   WHERE j.job_id = p_job_id;
  RETURN (calib_private.hold_up(p_job_id, p_chip_id, v_flow, p_priority, v_attempt, p_not_before, v_not_after,
    NULL)).sentence;
END $$;


ALTER FUNCTION calib_private.waiting_for(p_job_id bigint, p_chip_id text, p_priority smallint, p_not_before timestamp with time zone) OWNER TO calib_owner;

--
-- Name: cancel_requests; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.cancel_requests (
    job_id bigint NOT NULL,
    origin text NOT NULL,
    mode text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    requested_by text NOT NULL,
    requested_at timestamp with time zone NOT NULL,
    CONSTRAINT cancel_requests_mode_check CHECK ((mode = ANY (ARRAY['after_task'::text, 'now'::text]))),
    CONSTRAINT cancel_requests_origin_check CHECK ((origin = ANY (ARRAY['client'::text, 'prefect'::text, 'queue'::text])))
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='500');


ALTER TABLE calib_private.cancel_requests OWNER TO calib_owner;

--
-- Name: jobs; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.jobs WITH (security_barrier='true') AS
 SELECT j.job_id,
    j.project_id,
    j.username,
    j.chip_id,
    j.flow,
    j.parameters,
    j.priority,
    j.not_before,
    j.not_after,
    j.timeout_seconds,
    j.max_attempts,
    j.dedup_key,
    j.tags,
    j.note,
    j.state,
    j.attempt,
    j.execution_id,
    j.flow_run_id,
    j.executor_id,
    j.submitted_by,
    j.submitted_at,
    j.started_at,
    j.finished_at,
        CASE
            WHEN (j.state = 'scheduled'::text) THEN calib_private.waiting_for(j.job_id, j.chip_id, j.priority, j.not_before)
            ELSE NULL::text
        END AS waiting_for,
    j.tasks_total,
    j.tasks_done,
    j.tasks_failed,
    j.failure_kind,
    j.failure_message,
    ((k.job_id IS NOT NULL) OR (p.job_id IS NOT NULL)) AS cancel_requested,
        CASE
            WHEN (('now'::text = k.mode) OR ('now'::text = p.mode)) THEN 'now'::text
            ELSE COALESCE(k.mode, p.mode)
        END AS cancel_mode,
    COALESCE(k.reason, p.reason) AS cancel_reason,
    COALESCE(k.requested_by, p.requested_by) AS cancel_requested_by,
    COALESCE(k.requested_at, p.requested_at) AS cancel_requested_at,
    j.cancel_seen_at,
    j.version,
    j.source_job_id
   FROM ((calib_private.jobs j
     LEFT JOIN calib_private.cancel_requests k ON (((k.job_id = j.job_id) AND (k.origin = 'client'::text))))
     LEFT JOIN calib_private.cancel_requests p ON (((p.job_id = j.job_id) AND (p.origin <> 'client'::text))))
  WHERE (j.project_id = ANY (( SELECT calib_private.readable_projects(CURRENT_USER) AS readable_projects)::text[]))
  ORDER BY j.job_id DESC;


ALTER VIEW calib.jobs OWNER TO calib_owner;

--
-- Name: VIEW jobs; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.jobs IS 'Calibration jobs, the newest first. INSERT submits one; UPDATE of cancel_requested (with cancel_mode, cancel_reason) cancels it; UPDATE of priority, not_before, not_after, timeout_seconds, tags or note edits it while it waits. Raises CQ001, CQ002, CQ003, CQ004, CQ005, CQ007, CQ010, CQ012, CQ030, CQ040; warns CQ010, CQ011 when it is too late.';


--
-- Name: COLUMN jobs.job_id; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.job_id IS 'Number of the job, given by the queue; a later job has a larger one.';


--
-- Name: COLUMN jobs.project_id; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.project_id IS 'Project, one of calib.projects; only its members see its rows. Required in an INSERT.';


--
-- Name: COLUMN jobs.username; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.username IS 'Name in QDash under which the job runs. Default: your own in the project; another one needs operator access.';


--
-- Name: COLUMN jobs.chip_id; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.chip_id IS 'Chip, one of calib.chips. Required in an INSERT.';


--
-- Name: COLUMN jobs.flow; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.flow IS 'Flow to run, one of calib.flows of the chip. Default: calibrate.';


--
-- Name: COLUMN jobs.parameters; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.parameters IS 'JSON object of the flow''s arguments, checked against its schema in calib.flows; at most 1 MiB. Default: {}.';


--
-- Name: COLUMN jobs.priority; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.priority IS '-100 to 100; the larger runs first, among equals the older. Default: 0.';


--
-- Name: COLUMN jobs.not_before; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.not_before IS 'The job does not start before this time. Default: the time of the INSERT.';


--
-- Name: COLUMN jobs.not_after; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.not_after IS 'A job that still waits at this time ends cancelled with reason expired. Default: NULL, no limit; of an interactive job one minute after not_before.';


--
-- Name: COLUMN jobs.timeout_seconds; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.timeout_seconds IS 'Time limit of one attempt, in seconds (1 to 604800). Default: the flow''s.';


--
-- Name: COLUMN jobs.max_attempts; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.max_attempts IS '1 to 10, more than 1 only if the flow is repeatable. Another attempt follows when the executor or the job''s process was lost, and measures from the beginning. Default: 1.';


--
-- Name: COLUMN jobs.dedup_key; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.dedup_key IS '1 to 200 characters; a project has at most one scheduled or running job with this key. Default: NULL, no check.';


--
-- Name: COLUMN jobs.tags; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.tags IS 'At most 32 texts of 1 to 100 characters; QDash shows them. Default: none.';


--
-- Name: COLUMN jobs.note; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.note IS 'Your own JSON object, at most 64 KiB; QDash shows it. Default: {}.';


--
-- Name: COLUMN jobs.state; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.state IS 'scheduled, running, completed, failed or cancelled; the last three are final.';


--
-- Name: COLUMN jobs.attempt; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.attempt IS 'Number of the attempt, counted from 1; in calib.jobs the newest one, 0 before the first.';


--
-- Name: COLUMN jobs.execution_id; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.execution_id IS 'Identifier of the execution in QDash, YYYYMMDD-qNNN; NULL until the first attempt starts.';


--
-- Name: COLUMN jobs.flow_run_id; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.flow_run_id IS 'Prefect''s flow run of the attempt; NULL: none yet.';


--
-- Name: COLUMN jobs.executor_id; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.executor_id IS 'Start of an executor process, one of calib.executors; in calib.jobs the one that runs the job, or ran it last. NULL while the job waits.';


--
-- Name: COLUMN jobs.submitted_by; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.submitted_by IS 'Database role that submitted the job.';


--
-- Name: COLUMN jobs.submitted_at; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.submitted_at IS 'Time of the INSERT.';


--
-- Name: COLUMN jobs.started_at; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.started_at IS 'When it started (a job: its first attempt). NULL: not yet.';


--
-- Name: COLUMN jobs.finished_at; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.finished_at IS 'When the job reached its final state. NULL: not yet.';


--
-- Name: COLUMN jobs.waiting_for; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.waiting_for IS 'Why a scheduled job does not run yet, in words: jobs ahead, a paused chip, no executor alive. NULL in any other state.';


--
-- Name: COLUMN jobs.tasks_total; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.tasks_total IS 'Number of tasks that the newest attempt has announced or started.';


--
-- Name: COLUMN jobs.tasks_done; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.tasks_done IS 'Number of tasks of the newest attempt that completed.';


--
-- Name: COLUMN jobs.tasks_failed; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.tasks_failed IS 'Number of tasks of the newest attempt that failed.';


--
-- Name: COLUMN jobs.failure_kind; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.failure_kind IS 'missing_input, no_signal, bad_fit, out_of_range, instrument, timeout, lost, shutdown, invalid_request or internal. NULL: did not fail.';


--
-- Name: COLUMN jobs.failure_message; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.failure_message IS 'The failure in words. NULL: did not fail.';


--
-- Name: COLUMN jobs.cancel_requested; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.cancel_requested IS 'Whether a cancel was requested. Set it to true to cancel the job; it cannot be taken back.';


--
-- Name: COLUMN jobs.cancel_mode; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.cancel_mode IS 'now (the default): stop the process; after_task: let the running task finish first. after_task can be raised to now. NULL: no cancel.';


--
-- Name: COLUMN jobs.cancel_reason; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.cancel_reason IS 'Why, at most 1000 characters; expired if not_after has passed. NULL: no cancel.';


--
-- Name: COLUMN jobs.cancel_requested_by; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.cancel_requested_by IS 'Database role that requested the cancel. NULL: no cancel.';


--
-- Name: COLUMN jobs.cancel_requested_at; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.cancel_requested_at IS 'When the cancel was requested. NULL: no cancel.';


--
-- Name: COLUMN jobs.cancel_seen_at; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.cancel_seen_at IS 'When the executor received the cancel; from then on the job can only end cancelled. NULL: not seen.';


--
-- Name: COLUMN jobs.version; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.version IS 'Counter that rises with each change of the job or its results.';


--
-- Name: COLUMN jobs.source_job_id; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.jobs.source_job_id IS 'Job of the same chip that this one repeats, with or without changes; the number stays when that job is pruned. Default: NULL, none.';


--
-- Name: cancel_row(calib.jobs, calib.jobs); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.cancel_row(p_old calib.jobs, p_new calib.jobs) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_mode text := coalesce(p_new.cancel_mode, 'now'); v_answer text;
BEGIN
  IF p_new.cancel_requested IS NOT TRUE THEN
    PERFORM calib_private.refuse(CASE WHEN p_old.cancel_requested THEN 'CQ012' ELSE 'CQ007' END,
      'cancel_requested', CASE
        WHEN p_old.cancel_requested THEN format('job %s: a cancel cannot be taken back', p_old.job_id)
        ELSE 'cancel_mode and cancel_reason: expected together with cancel_requested = true' END);
  END IF;
  PERFORM calib_private.check_cancel(v_mode, p_new.cancel_reason);
  v_answer := calib_private.request_cancel(p_old.job_id, v_mode, coalesce(p_new.cancel_reason, ''));
  IF v_answer = 'weaker' THEN
    PERFORM calib_private.refuse('CQ012', 'cancel_mode',
      format('job %s: a cancel "now" cannot be softened to "after_task"', p_old.job_id));
  END IF;
  RETURN v_answer <> 'ended';
END $$;


ALTER FUNCTION calib_private.cancel_row(p_old calib.jobs, p_new calib.jobs) OWNER TO calib_owner;

--
-- Name: cancel_sentence(bigint, text, text, boolean); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.cancel_sentence(p_job_id bigint, p_answer text, p_state text, p_dry_run boolean) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT CASE p_answer
    WHEN 'cancelled' THEN format('job %s waits and %s cancelled', p_job_id, v.be)
    WHEN 'requested' THEN format('job %s runs and %s told to stop', p_job_id, v.be)
    WHEN 'requested_before' THEN format('job %s was told to stop before', p_job_id)
    WHEN 'ended' THEN CASE p_state WHEN 'running' THEN format('job %s is just ending', p_job_id)
      ELSE format('job %s had already ended (%s)', p_job_id, p_state) END
    WHEN 'forbidden' THEN format('%s may not change job %s: expected its submitter or an operator',
      calib_private.actor(), p_job_id)
    WHEN 'not_matching' THEN format('job %s does not match the other filters', p_job_id)
    ELSE format('unknown job %s', p_job_id) END
    FROM (SELECT CASE WHEN p_dry_run THEN 'would be' ELSE 'is' END AS be) v
$$;


ALTER FUNCTION calib_private.cancel_sentence(p_job_id bigint, p_answer text, p_state text, p_dry_run boolean) OWNER TO calib_owner;

--
-- Name: cancel_waiting(bigint); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.cancel_waiting(p_job_id bigint) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  UPDATE calib_private.jobs j SET state = 'cancelled', finished_at = calib_private.now(),
    version = j.version + 1 WHERE j.job_id = p_job_id AND j.state = 'scheduled'
$$;


ALTER FUNCTION calib_private.cancel_waiting(p_job_id bigint) OWNER TO calib_owner;

--
-- Name: changed_job(calib.jobs, calib.jobs); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.changed_job(p_old calib.jobs, p_new calib.jobs) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_edits jsonb := calib_private.edits(p_old, p_new); v_edited boolean := false; v_cancelled boolean := false;
BEGIN
  IF NOT calib_private.may_change(p_old.submitted_by, p_old.project_id) THEN
    PERFORM calib_private.refuse('CQ003', 'job_id',
      format('%s may not change job %s of %s: expected its submitter or an operator of project "%s"',
        calib_private.actor(), p_old.job_id, p_old.submitted_by, p_old.project_id));
  END IF;
  IF v_edits <> '{}' THEN v_edited := calib_private.edit_job(p_new, v_edits); END IF;
  IF (p_new.cancel_requested, p_new.cancel_mode, p_new.cancel_reason)
    IS DISTINCT FROM (p_old.cancel_requested, p_old.cancel_mode, p_old.cancel_reason)
    OR (p_new.cancel_requested AND v_edits = '{}') THEN
    v_cancelled := calib_private.cancel_row(p_old, p_new);
  ELSIF v_edits = '{}' THEN
    RETURN true;
  END IF;
  RETURN v_edited OR v_cancelled;
END $$;


ALTER FUNCTION calib_private.changed_job(p_old calib.jobs, p_new calib.jobs) OWNER TO calib_owner;

--
-- Name: chips; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.chips (
    chip_id text NOT NULL,
    backend text NOT NULL,
    topology text NOT NULL,
    n_qubits integer NOT NULL,
    paused boolean DEFAULT false NOT NULL,
    pause_reason text,
    paused_by text,
    paused_at timestamp with time zone,
    max_waiting integer DEFAULT 1000 NOT NULL,
    created_at timestamp with time zone DEFAULT calib_private.now() NOT NULL,
    created_by text NOT NULL,
    retired_at timestamp with time zone,
    retired_by text,
    max_waiting_per_project integer,
    submitter_priority smallint DEFAULT 100 NOT NULL,
    CONSTRAINT chip_id_form CHECK ((chip_id ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$'::text)),
    CONSTRAINT chips_backend_check CHECK ((backend = ANY (ARRAY['fake'::text, 'qubex'::text]))),
    CONSTRAINT chips_max_waiting_check CHECK (((max_waiting >= 1) AND (max_waiting <= 1000000))),
    CONSTRAINT chips_max_waiting_per_project_check CHECK (((max_waiting_per_project >= 1) AND (max_waiting_per_project <= 1000000))),
    CONSTRAINT chips_n_qubits_check CHECK (((n_qubits >= 1) AND (n_qubits <= 4096))),
    CONSTRAINT chips_submitter_priority_check CHECK (((submitter_priority >= '-100'::integer) AND (submitter_priority <= 100))),
    CONSTRAINT pause_has_reason CHECK ((paused = (pause_reason IS NOT NULL)))
);


ALTER TABLE calib_private.chips OWNER TO calib_owner;

--
-- Name: check_backlog(calib_private.chips, text, integer, integer); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.check_backlog(p_chip calib_private.chips, p_project_id text, p_coming_of_project integer, p_coming integer) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_counted calib_private.backlogs; v_waiting record;
  v_most_of_project integer := least(p_chip.max_waiting_per_project, p_chip.max_waiting);
BEGIN
  SELECT * INTO v_counted FROM calib_private.backlogs b WHERE b.chip_id = p_chip.chip_id;
  v_waiting := calib_private.count_newer(p_chip.chip_id, p_project_id, v_counted.counted_to);
  IF v_counted.waiting + v_waiting.of_chip + p_coming <= p_chip.max_waiting
    AND coalesce((v_counted.by_project ->> p_project_id)::bigint, 0) + v_waiting.of_project
      + p_coming_of_project <= v_most_of_project THEN RETURN; END IF;
  -- Some of those that were counted may have started or ended since.
  v_waiting := calib_private.count_waiting(p_chip.chip_id, p_project_id);
  IF v_waiting.of_chip + p_coming > p_chip.max_waiting THEN
    PERFORM calib_private.refuse('CQ030', 'chip_id',
      format('chip "%s" has %s jobs waiting and takes no more%s', p_chip.chip_id, v_waiting.of_chip,
        CASE WHEN p_coming > 1 THEN ' than ' || p_chip.max_waiting END),
        'Wait until some have run, or let an administrator raise max_waiting of the chip.');
  ELSIF v_waiting.of_project + p_coming_of_project > v_most_of_project THEN
    PERFORM calib_private.refuse('CQ030', 'project_id',
      format('chip "%s" has %s jobs of project "%s" waiting and takes no more of it%s', p_chip.chip_id,
        v_waiting.of_project, p_project_id, CASE WHEN p_coming_of_project > 1
          THEN ' than ' || v_most_of_project END),
        'Wait until some have run, or let an administrator raise max_waiting_per_project of the chip.');
  END IF;
END $$;


ALTER FUNCTION calib_private.check_backlog(p_chip calib_private.chips, p_project_id text, p_coming_of_project integer, p_coming integer) OWNER TO calib_owner;

--
-- Name: check_cancel(text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.check_cancel(p_mode text, p_reason text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF p_mode IS NULL OR p_mode NOT IN ('after_task', 'now') THEN
    PERFORM calib_private.refuse('CQ007', 'cancel_mode',
      format('cancel_mode: expected "after_task" or "now", got %s', calib_private.shown(p_mode)));
  ELSIF length(p_reason) > 1000 THEN
    PERFORM calib_private.refuse('CQ007', 'cancel_reason',
      format('cancel_reason: expected at most 1000 characters, got %s', length(p_reason)));
  END IF;
END $$;


ALTER FUNCTION calib_private.check_cancel(p_mode text, p_reason text) OWNER TO calib_owner;

--
-- Name: check_edits(calib.jobs, jsonb); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.check_edits(p_new calib.jobs, p_edits jsonb) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_column text; v_flow calib_private.flows;
BEGIN
  SELECT e.key INTO v_column FROM jsonb_each(p_edits) e WHERE e.value -> 'new' = 'null'
      AND e.key <> 'not_after' ORDER BY 1 LIMIT 1;
  IF FOUND THEN
    PERFORM calib_private.refuse('CQ007', v_column, format('%s: expected a value, got nothing', v_column));
  END IF;
  -- The number of attempts is not changed: as the flow said when the job was submitted.
  v_flow.repeatable := true;
  PERFORM calib_private.check_limits(p_new, v_flow);
  IF p_edits ? 'priority' THEN
    PERFORM calib_private.check_priority(calib_private.require_chip(p_new.chip_id), p_new.project_id,
      p_new.priority);
  END IF;
END $$;


ALTER FUNCTION calib_private.check_edits(p_new calib.jobs, p_edits jsonb) OWNER TO calib_owner;

--
-- Name: flows; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.flows (
    chip_id text NOT NULL,
    flow text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    schema jsonb NOT NULL,
    repeatable boolean NOT NULL,
    timeout_seconds integer NOT NULL,
    version text NOT NULL,
    registered_by text NOT NULL,
    registered_at timestamp with time zone NOT NULL,
    CONSTRAINT flows_flow_check CHECK ((flow ~ '^[a-z][a-z0-9_-]{0,62}$'::text)),
    CONSTRAINT flows_schema_check CHECK ((jsonb_typeof(schema) = 'object'::text)),
    CONSTRAINT flows_timeout_seconds_check CHECK (((timeout_seconds >= 1) AND (timeout_seconds <= 604800)))
);


ALTER TABLE calib_private.flows OWNER TO calib_owner;

--
-- Name: check_flow(text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.check_flow(p_chip_id text, p_flow text) RETURNS calib_private.flows
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.check_flow(p_chip_id text, p_flow text) OWNER TO calib_owner;

--
-- Name: check_format(jsonb, text, text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.check_format(p_value jsonb, p_format text, p_path text, p_chip_id text) RETURNS calib_private.complaint
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  v_word text := p_value #>> '{}'; v_task text; v_given jsonb; v_schema jsonb; v calib_private.complaint;
BEGIN
  IF p_format = 'qid' THEN
    PERFORM FROM calib_private.qubits q WHERE q.chip_id = p_chip_id AND q.qid = v_word;
  ELSIF p_format = 'coupling' THEN
    PERFORM FROM calib_private.couplings k
      WHERE k.chip_id = p_chip_id AND k.qid = ANY (calib_private.in_both_directions(v_word));
  ELSIF p_format = 'mux' THEN
    PERFORM FROM calib_private.qubits q WHERE q.chip_id = p_chip_id AND q.mux::text = v_word;
  ELSIF p_format = 'task' THEN
    PERFORM FROM calib_private.tasks t WHERE t.chip_id = p_chip_id AND t.task = v_word;
  ELSIF jsonb_typeof(p_value) <> 'object' THEN
    v := ROW('CQ002', format('%s: expected object, got %s', p_path, jsonb_typeof(p_value)), NULL);
    RETURN v;
  ELSE
    FOR v_task, v_given, v_schema IN SELECT e.key, e.value, t.schema FROM jsonb_each(p_value) e
        LEFT JOIN calib_private.tasks t ON t.chip_id = p_chip_id AND t.task = e.key LOOP
      v := CASE
        WHEN v_schema IS NULL THEN calib_private.check_format(to_jsonb(v_task), 'task', p_path, p_chip_id)
        ELSE calib_private.check_value(v_given, v_schema, p_path || '.' || v_task, p_chip_id) END;
      EXIT WHEN v.code IS NOT NULL;
    END LOOP;
    RETURN v;
  END IF;
  IF FOUND THEN RETURN NULL; END IF;
  v.code := CASE WHEN p_format <> 'qid' OR v_word ~ '^(0|[1-9][0-9]*)$' THEN 'CQ001' ELSE 'CQ002' END;
  v.message := format(CASE p_format
      WHEN 'task' THEN '%s: unknown task %s%3$s'
      WHEN 'coupling' THEN '%s: chip "%4$s" has no coupling %2$s: expected control and target of neighbours '
        'such as "0-1"'
      WHEN 'mux' THEN '%s: chip "%4$s" has no MUX %2$s: expected %6$s'
      ELSE CASE v.code WHEN 'CQ001' THEN '%s: chip "%4$s" has no qubit %2$s: expected "0" to "%5$s"'
        ELSE '%s: %s is not a qubit id: expected a decimal number without leading zeros such as "0"' END END,
    p_path, calib_private.shown(v_word), CASE p_format WHEN 'task' THEN calib_private.suggestion(v_word,
      ARRAY(SELECT t.task FROM calib_private.tasks t WHERE t.chip_id = p_chip_id)) END, p_chip_id,
    (SELECT c.n_qubits - 1 FROM calib_private.chips c WHERE c.chip_id = p_chip_id),
    (SELECT coalesce(min(q.mux) || ' to ' || max(q.mux), 'none, for it has no MUXes')
      FROM calib_private.qubits q WHERE q.chip_id = p_chip_id));
  v.hint := CASE p_format WHEN 'coupling' THEN 'SELECT qid FROM calib.couplings shows them.'
    WHEN 'task' THEN 'SELECT task FROM calib.tasks shows what the chip''s executors can do.' END;
  RETURN v;
END $_$;


ALTER FUNCTION calib_private.check_format(p_value jsonb, p_format text, p_path text, p_chip_id text) OWNER TO calib_owner;

--
-- Name: check_known_value(text, text, double precision, text, boolean); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.check_known_value(p_chip_id text, p_name text, p_value double precision, p_unit text, p_force boolean, OUT kept_unit text, OUT is_forced boolean) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_known calib_private.known_parameters := calib_private.known_parameter(p_chip_id, p_name);
  v_column text; v_wrong text;
BEGIN
  kept_unit := coalesce(nullif(p_unit, ''), v_known.unit, '');
  IF v_known.name IS NULL AND p_force IS NULL THEN
    is_forced := false;
    RETURN;
  ELSIF v_known.name IS NULL THEN
    v_column := 'name';
    v_wrong := format('unknown parameter %s%s', calib_private.shown(p_name), calib_private.suggestion(p_name,
      ARRAY(SELECT k.name FROM calib_private.known_parameters k UNION SELECT o ->> 'name'
        FROM calib_private.tasks t, jsonb_array_elements(t.outputs) o WHERE t.chip_id = p_chip_id)));
  ELSIF calib_private.plain_unit(kept_unit) <> calib_private.plain_unit(v_known.unit) THEN
    v_column := 'unit';
    v_wrong := format('parameter %s: expected a value in "%s", got one in %s', p_name, v_known.unit,
      calib_private.shown(kept_unit));
  ELSIF v_known.kind = 'integer' AND p_value <> trunc(p_value) THEN
    v_column := 'value';
    v_wrong := format('parameter %s: expected a whole number, got %s', p_name, p_value);
  ELSIF p_value < v_known.lower OR p_value > v_known.upper THEN
    v_column := 'value';
    v_wrong := format('parameter %s: expected %s to %s%s, got %s', p_name,
      coalesce(v_known.lower, '-Infinity'), coalesce(v_known.upper, 'Infinity'),
      CASE WHEN calib_private.plain_unit(kept_unit) = '' THEN '' ELSE ' ' || kept_unit END, p_value);
  ELSE
    kept_unit := coalesce(v_known.unit, kept_unit);
  END IF;
  is_forced := v_wrong IS NOT NULL;
  IF is_forced AND p_force IS NOT TRUE THEN
    PERFORM calib_private.refuse('CQ007', v_column, v_wrong, 'calib.known_parameters shows what is expected; '
      'by hand, p_force => true (--force) with a reason keeps it nevertheless.');
  END IF;
END $$;


ALTER FUNCTION calib_private.check_known_value(p_chip_id text, p_name text, p_value double precision, p_unit text, p_force boolean, OUT kept_unit text, OUT is_forced boolean) OWNER TO calib_owner;

--
-- Name: check_limits(calib.jobs, calib_private.flows); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.check_limits(p_new calib.jobs, p_flow calib_private.flows) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.check_limits(p_new calib.jobs, p_flow calib_private.flows) OWNER TO calib_owner;

--
-- Name: check_parameters(jsonb, calib_private.flows); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.check_parameters(p_parameters jsonb, p_flow calib_private.flows) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.check_parameters(p_parameters jsonb, p_flow calib_private.flows) OWNER TO calib_owner;

--
-- Name: check_priority(calib_private.chips, text, smallint); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.check_priority(p_chip calib_private.chips, p_project_id text, p_priority smallint) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF p_priority > p_chip.submitter_priority AND NOT calib_private.operates(p_project_id) THEN
    PERFORM calib_private.refuse('CQ003', 'priority',
      format('priority: on chip "%s" a submitter may give at most %s, got %s', p_chip.chip_id,
      p_chip.submitter_priority, p_priority), format('An operator of project "%s" may give more.',
      p_project_id));
  END IF;
END $$;


ALTER FUNCTION calib_private.check_priority(p_chip calib_private.chips, p_project_id text, p_priority smallint) OWNER TO calib_owner;

--
-- Name: check_source(bigint, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.check_source(p_source_job_id bigint, p_chip_id text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.check_source(p_source_job_id bigint, p_chip_id text) OWNER TO calib_owner;

--
-- Name: check_submitter(text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.check_submitter(p_project_id text, p_username text) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
END $_$;


ALTER FUNCTION calib_private.check_submitter(p_project_id text, p_username text) OWNER TO calib_owner;

--
-- Name: check_value(jsonb, jsonb, text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.check_value(p_value jsonb, p_schema jsonb, p_path text, p_chip_id text) RETURNS calib_private.complaint
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  -- A schema of a type alone, which most are, is seen through here.
  v_fault text := CASE WHEN jsonb_typeof(p_value) IS DISTINCT FROM p_schema ->> 'type' OR p_schema ?|
    '{const,enum,minimum,maximum,exclusiveMinimum,exclusiveMaximum,minLength,maxLength,pattern,minItems,'
    'maxItems,uniqueItems,required,additionalProperties}' THEN calib_private.fault(p_value, p_schema) END;
  v_complaint calib_private.complaint; v_first calib_private.complaint;
  v_key text; v_item jsonb; v_rule jsonb;
BEGIN
  IF v_fault IS NOT NULL THEN
    v_complaint := ROW('CQ002', p_path || ': ' || v_fault, NULL);
    RETURN v_complaint;
  END IF;
  IF jsonb_typeof(p_value) = 'array' AND p_schema ? 'items' THEN
    FOR v_n IN 0 .. jsonb_array_length(p_value) - 1 LOOP
      v_complaint := calib_private.check_value(p_value -> v_n, p_schema -> 'items',
        format('%s[%s]', p_path, v_n), p_chip_id);
      IF v_complaint.code IS NOT NULL THEN RETURN v_complaint; END IF;
    END LOOP;
  ELSIF jsonb_typeof(p_value) = 'object' AND p_schema ?| '{properties,additionalProperties}' THEN
    FOR v_key, v_item IN SELECT * FROM jsonb_each(p_value) LOOP
      v_rule := coalesce(p_schema #> ARRAY['properties', v_key], p_schema -> 'additionalProperties', 'true');
      v_complaint := calib_private.check_value(v_item, v_rule, p_path || '.' || left(v_key, 60), p_chip_id);
      IF v_complaint.code IS NOT NULL THEN RETURN v_complaint; END IF;
    END LOOP;
  END IF;
  IF p_schema ? 'anyOf' THEN
    -- Of several refusals the first is the telling one: "or null" stands last. Not that of an alternative for
    -- another value of a constant: a step's "type" says which it is meant to be.
    FOR v_rule IN SELECT a.rule FROM jsonb_array_elements(p_schema -> 'anyOf') WITH ORDINALITY a (rule, n)
      ORDER BY EXISTS (SELECT FROM jsonb_each(a.rule -> 'properties') e
        WHERE e.value -> 'const' <> p_value -> e.key), n LOOP
      v_complaint := calib_private.check_value(p_value, v_rule, p_path, p_chip_id);
      EXIT WHEN v_complaint.code IS NULL;
      IF v_first.code IS NULL THEN v_first := v_complaint; END IF;
    END LOOP;
    IF v_complaint.code IS NOT NULL THEN RETURN v_first; END IF;
  END IF;
  IF NOT p_schema ? 'format' THEN RETURN NULL; END IF;
  RETURN calib_private.check_format(p_value, p_schema ->> 'format', p_path, p_chip_id);
END $$;


ALTER FUNCTION calib_private.check_value(p_value jsonb, p_schema jsonb, p_path text, p_chip_id text) OWNER TO calib_owner;

--
-- Name: checked_job(calib.jobs, integer[]); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.checked_job(p_new calib.jobs, p_coming integer[]) RETURNS calib.jobs
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.checked_job(p_new calib.jobs, p_coming integer[]) OWNER TO calib_owner;

--
-- Name: checked_or_refused(calib.jobs, integer[], text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.checked_or_refused(p_new calib.jobs, p_coming integer[] DEFAULT '{1,1}'::integer[], p_place text DEFAULT ''::text) RETURNS calib.jobs
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.checked_or_refused(p_new calib.jobs, p_coming integer[], p_place text) OWNER TO calib_owner;

--
-- Name: chip_state(text, timestamp with time zone); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.chip_state(p_chip_id text, p_now timestamp with time zone, OUT paused boolean, OUT pause_reason text, OUT alive boolean, OUT ready boolean, OUT condition text, OUT running_job_id bigint, OUT running_project_id text, OUT running_until timestamp with time zone) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  SELECT c.paused, c.pause_reason, l.job_id INTO paused, pause_reason, running_job_id
    FROM calib_private.chips c JOIN calib_private.leases l USING (chip_id) WHERE c.chip_id = p_chip_id;
  SELECT e.condition LIKE 'ready%', e.condition INTO ready, condition FROM calib_private.executors e
   WHERE e.chip_id = p_chip_id AND e.stopped_at IS NULL AND e.last_seen_at > p_now - interval '30 seconds'
   ORDER BY e.condition LIKE 'ready%' DESC, e.last_seen_at DESC LIMIT 1;
  alive := FOUND;
  IF running_job_id IS NOT NULL THEN
    SELECT j.project_id, a.started_at + j.timeout_seconds * interval '1 second'
      INTO running_project_id, running_until
      FROM calib_private.jobs j JOIN calib_private.attempts a USING (job_id, attempt)
     WHERE j.job_id = running_job_id;
  END IF;
END $$;


ALTER FUNCTION calib_private.chip_state(p_chip_id text, p_now timestamp with time zone, OUT paused boolean, OUT pause_reason text, OUT alive boolean, OUT ready boolean, OUT condition text, OUT running_job_id bigint, OUT running_project_id text, OUT running_until timestamp with time zone) OWNER TO calib_owner;

--
-- Name: attempts; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.attempts (
    job_id bigint NOT NULL,
    attempt smallint NOT NULL,
    fence bigint NOT NULL,
    executor_id text NOT NULL,
    flow_run_id uuid,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    verdict text,
    outcome text,
    failure_kind text,
    failure_message text,
    prefect_synced boolean DEFAULT false NOT NULL,
    claim uuid,
    CONSTRAINT attempts_outcome_check CHECK ((outcome = ANY (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text, 'requeued'::text]))),
    CONSTRAINT attempts_verdict_check CHECK ((verdict = ANY (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text]))),
    CONSTRAINT ended_with_outcome CHECK (((ended_at IS NULL) = (outcome IS NULL))),
    CONSTRAINT failure_kind_known CHECK (calib_private.is_failure_kind(failure_kind)),
    CONSTRAINT open_has_claim CHECK (((ended_at IS NOT NULL) OR (claim IS NOT NULL)))
)
WITH (fillfactor='80', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='500');


ALTER TABLE calib_private.attempts OWNER TO calib_owner;

--
-- Name: claimed_attempt(bigint, uuid); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.claimed_attempt(p_job_id bigint, p_claim uuid) RETURNS calib_private.attempts
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT a FROM calib_private.jobs j JOIN calib_private.attempts a USING (job_id, attempt)
   WHERE j.job_id = p_job_id AND a.claim = p_claim
$$;


ALTER FUNCTION calib_private.claimed_attempt(p_job_id bigint, p_claim uuid) OWNER TO calib_owner;

--
-- Name: claimed_row(bigint); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.claimed_row(p_job_id bigint) RETURNS calib.claimed_job
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT (j.job_id, j.fence, j.attempt, j.max_attempts, j.execution_id, j.project_id, j.username, j.chip_id,
    j.flow, j.parameters, j.tags, j.note, j.timeout_seconds, j.repeatable, j.submitted_by, j.submitted_at,
      j.started_at, l.dirty)::calib.claimed_job
    FROM calib_private.jobs j JOIN calib_private.leases l USING (chip_id) WHERE j.job_id = p_job_id
$$;


ALTER FUNCTION calib_private.claimed_row(p_job_id bigint) OWNER TO calib_owner;

--
-- Name: client_columns(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.client_columns() RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  RETURN '{project_id,username,chip_id,flow,parameters,priority,not_before,not_after,timeout_seconds,'
    'max_attempts,dedup_key,tags,note,source_job_id}';
END $$;


ALTER FUNCTION calib_private.client_columns() OWNER TO calib_owner;

--
-- Name: close_task_runs(bigint, text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.close_task_runs(p_job_id bigint, p_state text, p_failure_kind text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_now timestamptz := calib_private.now();
BEGIN
  UPDATE calib_private.sweeps s SET ended_at = v_now WHERE s.job_id = p_job_id AND s.ended_at IS NULL;
  UPDATE calib_private.stages s SET ended_at = v_now, status = CASE p_state WHEN 'failed' THEN 'failed'
      ELSE 'cancelled' END, message = calib_private.stopped_with(p_state, p_failure_kind)
   WHERE s.job_id = p_job_id AND s.ended_at IS NULL;
  UPDATE calib_private.task_runs t
     SET status = CASE WHEN t.status = 'scheduled' THEN 'skipped' WHEN p_state = 'failed' THEN 'failed'
         ELSE 'cancelled' END, failure_kind = CASE WHEN t.status = 'running'
         AND p_state = 'failed' THEN coalesce(p_failure_kind, 'internal') END, message = CASE
             WHEN t.status = 'scheduled' THEN 'not started'
             ELSE calib_private.stopped_with(p_state, p_failure_kind) END,
         ended_at = v_now
   WHERE t.job_id = p_job_id AND t.status IN ('scheduled', 'running')
     AND t.attempt = (SELECT j.attempt FROM calib_private.jobs j WHERE j.job_id = p_job_id);
  IF FOUND THEN PERFORM calib_private.count_tasks(p_job_id); END IF;
END $$;


ALTER FUNCTION calib_private.close_task_runs(p_job_id bigint, p_state text, p_failure_kind text) OWNER TO calib_owner;

--
-- Name: leases; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.leases (
    chip_id text NOT NULL,
    fence bigint DEFAULT 0 NOT NULL,
    job_id bigint,
    executor_id text,
    expires_at timestamp with time zone,
    dirty boolean DEFAULT false NOT NULL,
    CONSTRAINT lease_all_or_none CHECK ((num_nulls(job_id, executor_id, expires_at) = ANY (ARRAY[0, 3])))
)
WITH (fillfactor='50', autovacuum_vacuum_threshold='100', autovacuum_vacuum_scale_factor='0');


ALTER TABLE calib_private.leases OWNER TO calib_owner;

--
-- Name: conclude(calib_private.leases, text, text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.conclude(p_lease calib_private.leases, p_state text, p_failure_kind text, p_failure_message text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_job_id bigint := p_lease.job_id; v_state text := p_state; v_failure_kind text;
  v_cancelled boolean := EXISTS (SELECT FROM calib_private.cancel_requests k WHERE k.job_id = v_job_id);
BEGIN
  IF p_state IS NULL OR p_state NOT IN ('completed', 'failed', 'cancelled') THEN
    PERFORM calib_private.refuse('CQ007', 'state',
      format('state: expected completed, failed or cancelled, got %s', calib_private.shown(p_state)));
  ELSIF (p_state = 'failed') <> (p_failure_kind IS NOT NULL) THEN
    PERFORM calib_private.refuse('CQ007', 'failure_kind',
      'failure_kind: expected with state failed, and only with it');
  ELSIF NOT calib_private.is_failure_kind(p_failure_kind) THEN
    PERFORM calib_private.refuse('CQ007', 'failure_kind',
      format('failure_kind: expected one of the closed list (missing_input, no_signal, ...), got %s',
      calib_private.shown(p_failure_kind)));
  ELSIF p_state = 'cancelled' AND NOT v_cancelled THEN
    PERFORM calib_private.refuse('CQ010', 'state',
      format('job %s cannot end cancelled: no cancel was requested', v_job_id));
  END IF;
  -- A cancel that was taken before the verdict is never lost, seen by the executor or not.
  IF v_cancelled AND calib_private.verdict(v_job_id) IS NULL THEN
    PERFORM calib_private.see_cancel(v_job_id);
    v_state := 'cancelled';
  END IF;
  IF v_state = 'failed' THEN v_failure_kind := p_failure_kind; END IF;
  UPDATE calib_private.attempts a SET verdict = v_state, failure_kind = v_failure_kind,
    failure_message = CASE WHEN v_state = 'failed' THEN left(coalesce(p_failure_message, ''), 4000) END
   WHERE a.job_id = v_job_id AND a.fence = p_lease.fence AND a.verdict IS NULL;
  IF NOT FOUND THEN
    RETURN (SELECT a.verdict FROM calib_private.attempts a WHERE a.job_id = v_job_id
      AND a.fence = p_lease.fence);
  END IF;
  PERFORM calib_private.write_event(v_job_id, 'concluded',
    jsonb_strip_nulls(jsonb_build_object('state', v_state, 'failure_kind', v_failure_kind)));
  RETURN v_state;
END $$;


ALTER FUNCTION calib_private.conclude(p_lease calib_private.leases, p_state text, p_failure_kind text, p_failure_message text) OWNER TO calib_owner;

--
-- Name: count_backlog(text, bigint); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.count_backlog(p_chip_id text, p_job_id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_old calib_private.backlogs; v_last bigint; v_now timestamptz := calib_private.now();
BEGIN
  SELECT * INTO v_old FROM calib_private.backlogs b WHERE b.chip_id = p_chip_id
      AND b.counted_to < p_job_id - 64 AND (b.next_at < v_now - interval '10 s'
        OR b.next_xid <= pg_snapshot_xmin(pg_current_snapshot()))
      AND (calib_private.count_newer(p_chip_id, NULL, b.counted_to)).of_chip > 64
    FOR NO KEY UPDATE SKIP LOCKED;
  IF NOT FOUND OR current_setting('transaction_isolation') <> 'read committed' THEN RETURN; END IF;
  -- Read before the next statement's snapshot: a transaction that has such a number had its id by then.
  SELECT s.last_value INTO v_last FROM calib_private.jobs_job_id_seq s;
  UPDATE calib_private.backlogs b SET counted_to = v_old.next_to, waiting = w.waiting,
    by_project = w.by_project, next_to = v_last, next_xid = pg_snapshot_xmax(pg_current_snapshot()),
    next_at = v_now
    FROM (SELECT coalesce(sum(p.n), 0) AS waiting,
        coalesce(jsonb_object_agg(p.project_id, p.n), '{}') AS by_project
      FROM (SELECT j.project_id, count(*) AS n FROM calib_private.jobs j WHERE j.chip_id = p_chip_id
        AND j.state = 'scheduled' AND j.job_id <= v_old.next_to GROUP BY 1) p) w
   WHERE b.chip_id = p_chip_id;
END $$;


ALTER FUNCTION calib_private.count_backlog(p_chip_id text, p_job_id bigint) OWNER TO calib_owner;

--
-- Name: count_jobs(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.count_jobs() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.count_jobs() OWNER TO calib_owner;

--
-- Name: count_newer(text, text, bigint); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.count_newer(p_chip_id text, p_project_id text, p_after bigint, OUT of_chip bigint, OUT of_project bigint) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_sort TO 'off'
    AS $$
BEGIN
  SELECT count(*), count(*) FILTER (WHERE w.project_id = p_project_id) INTO of_chip, of_project
    FROM (SELECT j.project_id FROM calib_private.jobs j WHERE j.chip_id = p_chip_id
      AND j.state = 'scheduled' AND j.job_id > p_after ORDER BY j.job_id DESC) w;
END $$;


ALTER FUNCTION calib_private.count_newer(p_chip_id text, p_project_id text, p_after bigint, OUT of_chip bigint, OUT of_project bigint) OWNER TO calib_owner;

--
-- Name: count_tasks(bigint); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.count_tasks(p_job_id bigint) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  UPDATE calib_private.jobs j SET tasks_total = n.total, tasks_done = n.done, tasks_failed = n.failed,
      version = j.version + 1
    FROM (SELECT count(*) AS total, count(*) FILTER (WHERE t.status = 'completed') AS done,
        count(*) FILTER (WHERE t.status = 'failed') AS failed
      FROM calib_private.task_runs t JOIN calib_private.jobs i USING (job_id, attempt)
          WHERE i.job_id = p_job_id) n
   WHERE j.job_id = p_job_id
$$;


ALTER FUNCTION calib_private.count_tasks(p_job_id bigint) OWNER TO calib_owner;

--
-- Name: count_waiting(text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.count_waiting(p_chip_id text, p_project_id text, OUT of_chip bigint, OUT of_project bigint) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  SELECT count(*), count(*) FILTER (WHERE j.project_id = p_project_id) INTO of_chip, of_project
    FROM calib_private.jobs j WHERE j.chip_id = p_chip_id AND j.state = 'scheduled';
END $$;


ALTER FUNCTION calib_private.count_waiting(p_chip_id text, p_project_id text, OUT of_chip bigint, OUT of_project bigint) OWNER TO calib_owner;

--
-- Name: edit_job(calib.jobs, jsonb); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.edit_job(p_new calib.jobs, p_edits jsonb) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.check_edits(p_new, p_edits);
  IF NOT calib_private.lock_waiting(p_new.job_id) THEN
    RAISE WARNING 'job % does not wait any more: % not changed', p_new.job_id,
        (SELECT string_agg(k, ', ' ORDER BY k) || CASE WHEN count(*) = 1 THEN ' was' ELSE ' were' END
          FROM jsonb_object_keys(p_edits) k)
      USING ERRCODE = 'CQ010', COLUMN = (SELECT min(k) FROM jsonb_object_keys(p_edits) k);
    RETURN false;
  END IF;
  UPDATE calib_private.jobs j SET priority = p_new.priority, not_before = p_new.not_before,
    not_after = p_new.not_after, timeout_seconds = p_new.timeout_seconds, tags = p_new.tags,
    note = p_new.note, version = j.version + 1 WHERE j.job_id = p_new.job_id;
  -- The values of a note may be long, and may be somebody's secret.
  PERFORM calib_private.write_event(p_new.job_id, 'edited', CASE WHEN p_edits ? 'note'
    THEN p_edits || '{"note": {}}' ELSE p_edits END);
  RETURN true;
END $$;


ALTER FUNCTION calib_private.edit_job(p_new calib.jobs, p_edits jsonb) OWNER TO calib_owner;

--
-- Name: edit_parameters(text, text, text, jsonb, text, boolean); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.edit_parameters(p_what text, p_source text, p_chip_id text, p_values jsonb, p_reason text, p_force boolean) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_qid text; v_named jsonb; v_name text; v_value jsonb; v_count integer := 0;
BEGIN
  PERFORM calib_private.require_operator(p_what || ' parameters');
  PERFORM calib_private.require_chip(p_chip_id);
  PERFORM calib_private.require_reason(p_reason);
  PERFORM calib_private.bound_transaction();
  PERFORM calib_private.lock_owners(p_chip_id, ARRAY(SELECT jsonb_object_keys(p_values)));
  FOR v_qid, v_named IN SELECT * FROM jsonb_each(p_values) LOOP
    IF jsonb_typeof(v_named) <> 'object' THEN
      PERFORM calib_private.refuse('CQ007', 'values',
        format('values.%s: expected an object of named parameters, got %s', left(v_qid, 40),
        jsonb_typeof(v_named)));
    END IF;
    FOR v_name, v_value IN SELECT * FROM jsonb_each(v_named) LOOP
      PERFORM calib_private.require_known_names(v_name, v_value);
      PERFORM calib_private.put_parameter(p_chip_id, v_qid, v_name,
        CASE jsonb_typeof(v_value) WHEN 'number' THEN jsonb_build_object('value', v_value) ELSE v_value END,
          p_source, NULL, p_reason, coalesce(p_force, false));
      v_count := v_count + 1;
    END LOOP;
  END LOOP;
  v_name := NULL;
  PERFORM calib_private.mark_chip(p_chip_id);
  RETURN v_count;
EXCEPTION WHEN serialization_failure OR exclusion_violation OR unique_violation THEN
  PERFORM calib_private.refuse('CQ010', 'name', format('%s of %s was changed meanwhile: ask again in a new '
    'transaction', coalesce('parameter ' || v_name, 'a parameter'), coalesce(CASE WHEN v_name IS NOT NULL
      THEN v_qid END, p_chip_id)));
  RETURN NULL;
END $$;


ALTER FUNCTION calib_private.edit_parameters(p_what text, p_source text, p_chip_id text, p_values jsonb, p_reason text, p_force boolean) OWNER TO calib_owner;

--
-- Name: edits(calib.jobs, calib.jobs); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.edits(p_old calib.jobs, p_new calib.jobs) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT coalesce(jsonb_object_agg(n.key, jsonb_build_object('old', o.value, 'new', n.value)), '{}')
    FROM jsonb_each(to_jsonb(p_old)) o JOIN jsonb_each(to_jsonb(p_new)) n USING (key)
   WHERE o.value <> n.value AND n.key IN ('priority', 'not_before', 'not_after', 'timeout_seconds', 'tags',
     'note')
$$;


ALTER FUNCTION calib_private.edits(p_old calib.jobs, p_new calib.jobs) OWNER TO calib_owner;

--
-- Name: end_attempt(calib_private.leases, text, text, text, boolean); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.end_attempt(p_lease calib_private.leases, p_state text, p_failure_kind text, p_failure_message text, p_dirty boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_now timestamptz := calib_private.now(); v_back boolean := p_state = 'scheduled';
BEGIN
  PERFORM calib_private.close_task_runs(p_lease.job_id, p_state, p_failure_kind);
  UPDATE calib_private.attempts a SET ended_at = v_now, outcome = CASE WHEN v_back THEN 'requeued'
    ELSE p_state END, failure_kind = p_failure_kind, failure_message = p_failure_message
   WHERE a.job_id = p_lease.job_id AND a.fence = p_lease.fence;
  UPDATE calib_private.jobs j SET state = p_state, finished_at = CASE WHEN v_back THEN NULL ELSE v_now END,
    failure_kind = CASE WHEN p_state = 'failed' THEN p_failure_kind END,
    failure_message = CASE WHEN p_state = 'failed' THEN p_failure_message END,
    executor_id = CASE WHEN v_back THEN NULL ELSE j.executor_id END,
    flow_run_id = CASE WHEN v_back THEN NULL ELSE j.flow_run_id END,
    version = j.version + 1
   WHERE j.job_id = p_lease.job_id AND j.state = 'running';
  UPDATE calib_private.leases l SET job_id = NULL, executor_id = NULL, expires_at = NULL, dirty = l.dirty
      OR p_dirty
   WHERE l.chip_id = p_lease.chip_id;
END $$;


ALTER FUNCTION calib_private.end_attempt(p_lease calib_private.leases, p_state text, p_failure_kind text, p_failure_message text, p_dirty boolean) OWNER TO calib_owner;

--
-- Name: end_by_policy(calib_private.leases, text, text, boolean); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.end_by_policy(p_lease calib_private.leases, p_failure_kind text, p_failure_message text, p_dirty boolean) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_attempt calib_private.attempts; v_state text; v_again boolean;
BEGIN
  SELECT * INTO v_attempt FROM calib_private.attempts a WHERE a.job_id = p_lease.job_id
      AND a.fence = p_lease.fence;
  SELECT j.repeatable AND j.attempt < j.max_attempts INTO v_again FROM calib_private.jobs j
      WHERE j.job_id = p_lease.job_id;
  v_state := CASE
    WHEN v_attempt.verdict IS NOT NULL THEN v_attempt.verdict
    WHEN EXISTS (SELECT FROM calib_private.cancel_requests k WHERE k.job_id = p_lease.job_id) THEN 'cancelled'
    WHEN v_again THEN 'scheduled' ELSE 'failed' END;
  PERFORM calib_private.end_attempt(p_lease, v_state,
    CASE WHEN v_attempt.verdict IS NOT NULL THEN v_attempt.failure_kind
    WHEN v_state IN ('failed', 'scheduled') THEN p_failure_kind END, CASE
      WHEN v_attempt.verdict IS NOT NULL THEN v_attempt.failure_message
    WHEN v_state IN ('failed', 'scheduled') THEN p_failure_message END, p_dirty);
  RETURN v_state;
END $$;


ALTER FUNCTION calib_private.end_by_policy(p_lease calib_private.leases, p_failure_kind text, p_failure_message text, p_dirty boolean) OWNER TO calib_owner;

--
-- Name: fault(jsonb, jsonb); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.fault(p_value jsonb, p_schema jsonb) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  v_type text := jsonb_typeof(p_value);
  v_text text := CASE WHEN v_type = 'string' THEN p_value #>> '{}' END;
  v_number numeric := CASE WHEN v_type = 'number' THEN p_value::numeric END;
  v_size numeric := coalesce(v_number, length(v_text),
    CASE WHEN v_type = 'array' THEN jsonb_array_length(p_value) END);
  v_of text := CASE v_type WHEN 'number' THEN 'imum' WHEN 'string' THEN 'Length' ELSE 'Items' END;
  v_least numeric := p_schema -> ('min' || v_of); v_most numeric := p_schema -> ('max' || v_of);
  v_unit text := CASE v_type WHEN 'string' THEN ' characters' WHEN 'array' THEN ' items' ELSE '' END;
  v_expected text; v_fault text;
BEGIN
  IF p_schema = 'false' THEN
    RETURN 'nothing is expected here';
  ELSIF NOT p_schema -> 'type' ?| ARRAY[v_type, CASE v_number % 1 WHEN 0 THEN 'integer' END] THEN
    RETURN format('expected %s, got %s', replace(translate(p_schema ->> 'type', '["]', ''), ', ', ' or '),
      v_type || CASE v_type WHEN 'null' THEN '' ELSE ' ' || left(p_value::text, 40) END);
  END IF;
  v_expected := CASE
    WHEN p_schema -> 'const' <> p_value THEN coalesce(p_schema ->> 'const', 'null')
    WHEN v_size < v_least THEN 'at least ' || v_least || v_unit
    WHEN v_size > v_most THEN 'at most ' || v_most || v_unit
    WHEN v_number <= (p_schema -> 'exclusiveMinimum')::numeric
      THEN 'more than ' || (p_schema ->> 'exclusiveMinimum')
    WHEN v_number >= (p_schema -> 'exclusiveMaximum')::numeric
      THEN 'less than ' || (p_schema ->> 'exclusiveMaximum')
    WHEN v_text !~ (p_schema ->> 'pattern') THEN 'a text like ' || (p_schema ->> 'pattern') END;
  IF v_expected IS NULL AND p_schema ? 'enum' THEN
    -- Compared one by one: @> would take {} for every object.
    v_expected := (SELECT 'one of ' || coalesce(string_agg(e::text, ', '), 'nothing')
      FROM jsonb_array_elements(p_schema -> 'enum') e HAVING bool_or(e = p_value) IS NOT TRUE);
    v_fault := CASE WHEN v_expected IS NOT NULL AND v_type = 'string' THEN calib_private.suggestion(v_text,
      ARRAY(SELECT e #>> '{}' FROM jsonb_array_elements(p_schema -> 'enum') e
        WHERE jsonb_typeof(e) = 'string')) END;
    IF v_fault LIKE ': did you mean %' THEN
      RETURN format('unknown value %s%s', calib_private.shown(v_text), v_fault);
    END IF;
  END IF;
  IF v_expected IS NOT NULL THEN
    RETURN format('expected %s, got %s', v_expected, CASE
      WHEN v_type = 'string' THEN calib_private.shown(v_text)
      WHEN v_expected ~ '^at (least|most) .* items$' THEN v_size::text ELSE left(p_value::text, 40) END);
  ELSIF v_type = 'array' AND p_schema -> 'uniqueItems' = 'true' THEN
    v_fault := (SELECT 'expected every item once, got a repeated one' FROM jsonb_array_elements(p_value) e
      HAVING count(DISTINCT e) < v_size);
  ELSIF v_type <> 'object' THEN
    RETURN NULL;
  ELSIF NOT p_value ?& ARRAY(SELECT jsonb_array_elements_text(p_schema -> 'required')) THEN
    v_fault := (SELECT format('"%s" is missing: expected "%s"',
        (array_agg(r) FILTER (WHERE NOT p_value ? r))[1], string_agg(r, '", "'))
      FROM jsonb_array_elements_text(p_schema -> 'required') r);
  ELSIF p_schema -> 'additionalProperties' = 'false'
    AND p_value - ARRAY(SELECT jsonb_object_keys(p_schema -> 'properties')) <> '{}' THEN
    v_fault := (SELECT format('unknown parameter %s%s', calib_private.shown(min(k)), calib_private.suggestion(
        min(k), ARRAY(SELECT jsonb_object_keys(p_schema -> 'properties'))))
      FROM jsonb_object_keys(p_value) k WHERE p_schema #> ARRAY['properties', k] IS NULL);
  END IF;
  RETURN v_fault;
END $_$;


ALTER FUNCTION calib_private.fault(p_value jsonb, p_schema jsonb) OWNER TO calib_owner;

--
-- Name: finite_number(jsonb, text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.finite_number(p_value jsonb, p_key text, p_name text) RETURNS double precision
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF jsonb_typeof(p_value -> p_key) IS DISTINCT FROM 'number' THEN
    PERFORM calib_private.refuse('CQ007', p_key,
      format('parameter %s: expected a finite number as %s, got %s', p_name, p_key,
      coalesce(left((p_value -> p_key)::text, 40), 'nothing')));
  END IF;
  RETURN (p_value ->> p_key)::double precision;
EXCEPTION WHEN numeric_value_out_of_range THEN
  PERFORM calib_private.refuse('CQ007', p_key,
    format('parameter %s: expected a finite number as %s, got one that is too large or too small', p_name,
    p_key));
  RETURN NULL;
END $$;


ALTER FUNCTION calib_private.finite_number(p_value jsonb, p_key text, p_name text) OWNER TO calib_owner;

--
-- Name: flat_schema(jsonb, text, jsonb, text, text[], integer); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.flat_schema(p_schema jsonb, p_of text, p_root jsonb DEFAULT NULL::jsonb, p_path text DEFAULT ''::text, p_within text[] DEFAULT '{}'::text[], p_size integer DEFAULT 0) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  v_root jsonb := coalesce(p_root, p_schema); v_name text := substr(p_schema ->> '$ref', 9);
  v_flat jsonb := p_schema; v_inner jsonb; v_wrong text; v_place text[]; v_within text[];
BEGIN
  IF jsonb_typeof(p_schema) = 'boolean' AND p_path <> '' THEN
    RETURN p_schema;
  ELSIF jsonb_typeof(p_schema) <> 'object' THEN
    v_wrong := concat(CASE WHEN p_path <> '' THEN ': ' END, jsonb_typeof(p_schema),
      ' where a schema object is expected');
  ELSE
    SELECT u INTO v_wrong FROM jsonb_each(p_schema) e, calib_private.unsupported(e.key, e.value) u
      WHERE u IS NOT NULL LIMIT 1;
    v_wrong := coalesce(v_wrong, CASE
      WHEN v_name = ANY (p_within) THEN format('/$ref to #/$defs/%s, which leads back to itself', v_name)
      WHEN v_name IS NOT NULL AND NOT coalesce(v_root -> '$defs' ? v_name, false)
        THEN format('/$ref to #/$defs/%s, which is not there', v_name)
      WHEN p_schema ?& '{$ref,anyOf}' THEN '/anyOf (beside a $ref)'
      WHEN cardinality(string_to_array(p_path, '/')) > 64 THEN ' (more than 64 levels deep)'
      WHEN p_size + pg_column_size(p_schema) > 262144
        THEN ' (more than 256 KiB, each $ref counted as what it names)' END);
  END IF;
  IF v_wrong IS NOT NULL THEN
    PERFORM calib_private.refuse('CQ022', 'schema',
      format('%s: its schema uses %s%s, which the database cannot check', p_of, p_path, v_wrong));
  ELSIF v_name IS NOT NULL THEN
    -- All keywords of a schema hold at once, those beside a $ref too.
    v_flat := p_schema - '$ref'
      || jsonb_build_object('anyOf', jsonb_build_array(v_root -> '$defs' -> v_name));
  END IF;
  FOR v_place, v_within IN
    SELECT ARRAY['$defs', k], p_within || k FROM jsonb_object_keys(v_flat -> '$defs') k
    UNION ALL SELECT ARRAY['properties', k], p_within FROM jsonb_object_keys(v_flat -> 'properties') k
    UNION ALL SELECT ARRAY['anyOf', n::text], p_within || v_name
      FROM generate_series(0, jsonb_array_length(v_flat -> 'anyOf') - 1) n
    UNION ALL SELECT ARRAY[k], p_within FROM unnest('{items,additionalProperties}'::text[]) k WHERE v_flat ? k
  LOOP
    v_inner := v_flat #> v_place;
    v_inner := calib_private.flat_schema(v_inner, p_of, v_root, p_path || '/' || CASE
        WHEN v_place[1] <> 'anyOf' THEN array_to_string(v_place, '/')
        WHEN v_name IS NULL THEN 'anyOf' ELSE '$ref' END,
      v_within, p_size + pg_column_size(v_flat) - pg_column_size(v_inner));
    v_flat := jsonb_set(v_flat, v_place, v_inner);
  END LOOP;
  RETURN v_flat - '$defs';
END $_$;


ALTER FUNCTION calib_private.flat_schema(p_schema jsonb, p_of text, p_root jsonb, p_path text, p_within text[], p_size integer) OWNER TO calib_owner;

--
-- Name: forbid_change(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.forbid_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.refuse('CQ010', '', format('%s only grows: rows of it are never changed',
    TG_TABLE_NAME));
  RETURN NULL;
END $$;


ALTER FUNCTION calib_private.forbid_change() OWNER TO calib_owner;

--
-- Name: forbid_reopening(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.forbid_reopening() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF OLD.status IN ('completed', 'failed', 'skipped', 'cancelled') THEN
    PERFORM calib_private.refuse('CQ010', 'status',
      format('task %s on qid "%s" has already ended (%s)', OLD.task, OLD.qid, OLD.status));
  END IF;
  RETURN NEW;
END $$;


ALTER FUNCTION calib_private.forbid_reopening() OWNER TO calib_owner;

--
-- Name: foreseen_answer(calib_private.jobs, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.foreseen_answer(p_job calib_private.jobs, p_mode text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  RETURN CASE
    WHEN NOT calib_private.may_change(p_job.submitted_by, p_job.project_id) THEN 'forbidden'
    WHEN p_job.finished_at IS NOT NULL OR calib_private.verdict(p_job.job_id) IS NOT NULL THEN 'ended'
    WHEN p_job.state = 'scheduled' THEN 'cancelled'
    WHEN EXISTS (SELECT FROM calib_private.cancel_requests k WHERE k.job_id = p_job.job_id
      AND k.origin = 'client' AND k.mode IN ('now', p_mode)) THEN 'requested_before'
    ELSE 'requested' END;
END $$;


ALTER FUNCTION calib_private.foreseen_answer(p_job calib_private.jobs, p_mode text) OWNER TO calib_owner;

--
-- Name: forget_job(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.forget_job() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.forget_job() OWNER TO calib_owner;

--
-- Name: given_back(bigint, uuid); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.given_back(p_job_id bigint, p_claim uuid) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT CASE a.outcome WHEN 'requeued' THEN 'scheduled' ELSE a.outcome END
    FROM calib_private.claimed_attempt(p_job_id, p_claim) a WHERE a.failure_kind IS DISTINCT FROM 'lost'
$$;


ALTER FUNCTION calib_private.given_back(p_job_id bigint, p_claim uuid) OWNER TO calib_owner;

--
-- Name: given_job(jsonb, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.given_job(p_given jsonb, p_place text) RETURNS calib.jobs
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.given_job(p_given jsonb, p_place text) OWNER TO calib_owner;

--
-- Name: given_values(calib.jobs); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.given_values(p_new calib.jobs) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT 'Nothing was stored. Row: '
      || coalesce(left(string_agg(e.key || ' ' || CASE WHEN calib_private.unreadable(e.value) IS NULL
        THEN calib_private.one_line(left(e.value #>> '{}', 120)) ELSE '...' END, ', '), 500),
        'nothing was given')
    FROM jsonb_each(to_jsonb(p_new)) e WHERE e.value <> 'null'
$$;


ALTER FUNCTION calib_private.given_values(p_new calib.jobs) OWNER TO calib_owner;

--
-- Name: guard_origin(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.guard_origin() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF NEW.source <> 'task' THEN RETURN NEW; END IF;
  SELECT j.job_id, j.execution_id INTO NEW.job_id, NEW.execution_id FROM calib_private.task_runs t
      JOIN calib_private.jobs j USING (job_id)
   WHERE t.task_run_id = NEW.task_run_id AND t.status = 'completed';
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ010', 'task_run_id',
      format('parameter %s of qid "%s": expected a completed task run as its origin', NEW.name, NEW.qid));
  END IF;
  RETURN NEW;
END $$;


ALTER FUNCTION calib_private.guard_origin() OWNER TO calib_owner;

--
-- Name: guard_transition(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.guard_transition() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.guard_transition() OWNER TO calib_owner;

--
-- Name: has_role(name, regrole); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.has_role(p_who name, p_role regrole) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_who oid := to_regrole(quote_ident(nullif(p_who, '')));
BEGIN
  IF pg_has_role(v_who, 0::oid, 'USAGE') THEN RETURN calib_private.was_granted(v_who, p_role); END IF;
  RETURN coalesce(pg_has_role(v_who, p_role::oid, 'USAGE'), false);
END $$;


ALTER FUNCTION calib_private.has_role(p_who name, p_role regrole) OWNER TO calib_owner;

--
-- Name: hold_lease(bigint, uuid); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.hold_lease(p_job_id bigint, p_claim uuid) RETURNS calib_private.leases
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_lease calib_private.leases;
BEGIN
  PERFORM calib_private.require_speaker();
  SELECT l.* INTO v_lease FROM calib_private.leases l JOIN calib_private.attempts a USING (job_id, fence)
   WHERE l.job_id = p_job_id AND a.claim = p_claim FOR NO KEY UPDATE OF l;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ020', 'claim',
      format('the lease on job %s is not known under this claim: another executor may drive the chip',
      p_job_id));
  ELSIF NOT EXISTS (SELECT FROM calib_private.executors e WHERE e.executor_id = v_lease.executor_id
      AND calib_private.actor_is(e.role_name)) THEN
    PERFORM calib_private.refuse('CQ003', 'job_id',
      format('%s may not act for executor %s', calib_private.actor(), v_lease.executor_id));
  ELSIF NOT calib_private.may_execute(v_lease.chip_id) THEN
    -- As if the lease were lost already: the executor stops its instrument, and the lease runs out.
    PERFORM calib_private.refuse('CQ020', 'claim',
      format('%s may not execute on chip "%s" any more: the lease on job %s is lost', calib_private.actor(),
      v_lease.chip_id, p_job_id));
  END IF;
  RETURN v_lease;
END $$;


ALTER FUNCTION calib_private.hold_lease(p_job_id bigint, p_claim uuid) OWNER TO calib_owner;

--
-- Name: hold_up(bigint, text, text, smallint, smallint, timestamp with time zone, timestamp with time zone, text[]); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.hold_up(p_job_id bigint, p_chip_id text, p_flow text, p_priority smallint, p_attempt smallint, p_not_before timestamp with time zone, p_not_after timestamp with time zone, p_readable text[], OUT kind text, OUT sentence text, OUT blocking_job_id bigint, OUT clears_at timestamp with time zone) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_now timestamptz := calib_private.now(); v_chip record := calib_private.chip_state(p_chip_id, v_now);
  v_ahead record;
BEGIN
  IF p_not_after <= v_now OR p_attempt > 0 AND EXISTS (SELECT FROM calib_private.cancel_requests k
      WHERE k.job_id = p_job_id) THEN
    kind := 'ending'; sentence := 'the next sweep to end it';
  ELSIF v_chip.paused THEN
    kind := 'chip_paused'; sentence := format('chip paused: %s', v_chip.pause_reason);
  ELSIF p_not_before > v_now THEN
    kind := 'not_before'; clears_at := p_not_before; sentence := format('not before %s',
      to_char(p_not_before AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'));
  ELSIF p_flow <> 'interactive' AND NOT v_chip.alive THEN
    kind := 'no_executor'; sentence := 'no executor is alive';
  ELSIF p_flow <> 'interactive' AND NOT v_chip.ready THEN
    kind := 'executor_not_ready'; sentence := v_chip.condition;
  END IF;
  IF kind IS NOT NULL THEN RETURN; END IF;
  v_ahead := calib_private.jobs_ahead(p_job_id, p_chip_id, p_flow, p_priority, v_now, p_readable IS NOT NULL);
  IF v_chip.running_job_id IS NOT NULL THEN
    kind := 'job_running'; clears_at := v_chip.running_until;
    IF v_chip.running_project_id <> ALL (p_readable) THEN sentence := 'a job of another project to end';
    ELSE
      blocking_job_id := v_chip.running_job_id; sentence := format('job %s to end', blocking_job_id);
    END IF;
  ELSIF v_ahead.n > 0 OR v_ahead.is_bounded THEN
    kind := 'jobs_ahead';
    blocking_job_id := (SELECT j.job_id FROM calib_private.jobs j WHERE j.job_id = v_ahead.first_job_id
      AND j.project_id = ANY (p_readable));
  ELSE
    kind := 'ready'; sentence := CASE p_flow WHEN 'interactive' THEN 'its session to claim it'
      ELSE 'an executor to pick it up' END;
  END IF;
  IF v_ahead.n > 0 OR v_ahead.is_bounded THEN
    sentence := concat_ws('; ', sentence, format('jobs ahead: %s%s', v_ahead.n,
      CASE WHEN v_ahead.is_bounded THEN ' or more' END));
  END IF;
END $$;


ALTER FUNCTION calib_private.hold_up(p_job_id bigint, p_chip_id text, p_flow text, p_priority smallint, p_attempt smallint, p_not_before timestamp with time zone, p_not_after timestamp with time zone, p_readable text[], OUT kind text, OUT sentence text, OUT blocking_job_id bigint, OUT clears_at timestamp with time zone) OWNER TO calib_owner;

--
-- Name: in_both_directions(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.in_both_directions(p_qid text) RETURNS text[]
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
  SELECT ARRAY[p_qid, regexp_replace(p_qid, '^([0-9]+)-([0-9]+)$', '\2-\1')]
$_$;


ALTER FUNCTION calib_private.in_both_directions(p_qid text) OWNER TO calib_owner;

--
-- Name: insert_job(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.insert_job() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.insert_job() OWNER TO calib_owner;

--
-- Name: is_served(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.is_served(p_chip_id text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT EXISTS (SELECT FROM calib_private.executors e WHERE e.chip_id = p_chip_id
      AND calib_private.alive(e.last_seen_at, e.stopped_at))
$$;


ALTER FUNCTION calib_private.is_served(p_chip_id text) OWNER TO calib_owner;

--
-- Name: is_writable(timestamp with time zone); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.is_writable(p_time timestamp with time zone) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT p_time > '0001-01-03 00:00:00+00' AND p_time < '9999-12-30 00:00:00+00'
$$;


ALTER FUNCTION calib_private.is_writable(p_time timestamp with time zone) OWNER TO calib_owner;

--
-- Name: job_key(text, text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.job_key(p_project_id text, p_kind text, p_value text) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  RETURN hashtextextended(p_project_id || chr(31) || p_kind || chr(31) || p_value, 0);
END $$;


ALTER FUNCTION calib_private.job_key(p_project_id text, p_kind text, p_value text) OWNER TO calib_owner;

--
-- Name: jobs_ahead(bigint, text, text, smallint, timestamp with time zone, boolean); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.jobs_ahead(p_job_id bigint, p_chip_id text, p_flow text, p_priority smallint, p_now timestamp with time zone, p_far boolean, OUT n integer, OUT is_bounded boolean, OUT first_job_id bigint) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  n := 0; is_bounded := false;
  IF p_flow = 'interactive' THEN RETURN; END IF;   -- taken by its number, whatever else waits
  SELECT count(*) FILTER (WHERE w.is_due), count(*) = 20 INTO n, is_bounded
    FROM (SELECT j.job_id, j.priority, j.not_before <= p_now AND j.flow <> 'interactive'
        AND (j.not_after IS NULL OR j.not_after > p_now) AS is_due
      FROM calib_private.jobs j WHERE j.chip_id = p_chip_id AND j.state = 'scheduled'
      ORDER BY j.priority DESC, j.job_id LIMIT 20) w
   WHERE w.priority > p_priority OR w.priority = p_priority AND w.job_id < p_job_id;
  IF NOT p_far AND (n > 0 OR NOT is_bounded) THEN RETURN; END IF;
  SELECT count(*) FILTER (WHERE w.is_due), count(*) = 1000, (array_agg(w.job_id) FILTER (WHERE w.is_due))[1]
    INTO n, is_bounded, first_job_id
    FROM (SELECT j.job_id, j.priority, j.not_before <= p_now AND j.flow <> 'interactive'
        AND (j.not_after IS NULL OR j.not_after > p_now) AS is_due
      FROM calib_private.jobs j WHERE j.chip_id = p_chip_id AND j.state = 'scheduled'
      ORDER BY j.priority DESC, j.job_id LIMIT 1000) w
   WHERE w.priority > p_priority OR w.priority = p_priority AND w.job_id < p_job_id;
END $$;


ALTER FUNCTION calib_private.jobs_ahead(p_job_id bigint, p_chip_id text, p_flow text, p_priority smallint, p_now timestamp with time zone, p_far boolean, OUT n integer, OUT is_bounded boolean, OUT first_job_id bigint) OWNER TO calib_owner;

--
-- Name: keep_flow_run_key(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.keep_flow_run_key() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  INSERT INTO calib_private.job_keys
  SELECT calib_private.job_key(j.project_id, 'flow_run_id', NEW.flow_run_id::text), j.job_id
    FROM calib_private.jobs j WHERE j.job_id = NEW.job_id ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;


ALTER FUNCTION calib_private.keep_flow_run_key() OWNER TO calib_owner;

--
-- Name: keep_job_keys(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.keep_job_keys() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    DELETE FROM calib_private.job_keys k WHERE k.job_id = OLD.job_id
      AND k.key = ANY (calib_private.keys_of(OLD)) AND k.key <> ALL (calib_private.keys_of(NEW));
  END IF;
  INSERT INTO calib_private.job_keys SELECT k, NEW.job_id FROM unnest(calib_private.keys_of(NEW)) k
    ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;


ALTER FUNCTION calib_private.keep_job_keys() OWNER TO calib_owner;

--
-- Name: keep_task_keys(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.keep_task_keys() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  INSERT INTO calib_private.job_keys
  SELECT calib_private.task_key(j.project_id, j.chip_id, t.task, t.qid), t.job_id
    FROM new_runs t JOIN calib_private.jobs j USING (job_id) ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;


ALTER FUNCTION calib_private.keep_task_keys() OWNER TO calib_owner;

--
-- Name: keys_of(calib_private.jobs); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.keys_of(p_job calib_private.jobs) RETURNS bigint[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.keys_of(p_job calib_private.jobs) OWNER TO calib_owner;

--
-- Name: known_parameters; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.known_parameters (
    name text NOT NULL,
    unit text NOT NULL,
    kind text NOT NULL,
    lower double precision,
    upper double precision,
    description text NOT NULL,
    CONSTRAINT known_parameters_check CHECK ((upper >= lower)),
    CONSTRAINT known_parameters_kind_check CHECK ((kind = ANY (ARRAY['number'::text, 'integer'::text]))),
    CONSTRAINT known_parameters_name_check CHECK ((name ~ '^[a-z][a-z0-9_]{0,62}$'::text))
);


ALTER TABLE calib_private.known_parameters OWNER TO calib_owner;

--
-- Name: known_parameter(text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.known_parameter(p_chip_id text, p_name text) RETURNS calib_private.known_parameters
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT coalesce(k.name, d.name), coalesce(k.unit, d.unit), coalesce(k.kind, d.kind),
      coalesce(d.lower, k.lower), coalesce(d.upper, k.upper), k.description
    FROM (SELECT min(o.name) AS name, min(o.unit) AS unit, min(o.lower) AS lower, max(o.upper) AS upper,
        CASE WHEN bool_and(o.kind = 'integer') THEN 'integer' ELSE 'number' END AS kind
      FROM calib_private.tasks t, jsonb_to_recordset(t.outputs) AS o(name text, unit text, kind text,
        lower double precision, upper double precision)
     WHERE t.chip_id = p_chip_id AND o.name = p_name
       AND t.outputs @> jsonb_build_array(jsonb_build_object('name', p_name))) d
    LEFT JOIN calib_private.known_parameters k ON k.name = p_name
$$;


ALTER FUNCTION calib_private.known_parameter(p_chip_id text, p_name text) OWNER TO calib_owner;

--
-- Name: labelled_role(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.labelled_role(p_label text) RETURNS regrole
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
  SELECT coalesce((SELECT r.oid FROM pg_roles r WHERE r.rolname::text = p_label),
    CASE WHEN p_label ~ '^[1-9][0-9]{0,8}$' OR p_label ~ '^[1-4][0-9]{9}$' AND p_label <= '4294967295'
      THEN p_label::oid END)
$_$;


ALTER FUNCTION calib_private.labelled_role(p_label text) OWNER TO calib_owner;

--
-- Name: lease_interval(double precision); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.lease_interval(p_seconds double precision) RETURNS interval
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF p_seconds IS NULL OR NOT p_seconds BETWEEN 0.1 AND 3600 THEN
    PERFORM calib_private.refuse('CQ007', 'lease_seconds',
      format('lease_seconds: expected 0.1 to 3600, got %s', coalesce(p_seconds::text, 'nothing')));
  END IF;
  RETURN make_interval(secs => p_seconds);
END $$;


ALTER FUNCTION calib_private.lease_interval(p_seconds double precision) OWNER TO calib_owner;

--
-- Name: lock_owners(text, text[]); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.lock_owners(p_chip_id text, p_qids text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM FROM calib_private.qubits q WHERE q.chip_id = p_chip_id AND q.qid = ANY (p_qids) ORDER BY q.qid
    FOR NO KEY UPDATE;
  PERFORM FROM calib_private.couplings k WHERE k.chip_id = p_chip_id AND k.qid = ANY (
      ARRAY(SELECT unnest(calib_private.in_both_directions(q)) FROM unnest(p_qids) q)) ORDER BY k.qid
    FOR NO KEY UPDATE;
END $$;


ALTER FUNCTION calib_private.lock_owners(p_chip_id text, p_qids text[]) OWNER TO calib_owner;

--
-- Name: lock_waiting(bigint); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.lock_waiting(p_job_id bigint) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM FROM calib_private.jobs j WHERE j.job_id = p_job_id AND j.state = 'scheduled' FOR NO KEY UPDATE;
  -- A session that waited for a claim holds the row now although it runs. Only the end of a subtransaction
  -- gives that lock up; kept until the client commits, it would freeze the running job.
  IF NOT FOUND THEN RAISE EXCEPTION USING ERRCODE = 'CQ000'; END IF;
  RETURN true;
EXCEPTION WHEN SQLSTATE 'CQ000' THEN
  RETURN false;
END $$;


ALTER FUNCTION calib_private.lock_waiting(p_job_id bigint) OWNER TO calib_owner;

--
-- Name: log_transition(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.log_transition() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.log_transition() OWNER TO calib_owner;

--
-- Name: mark_chip(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.mark_chip(p_chip_id text) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  INSERT INTO calib_private.outbox AS o (chip_id, marked_at, next_try_at)
  VALUES (p_chip_id, calib_private.now(), calib_private.now())
  ON CONFLICT (chip_id) DO UPDATE SET version = o.version + 1,
    next_try_at = least(o.next_try_at, excluded.next_try_at), refusals = 0, dead_at = NULL
$$;


ALTER FUNCTION calib_private.mark_chip(p_chip_id text) OWNER TO calib_owner;

--
-- Name: mark_job(bigint, boolean); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.mark_job(p_job_id bigint, p_announce boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_now timestamptz := calib_private.now();
BEGIN
  INSERT INTO calib_private.outbox AS o (job_id, marked_at, next_try_at, announce)
  VALUES (p_job_id, v_now, v_now, p_announce)
  ON CONFLICT (job_id) DO UPDATE SET version = o.version + 1, announce = o.announce OR excluded.announce,
    next_try_at = least(o.next_try_at, excluded.next_try_at), refusals = 0, dead_at = NULL;
END $$;


ALTER FUNCTION calib_private.mark_job(p_job_id bigint, p_announce boolean) OWNER TO calib_owner;

--
-- Name: matches(calib_private.jobs, text, text, text, text[], text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.matches(p_job calib_private.jobs, p_chip_id text, p_project_id text, p_submitted_by text, p_tags text[], p_state text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT p_job.chip_id = coalesce(p_chip_id, p_job.chip_id)
    AND p_job.project_id = coalesce(p_project_id, p_job.project_id)
    AND p_job.submitted_by = coalesce(p_submitted_by, p_job.submitted_by)
    AND p_job.tags @> coalesce(p_tags, '{}') AND p_job.state = coalesce(p_state, p_job.state)
$$;


ALTER FUNCTION calib_private.matches(p_job calib_private.jobs, p_chip_id text, p_project_id text, p_submitted_by text, p_tags text[], p_state text) OWNER TO calib_owner;

--
-- Name: may_change(text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.may_change(p_submitted_by text, p_project_id text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT p_submitted_by = calib_private.actor() OR calib_private.operates(p_project_id)
$$;


ALTER FUNCTION calib_private.may_change(p_submitted_by text, p_project_id text) OWNER TO calib_owner;

--
-- Name: may_claim(text, text, bigint); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.may_claim(p_chip_id text, p_executor_id text, p_job_id bigint) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_holder text; v_paused boolean; v_now timestamptz;
BEGIN
  SELECT l.executor_id, c.paused INTO v_holder, v_paused
    FROM calib_private.leases l JOIN calib_private.chips c USING (chip_id) WHERE l.chip_id = p_chip_id;
  IF v_holder IS NOT NULL THEN RETURN v_holder = p_executor_id; END IF;
  IF v_paused OR p_job_id IS NOT NULL THEN RETURN NOT v_paused; END IF;
  v_now := calib_private.now();
  -- idle-poll:begin
  PERFORM FROM calib_private.jobs j
    WHERE j.chip_id = p_chip_id AND j.state = 'scheduled' AND j.not_before <= v_now
      AND (j.not_after IS NULL OR j.not_after > v_now) AND j.flow <> 'interactive'
    ORDER BY j.priority DESC, j.job_id LIMIT 1;
  -- idle-poll:end
  RETURN FOUND;
END $$;


ALTER FUNCTION calib_private.may_claim(p_chip_id text, p_executor_id text, p_job_id bigint) OWNER TO calib_owner;

--
-- Name: may_execute(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.may_execute(p_chip_id text) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  RETURN EXISTS (SELECT FROM calib_private.executor_permissions p WHERE p.chip_id = p_chip_id
    AND calib_private.actor_is(p.role_name));
END $$;


ALTER FUNCTION calib_private.may_execute(p_chip_id text) OWNER TO calib_owner;

--
-- Name: memberships; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.memberships (
    project_id text NOT NULL,
    role_name regrole NOT NULL,
    username text NOT NULL,
    access text NOT NULL,
    CONSTRAINT memberships_access_check CHECK ((access = ANY (ARRAY['reader'::text, 'submitter'::text, 'operator'::text]))),
    CONSTRAINT username_form CHECK ((username ~ '^[a-z0-9][a-z0-9_-]{2,63}$'::text))
);


ALTER TABLE calib_private.memberships OWNER TO calib_owner;

--
-- Name: membership(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.membership(p_project_id text) RETURNS calib_private.memberships
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.membership(p_project_id text) OWNER TO calib_owner;

--
-- Name: merged_jobs(text[], text, text, integer); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.merged_jobs(p_sources text[], p_where text, p_order text, p_limit integer) RETURNS SETOF calib.found_job
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    SET seq_page_cost TO '0'
    SET random_page_cost TO '0'
    AS $$
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


ALTER FUNCTION calib_private.merged_jobs(p_sources text[], p_where text, p_order text, p_limit integer) OWNER TO calib_owner;

--
-- Name: next_execution_id(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.next_execution_id() RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_day date; v_first bigint; v_number bigint := nextval('calib_private.execution_numbers');
BEGIN
  SELECT (calib_private.now() AT TIME ZONE s.time_zone)::date INTO v_day FROM calib_private.settings s;
  LOOP
    SELECT d.first_number INTO v_first FROM calib_private.execution_days d WHERE d.day = v_day;
    EXIT WHEN v_number >= v_first;
    IF v_first IS NULL THEN
      INSERT INTO calib_private.execution_days (day, first_number) VALUES (v_day, v_number)
        ON CONFLICT DO NOTHING;
    ELSE  -- Drawn before that number: only a later one belongs to this day.
      v_number := nextval('calib_private.execution_numbers');
    END IF;
  END LOOP;
  v_number := v_number - v_first + 1;
  RETURN to_char(v_day, 'YYYYMMDD') || '-q' || lpad(v_number::text, greatest(3, length(v_number::text)), '0');
END $$;


ALTER FUNCTION calib_private.next_execution_id() OWNER TO calib_owner;

--
-- Name: next_position(text, timestamp with time zone, timestamp with time zone); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.next_position(p_part text, p_from timestamp with time zone, p_before timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
BEGIN
  RETURN CASE p_part
    WHEN 'jobs' THEN (SELECT j.finished_at FROM calib_private.jobs j WHERE j.finished_at >= p_from
      AND j.finished_at < p_before
      ORDER BY j.finished_at OFFSET calib_private.prune_window() LIMIT 1)
    WHEN 'events' THEN (SELECT e.at FROM calib_private.job_events e
      WHERE e.new_state IN ('completed', 'failed', 'cancelled') AND e.at >= p_from AND e.at < p_before
      ORDER BY e.at OFFSET calib_private.prune_window() LIMIT 1)
    WHEN 'figures' THEN (SELECT f.stored_at FROM calib_private.figures f WHERE f.stored_at >= p_from
      AND f.stored_at < p_before
      ORDER BY f.stored_at OFFSET calib_private.prune_window() LIMIT 1)
    WHEN 'raw_data' THEN (SELECT r.stored_at FROM calib_private.raw_data r WHERE r.stored_at >= p_from
      AND r.stored_at < p_before
      ORDER BY r.stored_at OFFSET calib_private.prune_window() LIMIT 1) END;
END $$;


ALTER FUNCTION calib_private.next_position(p_part text, p_from timestamp with time zone, p_before timestamp with time zone) OWNER TO calib_owner;

--
-- Name: note_pair(text, jsonb); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.note_pair(p_name text, p_value jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  RETURN CASE jsonb_typeof(p_value) WHEN 'number' THEN p_name || '=' || trim_scale(p_value::numeric)
    WHEN 'string' THEN p_name || '=' || (p_value #>> '{}') WHEN 'boolean' THEN p_name || '=' || p_value END;
END $$;


ALTER FUNCTION calib_private.note_pair(p_name text, p_value jsonb) OWNER TO calib_owner;

--
-- Name: notify(text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.notify(p_channel text, p_payload text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF pg_notification_queue_usage() < 0.8 THEN PERFORM pg_notify(p_channel, p_payload); END IF;
END $$;


ALTER FUNCTION calib_private.notify(p_channel text, p_payload text) OWNER TO calib_owner;

--
-- Name: one_line(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.one_line(p_text text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT regexp_replace(p_text,
      E'[\\x01-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]', '?', 'g')
$$;


ALTER FUNCTION calib_private.one_line(p_text text) OWNER TO calib_owner;

--
-- Name: operates(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.operates(p_project_id text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT calib_private.actor_is('calib_operator')
     AND (calib_private.actor_is('calib_admin')
         OR coalesce((calib_private.membership(p_project_id)).access = 'operator', false))
$$;


ALTER FUNCTION calib_private.operates(p_project_id text) OWNER TO calib_owner;

--
-- Name: own_username(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.own_username(p_project_id text) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.own_username(p_project_id text) OWNER TO calib_owner;

--
-- Name: parameter_owner(text, text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.parameter_owner(p_chip_id text, p_qid text, p_role text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
  SELECT coalesce(substring(p_role FROM '^[0-9]+$'),
    (SELECT CASE p_role WHEN 'control' THEN split_part(p_qid, '-', 1)
      WHEN 'target' THEN split_part(p_qid, '-', 2) END FROM calib_private.couplings k
      WHERE k.chip_id = p_chip_id AND k.qid = ANY (calib_private.in_both_directions(p_qid))), p_qid)
$_$;


ALTER FUNCTION calib_private.parameter_owner(p_chip_id text, p_qid text, p_role text) OWNER TO calib_owner;

--
-- Name: place_couplings(text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.place_couplings(p_chip_id text, p_topology text) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  INSERT INTO calib_private.couplings (chip_id, qid, control, target)
  SELECT p_chip_id, a.qid || '-' || b.qid, a.qid, b.qid
    FROM calib_private.qubits a JOIN calib_private.qubits b
      ON a.chip_id = b.chip_id AND abs(a.grid_row - b.grid_row) + abs(a.grid_column - b.grid_column) = 1
   WHERE a.chip_id = p_chip_id
     AND CASE WHEN p_topology LIKE 'square%' THEN a.qid::integer % 4 IN (0, 3)
         ELSE a.qid::integer < b.qid::integer END
$$;


ALTER FUNCTION calib_private.place_couplings(p_chip_id text, p_topology text) OWNER TO calib_owner;

--
-- Name: place_qubits(text, text, integer); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.place_qubits(p_chip_id text, p_topology text, p_n integer) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  INSERT INTO calib_private.qubits (chip_id, qid, grid_row, grid_column, mux)
  SELECT p_chip_id, q::text,
    CASE WHEN square THEN 2 * (q / 4 / muxes) + q % 4 / 2 ELSE 0 END,
    CASE WHEN square THEN 2 * (q / 4 % muxes) + q % 2 ELSE q END,
    CASE WHEN square THEN q / 4 END
    FROM generate_series(0, p_n - 1) q,
      (SELECT p_topology LIKE 'square%' AS square, greatest(1, sqrt(p_n)::integer / 2) AS muxes) shape
$$;


ALTER FUNCTION calib_private.place_qubits(p_chip_id text, p_topology text, p_n integer) OWNER TO calib_owner;

--
-- Name: plain_unit(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.plain_unit(p_unit text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  RETURN CASE WHEN p_unit IN ('a.u.', '–', '-', 'rad') THEN '' WHEN p_unit = 'us' THEN 'μs'
    WHEN p_unit = 'deg' THEN 'degree' ELSE replace(p_unit, 'µ', 'μ') END;
END $$;


ALTER FUNCTION calib_private.plain_unit(p_unit text) OWNER TO calib_owner;

--
-- Name: prune_events(timestamp with time zone, timestamp with time zone, integer); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.prune_events(p_from timestamp with time zone, p_before timestamp with time zone, p_max integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
  v_job_ids bigint[]; v_count bigint;
BEGIN
  v_job_ids := ARRAY(
    SELECT s.job_id FROM (SELECT e.job_id FROM calib_private.job_events e
      WHERE e.new_state IN ('completed', 'failed', 'cancelled') AND e.at >= p_from AND e.at < p_before
      ORDER BY e.at LIMIT calib_private.prune_window()) oldest
      JOIN calib_private.settled_jobs s USING (job_id) WHERE s.finished_at < p_before
        LIMIT p_max FOR UPDATE OF s SKIP LOCKED);
  IF v_job_ids = '{}' THEN RETURN 0; END IF;
  DELETE FROM calib_private.job_events e USING calib_private.settled_jobs s WHERE s.job_id = ANY (v_job_ids)
    AND e.job_id = s.job_id;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;


ALTER FUNCTION calib_private.prune_events(p_from timestamp with time zone, p_before timestamp with time zone, p_max integer) OWNER TO calib_owner;

--
-- Name: prune_executors(integer); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.prune_executors(p_max integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
DECLARE
  v_before timestamptz := calib_private.now() - interval '7 days'; v_count bigint;
BEGIN
  DELETE FROM calib_private.executors e WHERE e.executor_id = ANY (ARRAY(
    SELECT o.executor_id FROM calib_private.executors o
     WHERE o.started_at < v_before AND o.last_seen_at < v_before
       AND NOT EXISTS (SELECT FROM calib_private.leases l WHERE l.chip_id = o.chip_id
           AND l.executor_id = o.executor_id)
     ORDER BY o.started_at LIMIT p_max FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;


ALTER FUNCTION calib_private.prune_executors(p_max integer) OWNER TO calib_owner;

--
-- Name: prune_figures(timestamp with time zone, timestamp with time zone, integer); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.prune_figures(p_from timestamp with time zone, p_before timestamp with time zone, p_max integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
  v_task_run_ids uuid[]; v_count bigint;
BEGIN
  v_task_run_ids := ARRAY(
    SELECT t.task_run_id FROM (SELECT f.task_run_id FROM calib_private.figures f WHERE f.stored_at >= p_from
        AND f.stored_at < p_before
      ORDER BY f.stored_at LIMIT calib_private.prune_window()) oldest
      JOIN calib_private.task_runs t USING (task_run_id) JOIN calib_private.settled_jobs s USING (job_id)
     WHERE s.finished_at < p_before LIMIT p_max FOR UPDATE OF s SKIP LOCKED);
  IF v_task_run_ids = '{}' THEN RETURN 0; END IF;
  DELETE FROM calib_private.figures f USING calib_private.task_runs t JOIN calib_private.settled_jobs s
    USING (job_id)
   WHERE t.task_run_id = ANY (v_task_run_ids) AND f.task_run_id = t.task_run_id;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;


ALTER FUNCTION calib_private.prune_figures(p_from timestamp with time zone, p_before timestamp with time zone, p_max integer) OWNER TO calib_owner;

--
-- Name: prune_jobs(timestamp with time zone, timestamp with time zone, integer); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.prune_jobs(p_from timestamp with time zone, p_before timestamp with time zone, p_max integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
  v_job_ids bigint[]; v_count bigint;
BEGIN
  v_job_ids := ARRAY(
    SELECT s.job_id FROM (SELECT j.job_id FROM calib_private.jobs j WHERE j.finished_at >= p_from
        AND j.finished_at < p_before
      ORDER BY j.finished_at LIMIT calib_private.prune_window()) oldest
      JOIN calib_private.settled_jobs s USING (job_id) LIMIT p_max FOR UPDATE OF s SKIP LOCKED);
  IF v_job_ids = '{}' THEN RETURN 0; END IF;
  DELETE FROM calib_private.jobs j USING calib_private.settled_jobs s WHERE j.job_id = ANY (v_job_ids)
    AND s.job_id = j.job_id;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;


ALTER FUNCTION calib_private.prune_jobs(p_from timestamp with time zone, p_before timestamp with time zone, p_max integer) OWNER TO calib_owner;

--
-- Name: prune_part(text, timestamp with time zone, integer); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.prune_part(p_part text, p_before timestamp with time zone, p_max integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_begun timestamptz := (SELECT p.position FROM calib_private.prune_positions p WHERE p.part = p_part);
  v_position timestamptz := v_begun; v_next timestamptz; v_count bigint; v_was_at_end boolean := false;
BEGIN
  FOR v_window IN 1..10 LOOP
    v_count := CASE p_part WHEN 'jobs' THEN calib_private.prune_jobs(v_position, p_before, p_max)
      WHEN 'events' THEN calib_private.prune_events(v_position, p_before, p_max)
      WHEN 'figures' THEN calib_private.prune_figures(v_position, p_before, p_max)
      WHEN 'raw_data' THEN calib_private.prune_raw_data(v_position, p_before, p_max) END;
    EXIT WHEN v_count > 0;
    v_next := calib_private.next_position(p_part, v_position, p_before);
    v_was_at_end := v_was_at_end OR v_next IS NULL;
    v_position := coalesce(v_next, '-infinity');
    EXIT WHEN v_was_at_end AND v_position >= v_begun;
  END LOOP;
  IF v_position <> v_begun THEN
    -- Another prune that has just moved it is not waited for.
    UPDATE calib_private.prune_positions p SET position = v_position WHERE p.part = ANY (ARRAY(
      SELECT o.part FROM calib_private.prune_positions o WHERE o.part = p_part
          FOR NO KEY UPDATE SKIP LOCKED));
  END IF;
  RETURN v_count;
END $$;


ALTER FUNCTION calib_private.prune_part(p_part text, p_before timestamp with time zone, p_max integer) OWNER TO calib_owner;

--
-- Name: prune_raw_data(timestamp with time zone, timestamp with time zone, integer); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.prune_raw_data(p_from timestamp with time zone, p_before timestamp with time zone, p_max integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
  v_task_run_ids uuid[]; v_count bigint;
BEGIN
  v_task_run_ids := ARRAY(
    SELECT t.task_run_id FROM (SELECT r.task_run_id FROM calib_private.raw_data r WHERE r.stored_at >= p_from
        AND r.stored_at < p_before
      ORDER BY r.stored_at LIMIT calib_private.prune_window()) oldest
      JOIN calib_private.task_runs t USING (task_run_id) JOIN calib_private.settled_jobs s USING (job_id)
     WHERE s.finished_at < p_before LIMIT p_max FOR UPDATE OF s SKIP LOCKED);
  IF v_task_run_ids = '{}' THEN RETURN 0; END IF;
  DELETE FROM calib_private.raw_data r USING calib_private.task_runs t JOIN calib_private.settled_jobs s
    USING (job_id)
   WHERE t.task_run_id = ANY (v_task_run_ids) AND r.task_run_id = t.task_run_id;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;


ALTER FUNCTION calib_private.prune_raw_data(p_from timestamp with time zone, p_before timestamp with time zone, p_max integer) OWNER TO calib_owner;

--
-- Name: prune_window(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.prune_window() RETURNS integer
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT 10000
$$;


ALTER FUNCTION calib_private.prune_window() OWNER TO calib_owner;

--
-- Name: put_parameter(text, text, text, jsonb, text, uuid, text, boolean); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.put_parameter(p_chip_id text, p_qid text, p_name text, p_value jsonb, p_source text, p_task_run_id uuid, p_reason text, p_force boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  v_now timestamptz; v_from timestamptz; v_unit text; v_forced boolean;
  v_value double precision := calib_private.finite_number(p_value, 'value', p_name);
  v_error double precision := CASE WHEN p_value ? 'error' THEN calib_private.finite_number(p_value, 'error',
    p_name) ELSE 0 END;
BEGIN
  IF NOT EXISTS (SELECT FROM calib_private.qubits q WHERE q.chip_id = p_chip_id AND q.qid = p_qid
    UNION ALL SELECT FROM calib_private.couplings k
      WHERE k.chip_id = p_chip_id AND k.qid = ANY (calib_private.in_both_directions(p_qid))) THEN
    PERFORM calib_private.refuse('CQ001', 'qid', format('chip "%s" has no qubit or coupling %s', p_chip_id,
      calib_private.shown(p_qid)));
  ELSIF p_name IS NULL OR p_name !~ '^[a-z][a-z0-9_]{0,62}$' THEN
    PERFORM calib_private.refuse('CQ007', 'name',
      format('parameter name: expected lower-case letters, digits and _, got %s',
      calib_private.shown(p_name)));
  ELSIF v_error < 0 THEN
    PERFORM calib_private.refuse('CQ007', 'error',
      format('parameter %s: expected an error of at least 0, got %s', p_name, v_error));
  ELSIF p_value ->> 'value_type' = 'int' AND v_value <> trunc(v_value) THEN
    PERFORM calib_private.refuse('CQ007', 'value',
      format('parameter %s: expected a whole number, as its value_type is int, got %s', p_name, v_value));
  END IF;
  SELECT * INTO v_unit, v_forced
    FROM calib_private.check_known_value(p_chip_id, p_name, v_value, p_value ->> 'unit', p_force);
  v_now := calib_private.now();
  UPDATE calib_private.parameter_versions p SET valid = tstzrange(lower(p.valid),
      greatest(v_now, lower(p.valid) + interval '1 microsecond'))
   WHERE p.chip_id = p_chip_id AND p.qid = p_qid AND p.name = p_name AND upper_inf(p.valid)
       RETURNING upper(p.valid) INTO v_from;
  INSERT INTO calib_private.parameter_versions (chip_id, qid, name, value, value_type, error, unit,
    description, valid, source, task_run_id, actor, reason)
  VALUES (p_chip_id, p_qid, p_name, v_value, CASE WHEN p_value ->> 'value_type' = 'int' THEN 'int'
    ELSE 'float' END, v_error, v_unit, coalesce(p_value ->> 'description', ''),
    tstzrange(coalesce(v_from, v_now), NULL), p_source, p_task_run_id, calib_private.actor(),
    CASE WHEN v_forced AND p_source <> 'task' THEN 'forced: ' ELSE '' END || p_reason);
END $_$;


ALTER FUNCTION calib_private.put_parameter(p_chip_id text, p_qid text, p_name text, p_value jsonb, p_source text, p_task_run_id uuid, p_reason text, p_force boolean) OWNER TO calib_owner;

--
-- Name: refuse(text, text, text, text, text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.refuse(p_code text, p_column text, p_message text, p_hint text DEFAULT NULL::text, p_detail text DEFAULT NULL::text, p_constraint text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_column text := coalesce(p_column, ''); v_constraint text := coalesce(p_constraint, '');
  v_message text := calib_private.one_line(left(p_message, 600));
    v_hint text := calib_private.one_line(left(p_hint, 600));
BEGIN
  IF v_hint IS NULL AND p_detail IS NULL THEN
    RAISE EXCEPTION '%', v_message USING ERRCODE = p_code, COLUMN = v_column, CONSTRAINT = v_constraint,
      SCHEMA = 'calib';
  ELSIF p_detail IS NULL THEN
    RAISE EXCEPTION '%', v_message USING ERRCODE = p_code, COLUMN = v_column, CONSTRAINT = v_constraint,
      SCHEMA = 'calib', HINT = v_hint;
  ELSIF v_hint IS NULL THEN
    RAISE EXCEPTION '%', v_message USING ERRCODE = p_code, COLUMN = v_column, CONSTRAINT = v_constraint,
      SCHEMA = 'calib', DETAIL = p_detail;
  ELSE
    RAISE EXCEPTION '%', v_message USING ERRCODE = p_code, COLUMN = v_column, CONSTRAINT = v_constraint,
      SCHEMA = 'calib', HINT = v_hint, DETAIL = p_detail;
  END IF;
END $$;


ALTER FUNCTION calib_private.refuse(p_code text, p_column text, p_message text, p_hint text, p_detail text, p_constraint text) OWNER TO calib_owner;

--
-- Name: refuse_system_columns(calib.jobs); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.refuse_system_columns(p_new calib.jobs) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.refuse_system_columns(p_new calib.jobs) OWNER TO calib_owner;

--
-- Name: register_flow(text, text, jsonb); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.register_flow(p_chip_id text, p_version text, p_flow jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  v_name text := p_flow ->> 'flow';
BEGIN
  IF v_name IS NULL OR v_name !~ '^[a-z][a-z0-9_-]{0,62}$' THEN
    PERFORM calib_private.refuse('CQ022', 'flow',
      format('flow name: expected lower-case letters, digits, _ and -, got %s', calib_private.shown(v_name)));
  ELSIF NOT coalesce(p_flow -> 'on_cancellation', '[]') ? 'on_flow_cancellation' THEN
    PERFORM calib_private.refuse('CQ022', 'flow',
      format('flow "%s" does not register on_flow_cancellation', v_name),
        'Decorate it with @flow(on_cancellation=[on_flow_cancellation]).');
  END IF;
  PERFORM calib_private.require_shape('flow ' || v_name, p_flow, 'flow', 'CQ022');
  INSERT INTO calib_private.flows AS f (chip_id, flow, description, schema, repeatable, timeout_seconds,
    version, registered_by, registered_at)
  VALUES (p_chip_id, v_name, coalesce(p_flow ->> 'description', ''),
    calib_private.flat_schema(p_flow -> 'schema', format('flow "%s"', v_name)),
    (p_flow ->> 'repeatable')::boolean, (p_flow ->> 'timeout_seconds')::numeric::integer, p_version,
      calib_private.actor(), calib_private.now())
  ON CONFLICT (chip_id, flow) DO UPDATE SET description = excluded.description, schema = excluded.schema,
     repeatable = excluded.repeatable, timeout_seconds = excluded.timeout_seconds, version = excluded.version,
     registered_by = excluded.registered_by, registered_at = excluded.registered_at;
END $_$;


ALTER FUNCTION calib_private.register_flow(p_chip_id text, p_version text, p_flow jsonb) OWNER TO calib_owner;

--
-- Name: register_task(text, text, jsonb); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.register_task(p_chip_id text, p_version text, p_task jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.require_shape('task', p_task, 'task', 'CQ022');
  INSERT INTO calib_private.tasks AS t (chip_id, task, task_type, description, schema, input_parameters,
    output_parameters, outputs, version, registered_by, registered_at)
  VALUES (p_chip_id, p_task ->> 'task', p_task ->> 'task_type', coalesce(p_task ->> 'description', ''),
    calib_private.flat_schema(p_task -> 'schema', format('task "%s"', p_task ->> 'task')),
    ARRAY(SELECT jsonb_array_elements_text(p_task -> 'input_parameters')),
    ARRAY(SELECT jsonb_array_elements_text(p_task -> 'output_parameters')),
    coalesce(nullif(p_task -> 'outputs', '[]'), (SELECT jsonb_agg(jsonb_build_object('name', n))
        FROM jsonb_array_elements_text(p_task -> 'output_parameters') n), '[]'),
    p_version, calib_private.actor(), calib_private.now())
  ON CONFLICT (chip_id, task) DO UPDATE SET task_type = excluded.task_type,
    description = excluded.description,
     schema = excluded.schema, input_parameters = excluded.input_parameters,
     output_parameters = excluded.output_parameters, outputs = excluded.outputs, version = excluded.version,
       registered_by = excluded.registered_by, registered_at = excluded.registered_at;
END $$;


ALTER FUNCTION calib_private.register_task(p_chip_id text, p_version text, p_task jsonb) OWNER TO calib_owner;

--
-- Name: request_cancel(bigint, text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.request_cancel(p_job_id bigint, p_mode text, p_reason text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_job calib_private.jobs; v_verdict text; v_answer text;
  v_why text := 'it had already ended and was pruned';
BEGIN
  LOOP
    SELECT * INTO v_job FROM calib_private.jobs j WHERE j.job_id = p_job_id;
    EXIT WHEN v_job.state IS DISTINCT FROM 'scheduled';
    IF calib_private.cancel_before_start(p_job_id, p_mode, p_reason) THEN RETURN 'cancelled'; END IF;
  END LOOP;
  v_verdict := calib_private.verdict(p_job_id);
  IF v_job.state = 'running' AND v_verdict IS NULL THEN
    -- Another session's cancel of the job waits until this transaction ends.
    PERFORM calib_private.bound_transaction();
    v_answer := calib_private.store_cancel(p_job_id, p_mode, p_reason);
    IF v_answer = 'requested' THEN
      PERFORM calib_private.wake_chip(v_job.chip_id, 'cancel:' || p_job_id);
    END IF;
    RETURN v_answer;
  END IF;
  -- A job that is being pruned at this moment keeps no event, and must not undo a bulk cancel.
  PERFORM FROM calib_private.jobs j WHERE j.job_id = p_job_id FOR KEY SHARE SKIP LOCKED;
  IF FOUND THEN
    PERFORM calib_private.write_event(p_job_id, 'cancel_too_late',
      jsonb_build_object('mode', p_mode, 'reason', p_reason));
  END IF;
  -- No job: the statement still sees it, but a prune has committed meanwhile.
  IF v_job.finished_at IS NOT NULL THEN
    v_why := format('it had already ended (%s) at %s', v_job.state,
      to_char(v_job.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'));
  ELSIF v_verdict IS NOT NULL THEN v_why := format('it is just ending (%s)', v_verdict); END IF;
  RAISE WARNING 'job % was not cancelled: %', p_job_id, v_why
    USING ERRCODE = 'CQ011', COLUMN = 'cancel_requested';
  RETURN 'ended';
END $$;


ALTER FUNCTION calib_private.request_cancel(p_job_id bigint, p_mode text, p_reason text) OWNER TO calib_owner;

--
-- Name: require_age(text, interval); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_age(p_column text, p_age interval) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF p_age NOT BETWEEN interval '1 hour' AND interval '100 years' THEN
    PERFORM calib_private.refuse('CQ007', p_column,
      format('%s: expected an age from 1 hour to 100 years, got %s', p_column, p_age),
        'NULL keeps everything.');
  END IF;
END $$;


ALTER FUNCTION calib_private.require_age(p_column text, p_age interval) OWNER TO calib_owner;

--
-- Name: require_backend(calib_private.chips, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_backend(p_chip calib_private.chips, p_backend text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF p_chip.backend IS DISTINCT FROM p_backend THEN
    PERFORM calib_private.refuse('CQ021', 'backend',
      format('chip "%s" is driven by backend "%s": an executor of backend %s is refused, so that simulated '
      'values never enter a real chip''s history', p_chip.chip_id, p_chip.backend,
        calib_private.shown(p_backend)));
  END IF;
END $$;


ALTER FUNCTION calib_private.require_backend(p_chip calib_private.chips, p_backend text) OWNER TO calib_owner;

--
-- Name: require_chip(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_chip(p_chip_id text) RETURNS calib_private.chips
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_chip calib_private.chips;
BEGIN
  IF p_chip_id IS NULL THEN
    PERFORM calib_private.refuse('CQ007', 'chip_id', 'chip_id: expected the name of a chip, got nothing',
      'SELECT chip_id FROM calib.chips shows the chips there are.');
  END IF;
  SELECT * INTO v_chip FROM calib_private.chips c WHERE c.chip_id = p_chip_id;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ001', 'chip_id',
      format('unknown chip %s%s', calib_private.shown(p_chip_id),
      calib_private.suggestion(p_chip_id, ARRAY(SELECT c.chip_id FROM calib_private.chips c))),
        'SELECT chip_id FROM calib.chips shows the chips there are.');
  END IF;
  RETURN v_chip;
END $$;


ALTER FUNCTION calib_private.require_chip(p_chip_id text) OWNER TO calib_owner;

--
-- Name: require_claimable(bigint); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_claimable(p_job_id bigint) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF calib_private.actor_is('calib_executor') THEN RETURN; END IF;
  PERFORM calib_private.require_role('calib_notebook');
  IF NOT EXISTS (SELECT FROM calib_private.jobs j WHERE j.job_id = p_job_id AND j.flow = 'interactive'
      AND j.submitted_by = calib_private.actor()) THEN
    PERFORM calib_private.refuse('CQ003', 'job_id',
      format('%s may claim only interactive jobs of its own, by their number', calib_private.actor()));
  END IF;
END $$;


ALTER FUNCTION calib_private.require_claimable(p_job_id bigint) OWNER TO calib_owner;

--
-- Name: require_criteria(text, text, text, text, jsonb); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_criteria(p_state text, p_chip_id text, p_task text, p_qid text, p_note jsonb) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.require_criteria(p_state text, p_chip_id text, p_task text, p_qid text, p_note jsonb) OWNER TO calib_owner;

--
-- Name: require_executor(text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_executor(p_executor_id text, p_chip_id text) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.require_speaker();
  PERFORM FROM calib_private.executors e JOIN calib_private.executor_permissions p USING (chip_id)
    WHERE e.executor_id = p_executor_id AND e.chip_id = p_chip_id
      AND calib_private.actor_is(e.role_name) AND calib_private.actor_is(p.role_name);
  IF FOUND THEN RETURN; END IF;
  PERFORM calib_private.require_executor_permission(p_chip_id);
  PERFORM calib_private.refuse('CQ021', 'executor_id',
    format('executor %s is not registered for chip "%s"', calib_private.shown(p_executor_id), p_chip_id));
END $$;


ALTER FUNCTION calib_private.require_executor(p_executor_id text, p_chip_id text) OWNER TO calib_owner;

--
-- Name: require_executor_permission(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_executor_permission(p_chip_id text) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.require_speaker();
  IF NOT calib_private.may_execute(p_chip_id) THEN
    PERFORM calib_private.refuse('CQ021', 'chip_id',
      format('%s may not execute on chip %s', calib_private.actor(), calib_private.shown(p_chip_id)),
        format('Ask an administrator: qdash-queue executors allow %s %s.', calib_private.actor(), p_chip_id));
  END IF;
END $$;


ALTER FUNCTION calib_private.require_executor_permission(p_chip_id text) OWNER TO calib_owner;

--
-- Name: require_free_key(text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_free_key(p_project_id text, p_dedup_key text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.require_free_key(p_project_id text, p_dedup_key text) OWNER TO calib_owner;

--
-- Name: require_in_use(calib_private.chips); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_in_use(p_chip calib_private.chips) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF p_chip.retired_at IS NOT NULL THEN
    PERFORM calib_private.refuse('CQ010', 'chip_id',
      format('chip "%s" was retired by %s: it takes no jobs', p_chip.chip_id, p_chip.retired_by));
  END IF;
END $$;


ALTER FUNCTION calib_private.require_in_use(p_chip calib_private.chips) OWNER TO calib_owner;

--
-- Name: require_known_names(text, jsonb); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_known_names(p_name text, p_value jsonb) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  -- As QDash stores a value; where it comes from is noted anew.
  v_known text[] := ARRAY['value', 'error', 'unit', 'value_type', 'description', 'parameter_name', 'qid_role',
    'calibrated_at', 'execution_id', 'task_id'];
  v_key text;
BEGIN
  IF jsonb_typeof(p_value) <> 'object' THEN RETURN; END IF;
  FOR v_key IN SELECT k FROM jsonb_object_keys(p_value) k WHERE k <> ALL (v_known) ORDER BY k LOOP
    PERFORM calib_private.refuse('CQ007', 'values',
      format('parameter %s: unknown name %s%s', left(p_name, 64), calib_private.shown(v_key),
        calib_private.suggestion(v_key, v_known[1:5])));
  END LOOP;
END $$;


ALTER FUNCTION calib_private.require_known_names(p_name text, p_value jsonb) OWNER TO calib_owner;

--
-- Name: require_known_role(text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_known_role(p_role_name text, p_hint text) RETURNS regrole
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_role regrole := (SELECT r.oid FROM pg_roles r WHERE r.rolname::text = p_role_name);
BEGIN
  IF v_role IS NULL THEN
    PERFORM calib_private.refuse('CQ001', 'role_name',
      format('unknown database role %s', calib_private.shown(p_role_name)), p_hint);
  END IF;
  RETURN v_role;
END $$;


ALTER FUNCTION calib_private.require_known_role(p_role_name text, p_hint text) OWNER TO calib_owner;

--
-- Name: require_labelled_role(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_labelled_role(p_role_name text) RETURNS regrole
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_role regrole := calib_private.labelled_role(p_role_name);
BEGIN
  IF v_role IS NULL THEN
    PERFORM calib_private.refuse('CQ001', 'role_name',
      format('unknown database role %s', calib_private.shown(p_role_name)),
        'A role that was dropped goes by the number that stands in its place.');
  END IF;
  RETURN v_role;
END $$;


ALTER FUNCTION calib_private.require_labelled_role(p_role_name text) OWNER TO calib_owner;

--
-- Name: require_limit(text, integer, integer, integer); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_limit(p_name text, p_value integer, p_least integer, p_most integer) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF p_value NOT BETWEEN p_least AND p_most THEN
    PERFORM calib_private.refuse('CQ007', p_name,
      format('%s: expected %s to %s, got %s', p_name, p_least, p_most, p_value));
  END IF;
END $$;


ALTER FUNCTION calib_private.require_limit(p_name text, p_value integer, p_least integer, p_most integer) OWNER TO calib_owner;

--
-- Name: require_one_sweep(jsonb); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_one_sweep(p_tasks jsonb) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_tasks text[] := ARRAY(SELECT DISTINCT e ->> 'task' FROM jsonb_array_elements(p_tasks) e ORDER BY 1);
  v_twice text := (SELECT e ->> 'qid' FROM jsonb_array_elements(p_tasks) e GROUP BY 1 HAVING count(*) > 1
    ORDER BY 1 LIMIT 1);
BEGIN
  IF cardinality(v_tasks) <> 1 THEN
    PERFORM calib_private.refuse('CQ007', 'tasks',
      format('tasks: expected one task, on one qid or more, got %s',
      coalesce(nullif(array_to_string(v_tasks, ' and '), ''), 'none')));
  ELSIF v_twice IS NOT NULL THEN
    PERFORM calib_private.refuse('CQ007', 'tasks',
      format('tasks: expected every qid once, got %s twice', calib_private.shown(v_twice)));
  END IF;
END $$;


ALTER FUNCTION calib_private.require_one_sweep(p_tasks jsonb) OWNER TO calib_owner;

--
-- Name: require_operator(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_operator(p_what text) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.require_operator(p_what text) OWNER TO calib_owner;

--
-- Name: require_project(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_project(p_project_id text) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM calib_private.projects p WHERE p.project_id = p_project_id) THEN
    PERFORM calib_private.refuse('CQ001', 'project_id',
      format('unknown project %s%s', calib_private.shown(p_project_id),
        calib_private.suggestion(coalesce(p_project_id, ''),
        ARRAY(SELECT p.project_id FROM calib_private.projects p))));
  END IF;
END $$;


ALTER FUNCTION calib_private.require_project(p_project_id text) OWNER TO calib_owner;

--
-- Name: require_read_committed(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_read_committed(p_verb text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    PERFORM calib_private.refuse('CQ010', 'transaction_isolation',
      format('%s: expected a transaction of read committed, got %s', p_verb,
        current_setting('transaction_isolation')), 'Call it outside of a transaction.');
  END IF;
END $$;


ALTER FUNCTION calib_private.require_read_committed(p_verb text) OWNER TO calib_owner;

--
-- Name: require_reason(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_reason(p_reason text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF coalesce(length(trim(p_reason)), 0) NOT BETWEEN 1 AND 1000 THEN
    PERFORM calib_private.refuse('CQ007', 'reason',
      'reason: expected 1 to 1000 characters that say why');
  END IF;
END $$;


ALTER FUNCTION calib_private.require_reason(p_reason text) OWNER TO calib_owner;

--
-- Name: require_registered(bigint, text, jsonb); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_registered(p_job_id bigint, p_task text, p_outputs jsonb) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  v_chip_id text; v_declared text[]; v_names text[]; v_key text;
BEGIN
  SELECT j.chip_id INTO v_chip_id FROM calib_private.jobs j
   WHERE j.job_id = p_job_id AND j.flow <> 'interactive';
  IF NOT FOUND THEN RETURN; END IF;
  SELECT t.output_parameters, CASE WHEN jsonb_path_exists(t.outputs, '$[*].unit') THEN t.output_parameters
      || ARRAY(SELECT o ->> 'name' FROM jsonb_array_elements(t.outputs) o) END INTO v_declared, v_names
    FROM calib_private.tasks t WHERE t.chip_id = v_chip_id AND t.task = p_task;
  IF NOT FOUND THEN
    PERFORM calib_private.refuse('CQ001', 'task', format('task %s is not registered for chip "%s"%s',
      calib_private.shown(p_task), v_chip_id, calib_private.suggestion(p_task,
      ARRAY(SELECT t.task FROM calib_private.tasks t WHERE t.chip_id = v_chip_id))));
  END IF;
  SELECT e.key INTO v_key FROM jsonb_each(coalesce(p_outputs, '{}')) e
   WHERE e.key <> ALL (v_declared) AND regexp_replace(e.key, '^' || substring(e.value ->> 'qid_role'
       FROM '^[0-9]+$') || '_', '') = ANY (v_declared) IS NOT TRUE ORDER BY 1 LIMIT 1;
  IF NOT FOUND THEN
    v_declared := v_names;
    SELECT n INTO v_key FROM jsonb_each(coalesce(p_outputs, '{}')) e,
        nullif(e.value ->> 'parameter_name', '') n WHERE n <> ALL (v_names) ORDER BY 1 LIMIT 1;
  END IF;
  IF FOUND THEN
    PERFORM calib_private.refuse('CQ007', 'output_parameters', format('task %s declares no output %s%s',
      p_task, calib_private.shown(v_key), calib_private.suggestion(v_key, v_declared)));
  END IF;
END $_$;


ALTER FUNCTION calib_private.require_registered(p_job_id bigint, p_task text, p_outputs jsonb) OWNER TO calib_owner;

--
-- Name: require_role(regrole[]); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_role(VARIADIC p_roles regrole[]) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.require_role(VARIADIC p_roles regrole[]) OWNER TO calib_owner;

--
-- Name: require_shape(text, jsonb, text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_shape(p_name text, p_value jsonb, p_shape text, p_code text DEFAULT 'CQ007'::text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_schema jsonb := calib_private.shape(p_shape); v_wrong text;
BEGIN
  IF p_value IS NULL THEN
    v_wrong := format('%s: expected %s, got nothing', p_name, v_schema ->> 'type');
  ELSIF calib_private.unreadable(p_value) IS NOT NULL THEN
    v_wrong := format('%s: %s', p_name, calib_private.unreadable(p_value));
  ELSE
    v_wrong := (calib_private.check_value(p_value, v_schema, p_name, NULL)).message;
  END IF;
  IF v_wrong IS NOT NULL THEN PERFORM calib_private.refuse(p_code, p_name, v_wrong); END IF;
END $$;


ALTER FUNCTION calib_private.require_shape(p_name text, p_value jsonb, p_shape text, p_code text) OWNER TO calib_owner;

--
-- Name: require_speaker(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_speaker() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  UNLISTEN calib_never_used;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE EXCEPTION 'refused: called from inside a maintenance command (such as ANALYZE or REINDEX), where the '
    'session''s user % is not the caller', session_user USING ERRCODE = 'CQ003', SCHEMA = 'calib';
END $$;


ALTER FUNCTION calib_private.require_speaker() OWNER TO calib_owner;

--
-- Name: require_text(text, text, integer, integer); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.require_text(p_name text, p_text text, p_least integer, p_most integer) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF coalesce(length(p_text), -1) NOT BETWEEN p_least AND p_most THEN
    PERFORM calib_private.refuse('CQ007', p_name,
      format('%s: expected %s to %s characters, got %s', p_name, p_least, p_most, CASE
        WHEN length(p_text) > 60 THEN length(p_text)::text ELSE calib_private.shown(p_text) END));
  END IF;
END $$;


ALTER FUNCTION calib_private.require_text(p_name text, p_text text, p_least integer, p_most integer) OWNER TO calib_owner;

--
-- Name: role_label(regrole); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.role_label(p_role regrole) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT coalesce((SELECT r.rolname::text FROM pg_roles r WHERE r.oid = p_role), p_role::oid::text)
$$;


ALTER FUNCTION calib_private.role_label(p_role regrole) OWNER TO calib_owner;

--
-- Name: see_cancel(bigint); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.see_cancel(p_job_id bigint) RETURNS calib.cancel_request
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_cancel calib.cancel_request;
BEGIN
  SELECT max(k.mode), (array_agg(k.reason ORDER BY k.origin))[1],
    (array_agg(k.requested_by ORDER BY k.origin))[1] INTO v_cancel
    FROM calib_private.cancel_requests k WHERE k.job_id = p_job_id HAVING count(*) > 0;
  IF NOT FOUND THEN RETURN NULL; END IF;
  UPDATE calib_private.jobs j SET cancel_seen_at = calib_private.now(), version = j.version + 1
   WHERE j.job_id = p_job_id AND j.cancel_seen_at IS NULL;
  IF FOUND THEN
    PERFORM calib_private.write_event(p_job_id, 'cancel_seen',
      jsonb_build_object('mode', v_cancel.cancel_mode));
    PERFORM calib_private.mark_job(p_job_id);
  END IF;
  RETURN v_cancel;
END $$;


ALTER FUNCTION calib_private.see_cancel(p_job_id bigint) OWNER TO calib_owner;

--
-- Name: sees_all(name); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.sees_all(p_reader name) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT calib_private.has_role(p_reader, 'calib_admin') OR calib_private.has_role(p_reader, 'calib_mirror')
      OR calib_private.has_role(p_reader, 'calib_executor')
$$;


ALTER FUNCTION calib_private.sees_all(p_reader name) OWNER TO calib_owner;

--
-- Name: shape(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.shape(p_of text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
  SELECT CASE p_of
    WHEN 'tasks' THEN '{"type": "array", "maxItems": 500000, "items": {"type": "object", "required":
      ["task", "qid", "task_type"], "properties": {"task": {"type": "string", "minLength": 1, "maxLength":
      200}, "qid": {"type": "string", "maxLength": 200}, "task_type": {"enum": ["qubit", "coupling", "mux",
      "global", "system"]}, "repetition": {"type": ["integer", "null"], "minimum": 0, "maximum":
      32767}, "upstream_id": {"type": ["string", "null"], "pattern":
      "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"}, "input_parameters": {"type": "object"},
      "run_parameters": {"type": "object"}}}}'::jsonb
    WHEN 'result' THEN '{"type": "object", "properties": {"hardware_seconds": {"type": ["number", "null"],
      "minimum": 0, "maximum": 1000000000.0}, "persist_output_parameters": {"type": ["boolean", "null"]},
      "message": {"type": ["string", "null"], "maxLength": 10000}, "cause": {"type": ["string", "null"],
      "maxLength": 10000}, "remedy": {"type": ["string", "null"], "maxLength": 10000}, "failure_kind":
      {"type": ["string", "null"]}, "input_parameters": {"type": "object"}, "output_parameters": {"type":
      "object"}, "run_parameters": {"type": "object"}, "quality_metrics": {"type": "object"}, "note":
      {"type": "object"}}}'
    WHEN 'stage' THEN '{"type": "object", "required": ["name", "step", "status"], "additionalProperties":
      false, "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 200}, "step": {"type":
      "string", "minLength": 1, "maxLength": 200}, "mode": {"type": ["string", "null"], "maxLength": 200},
      "targets": {"type": "array", "maxItems": 10000, "items": {"type": "string", "maxLength": 200}},
      "status": {"enum": ["running", "completed", "failed", "cancelled", "skipped"]}, "result": {"type":
      "object"}, "message": {"type": ["string", "null"], "maxLength": 10000}}}'
    WHEN 'figures' THEN '{"type": "array", "maxItems": 1000, "items": {"type": "object", "required":
      ["name", "plotly"], "properties": {"name": {"type": "string", "maxLength": 200}, "plotly": {"type":
      "string"}}}}'
    WHEN 'raw_meta' THEN '{"type": "array", "maxItems": 1000, "items": {"type": "object", "required":
      ["name", "dtype", "shape", "unit"], "properties": {"name": {"type": "string", "maxLength": 200},
      "dtype": {"type": "string", "maxLength": 200}, "unit": {"type": "string", "maxLength": 200},
      "shape": {"type": "array", "maxItems": 32, "items": {"type": "integer", "minimum": 0, "maximum":
      2147483647}}}}}'
    WHEN 'flow' THEN '{"type": "object", "required": ["flow", "repeatable", "schema", "timeout_seconds"],
      "properties": {"flow": {"type": "string"}, "description": {"type": ["string", "null"], "maxLength":
      10000}, "repeatable": {"type": "boolean"}, "timeout_seconds": {"type": "integer", "minimum": 1,
      "maximum": 604800}, "on_cancellation": {"type": "array", "items": {"type": "string"}}}}'
    WHEN 'task' THEN '{"type": "object", "required": ["task", "task_type", "schema", "input_parameters",
      "output_parameters"], "properties": {"task": {"type": "string", "pattern":
      "^[A-Za-z][A-Za-z0-9]{0,62}$"}, "task_type": {"enum": ["qubit", "coupling", "mux", "global",
      "system"]}, "description": {"type": ["string", "null"], "maxLength": 10000}, "input_parameters":
      {"type": "array", "maxItems": 1000, "items": {"type": "string", "maxLength": 200}},
      "output_parameters": {"type": "array", "maxItems": 1000, "items": {"type": "string", "maxLength":
      200}}, "outputs": {"type": "array", "maxItems": 1000, "items": {"type": "object", "required": ["name",
      "unit", "kind"], "properties": {"name": {"type": "string", "maxLength": 200}, "unit": {"type": "string",
      "maxLength": 200}, "kind": {"enum": ["number", "integer"]}, "lower": {"type": ["number", "null"],
      "minimum": -1e300, "maximum": 1e300}, "upper": {"type": ["number", "null"], "minimum": -1e300,
      "maximum": 1e300}}}}}}'
    WHEN 'object' THEN '{"type": "object"}' WHEN 'array' THEN '{"type": "array"}' END
$_$;


ALTER FUNCTION calib_private.shape(p_of text) OWNER TO calib_owner;

--
-- Name: shown(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.shown(p_text text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT CASE WHEN p_text IS NULL THEN 'nothing'
    ELSE '"' || calib_private.one_line(left(p_text, 60))
      || CASE WHEN length(p_text) > 60 THEN '...' ELSE '' END || '"' END
$$;


ALTER FUNCTION calib_private.shown(p_text text) OWNER TO calib_owner;

--
-- Name: started_tasks(bigint, jsonb); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.started_tasks(p_job_id bigint, p_tasks jsonb) RETURNS SETOF calib.started_task
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT t.qid, t.task_run_id, t.sweep_id
    FROM calib_private.jobs j JOIN calib_private.task_runs t USING (job_id, attempt)
      JOIN jsonb_array_elements(p_tasks) WITH ORDINALITY AS e(item, n) ON t.task = e.item ->> 'task'
        AND t.qid = e.item ->> 'qid'
        AND t.repetition = coalesce((e.item ->> 'repetition')::numeric::smallint, 0)
   WHERE j.job_id = p_job_id AND t.status = 'running' AND t.sweep_id IS NOT NULL ORDER BY e.n
$$;


ALTER FUNCTION calib_private.started_tasks(p_job_id bigint, p_tasks jsonb) OWNER TO calib_owner;

--
-- Name: stopped_with(text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.stopped_with(p_state text, p_failure_kind text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT CASE p_state WHEN 'failed' THEN format('stopped with the job (%s)', p_failure_kind)
    WHEN 'scheduled' THEN format('stopped with its attempt (%s)', p_failure_kind)
    ELSE 'stopped with the job' END
$$;


ALTER FUNCTION calib_private.stopped_with(p_state text, p_failure_kind text) OWNER TO calib_owner;

--
-- Name: store_cancel(bigint, text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.store_cancel(p_job_id bigint, p_mode text, p_reason text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_old calib_private.cancel_requests;
BEGIN
  INSERT INTO calib_private.cancel_requests (job_id, origin, mode, reason, requested_by, requested_at)
  VALUES (p_job_id, 'client', p_mode, p_reason, calib_private.actor(), calib_private.now())
    ON CONFLICT DO NOTHING;
  IF FOUND THEN
    PERFORM calib_private.write_event(p_job_id, 'cancel_requested',
      jsonb_build_object('mode', p_mode, 'reason', p_reason));
    RETURN 'requested';
  END IF;
  SELECT * INTO v_old FROM calib_private.cancel_requests k WHERE k.job_id = p_job_id AND k.origin = 'client'
      FOR NO KEY UPDATE;
  IF v_old.mode = p_mode THEN RETURN 'requested_before'; END IF;
  IF p_mode = 'after_task' THEN RETURN 'weaker'; END IF;
  UPDATE calib_private.cancel_requests k SET mode = 'now', reason = p_reason WHERE k.job_id = p_job_id
      AND k.origin = 'client';
  PERFORM calib_private.write_event(p_job_id, 'cancel_escalated',
    jsonb_build_object('mode', p_mode, 'reason', p_reason));
  RETURN 'requested';
END $$;


ALTER FUNCTION calib_private.store_cancel(p_job_id bigint, p_mode text, p_reason text) OWNER TO calib_owner;

--
-- Name: store_figures(uuid, jsonb); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.store_figures(p_task_run_id uuid, p_figures jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_item jsonb; v_n smallint := 0;
BEGIN
  PERFORM calib_private.require_shape('figures', coalesce(p_figures, '[]'), 'figures');
  FOR v_item IN SELECT * FROM jsonb_array_elements(coalesce(p_figures, '[]')) LOOP
    IF octet_length(v_item ->> 'plotly') > 16777216 THEN
      PERFORM calib_private.refuse('CQ040', 'figures',
        format('figure "%s": expected at most 16 MiB of Plotly JSON, got %s bytes', v_item ->> 'name',
        octet_length(v_item ->> 'plotly')));
    END IF;
    INSERT INTO calib_private.figures (task_run_id, ordinal, name, plotly)
      VALUES (p_task_run_id, v_n, v_item ->> 'name', (v_item ->> 'plotly')::json);
    v_n := v_n + 1;
  END LOOP;
EXCEPTION WHEN invalid_text_representation OR untranslatable_character OR statement_too_complex THEN
  PERFORM calib_private.refuse('CQ007', 'figures',
    format('figure "%s": expected Plotly JSON, got no JSON that can be kept', v_item ->> 'name'));
END $$;


ALTER FUNCTION calib_private.store_figures(p_task_run_id uuid, p_figures jsonb) OWNER TO calib_owner;

--
-- Name: store_jobs(calib.jobs[]); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.store_jobs(p_jobs calib.jobs[]) RETURNS bigint[]
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.store_jobs(p_jobs calib.jobs[]) OWNER TO calib_owner;

--
-- Name: store_or_refuse(calib.jobs[]); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.store_or_refuse(p_jobs calib.jobs[]) RETURNS bigint[]
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.store_or_refuse(p_jobs calib.jobs[]) OWNER TO calib_owner;

--
-- Name: store_outputs(uuid); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.store_outputs(p_task_run_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  v_run calib_private.task_runs; v_chip_id text; v_name text; v_value jsonb;
BEGIN
  SELECT * INTO v_run FROM calib_private.task_runs t WHERE t.task_run_id = p_task_run_id;
  -- A multiplexer's number would be taken for the qubit of that number.
  IF v_run.task_type = 'mux' AND EXISTS (SELECT FROM jsonb_each(v_run.output_parameters) e
      WHERE e.value ->> 'qid_role' !~ '^[0-9]+$') THEN
    PERFORM calib_private.refuse('CQ007', 'output_parameters',
      format('task %s is about multiplexer %s: expected the number of a qubit as qid_role of each output',
      v_run.task, v_run.qid), 'With persist_output_parameters false they are kept in the task run only.');
  END IF;
  SELECT j.chip_id INTO v_chip_id FROM calib_private.jobs j WHERE j.job_id = v_run.job_id;
  PERFORM calib_private.lock_owners(v_chip_id, ARRAY(SELECT calib_private.parameter_owner(v_chip_id,
    v_run.qid, e.value ->> 'qid_role')
    FROM jsonb_each(v_run.output_parameters) e));
  FOR v_name, v_value IN SELECT coalesce(nullif(e.value ->> 'parameter_name', ''), e.key), e.value
    FROM jsonb_each(v_run.output_parameters) e LOOP
    PERFORM calib_private.put_parameter(v_chip_id,
      calib_private.parameter_owner(v_chip_id, v_run.qid, v_value ->> 'qid_role'), v_name, v_value, 'task',
      -- Neither the list nor a registered task has the name: it is of a caller's own task.
      p_task_run_id, '', NULL);
  END LOOP;
END $_$;


ALTER FUNCTION calib_private.store_outputs(p_task_run_id uuid) OWNER TO calib_owner;

--
-- Name: store_raw_data(uuid, jsonb, bytea[]); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.store_raw_data(p_task_run_id uuid, p_raw_meta jsonb, p_raw_data bytea[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_item jsonb; v_n integer := 0;
BEGIN
  PERFORM calib_private.require_shape('raw_meta', coalesce(p_raw_meta, '[]'), 'raw_meta');
  IF array_ndims(p_raw_data) > 1 OR array_lower(p_raw_data, 1) <> 1
      OR array_position(p_raw_data, NULL) IS NOT NULL
     OR coalesce(cardinality(p_raw_data), 0) <> jsonb_array_length(coalesce(p_raw_meta, '[]')) THEN
    PERFORM calib_private.refuse('CQ007', 'raw_data',
      format('raw_data: expected one byte string for each of the %s items of raw_meta',
      jsonb_array_length(coalesce(p_raw_meta, '[]'))));
  END IF;
  FOR v_item IN SELECT * FROM jsonb_array_elements(coalesce(p_raw_meta, '[]')) LOOP
    v_n := v_n + 1;
    IF octet_length(p_raw_data[v_n]) > 67108864 THEN
      PERFORM calib_private.refuse('CQ040', 'raw_data',
        format('raw data "%s": expected at most 64 MiB, got %s bytes', v_item ->> 'name',
        octet_length(p_raw_data[v_n])));
    END IF;
    INSERT INTO calib_private.raw_data (task_run_id, ordinal, name, dtype, shape, unit, data)
    VALUES (p_task_run_id, v_n - 1, v_item ->> 'name', v_item ->> 'dtype',
      ARRAY(SELECT jsonb_array_elements_text(v_item -> 'shape')::numeric::integer), v_item ->> 'unit',
        p_raw_data[v_n]);
  END LOOP;
END $$;


ALTER FUNCTION calib_private.store_raw_data(p_task_run_id uuid, p_raw_meta jsonb, p_raw_data bytea[]) OWNER TO calib_owner;

--
-- Name: stored_row(calib.jobs); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.stored_row(p_row calib.jobs) RETURNS calib.jobs
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_job calib_private.jobs; v_cancel calib_private.cancel_requests;
BEGIN
  SELECT * INTO v_job FROM calib_private.jobs j WHERE j.job_id = p_row.job_id;
  SELECT k.job_id, k.origin, max(k.mode) OVER (), k.reason, k.requested_by, k.requested_at INTO v_cancel
    FROM calib_private.cancel_requests k WHERE k.job_id = p_row.job_id
   ORDER BY k.origin <> 'client' LIMIT 1;
  -- A number and times that a transition or an edit sets; the rest of the row is what the statement said.
  p_row.state := v_job.state; p_row.version := v_job.version; p_row.finished_at := v_job.finished_at;
  p_row.priority := v_job.priority; p_row.not_before := v_job.not_before; p_row.not_after := v_job.not_after;
  p_row.timeout_seconds := v_job.timeout_seconds; p_row.tags := v_job.tags; p_row.note := v_job.note;
  p_row.cancel_requested := v_cancel.job_id IS NOT NULL; p_row.cancel_mode := v_cancel.mode;
  p_row.cancel_reason := v_cancel.reason; p_row.cancel_requested_by := v_cancel.requested_by;
  p_row.cancel_requested_at := v_cancel.requested_at;
  IF p_row.state <> 'scheduled' THEN p_row.waiting_for := NULL; END IF;
  RETURN p_row;
END $$;


ALTER FUNCTION calib_private.stored_row(p_row calib.jobs) OWNER TO calib_owner;

--
-- Name: suggestion(text, text[]); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.suggestion(p_word text, p_known text[]) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'calib_ext', 'pg_temp'
    AS $$
  SELECT coalesce(
    -- No name is longer than 64, and trigrams of a megabyte take seconds.
    (SELECT format(': did you mean "%s"?', k)
       FROM unnest(p_known) k, LATERAL (SELECT calib_ext.similarity(lower(k),
           lower(left(p_word, 100))) AS likeness) s
      WHERE likeness >= 0.3 ORDER BY likeness DESC, k LIMIT 1),
    CASE WHEN cardinality(p_known) = 0 THEN ': there is none yet'
      ELSE format(': expected one of %s', (SELECT string_agg(k, ', ' ORDER BY k) FROM
        (SELECT k FROM unnest(p_known) k ORDER BY k LIMIT 8) first_few))
        || CASE WHEN cardinality(p_known) > 8 THEN ', ...' ELSE '' END END)
$$;


ALTER FUNCTION calib_private.suggestion(p_word text, p_known text[]) OWNER TO calib_owner;

--
-- Name: sweep_cancelled(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.sweep_cancelled() RETURNS SETOF calib.swept_job
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_job calib_private.jobs;
BEGIN
  FOR v_job IN SELECT * FROM calib_private.jobs j WHERE j.state = 'scheduled' AND j.attempt > 0
    AND EXISTS (SELECT FROM calib_private.cancel_requests k WHERE k.job_id = j.job_id)
        FOR NO KEY UPDATE OF j SKIP LOCKED LOOP
    PERFORM calib_private.cancel_waiting(v_job.job_id);
    RETURN NEXT (v_job.job_id, v_job.chip_id, 'cancelled')::calib.swept_job;
  END LOOP;
END $$;


ALTER FUNCTION calib_private.sweep_cancelled() OWNER TO calib_owner;

--
-- Name: sweep_expired(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.sweep_expired() RETURNS SETOF calib.swept_job
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_job calib_private.jobs; v_now timestamptz := calib_private.now();
BEGIN
  FOR v_job IN SELECT * FROM calib_private.jobs j WHERE j.state = 'scheduled' AND j.not_after <= v_now
    ORDER BY j.not_after LIMIT 500 FOR NO KEY UPDATE SKIP LOCKED LOOP
    PERFORM calib_private.write_event(v_job.job_id, 'expired',
      jsonb_build_object('not_after', v_job.not_after));
    INSERT INTO calib_private.cancel_requests (job_id, origin, mode, reason, requested_by, requested_at)
    VALUES (v_job.job_id, 'queue', 'now', 'expired', 'calib_owner', v_now) ON CONFLICT DO NOTHING;
    PERFORM calib_private.cancel_waiting(v_job.job_id);
    RETURN NEXT (v_job.job_id, v_job.chip_id, 'cancelled')::calib.swept_job;
  END LOOP;
END $$;


ALTER FUNCTION calib_private.sweep_expired() OWNER TO calib_owner;

--
-- Name: sweep_leases(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.sweep_leases() RETURNS SETOF calib.swept_job
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_lease calib_private.leases; v_now timestamptz := calib_private.now(); v_state text;
BEGIN
  FOR v_lease IN SELECT * FROM calib_private.leases l WHERE l.expires_at < v_now
    FOR NO KEY UPDATE SKIP LOCKED LOOP
    PERFORM calib_private.write_event(v_lease.job_id, 'lease_expired',
      jsonb_build_object('executor_id', v_lease.executor_id));
    v_state := calib_private.end_by_policy(v_lease, 'lost',
      format('executor %s was lost: its lease ran out', v_lease.executor_id), true);
    RETURN NEXT (v_lease.job_id, v_lease.chip_id, v_state)::calib.swept_job;
  END LOOP;
END $$;


ALTER FUNCTION calib_private.sweep_leases() OWNER TO calib_owner;

--
-- Name: sweep_runs(bigint, jsonb); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.sweep_runs(p_job_id bigint, p_tasks jsonb) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_sweep calib_private.sweeps;
BEGIN
  SELECT s.* INTO v_sweep FROM calib_private.started_tasks(p_job_id, p_tasks) r
    JOIN calib_private.sweeps s USING (sweep_id) ORDER BY s.ended_at NULLS FIRST LIMIT 1;
  IF NOT FOUND THEN RETURN false; END IF;
  IF cardinality(v_sweep.targets) <> jsonb_array_length(p_tasks) OR v_sweep.targets <> ARRAY(
      SELECT r.qid FROM calib_private.started_tasks(p_job_id, p_tasks) r
       WHERE r.sweep_id = v_sweep.sweep_id) THEN
    IF v_sweep.ended_at IS NOT NULL THEN RETURN false; END IF;
    PERFORM calib_private.refuse('CQ010', 'tasks',
      format('task %s runs already in a sweep of %s: expected all of these, while all run, or none',
      v_sweep.task, array_to_string(v_sweep.targets, ', ')));
  END IF;
  RETURN true;
END $$;


ALTER FUNCTION calib_private.sweep_runs(p_job_id bigint, p_tasks jsonb) OWNER TO calib_owner;

--
-- Name: take_due_job(text, bigint); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.take_due_job(p_chip_id text, p_job_id bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_job_id bigint; v_now timestamptz := calib_private.now();
BEGIN
  LOOP
    IF p_job_id IS NULL THEN
      -- due-job:begin
      SELECT j.job_id INTO v_job_id FROM calib_private.jobs j
       WHERE j.chip_id = p_chip_id AND j.state = 'scheduled' AND j.not_before <= v_now
         AND (j.not_after IS NULL OR j.not_after > v_now) AND j.flow <> 'interactive'
       ORDER BY j.priority DESC, j.job_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
      -- due-job:end
    ELSE
      SELECT j.job_id INTO v_job_id FROM calib_private.jobs j
       WHERE j.job_id = p_job_id AND j.chip_id = p_chip_id AND j.state = 'scheduled' AND j.not_before <= v_now
         AND (j.not_after IS NULL OR j.not_after > v_now) FOR NO KEY UPDATE SKIP LOCKED;
    END IF;
    IF v_job_id IS NULL OR NOT EXISTS (SELECT FROM calib_private.cancel_requests k
        WHERE k.job_id = v_job_id) THEN
      RETURN v_job_id;
    END IF;
    PERFORM calib_private.cancel_waiting(v_job_id);
  END LOOP;
END $$;


ALTER FUNCTION calib_private.take_due_job(p_chip_id text, p_job_id bigint) OWNER TO calib_owner;

--
-- Name: task_key(text, text, text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.task_key(p_project_id text, p_chip_id text, p_task text, p_qid text) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  RETURN calib_private.job_key(p_project_id, 'task', concat_ws(chr(31), p_chip_id, p_task, p_qid));
END $$;


ALTER FUNCTION calib_private.task_key(p_project_id text, p_chip_id text, p_task text, p_qid text) OWNER TO calib_owner;

--
-- Name: topology_size(text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.topology_size(p_topology text) RETURNS integer
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
  SELECT CASE WHEN p_topology ~ '^(linear-[1-9][0-9]{0,3}|square-lattice-mux-(4|16|64|144|256|1024))$'
    THEN substring(p_topology FROM '[0-9]+$')::integer END
$_$;


ALTER FUNCTION calib_private.topology_size(p_topology text) OWNER TO calib_owner;

--
-- Name: touch_job(bigint); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.touch_job(p_job_id bigint) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  UPDATE calib_private.jobs j SET version = j.version + 1 WHERE j.job_id = p_job_id
$$;


ALTER FUNCTION calib_private.touch_job(p_job_id bigint) OWNER TO calib_owner;

--
-- Name: unreadable(jsonb); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.unreadable(p_json jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
END $_$;


ALTER FUNCTION calib_private.unreadable(p_json jsonb) OWNER TO calib_owner;

--
-- Name: unsupported(text, jsonb); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.unsupported(p_key text, p_rule jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  v_type text := jsonb_typeof(p_rule); v_word text := coalesce(p_rule #>> '{}', 'null');
BEGIN
  IF p_key <> ALL ('{title,description,default,examples,$ref,$defs,anyOf,type,enum,const,format,pattern,'
    'minimum,maximum,exclusiveMinimum,exclusiveMaximum,minLength,maxLength,minItems,maxItems,uniqueItems,'
    'items,properties,required,additionalProperties}') THEN
    RETURN '/' || p_key;
  END IF;
  RETURN '/' || p_key || CASE
    WHEN p_key IN ('properties', '$defs') AND v_type <> 'object' THEN ' (not an object)'
    WHEN p_key IN ('anyOf', 'enum', 'required') AND v_type <> 'array' THEN ' (not an array)'
    WHEN p_key = 'anyOf' AND p_rule = '[]' THEN ' (an empty array)'
    WHEN p_key = 'required' AND jsonb_path_exists(p_rule, '$[*] ? (@.type() != "string")')
      THEN ' (not an array of texts)'
    WHEN p_key ~ 'imum$' AND v_type <> 'number' THEN ' (not a number)'
    WHEN p_key ~ '^m..(Length|Items)$' AND (v_type <> 'number' OR v_word !~ '^[0-9]{1,9}$')
      THEN ' (not a count)'
    WHEN p_key = 'uniqueItems' AND v_type <> 'boolean' THEN ' (neither true nor false)'
    WHEN p_key = 'type' AND NOT
        '["null", "boolean", "integer", "number", "string", "array", "object"]' @> p_rule
      THEN format(' (%s)', left(p_rule::text, 60))
    WHEN p_key = 'format' AND v_word NOT IN ('qid', 'coupling', 'mux', 'task', 'run_parameters')
      THEN format(' ("%s")', left(v_word, 60))
    WHEN p_key = '$ref' AND v_word !~ '^#/\$defs/[A-Za-z0-9_.-]+$' THEN ' (only local #/$defs/...)'
    -- Without these a pattern takes one pass over a text, and less than a second to be understood.
    WHEN p_key = 'pattern' AND v_word ~ '\\[1-9]|\(\?<?[=!#]|\(\?[a-z]+\)|\)\{'
      THEN ' (refers back, looks around, sets an option or counts a group)'
    WHEN p_key = 'pattern' AND length(v_word) > 200 THEN ' (of more than 200 characters)'
    WHEN p_key = 'pattern' AND '' ~ v_word THEN NULL END;
EXCEPTION WHEN invalid_regular_expression THEN
  RETURN '/pattern (not a regular expression that the database understands)';
END $_$;


ALTER FUNCTION calib_private.unsupported(p_key text, p_rule jsonb) OWNER TO calib_owner;

--
-- Name: update_job(); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.update_job() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  v_message text; v_column text;
BEGIN
  PERFORM calib_private.require_speaker();
  IF calib_private.changed_job(OLD, NEW) THEN RETURN calib_private.stored_row(NEW); END IF;
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  IF SQLSTATE NOT LIKE 'CQ%' THEN RAISE; END IF;
  GET STACKED DIAGNOSTICS v_message = MESSAGE_TEXT, v_column = COLUMN_NAME;
  RAISE EXCEPTION '%', v_message USING ERRCODE = SQLSTATE, COLUMN = v_column, SCHEMA = 'calib',
    TABLE = 'jobs';
END $$;


ALTER FUNCTION calib_private.update_job() OWNER TO calib_owner;

--
-- Name: verdict(bigint); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.verdict(p_job_id bigint) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  RETURN (SELECT a.verdict FROM calib_private.jobs j JOIN calib_private.attempts a USING (job_id, attempt)
    WHERE j.job_id = p_job_id);
END $$;


ALTER FUNCTION calib_private.verdict(p_job_id bigint) OWNER TO calib_owner;

--
-- Name: wake_chip(text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.wake_chip(p_chip_id text, p_payload text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM calib_private.notify('calib_' || p_chip_id, p_payload);
END $$;


ALTER FUNCTION calib_private.wake_chip(p_chip_id text, p_payload text) OWNER TO calib_owner;

--
-- Name: wake_executor(bigint, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.wake_executor(p_job_id bigint, p_chip_id text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.wake_executor(p_job_id bigint, p_chip_id text) OWNER TO calib_owner;

--
-- Name: was_granted(oid, oid); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.was_granted(p_member oid, p_role oid) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


ALTER FUNCTION calib_private.was_granted(p_member oid, p_role oid) OWNER TO calib_owner;

--
-- Name: write_event(bigint, text, jsonb, text, text); Type: FUNCTION; Schema: calib_private; Owner: calib_owner
--

CREATE FUNCTION calib_private.write_event(p_job_id bigint, p_event text, p_detail jsonb DEFAULT '{}'::jsonb, p_old text DEFAULT NULL::text, p_new text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  INSERT INTO calib_private.job_events (job_id, actor, event, old_state, new_state, attempt, fence, detail)
  SELECT p_job_id, calib_private.actor(), p_event, p_old, p_new, nullif(j.attempt, 0), j.fence,
      coalesce(p_detail, '{}')
    FROM calib_private.jobs j WHERE j.job_id = p_job_id;
END $$;


ALTER FUNCTION calib_private.write_event(p_job_id bigint, p_event text, p_detail jsonb, p_old text, p_new text) OWNER TO calib_owner;

--
-- Name: attempts; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.attempts WITH (security_barrier='true') AS
 SELECT a.job_id,
    a.attempt,
    a.executor_id,
    a.flow_run_id,
    a.started_at,
    a.ended_at,
    a.verdict,
    a.outcome,
    a.failure_kind,
    a.failure_message,
    a.prefect_synced
   FROM (calib_private.attempts a
     JOIN calib_private.jobs j USING (job_id))
  WHERE (j.project_id = ANY (( SELECT calib_private.readable_projects(CURRENT_USER) AS readable_projects)::text[]));


ALTER VIEW calib.attempts OWNER TO calib_owner;

--
-- Name: VIEW attempts; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.attempts IS 'One row for each time a job was started, for members of its project.';


--
-- Name: COLUMN attempts.ended_at; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.attempts.ended_at IS 'When it ended. NULL: not yet.';


--
-- Name: COLUMN attempts.verdict; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.attempts.verdict IS 'Result as the executor recorded it: completed, failed or cancelled. The first one stands; NULL: none recorded.';


--
-- Name: COLUMN attempts.outcome; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.attempts.outcome IS 'How the attempt ended: completed, failed, cancelled, or requeued if the job waits for another attempt. NULL: not ended.';


--
-- Name: COLUMN attempts.prefect_synced; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.attempts.prefect_synced IS 'Whether Prefect shows the same outcome for the flow run.';


--
-- Name: chips; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.chips AS
 SELECT c.chip_id,
    c.backend,
    c.topology,
    c.n_qubits,
    c.paused,
    c.pause_reason,
    c.paused_by,
    c.paused_at,
    c.max_waiting,
    ( SELECT count(*) AS count
           FROM calib_private.jobs j
          WHERE ((j.chip_id = c.chip_id) AND (j.state = 'scheduled'::text))) AS jobs_waiting,
    l.job_id AS running_job_id,
    c.retired_at,
    c.retired_by,
    c.max_waiting_per_project,
    c.submitter_priority
   FROM (calib_private.chips c
     JOIN calib_private.leases l USING (chip_id));


ALTER VIEW calib.chips OWNER TO calib_owner;

--
-- Name: VIEW chips; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.chips IS 'Chips, what drives them, and whether they take jobs. pause_chip() and resume_chip() pause and resume.';


--
-- Name: COLUMN chips.backend; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.chips.backend IS 'What drives the chip: fake (simulated) or qubex. Fixed.';


--
-- Name: COLUMN chips.topology; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.chips.topology IS 'square-lattice-mux-N or linear-N, where N is the number of qubits. Fixed.';


--
-- Name: COLUMN chips.n_qubits; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.chips.n_qubits IS 'Number of qubits.';


--
-- Name: COLUMN chips.paused; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.chips.paused IS 'Whether the chip is paused: no job starts.';


--
-- Name: COLUMN chips.pause_reason; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.chips.pause_reason IS 'Why it is paused. NULL: not paused.';


--
-- Name: COLUMN chips.paused_by; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.chips.paused_by IS 'Database role that paused it. NULL: not paused.';


--
-- Name: COLUMN chips.paused_at; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.chips.paused_at IS 'When it was paused. NULL: not paused.';


--
-- Name: COLUMN chips.max_waiting; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.chips.max_waiting IS 'Number of scheduled jobs at which an INSERT is refused with CQ030.';


--
-- Name: COLUMN chips.jobs_waiting; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.chips.jobs_waiting IS 'Number of scheduled jobs, of all projects.';


--
-- Name: COLUMN chips.running_job_id; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.chips.running_job_id IS 'Job that holds the chip. NULL: the chip is free.';


--
-- Name: COLUMN chips.retired_at; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.chips.retired_at IS 'Since when it takes no jobs. NULL: it is in use.';


--
-- Name: COLUMN chips.retired_by; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.chips.retired_by IS 'Database role that retired it. NULL: it is in use.';


--
-- Name: COLUMN chips.max_waiting_per_project; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.chips.max_waiting_per_project IS 'Number of scheduled jobs of one project at which its INSERT is refused with CQ030. NULL: no limit of its own.';


--
-- Name: COLUMN chips.submitter_priority; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.chips.submitter_priority IS 'Highest priority that a submitter may give to a job; an operator of the project may give any.';


--
-- Name: couplings; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.couplings (
    chip_id text NOT NULL,
    qid text NOT NULL,
    control text NOT NULL,
    target text NOT NULL,
    CONSTRAINT coupling_qid_form CHECK (((qid = ((control || '-'::text) || target)) AND (control <> target)))
);


ALTER TABLE calib_private.couplings OWNER TO calib_owner;

--
-- Name: couplings; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.couplings AS
 SELECT chip_id,
    qid,
    control,
    target
   FROM calib_private.couplings;


ALTER VIEW calib.couplings OWNER TO calib_owner;

--
-- Name: VIEW couplings; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.couplings IS 'Couplings between neighbouring qubits of each chip, each once. A task may run on one with control and target exchanged: "1-0" for "0-1".';


--
-- Name: COLUMN couplings.control; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.couplings.control IS 'qid of the control qubit.';


--
-- Name: COLUMN couplings.target; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.couplings.target IS 'qid of the target qubit.';


--
-- Name: executor_permissions; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.executor_permissions (
    role_name regrole NOT NULL,
    chip_id text NOT NULL
);


ALTER TABLE calib_private.executor_permissions OWNER TO calib_owner;

--
-- Name: executor_permissions; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.executor_permissions AS
 SELECT calib_private.role_label(role_name) AS role_name,
    chip_id
   FROM calib_private.executor_permissions p;


ALTER VIEW calib.executor_permissions OWNER TO calib_owner;

--
-- Name: VIEW executor_permissions; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.executor_permissions IS 'Database roles that may execute jobs, and on which chip.';


--
-- Name: COLUMN executor_permissions.role_name; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.executor_permissions.role_name IS 'Database role; its number if it was dropped, which disallow_executor() takes too.';


--
-- Name: executors; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.executors (
    executor_id text NOT NULL,
    chip_id text NOT NULL,
    role_name regrole NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    condition text DEFAULT 'ready'::text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    stopped_at timestamp with time zone,
    CONSTRAINT executors_executor_id_check CHECK ((executor_id <> ''::text))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='100');


ALTER TABLE calib_private.executors OWNER TO calib_owner;

--
-- Name: executors; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.executors AS
 SELECT e.executor_id,
    e.chip_id,
    calib_private.role_label(e.role_name) AS role_name,
    e.host,
    e.pid,
    e.version,
    e.condition,
    e.started_at,
    e.last_seen_at,
    e.stopped_at,
    calib_private.alive(e.last_seen_at, e.stopped_at) AS alive,
    l.job_id
   FROM (calib_private.executors e
     LEFT JOIN calib_private.leases l ON (((l.chip_id = e.chip_id) AND (l.executor_id = e.executor_id))));


ALTER VIEW calib.executors OWNER TO calib_owner;

--
-- Name: VIEW executors; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.executors IS 'Starts of executor processes; prune() deletes those not seen for 7 days. job_id: the job that it runs, or NULL.';


--
-- Name: COLUMN executors.role_name; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.executors.role_name IS 'Database role under which the process runs.';


--
-- Name: COLUMN executors.host; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.executors.host IS 'Host on which the process runs.';


--
-- Name: COLUMN executors.pid; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.executors.pid IS 'Process id on that host.';


--
-- Name: COLUMN executors.version; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.executors.version IS 'Version of the executor program.';


--
-- Name: COLUMN executors.condition; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.executors.condition IS 'ready, or why it takes no work at present.';


--
-- Name: COLUMN executors.last_seen_at; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.executors.last_seen_at IS 'Last sign of life.';


--
-- Name: COLUMN executors.stopped_at; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.executors.stopped_at IS 'When it announced that it stops. NULL: it did not.';


--
-- Name: COLUMN executors.alive; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.executors.alive IS 'Not stopped, and its last sign of life is less than 30 seconds old.';


--
-- Name: figures; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.figures (
    figure_id bigint NOT NULL,
    task_run_id uuid NOT NULL,
    ordinal smallint NOT NULL,
    name text NOT NULL,
    plotly json NOT NULL,
    png bytea,
    render_error text,
    stored_at timestamp with time zone DEFAULT calib_private.now() NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='500', toast.autovacuum_vacuum_scale_factor='0.02', toast.autovacuum_vacuum_threshold='5000');


ALTER TABLE calib_private.figures OWNER TO calib_owner;

--
-- Name: task_runs; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.task_runs (
    task_run_id uuid DEFAULT gen_random_uuid() NOT NULL,
    job_id bigint NOT NULL,
    attempt smallint NOT NULL,
    task text NOT NULL,
    qid text NOT NULL,
    repetition smallint DEFAULT 0 NOT NULL,
    task_type text NOT NULL,
    status text DEFAULT 'scheduled'::text NOT NULL,
    ordinal integer NOT NULL,
    upstream_id uuid,
    started_at timestamp with time zone,
    ended_at timestamp with time zone,
    hardware_seconds double precision,
    message text DEFAULT ''::text NOT NULL,
    failure_kind text,
    cause text DEFAULT ''::text NOT NULL,
    remedy text DEFAULT ''::text NOT NULL,
    stack_trace text DEFAULT ''::text NOT NULL,
    input_parameters jsonb DEFAULT '{}'::jsonb NOT NULL,
    output_parameters jsonb DEFAULT '{}'::jsonb NOT NULL,
    run_parameters jsonb DEFAULT '{}'::jsonb NOT NULL,
    quality_metrics jsonb DEFAULT '{}'::jsonb NOT NULL,
    note jsonb DEFAULT '{}'::jsonb NOT NULL,
    sweep_id uuid,
    CONSTRAINT ended_iff_over CHECK (((ended_at IS NOT NULL) = (status = ANY (ARRAY['completed'::text, 'failed'::text, 'skipped'::text, 'cancelled'::text])))),
    CONSTRAINT failed_has_kind CHECK (((failure_kind IS NOT NULL) = (status = 'failed'::text))),
    CONSTRAINT failure_kind_known CHECK (calib_private.is_failure_kind(failure_kind)),
    CONSTRAINT task_runs_status_check CHECK ((status = ANY (ARRAY['scheduled'::text, 'running'::text, 'completed'::text, 'failed'::text, 'skipped'::text, 'cancelled'::text]))),
    CONSTRAINT task_runs_task_type_check CHECK ((task_type = ANY (ARRAY['qubit'::text, 'coupling'::text, 'mux'::text, 'global'::text, 'system'::text])))
)
WITH (fillfactor='80', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='500');


ALTER TABLE calib_private.task_runs OWNER TO calib_owner;

--
-- Name: figures; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.figures WITH (security_barrier='true') AS
 SELECT f.figure_id,
    f.task_run_id,
    t.job_id,
    t.attempt,
    t.task,
    t.qid,
    f.ordinal,
    f.name,
    f.plotly,
    f.png,
    f.render_error
   FROM ((calib_private.figures f
     JOIN calib_private.task_runs t USING (task_run_id))
     JOIN calib_private.jobs j USING (job_id))
  WHERE (j.project_id = ANY (( SELECT calib_private.readable_projects(CURRENT_USER) AS readable_projects)::text[]));


ALTER VIEW calib.figures OWNER TO calib_owner;

--
-- Name: VIEW figures; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.figures IS 'Figures of task runs, for members of the project.';


--
-- Name: COLUMN figures.figure_id; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.figures.figure_id IS 'Number of the figure.';


--
-- Name: COLUMN figures.ordinal; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.figures.ordinal IS 'Order of the figures of a task run, from 0.';


--
-- Name: COLUMN figures.name; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.figures.name IS 'Name of the figure.';


--
-- Name: COLUMN figures.plotly; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.figures.plotly IS 'The figure as Plotly JSON.';


--
-- Name: COLUMN figures.png; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.figures.png IS 'The figure as PNG image. NULL: not rendered yet, or render_error says why not.';


--
-- Name: COLUMN figures.render_error; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.figures.render_error IS 'Why there is no image. NULL: no error.';


--
-- Name: flows; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.flows AS
 SELECT chip_id,
    flow,
    description,
    schema,
    repeatable,
    timeout_seconds,
    version,
    registered_by,
    registered_at
   FROM calib_private.flows;


ALTER VIEW calib.flows OWNER TO calib_owner;

--
-- Name: VIEW flows; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.flows IS 'Flows that the executors of each chip can run, as last registered.';


--
-- Name: COLUMN flows.description; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.flows.description IS 'Description in words; may be empty.';


--
-- Name: COLUMN flows.schema; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.flows.schema IS 'JSON Schema of the arguments, against which they are checked.';


--
-- Name: COLUMN flows.repeatable; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.flows.repeatable IS 'Whether the flow may run again from the beginning after an attempt was lost.';


--
-- Name: COLUMN flows.version; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.flows.version IS 'Version of the executor that registered it.';


--
-- Name: COLUMN flows.registered_by; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.flows.registered_by IS 'Database role that registered it.';


--
-- Name: COLUMN flows.registered_at; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.flows.registered_at IS 'When it was registered.';


--
-- Name: job_counting; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.job_counting (
    only_row boolean DEFAULT true NOT NULL,
    counted_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    ended_until timestamp with time zone NOT NULL,
    next_until timestamp with time zone NOT NULL,
    next_xid xid8 NOT NULL,
    CONSTRAINT job_counting_only_row_check CHECK (only_row)
)
WITH (fillfactor='50');


ALTER TABLE calib_private.job_counting OWNER TO calib_owner;

--
-- Name: job_counts; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.job_counts (
    project_id text NOT NULL,
    chip_id text NOT NULL,
    state text NOT NULL,
    settled bigint NOT NULL,
    jobs bigint NOT NULL
)
WITH (fillfactor='50');


ALTER TABLE calib_private.job_counts OWNER TO calib_owner;

--
-- Name: job_counts; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.job_counts WITH (security_barrier='true') AS
 SELECT c.project_id,
    c.chip_id,
    c.state,
    c.jobs,
    k.counted_at
   FROM calib_private.job_counts c,
    calib_private.job_counting k
  WHERE ((c.jobs > 0) AND (c.project_id = ANY (( SELECT calib_private.readable_projects(CURRENT_USER) AS readable_projects)::text[])));


ALTER VIEW calib.job_counts OWNER TO calib_owner;

--
-- Name: VIEW job_counts; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.job_counts IS 'How many jobs of each project, chip and state there were at counted_at, for members of the project; counted by sweep(), about once a minute.';


--
-- Name: COLUMN job_counts.jobs; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.job_counts.jobs IS 'Number of jobs.';


--
-- Name: COLUMN job_counts.counted_at; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.job_counts.counted_at IS 'When they were counted, all at one time.';


--
-- Name: known_parameters; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.known_parameters AS
 SELECT name,
    unit,
    kind,
    lower,
    upper,
    description
   FROM calib_private.known_parameters;


ALTER VIEW calib.known_parameters OWNER TO calib_owner;

--
-- Name: VIEW known_parameters; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.known_parameters IS 'What a parameter has to be, by its name; where tasks of a chip declare a range or further names, these count (calib.tasks, outputs).';


--
-- Name: COLUMN known_parameters.name; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.known_parameters.name IS 'Name of the parameter.';


--
-- Name: COLUMN known_parameters.kind; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.known_parameters.kind IS 'number or integer.';


--
-- Name: COLUMN known_parameters.lower; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.known_parameters.lower IS 'Least value, in unit; NULL: none.';


--
-- Name: COLUMN known_parameters.upper; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.known_parameters.upper IS 'Greatest value, in unit; NULL: none.';


--
-- Name: memberships; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.memberships WITH (security_barrier='true') AS
 SELECT project_id,
    calib_private.role_label(role_name) AS role_name,
    username,
    access
   FROM calib_private.memberships m
  WHERE (project_id = ANY (( SELECT calib_private.readable_projects(CURRENT_USER) AS readable_projects)::text[]));


ALTER VIEW calib.memberships OWNER TO calib_owner;

--
-- Name: VIEW memberships; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.memberships IS 'Members of your projects and their access.';


--
-- Name: COLUMN memberships.role_name; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.memberships.role_name IS 'Database role of the member.';


--
-- Name: COLUMN memberships.access; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.memberships.access IS 'reader, submitter or operator, each with the rights of those before it.';


--
-- Name: outbox; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.outbox (
    mark_id bigint NOT NULL,
    job_id bigint,
    chip_id text,
    version integer DEFAULT 1 NOT NULL,
    marked_at timestamp with time zone NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    next_try_at timestamp with time zone NOT NULL,
    last_error text,
    refusals integer DEFAULT 0 NOT NULL,
    refused jsonb DEFAULT '[]'::jsonb NOT NULL,
    dead_at timestamp with time zone,
    announce boolean DEFAULT false NOT NULL,
    CONSTRAINT one_subject CHECK ((num_nonnulls(job_id, chip_id) = 1))
)
WITH (fillfactor='70', autovacuum_vacuum_threshold='100', autovacuum_vacuum_scale_factor='0');


ALTER TABLE calib_private.outbox OWNER TO calib_owner;

--
-- Name: mirror_lag; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.mirror_lag WITH (security_barrier='true') AS
 SELECT o.mark_id,
    o.job_id,
    o.chip_id,
    o.marked_at,
    (EXTRACT(epoch FROM (calib_private.now() - o.marked_at)))::double precision AS lag_seconds,
    o.attempts,
    o.next_try_at,
    o.last_error,
    o.refusals,
    o.refused,
    o.dead_at
   FROM (calib_private.outbox o
     LEFT JOIN calib_private.jobs j USING (job_id))
  WHERE ((o.job_id IS NULL) OR (j.project_id = ANY (( SELECT calib_private.readable_projects(CURRENT_USER) AS readable_projects)::text[])));


ALTER VIEW calib.mirror_lag OWNER TO calib_owner;

--
-- Name: VIEW mirror_lag; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.mirror_lag IS 'Marks: jobs and chips with changes that QDash does not have yet. Either job_id or chip_id is set, the other one is NULL.';


--
-- Name: COLUMN mirror_lag.mark_id; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.mirror_lag.mark_id IS 'Number of the mark.';


--
-- Name: COLUMN mirror_lag.marked_at; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.mirror_lag.marked_at IS 'Time of the oldest change that QDash does not have yet.';


--
-- Name: COLUMN mirror_lag.attempts; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.mirror_lag.attempts IS 'Number of tries since the mark was last done.';


--
-- Name: COLUMN mirror_lag.next_try_at; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.mirror_lag.next_try_at IS 'When it is tried next.';


--
-- Name: COLUMN mirror_lag.last_error; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.mirror_lag.last_error IS 'Why the last try failed. NULL: it did not.';


--
-- Name: COLUMN mirror_lag.refusals; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.mirror_lag.refusals IS 'How many times in succession MongoDB refused documents of the same rows.';


--
-- Name: COLUMN mirror_lag.refused; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.mirror_lag.refused IS 'JSON array of the refused documents: document, reason, remedy.';


--
-- Name: COLUMN mirror_lag.dead_at; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.mirror_lag.dead_at IS 'When it was set aside as a dead letter. NULL: it was not.';


--
-- Name: mirrors; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.mirrors (
    mirror_id text NOT NULL,
    role_name regrole NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    condition text DEFAULT 'ready'::text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    stopped_at timestamp with time zone,
    CONSTRAINT mirrors_mirror_id_check CHECK (((length(mirror_id) >= 1) AND (length(mirror_id) <= 200)))
);


ALTER TABLE calib_private.mirrors OWNER TO calib_owner;

--
-- Name: mirrors; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.mirrors AS
 SELECT m.mirror_id,
    calib_private.role_label(m.role_name) AS role_name,
    m.host,
    m.pid,
    m.version,
    m.condition,
    m.started_at,
    m.last_seen_at,
    m.stopped_at,
    calib_private.alive(m.last_seen_at, m.stopped_at) AS alive,
    o.marks_waiting,
    o.lag_seconds,
    o.dead_letters
   FROM calib_private.mirrors m,
    ( SELECT count(*) FILTER (WHERE (w.dead_at IS NULL)) AS marks_waiting,
            (COALESCE(EXTRACT(epoch FROM (calib_private.now() - min(w.marked_at) FILTER (WHERE (w.dead_at IS NULL)))), (0)::numeric))::double precision AS lag_seconds,
            count(*) FILTER (WHERE (w.dead_at IS NOT NULL)) AS dead_letters
           FROM calib_private.outbox w) o;


ALTER VIEW calib.mirrors OWNER TO calib_owner;

--
-- Name: VIEW mirrors; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.mirrors IS 'Processes that copy results to QDash, and how far QDash is behind.';


--
-- Name: COLUMN mirrors.mirror_id; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.mirrors.mirror_id IS 'Start of a mirror process.';


--
-- Name: COLUMN mirrors.role_name; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.mirrors.role_name IS 'Database role under which the process runs.';


--
-- Name: COLUMN mirrors.version; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.mirrors.version IS 'Version of the mirror program.';


--
-- Name: COLUMN mirrors.marks_waiting; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.mirrors.marks_waiting IS 'Number of jobs and chips with changes that QDash does not have yet.';


--
-- Name: COLUMN mirrors.lag_seconds; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.mirrors.lag_seconds IS 'Age of the oldest change that QDash does not have yet, in seconds; in calib.mirrors 0 if there is none.';


--
-- Name: COLUMN mirrors.dead_letters; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.mirrors.dead_letters IS 'Number of marks that were set aside because MongoDB refused their documents; retry_marks() tries them again.';


--
-- Name: parameters; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.parameters AS
 SELECT chip_id,
    qid,
    name,
    value,
    error,
    unit,
    value_type,
    description,
    lower(valid) AS valid_from,
    source,
    task_run_id,
    job_id,
    execution_id,
    actor,
    reason
   FROM calib_private.parameter_versions p
  WHERE upper_inf(valid);


ALTER VIEW calib.parameters OWNER TO calib_owner;

--
-- Name: VIEW parameters; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.parameters IS 'Calibrated values in force now, one for each chip, qid and name. job_id and execution_id say which job measured it, NULL if none did; they stay when the job is pruned.';


--
-- Name: COLUMN parameters.name; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.parameters.name IS 'Name of the parameter, such as qubit_frequency.';


--
-- Name: COLUMN parameters.value; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.parameters.value IS 'The value, in unit.';


--
-- Name: COLUMN parameters.error; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.parameters.error IS 'One standard deviation of the value, in unit; 0: not known or exact.';


--
-- Name: COLUMN parameters.value_type; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.parameters.value_type IS 'float or int.';


--
-- Name: COLUMN parameters.valid_from; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.parameters.valid_from IS 'Since when the value is in force.';


--
-- Name: COLUMN parameters.source; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.parameters.source IS 'Where it comes from: task (measured), import, edit or revert.';


--
-- Name: COLUMN parameters.reason; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.parameters.reason IS 'Why it was changed by hand; empty if a task measured it.';


--
-- Name: projects; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.projects (
    project_id text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone DEFAULT calib_private.now() NOT NULL,
    created_by text NOT NULL,
    archived_at timestamp with time zone,
    archived_by text,
    CONSTRAINT project_id_form CHECK ((project_id ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$'::text))
);


ALTER TABLE calib_private.projects OWNER TO calib_owner;

--
-- Name: projects; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.projects WITH (security_barrier='true') AS
 SELECT project_id,
    description,
    created_at,
    created_by,
    archived_at,
    archived_by
   FROM calib_private.projects p
  WHERE (project_id = ANY (( SELECT calib_private.readable_projects(CURRENT_USER) AS readable_projects)::text[]));


ALTER VIEW calib.projects OWNER TO calib_owner;

--
-- Name: VIEW projects; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.projects IS 'Projects of which you are a member.';


--
-- Name: COLUMN projects.created_at; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.projects.created_at IS 'When it was made.';


--
-- Name: COLUMN projects.created_by; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.projects.created_by IS 'Database role that made it.';


--
-- Name: COLUMN projects.archived_at; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.projects.archived_at IS 'Since when it takes no jobs. NULL: it is in use.';


--
-- Name: COLUMN projects.archived_by; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.projects.archived_by IS 'Database role that archived it. NULL: it is in use.';


--
-- Name: qubits; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.qubits (
    chip_id text NOT NULL,
    qid text NOT NULL,
    grid_row integer NOT NULL,
    grid_column integer NOT NULL,
    mux integer,
    CONSTRAINT qubits_qid_check CHECK ((qid ~ '^(0|[1-9][0-9]*)$'::text))
);


ALTER TABLE calib_private.qubits OWNER TO calib_owner;

--
-- Name: qubits; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.qubits AS
 SELECT chip_id,
    qid,
    grid_row,
    grid_column,
    mux
   FROM calib_private.qubits;


ALTER VIEW calib.qubits OWNER TO calib_owner;

--
-- Name: VIEW qubits; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.qubits IS 'Qubits of each chip and their places.';


--
-- Name: COLUMN qubits.grid_row; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.qubits.grid_row IS 'Row of its place on the chip, from 0.';


--
-- Name: COLUMN qubits.grid_column; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.qubits.grid_column IS 'Column of its place on the chip, from 0.';


--
-- Name: COLUMN qubits.mux; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.qubits.mux IS 'Number of the readout multiplexer. NULL: the topology has none.';


--
-- Name: raw_data; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.raw_data (
    raw_data_id bigint NOT NULL,
    task_run_id uuid NOT NULL,
    ordinal smallint NOT NULL,
    name text NOT NULL,
    dtype text NOT NULL,
    shape integer[] NOT NULL,
    unit text NOT NULL,
    data bytea NOT NULL,
    stored_at timestamp with time zone DEFAULT calib_private.now() NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='500', toast.autovacuum_vacuum_scale_factor='0.02', toast.autovacuum_vacuum_threshold='5000');
ALTER TABLE ONLY calib_private.raw_data ALTER COLUMN data SET STORAGE EXTERNAL;


ALTER TABLE calib_private.raw_data OWNER TO calib_owner;

--
-- Name: raw_data; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.raw_data WITH (security_barrier='true') AS
 SELECT r.raw_data_id,
    r.task_run_id,
    t.job_id,
    t.attempt,
    t.task,
    t.qid,
    r.ordinal,
    r.name,
    r.dtype,
    r.shape,
    r.unit,
    r.data
   FROM ((calib_private.raw_data r
     JOIN calib_private.task_runs t USING (task_run_id))
     JOIN calib_private.jobs j USING (job_id))
  WHERE (j.project_id = ANY (( SELECT calib_private.readable_projects(CURRENT_USER) AS readable_projects)::text[]));


ALTER VIEW calib.raw_data OWNER TO calib_owner;

--
-- Name: VIEW raw_data; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.raw_data IS 'Measured arrays of task runs, for members of the project.';


--
-- Name: COLUMN raw_data.raw_data_id; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.raw_data.raw_data_id IS 'Number of the array.';


--
-- Name: COLUMN raw_data.ordinal; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.raw_data.ordinal IS 'Order of the arrays of a task run, from 0.';


--
-- Name: COLUMN raw_data.name; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.raw_data.name IS 'Name of the array.';


--
-- Name: COLUMN raw_data.dtype; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.raw_data.dtype IS 'NumPy''s name of the element type, such as complex64.';


--
-- Name: COLUMN raw_data.shape; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.raw_data.shape IS 'Length of each dimension.';


--
-- Name: COLUMN raw_data.unit; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.raw_data.unit IS 'Unit of the value or values, such as GHz, ns or a.u.; empty: none.';


--
-- Name: COLUMN raw_data.data; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.raw_data.data IS 'Bytes of the array in C order.';


--
-- Name: retention; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.retention (
    only_row boolean DEFAULT true NOT NULL,
    jobs interval,
    events interval,
    figures interval,
    raw_data interval,
    set_by text NOT NULL,
    set_at timestamp with time zone NOT NULL,
    CONSTRAINT retention_only_row_check CHECK (only_row)
);


ALTER TABLE calib_private.retention OWNER TO calib_owner;

--
-- Name: retention; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.retention AS
 SELECT jobs,
    events,
    figures,
    raw_data,
    set_by,
    set_at
   FROM calib_private.retention;


ALTER VIEW calib.retention OWNER TO calib_owner;

--
-- Name: VIEW retention; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.retention IS 'How long after the end of their job things are kept, in one row. set_retention() changes it, prune() applies it.';


--
-- Name: COLUMN retention.jobs; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.retention.jobs IS 'Age from which whole jobs are deleted. NULL: never.';


--
-- Name: COLUMN retention.events; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.retention.events IS 'Age from which the job''s events are deleted. NULL: never.';


--
-- Name: COLUMN retention.figures; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.retention.figures IS 'Age from which figures are deleted. NULL: never.';


--
-- Name: COLUMN retention.raw_data; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.retention.raw_data IS 'Age from which raw data are deleted. NULL: never.';


--
-- Name: COLUMN retention.set_by; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.retention.set_by IS 'Database role that set the policy.';


--
-- Name: COLUMN retention.set_at; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.retention.set_at IS 'When it was set.';


--
-- Name: settings; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.settings (
    only_row boolean DEFAULT true NOT NULL,
    time_zone text DEFAULT 'Asia/Tokyo'::text NOT NULL,
    CONSTRAINT settings_only_row_check CHECK (only_row)
);


ALTER TABLE calib_private.settings OWNER TO calib_owner;

--
-- Name: settings; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.settings AS
 SELECT time_zone
   FROM calib_private.settings;


ALTER VIEW calib.settings OWNER TO calib_owner;

--
-- Name: VIEW settings; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.settings IS 'Settings of the whole queue, in one row.';


--
-- Name: COLUMN settings.time_zone; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.settings.time_zone IS 'Time zone of the day in execution_id, such as Asia/Tokyo.';


--
-- Name: stages; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.stages (
    job_id bigint NOT NULL,
    attempt smallint NOT NULL,
    "position" smallint NOT NULL,
    name text NOT NULL,
    step text NOT NULL,
    mode text,
    targets text[] NOT NULL,
    status text NOT NULL,
    result jsonb NOT NULL,
    message text NOT NULL,
    started_at timestamp with time zone,
    ended_at timestamp with time zone,
    CONSTRAINT running_until_it_ends CHECK (((status = 'running'::text) = (ended_at IS NULL))),
    CONSTRAINT stages_position_check CHECK ((("position" >= 0) AND ("position" <= 1000))),
    CONSTRAINT stages_result_check CHECK ((jsonb_typeof(result) = 'object'::text)),
    CONSTRAINT stages_status_check CHECK ((status = ANY (ARRAY['running'::text, 'completed'::text, 'failed'::text, 'cancelled'::text, 'skipped'::text]))),
    CONSTRAINT started_unless_skipped CHECK (((status = 'skipped'::text) OR (started_at IS NOT NULL)))
)
WITH (fillfactor='80', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='500');


ALTER TABLE calib_private.stages OWNER TO calib_owner;

--
-- Name: stages; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.stages WITH (security_barrier='true') AS
 SELECT s.job_id,
    s.attempt,
    s."position",
    s.name,
    s.step,
    s.mode,
    s.targets,
    s.status,
    s.result,
    s.message,
    s.started_at,
    s.ended_at
   FROM (calib_private.stages s
     JOIN calib_private.jobs j USING (job_id))
  WHERE (j.project_id = ANY (( SELECT calib_private.readable_projects(CURRENT_USER) AS readable_projects)::text[]));


ALTER VIEW calib.stages OWNER TO calib_owner;

--
-- Name: VIEW stages; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.stages IS 'Steps of the pipelines that attempts ran, for members of the project; a job whose flow has no steps has none.';


--
-- Name: COLUMN stages."position"; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.stages."position" IS 'Order of the stages in the attempt.';


--
-- Name: COLUMN stages.name; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.stages.name IS 'Name of the stage, as the flow calls it.';


--
-- Name: COLUMN stages.step; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.stages.step IS 'Kind of step, such as OneQubitCheck.';


--
-- Name: COLUMN stages.mode; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.stages.mode IS 'serial, synchronized, scheduled or simultaneous. NULL: the step measures nothing, or has one way only.';


--
-- Name: COLUMN stages.targets; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.stages.targets IS 'The qids or multiplexers that the step began with, in order.';


--
-- Name: COLUMN stages.status; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.stages.status IS 'running, completed, failed, cancelled or skipped.';


--
-- Name: COLUMN stages.result; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.stages.result IS 'JSON object of what the step found, at most 1 MiB.';


--
-- Name: sweeps; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.sweeps (
    sweep_id uuid DEFAULT gen_random_uuid() NOT NULL,
    job_id bigint NOT NULL,
    attempt smallint NOT NULL,
    task text NOT NULL,
    targets text[] NOT NULL,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    hardware_seconds double precision,
    CONSTRAINT measured_has_ended CHECK (((ended_at IS NOT NULL) OR (hardware_seconds IS NULL))),
    CONSTRAINT sweeps_hardware_seconds_check CHECK (((hardware_seconds >= (0)::double precision) AND (hardware_seconds <= (1000000000)::double precision))),
    CONSTRAINT sweeps_targets_check CHECK ((cardinality(targets) > 0))
)
WITH (fillfactor='80', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='500');


ALTER TABLE calib_private.sweeps OWNER TO calib_owner;

--
-- Name: sweeps; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.sweeps WITH (security_barrier='true') AS
 SELECT s.sweep_id,
    s.job_id,
    s.attempt,
    s.task,
    s.targets,
    s.started_at,
    s.ended_at,
    s.hardware_seconds
   FROM (calib_private.sweeps s
     JOIN calib_private.jobs j USING (job_id))
  WHERE (j.project_id = ANY (( SELECT calib_private.readable_projects(CURRENT_USER) AS readable_projects)::text[]));


ALTER VIEW calib.sweeps OWNER TO calib_owner;

--
-- Name: VIEW sweeps; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.sweeps IS 'Measurements of one task on many targets at once, for members of the project. Each target has a task run; the instrument time of a sweep is that of all its targets together.';


--
-- Name: COLUMN sweeps.sweep_id; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.sweeps.sweep_id IS 'Identifier of the sweep. In task_runs NULL: not started, or by a release that knew no sweeps.';


--
-- Name: COLUMN sweeps.targets; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.sweeps.targets IS 'The qids that are driven and read together, in order.';


--
-- Name: task_runs; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.task_runs WITH (security_barrier='true') AS
 SELECT t.task_run_id,
    t.job_id,
    t.attempt,
    t.task,
    t.qid,
    t.repetition,
    t.task_type,
    t.status,
    t.ordinal,
    t.upstream_id,
    t.started_at,
    t.ended_at,
    t.hardware_seconds,
    t.message,
    t.failure_kind,
    t.cause,
    t.remedy,
    t.stack_trace,
    t.input_parameters,
    t.output_parameters,
    t.run_parameters,
    t.quality_metrics,
    t.note,
    t.sweep_id
   FROM (calib_private.task_runs t
     JOIN calib_private.jobs j USING (job_id))
  WHERE (j.project_id = ANY (( SELECT calib_private.readable_projects(CURRENT_USER) AS readable_projects)::text[]));


ALTER VIEW calib.task_runs OWNER TO calib_owner;

--
-- Name: VIEW task_runs; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.task_runs IS 'Each task on each qubit or coupling of an attempt: status, values and quality, for members of the project. Measured values of a failed run stay here and do not become parameters.';


--
-- Name: COLUMN task_runs.task_run_id; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.task_runs.task_run_id IS 'Identifier of the task run. In parameters NULL: not measured by a task.';


--
-- Name: COLUMN task_runs.task; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.task_runs.task IS 'Name of the task, such as CheckRabi; calib.tasks lists those of a chip.';


--
-- Name: COLUMN task_runs.qid; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.task_runs.qid IS 'Qubit such as 0, coupling control-target such as 0-1, or the multiplexer''s number if task_type is mux; empty for a task about the whole chip.';


--
-- Name: COLUMN task_runs.repetition; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.task_runs.repetition IS 'How many times the attempt ran the same task on the same qid before; 0 for the first.';


--
-- Name: COLUMN task_runs.task_type; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.task_runs.task_type IS 'What the task is about: qubit, coupling, mux (a readout multiplexer), global or system.';


--
-- Name: COLUMN task_runs.status; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.task_runs.status IS 'scheduled, running, completed, failed, skipped (the attempt ended before it started) or cancelled.';


--
-- Name: COLUMN task_runs.ordinal; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.task_runs.ordinal IS 'Order of the task runs in the attempt, from 1.';


--
-- Name: COLUMN task_runs.upstream_id; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.task_runs.upstream_id IS 'Task run whose result this one builds on, mostly the last passing one on the same qid. NULL: none.';


--
-- Name: COLUMN task_runs.hardware_seconds; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.task_runs.hardware_seconds IS 'Instrument time used, in seconds. NULL: not recorded.';


--
-- Name: COLUMN task_runs.message; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.task_runs.message IS 'Result in words for a person; may be empty.';


--
-- Name: COLUMN task_runs.cause; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.task_runs.cause IS 'Short name of the cause of the failure; may be empty.';


--
-- Name: COLUMN task_runs.remedy; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.task_runs.remedy IS 'What to do about the failure; may be empty.';


--
-- Name: COLUMN task_runs.stack_trace; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.task_runs.stack_trace IS 'Python stack trace of an unexpected error, at most 10000 characters; else empty.';


--
-- Name: COLUMN task_runs.input_parameters; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.task_runs.input_parameters IS 'JSON object of the parameters that the task read: name to value, error, unit.';


--
-- Name: COLUMN task_runs.output_parameters; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.task_runs.output_parameters IS 'JSON object of what it measured: name to value, error (one standard deviation), unit.';


--
-- Name: COLUMN task_runs.run_parameters; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.task_runs.run_parameters IS 'JSON object of its settings (shots, sweep range): name to value, value_type, unit.';


--
-- Name: COLUMN task_runs.quality_metrics; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.task_runs.quality_metrics IS 'JSON object of numbers that judge the measurement, such as r2.';


--
-- Name: COLUMN task_runs.note; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.task_runs.note IS 'JSON object with further remarks of the task.';


--
-- Name: tasks; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.tasks (
    chip_id text NOT NULL,
    task text NOT NULL,
    task_type text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    schema jsonb NOT NULL,
    input_parameters text[] NOT NULL,
    output_parameters text[] NOT NULL,
    version text NOT NULL,
    registered_by text NOT NULL,
    registered_at timestamp with time zone NOT NULL,
    outputs jsonb DEFAULT '[]'::jsonb NOT NULL,
    CONSTRAINT tasks_schema_check CHECK ((jsonb_typeof(schema) = 'object'::text)),
    CONSTRAINT tasks_task_check CHECK ((task ~ '^[A-Za-z][A-Za-z0-9]{0,62}$'::text)),
    CONSTRAINT tasks_task_type_check CHECK ((task_type = ANY (ARRAY['qubit'::text, 'coupling'::text, 'mux'::text, 'global'::text, 'system'::text])))
);


ALTER TABLE calib_private.tasks OWNER TO calib_owner;

--
-- Name: tasks; Type: VIEW; Schema: calib; Owner: calib_owner
--

CREATE VIEW calib.tasks AS
 SELECT chip_id,
    task,
    task_type,
    description,
    schema,
    input_parameters,
    output_parameters,
    version,
    registered_by,
    registered_at,
    outputs
   FROM calib_private.tasks;


ALTER VIEW calib.tasks OWNER TO calib_owner;

--
-- Name: VIEW tasks; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON VIEW calib.tasks IS 'Tasks that the executors of each chip can run, as last registered.';


--
-- Name: COLUMN tasks.input_parameters; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.tasks.input_parameters IS 'Names of the parameters that it reads.';


--
-- Name: COLUMN tasks.output_parameters; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.tasks.output_parameters IS 'Names of the parameters that it measures.';


--
-- Name: COLUMN tasks.version; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.tasks.version IS 'Version of the executor that registered it.';


--
-- Name: COLUMN tasks.outputs; Type: COMMENT; Schema: calib; Owner: calib_owner
--

COMMENT ON COLUMN calib.tasks.outputs IS 'JSON array of what those values have to be: name, unit, kind, lower, upper.';


--
-- Name: alembic_version; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.alembic_version (
    version_num character varying(32) NOT NULL
);


ALTER TABLE calib_private.alembic_version OWNER TO calib_owner;

--
-- Name: backlogs; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.backlogs (
    chip_id text NOT NULL,
    counted_to bigint DEFAULT 0 NOT NULL,
    waiting bigint DEFAULT 0 NOT NULL,
    by_project jsonb DEFAULT '{}'::jsonb NOT NULL,
    next_to bigint DEFAULT 0 NOT NULL,
    next_xid xid8 DEFAULT '0'::xid8 NOT NULL,
    next_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL
)
WITH (fillfactor='50', autovacuum_vacuum_threshold='100', autovacuum_vacuum_scale_factor='0');


ALTER TABLE calib_private.backlogs OWNER TO calib_owner;

--
-- Name: deleted_jobs; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.deleted_jobs (
    project_id text NOT NULL,
    chip_id text NOT NULL,
    state text NOT NULL,
    finished_at timestamp with time zone NOT NULL
);


ALTER TABLE calib_private.deleted_jobs OWNER TO calib_owner;

--
-- Name: execution_days; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.execution_days (
    day date NOT NULL,
    first_number bigint NOT NULL
);


ALTER TABLE calib_private.execution_days OWNER TO calib_owner;

--
-- Name: execution_numbers; Type: SEQUENCE; Schema: calib_private; Owner: calib_owner
--

CREATE SEQUENCE calib_private.execution_numbers
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER SEQUENCE calib_private.execution_numbers OWNER TO calib_owner;

--
-- Name: figures_figure_id_seq; Type: SEQUENCE; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE calib_private.figures ALTER COLUMN figure_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME calib_private.figures_figure_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: job_events_event_id_seq; Type: SEQUENCE; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE calib_private.job_events ALTER COLUMN event_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME calib_private.job_events_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: job_keys; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.job_keys (
    key bigint NOT NULL,
    job_id bigint NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_insert_scale_factor='0.05');


ALTER TABLE calib_private.job_keys OWNER TO calib_owner;

--
-- Name: jobs_job_id_seq; Type: SEQUENCE; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE calib_private.jobs ALTER COLUMN job_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME calib_private.jobs_job_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: outbox_mark_id_seq; Type: SEQUENCE; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE calib_private.outbox ALTER COLUMN mark_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME calib_private.outbox_mark_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: parameter_versions_version_id_seq; Type: SEQUENCE; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE calib_private.parameter_versions ALTER COLUMN version_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME calib_private.parameter_versions_version_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: prune_positions; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.prune_positions (
    part text NOT NULL,
    "position" timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    CONSTRAINT prune_positions_part_check CHECK ((part = ANY (ARRAY['jobs'::text, 'events'::text, 'figures'::text, 'raw_data'::text])))
);


ALTER TABLE calib_private.prune_positions OWNER TO calib_owner;

--
-- Name: raw_data_raw_data_id_seq; Type: SEQUENCE; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE calib_private.raw_data ALTER COLUMN raw_data_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME calib_private.raw_data_raw_data_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: schema_statements; Type: TABLE; Schema: calib_private; Owner: calib_owner
--

CREATE TABLE calib_private.schema_statements (
    "position" integer NOT NULL,
    statement text NOT NULL
);


ALTER TABLE calib_private.schema_statements OWNER TO calib_owner;

--
-- Name: settled_jobs; Type: VIEW; Schema: calib_private; Owner: calib_owner
--

CREATE VIEW calib_private.settled_jobs AS
 SELECT job_id,
    finished_at
   FROM calib_private.jobs j
  WHERE ((finished_at IS NOT NULL) AND (NOT (EXISTS ( SELECT
           FROM calib_private.outbox o
          WHERE (o.job_id = j.job_id)))) AND (NOT (EXISTS ( SELECT
           FROM calib_private.leases l
          WHERE (l.job_id = j.job_id)))) AND (NOT (EXISTS ( SELECT
           FROM calib_private.attempts a
          WHERE ((a.job_id = j.job_id) AND ((a.ended_at IS NULL) OR ((a.flow_run_id IS NOT NULL) AND (NOT a.prefect_synced))))))) AND (NOT (EXISTS ( SELECT
           FROM (calib_private.task_runs t
             JOIN calib_private.figures f USING (task_run_id))
          WHERE ((t.job_id = j.job_id) AND (f.png IS NULL) AND (f.render_error IS NULL))))));


ALTER VIEW calib_private.settled_jobs OWNER TO calib_owner;

--
-- Name: alembic_version alembic_version_pkc; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);


--
-- Name: attempts attempts_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (job_id, attempt);


--
-- Name: backlogs backlogs_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.backlogs
    ADD CONSTRAINT backlogs_pkey PRIMARY KEY (chip_id);


--
-- Name: cancel_requests cancel_requests_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.cancel_requests
    ADD CONSTRAINT cancel_requests_pkey PRIMARY KEY (job_id, origin);


--
-- Name: chips chips_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.chips
    ADD CONSTRAINT chips_pkey PRIMARY KEY (chip_id);


--
-- Name: couplings couplings_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.couplings
    ADD CONSTRAINT couplings_pkey PRIMARY KEY (chip_id, qid);


--
-- Name: execution_days execution_days_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.execution_days
    ADD CONSTRAINT execution_days_pkey PRIMARY KEY (day);


--
-- Name: executor_permissions executor_permissions_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.executor_permissions
    ADD CONSTRAINT executor_permissions_pkey PRIMARY KEY (role_name, chip_id);


--
-- Name: executors executors_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.executors
    ADD CONSTRAINT executors_pkey PRIMARY KEY (executor_id);


--
-- Name: figures figures_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.figures
    ADD CONSTRAINT figures_pkey PRIMARY KEY (figure_id);


--
-- Name: figures figures_task_run_id_ordinal_key; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.figures
    ADD CONSTRAINT figures_task_run_id_ordinal_key UNIQUE (task_run_id, ordinal);


--
-- Name: flows flows_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.flows
    ADD CONSTRAINT flows_pkey PRIMARY KEY (chip_id, flow);


--
-- Name: job_counting job_counting_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.job_counting
    ADD CONSTRAINT job_counting_pkey PRIMARY KEY (only_row);


--
-- Name: job_counts job_counts_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.job_counts
    ADD CONSTRAINT job_counts_pkey PRIMARY KEY (project_id, chip_id, state);


--
-- Name: job_events job_events_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.job_events
    ADD CONSTRAINT job_events_pkey PRIMARY KEY (event_id);


--
-- Name: job_keys job_keys_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.job_keys
    ADD CONSTRAINT job_keys_pkey PRIMARY KEY (key, job_id);


--
-- Name: jobs jobs_execution_id_key; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.jobs
    ADD CONSTRAINT jobs_execution_id_key UNIQUE (execution_id);


--
-- Name: jobs jobs_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (job_id);


--
-- Name: known_parameters known_parameters_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.known_parameters
    ADD CONSTRAINT known_parameters_pkey PRIMARY KEY (name);


--
-- Name: leases leases_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (chip_id);


--
-- Name: memberships memberships_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.memberships
    ADD CONSTRAINT memberships_pkey PRIMARY KEY (project_id, role_name);


--
-- Name: mirrors mirrors_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.mirrors
    ADD CONSTRAINT mirrors_pkey PRIMARY KEY (mirror_id);


--
-- Name: outbox outbox_chip_id_key; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.outbox
    ADD CONSTRAINT outbox_chip_id_key UNIQUE (chip_id);


--
-- Name: outbox outbox_job_id_key; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.outbox
    ADD CONSTRAINT outbox_job_id_key UNIQUE (job_id);


--
-- Name: outbox outbox_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (mark_id);


--
-- Name: parameter_versions parameter_versions_do_not_overlap; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.parameter_versions
    ADD CONSTRAINT parameter_versions_do_not_overlap EXCLUDE USING gist (chip_id WITH =, qid WITH =, name WITH =, valid WITH &&);


--
-- Name: parameter_versions parameter_versions_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.parameter_versions
    ADD CONSTRAINT parameter_versions_pkey PRIMARY KEY (version_id);


--
-- Name: projects projects_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.projects
    ADD CONSTRAINT projects_pkey PRIMARY KEY (project_id);


--
-- Name: prune_positions prune_positions_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.prune_positions
    ADD CONSTRAINT prune_positions_pkey PRIMARY KEY (part);


--
-- Name: qubits qubits_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.qubits
    ADD CONSTRAINT qubits_pkey PRIMARY KEY (chip_id, qid);


--
-- Name: raw_data raw_data_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.raw_data
    ADD CONSTRAINT raw_data_pkey PRIMARY KEY (raw_data_id);


--
-- Name: raw_data raw_data_task_run_id_ordinal_key; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.raw_data
    ADD CONSTRAINT raw_data_task_run_id_ordinal_key UNIQUE (task_run_id, ordinal);


--
-- Name: retention retention_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.retention
    ADD CONSTRAINT retention_pkey PRIMARY KEY (only_row);


--
-- Name: schema_statements schema_statements_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.schema_statements
    ADD CONSTRAINT schema_statements_pkey PRIMARY KEY ("position");


--
-- Name: settings settings_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.settings
    ADD CONSTRAINT settings_pkey PRIMARY KEY (only_row);


--
-- Name: stages stages_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.stages
    ADD CONSTRAINT stages_pkey PRIMARY KEY (job_id, attempt, "position");


--
-- Name: sweeps sweeps_job_id_attempt_sweep_id_key; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.sweeps
    ADD CONSTRAINT sweeps_job_id_attempt_sweep_id_key UNIQUE (job_id, attempt, sweep_id);


--
-- Name: sweeps sweeps_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.sweeps
    ADD CONSTRAINT sweeps_pkey PRIMARY KEY (sweep_id);


--
-- Name: task_runs task_runs_job_id_attempt_task_qid_repetition_key; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.task_runs
    ADD CONSTRAINT task_runs_job_id_attempt_task_qid_repetition_key UNIQUE (job_id, attempt, task, qid, repetition);


--
-- Name: task_runs task_runs_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.task_runs
    ADD CONSTRAINT task_runs_pkey PRIMARY KEY (task_run_id);


--
-- Name: tasks tasks_pkey; Type: CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (chip_id, task);


--
-- Name: attempts_unsynced; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX attempts_unsynced ON calib_private.attempts USING btree (job_id) WHERE ((ended_at IS NOT NULL) AND (flow_run_id IS NOT NULL) AND (NOT prefect_synced));


--
-- Name: cancel_requests_of_no_client; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE UNIQUE INDEX cancel_requests_of_no_client ON calib_private.cancel_requests USING btree (job_id) WHERE (origin <> 'client'::text);


--
-- Name: executors_by_chip; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX executors_by_chip ON calib_private.executors USING btree (chip_id);


--
-- Name: executors_by_start; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX executors_by_start ON calib_private.executors USING btree (started_at);


--
-- Name: figures_by_age; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX figures_by_age ON calib_private.figures USING btree (stored_at);


--
-- Name: figures_unrendered; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX figures_unrendered ON calib_private.figures USING btree (figure_id) WHERE ((png IS NULL) AND (render_error IS NULL));


--
-- Name: job_events_by_job; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX job_events_by_job ON calib_private.job_events USING btree (job_id, event_id);


--
-- Name: job_events_of_ends; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX job_events_of_ends ON calib_private.job_events USING btree (at) WHERE (new_state = ANY (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text]));


--
-- Name: jobs_by_chip; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX jobs_by_chip ON calib_private.jobs USING btree (chip_id, job_id DESC);


--
-- Name: jobs_by_project; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX jobs_by_project ON calib_private.jobs USING btree (project_id, job_id DESC);


--
-- Name: jobs_dedup_live; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE UNIQUE INDEX jobs_dedup_live ON calib_private.jobs USING btree (project_id, dedup_key) WHERE ((dedup_key IS NOT NULL) AND (state = ANY (ARRAY['scheduled'::text, 'running'::text])));


--
-- Name: jobs_ended_by_project; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX jobs_ended_by_project ON calib_private.jobs USING btree (project_id, finished_at) WHERE (finished_at IS NOT NULL);


--
-- Name: jobs_expiring; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX jobs_expiring ON calib_private.jobs USING btree (not_after) WHERE ((state = 'scheduled'::text) AND (not_after IS NOT NULL));


--
-- Name: jobs_finished; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX jobs_finished ON calib_private.jobs USING btree (finished_at) WHERE (finished_at IS NOT NULL);


--
-- Name: jobs_live_by_submitter; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX jobs_live_by_submitter ON calib_private.jobs USING btree (submitted_by, job_id DESC) WHERE ((state = ANY (ARRAY['scheduled'::text, 'running'::text])) AND (submitted_by <> ''::text));


--
-- Name: jobs_not_completed; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX jobs_not_completed ON calib_private.jobs USING btree (state, job_id DESC) WHERE (state = ANY (ARRAY['failed'::text, 'cancelled'::text]));


--
-- Name: jobs_not_completed_by_project; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX jobs_not_completed_by_project ON calib_private.jobs USING btree (project_id, state, job_id DESC) WHERE (state = ANY (ARRAY['failed'::text, 'cancelled'::text]));


--
-- Name: jobs_one_running_per_chip; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE UNIQUE INDEX jobs_one_running_per_chip ON calib_private.jobs USING btree (chip_id) WHERE (state = 'running'::text);


--
-- Name: jobs_waiting; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX jobs_waiting ON calib_private.jobs USING btree (chip_id, priority DESC, job_id) WHERE (state = 'scheduled'::text);


--
-- Name: jobs_waiting_again; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX jobs_waiting_again ON calib_private.jobs USING btree (job_id) WHERE ((state = 'scheduled'::text) AND (attempt > 0));


--
-- Name: jobs_waiting_by_project; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX jobs_waiting_by_project ON calib_private.jobs USING btree (project_id, chip_id, priority DESC, job_id) WHERE ((state = 'scheduled'::text) AND (project_id <> ''::text));


--
-- Name: leases_by_job; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX leases_by_job ON calib_private.leases USING btree (job_id) WHERE (job_id IS NOT NULL);


--
-- Name: outbox_due; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX outbox_due ON calib_private.outbox USING btree (next_try_at) WHERE (dead_at IS NULL);


--
-- Name: outbox_unannounced; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX outbox_unannounced ON calib_private.outbox USING btree (mark_id) WHERE announce;


--
-- Name: parameter_versions_by_hand; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX parameter_versions_by_hand ON calib_private.parameter_versions USING btree (chip_id, lower(valid)) WHERE (source <> 'task'::text);


--
-- Name: parameter_versions_by_job; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX parameter_versions_by_job ON calib_private.parameter_versions USING btree (job_id) WHERE (job_id IS NOT NULL);


--
-- Name: parameter_versions_by_name; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX parameter_versions_by_name ON calib_private.parameter_versions USING btree (chip_id, qid, name, lower(valid));


--
-- Name: parameter_versions_by_start; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX parameter_versions_by_start ON calib_private.parameter_versions USING btree (chip_id, lower(valid));


--
-- Name: parameter_versions_current; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE UNIQUE INDEX parameter_versions_current ON calib_private.parameter_versions USING btree (chip_id, qid, name) WHERE upper_inf(valid);


--
-- Name: raw_data_by_age; Type: INDEX; Schema: calib_private; Owner: calib_owner
--

CREATE INDEX raw_data_by_age ON calib_private.raw_data USING btree (stored_at);


--
-- Name: jobs insert_job; Type: TRIGGER; Schema: calib; Owner: calib_owner
--

CREATE TRIGGER insert_job INSTEAD OF INSERT ON calib.jobs FOR EACH ROW EXECUTE FUNCTION calib_private.insert_job();


--
-- Name: jobs update_job; Type: TRIGGER; Schema: calib; Owner: calib_owner
--

CREATE TRIGGER update_job INSTEAD OF UPDATE ON calib.jobs FOR EACH ROW EXECUTE FUNCTION calib_private.update_job();


--
-- Name: execution_days bound_writer; Type: TRIGGER; Schema: calib_private; Owner: calib_owner
--

CREATE TRIGGER bound_writer BEFORE INSERT ON calib_private.execution_days FOR EACH STATEMENT EXECUTE FUNCTION calib_private.bound_writer();


--
-- Name: outbox bound_writer; Type: TRIGGER; Schema: calib_private; Owner: calib_owner
--

CREATE TRIGGER bound_writer BEFORE DELETE OR UPDATE ON calib_private.outbox FOR EACH STATEMENT EXECUTE FUNCTION calib_private.bound_writer();


--
-- Name: job_events events_only_grow; Type: TRIGGER; Schema: calib_private; Owner: calib_owner
--

CREATE TRIGGER events_only_grow BEFORE UPDATE ON calib_private.job_events FOR EACH ROW EXECUTE FUNCTION calib_private.forbid_change();


--
-- Name: task_runs forbid_reopening; Type: TRIGGER; Schema: calib_private; Owner: calib_owner
--

CREATE TRIGGER forbid_reopening BEFORE UPDATE ON calib_private.task_runs FOR EACH ROW EXECUTE FUNCTION calib_private.forbid_reopening();


--
-- Name: jobs forget_job; Type: TRIGGER; Schema: calib_private; Owner: calib_owner
--

CREATE TRIGGER forget_job BEFORE DELETE ON calib_private.jobs FOR EACH ROW EXECUTE FUNCTION calib_private.forget_job();


--
-- Name: parameter_versions guard_origin; Type: TRIGGER; Schema: calib_private; Owner: calib_owner
--

CREATE TRIGGER guard_origin BEFORE INSERT ON calib_private.parameter_versions FOR EACH ROW EXECUTE FUNCTION calib_private.guard_origin();


--
-- Name: jobs guard_transition; Type: TRIGGER; Schema: calib_private; Owner: calib_owner
--

CREATE TRIGGER guard_transition BEFORE UPDATE OF state ON calib_private.jobs FOR EACH ROW WHEN ((old.state IS DISTINCT FROM new.state)) EXECUTE FUNCTION calib_private.guard_transition();


--
-- Name: jobs keep_changed_keys; Type: TRIGGER; Schema: calib_private; Owner: calib_owner
--

CREATE TRIGGER keep_changed_keys AFTER UPDATE OF tags, note ON calib_private.jobs FOR EACH ROW WHEN (((old.tags <> new.tags) OR (old.note <> new.note))) EXECUTE FUNCTION calib_private.keep_job_keys();


--
-- Name: attempts keep_flow_run_key; Type: TRIGGER; Schema: calib_private; Owner: calib_owner
--

CREATE TRIGGER keep_flow_run_key AFTER UPDATE OF flow_run_id ON calib_private.attempts FOR EACH ROW WHEN ((new.flow_run_id IS NOT NULL)) EXECUTE FUNCTION calib_private.keep_flow_run_key();


--
-- Name: jobs keep_new_keys; Type: TRIGGER; Schema: calib_private; Owner: calib_owner
--

CREATE TRIGGER keep_new_keys AFTER INSERT ON calib_private.jobs FOR EACH ROW EXECUTE FUNCTION calib_private.keep_job_keys();


--
-- Name: task_runs keep_task_keys; Type: TRIGGER; Schema: calib_private; Owner: calib_owner
--

CREATE TRIGGER keep_task_keys AFTER INSERT ON calib_private.task_runs REFERENCING NEW TABLE AS new_runs FOR EACH STATEMENT EXECUTE FUNCTION calib_private.keep_task_keys();


--
-- Name: jobs log_transition; Type: TRIGGER; Schema: calib_private; Owner: calib_owner
--

CREATE TRIGGER log_transition AFTER UPDATE OF state ON calib_private.jobs FOR EACH ROW WHEN ((old.state IS DISTINCT FROM new.state)) EXECUTE FUNCTION calib_private.log_transition();


--
-- Name: attempts attempts_job_id_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.attempts
    ADD CONSTRAINT attempts_job_id_fkey FOREIGN KEY (job_id) REFERENCES calib_private.jobs(job_id) ON DELETE CASCADE;


--
-- Name: backlogs backlogs_chip_id_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.backlogs
    ADD CONSTRAINT backlogs_chip_id_fkey FOREIGN KEY (chip_id) REFERENCES calib_private.chips(chip_id) ON DELETE CASCADE;


--
-- Name: cancel_requests cancel_requests_job_id_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.cancel_requests
    ADD CONSTRAINT cancel_requests_job_id_fkey FOREIGN KEY (job_id) REFERENCES calib_private.jobs(job_id) ON DELETE CASCADE;


--
-- Name: couplings couplings_chip_id_control_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.couplings
    ADD CONSTRAINT couplings_chip_id_control_fkey FOREIGN KEY (chip_id, control) REFERENCES calib_private.qubits(chip_id, qid);


--
-- Name: couplings couplings_chip_id_target_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.couplings
    ADD CONSTRAINT couplings_chip_id_target_fkey FOREIGN KEY (chip_id, target) REFERENCES calib_private.qubits(chip_id, qid);


--
-- Name: executor_permissions executor_permissions_chip_id_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.executor_permissions
    ADD CONSTRAINT executor_permissions_chip_id_fkey FOREIGN KEY (chip_id) REFERENCES calib_private.chips(chip_id);


--
-- Name: executors executors_chip_id_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.executors
    ADD CONSTRAINT executors_chip_id_fkey FOREIGN KEY (chip_id) REFERENCES calib_private.chips(chip_id);


--
-- Name: figures figures_task_run_id_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.figures
    ADD CONSTRAINT figures_task_run_id_fkey FOREIGN KEY (task_run_id) REFERENCES calib_private.task_runs(task_run_id) ON DELETE CASCADE;


--
-- Name: flows flows_chip_id_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.flows
    ADD CONSTRAINT flows_chip_id_fkey FOREIGN KEY (chip_id) REFERENCES calib_private.chips(chip_id);


--
-- Name: job_events job_events_job_id_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.job_events
    ADD CONSTRAINT job_events_job_id_fkey FOREIGN KEY (job_id) REFERENCES calib_private.jobs(job_id) ON DELETE CASCADE;


--
-- Name: jobs jobs_chip_id_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.jobs
    ADD CONSTRAINT jobs_chip_id_fkey FOREIGN KEY (chip_id) REFERENCES calib_private.chips(chip_id);


--
-- Name: jobs jobs_project_id_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.jobs
    ADD CONSTRAINT jobs_project_id_fkey FOREIGN KEY (project_id) REFERENCES calib_private.projects(project_id);


--
-- Name: leases leases_chip_id_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.leases
    ADD CONSTRAINT leases_chip_id_fkey FOREIGN KEY (chip_id) REFERENCES calib_private.chips(chip_id) ON DELETE CASCADE;


--
-- Name: leases leases_job_id_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.leases
    ADD CONSTRAINT leases_job_id_fkey FOREIGN KEY (job_id) REFERENCES calib_private.jobs(job_id);


--
-- Name: memberships memberships_project_id_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.memberships
    ADD CONSTRAINT memberships_project_id_fkey FOREIGN KEY (project_id) REFERENCES calib_private.projects(project_id);


--
-- Name: outbox outbox_chip_id_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.outbox
    ADD CONSTRAINT outbox_chip_id_fkey FOREIGN KEY (chip_id) REFERENCES calib_private.chips(chip_id);


--
-- Name: outbox outbox_job_id_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.outbox
    ADD CONSTRAINT outbox_job_id_fkey FOREIGN KEY (job_id) REFERENCES calib_private.jobs(job_id) ON DELETE CASCADE;


--
-- Name: parameter_versions parameter_versions_chip_id_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.parameter_versions
    ADD CONSTRAINT parameter_versions_chip_id_fkey FOREIGN KEY (chip_id) REFERENCES calib_private.chips(chip_id);


--
-- Name: qubits qubits_chip_id_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.qubits
    ADD CONSTRAINT qubits_chip_id_fkey FOREIGN KEY (chip_id) REFERENCES calib_private.chips(chip_id);


--
-- Name: raw_data raw_data_task_run_id_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.raw_data
    ADD CONSTRAINT raw_data_task_run_id_fkey FOREIGN KEY (task_run_id) REFERENCES calib_private.task_runs(task_run_id) ON DELETE CASCADE;


--
-- Name: stages stages_job_id_attempt_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.stages
    ADD CONSTRAINT stages_job_id_attempt_fkey FOREIGN KEY (job_id, attempt) REFERENCES calib_private.attempts(job_id, attempt) ON DELETE CASCADE;


--
-- Name: sweeps sweeps_job_id_attempt_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.sweeps
    ADD CONSTRAINT sweeps_job_id_attempt_fkey FOREIGN KEY (job_id, attempt) REFERENCES calib_private.attempts(job_id, attempt) ON DELETE CASCADE;


--
-- Name: task_runs task_runs_job_id_attempt_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.task_runs
    ADD CONSTRAINT task_runs_job_id_attempt_fkey FOREIGN KEY (job_id, attempt) REFERENCES calib_private.attempts(job_id, attempt) ON DELETE CASCADE;


--
-- Name: task_runs task_runs_job_id_attempt_sweep_id_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.task_runs
    ADD CONSTRAINT task_runs_job_id_attempt_sweep_id_fkey FOREIGN KEY (job_id, attempt, sweep_id) REFERENCES calib_private.sweeps(job_id, attempt, sweep_id);


--
-- Name: tasks tasks_chip_id_fkey; Type: FK CONSTRAINT; Schema: calib_private; Owner: calib_owner
--

ALTER TABLE ONLY calib_private.tasks
    ADD CONSTRAINT tasks_chip_id_fkey FOREIGN KEY (chip_id) REFERENCES calib_private.chips(chip_id);


--
-- Name: SCHEMA calib; Type: ACL; Schema: -; Owner: calib_owner
--

GRANT USAGE ON SCHEMA calib TO calib_reader;


--
-- Name: FUNCTION add_chip(p_chip_id text, p_backend text, p_topology text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.add_chip(p_chip_id text, p_backend text, p_topology text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.add_chip(p_chip_id text, p_backend text, p_topology text) TO calib_admin;


--
-- Name: FUNCTION add_project(p_project_id text, p_description text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.add_project(p_project_id text, p_description text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.add_project(p_project_id text, p_description text) TO calib_admin;


--
-- Name: FUNCTION allow_executor(p_role_name text, p_chip_id text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.allow_executor(p_role_name text, p_chip_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.allow_executor(p_role_name text, p_chip_id text) TO calib_admin;


--
-- Name: FUNCTION announce_jobs(); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.announce_jobs() FROM PUBLIC;
GRANT ALL ON FUNCTION calib.announce_jobs() TO calib_mirror;


--
-- Name: FUNCTION archive_project(p_project_id text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.archive_project(p_project_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.archive_project(p_project_id text) TO calib_admin;


--
-- Name: FUNCTION cancel_from_prefect(p_job_id bigint, p_claim uuid, p_reason text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.cancel_from_prefect(p_job_id bigint, p_claim uuid, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.cancel_from_prefect(p_job_id bigint, p_claim uuid, p_reason text) TO calib_executor;


--
-- Name: FUNCTION cancel_jobs(p_chip_id text, p_project_id text, p_submitted_by text, p_tags text[], p_state text, p_job_ids bigint[], p_mode text, p_reason text, p_dry_run boolean); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.cancel_jobs(p_chip_id text, p_project_id text, p_submitted_by text, p_tags text[], p_state text, p_job_ids bigint[], p_mode text, p_reason text, p_dry_run boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.cancel_jobs(p_chip_id text, p_project_id text, p_submitted_by text, p_tags text[], p_state text, p_job_ids bigint[], p_mode text, p_reason text, p_dry_run boolean) TO calib_submitter;


--
-- Name: FUNCTION chips_to_reconcile(p_chip_id text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.chips_to_reconcile(p_chip_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.chips_to_reconcile(p_chip_id text) TO calib_executor;


--
-- Name: FUNCTION claim(p_chip_id text, p_executor_id text, p_claim uuid, p_lease_seconds double precision, p_job_id bigint); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.claim(p_chip_id text, p_executor_id text, p_claim uuid, p_lease_seconds double precision, p_job_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.claim(p_chip_id text, p_executor_id text, p_claim uuid, p_lease_seconds double precision, p_job_id bigint) TO calib_executor;
GRANT ALL ON FUNCTION calib.claim(p_chip_id text, p_executor_id text, p_claim uuid, p_lease_seconds double precision, p_job_id bigint) TO calib_notebook;


--
-- Name: FUNCTION conclude(p_job_id bigint, p_claim uuid, p_state text, p_failure_kind text, p_failure_message text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.conclude(p_job_id bigint, p_claim uuid, p_state text, p_failure_kind text, p_failure_message text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.conclude(p_job_id bigint, p_claim uuid, p_state text, p_failure_kind text, p_failure_message text) TO calib_executor;
GRANT ALL ON FUNCTION calib.conclude(p_job_id bigint, p_claim uuid, p_state text, p_failure_kind text, p_failure_message text) TO calib_notebook;


--
-- Name: FUNCTION disallow_executor(p_role_name text, p_chip_id text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.disallow_executor(p_role_name text, p_chip_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.disallow_executor(p_role_name text, p_chip_id text) TO calib_admin;


--
-- Name: FUNCTION end_job(p_job_id bigint, p_claim uuid, p_state text, p_failure_kind text, p_failure_message text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.end_job(p_job_id bigint, p_claim uuid, p_state text, p_failure_kind text, p_failure_message text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.end_job(p_job_id bigint, p_claim uuid, p_state text, p_failure_kind text, p_failure_message text) TO calib_executor;
GRANT ALL ON FUNCTION calib.end_job(p_job_id bigint, p_claim uuid, p_state text, p_failure_kind text, p_failure_message text) TO calib_notebook;


--
-- Name: FUNCTION end_sweep(p_job_id bigint, p_claim uuid, p_sweep_id uuid, p_hardware_seconds double precision); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.end_sweep(p_job_id bigint, p_claim uuid, p_sweep_id uuid, p_hardware_seconds double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.end_sweep(p_job_id bigint, p_claim uuid, p_sweep_id uuid, p_hardware_seconds double precision) TO calib_executor;
GRANT ALL ON FUNCTION calib.end_sweep(p_job_id bigint, p_claim uuid, p_sweep_id uuid, p_hardware_seconds double precision) TO calib_notebook;


--
-- Name: FUNCTION executor_seen(p_executor_id text, p_condition text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.executor_seen(p_executor_id text, p_condition text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.executor_seen(p_executor_id text, p_condition text) TO calib_executor;


--
-- Name: FUNCTION executor_stopped(p_executor_id text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.executor_stopped(p_executor_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.executor_stopped(p_executor_id text) TO calib_executor;
GRANT ALL ON FUNCTION calib.executor_stopped(p_executor_id text) TO calib_notebook;


--
-- Name: FUNCTION find_jobs(p_project_id text, p_chip_id text, p_state text, p_submitted_by text, p_tag text, p_note jsonb, p_flow text, p_dedup_key text, p_flow_run_id uuid, p_task text, p_qid text, p_before_job_id bigint, p_limit integer); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.find_jobs(p_project_id text, p_chip_id text, p_state text, p_submitted_by text, p_tag text, p_note jsonb, p_flow text, p_dedup_key text, p_flow_run_id uuid, p_task text, p_qid text, p_before_job_id bigint, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.find_jobs(p_project_id text, p_chip_id text, p_state text, p_submitted_by text, p_tag text, p_note jsonb, p_flow text, p_dedup_key text, p_flow_run_id uuid, p_task text, p_qid text, p_before_job_id bigint, p_limit integer) TO calib_reader;


--
-- Name: FUNCTION finish(p_job_id bigint, p_claim uuid); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.finish(p_job_id bigint, p_claim uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.finish(p_job_id bigint, p_claim uuid) TO calib_executor;
GRANT ALL ON FUNCTION calib.finish(p_job_id bigint, p_claim uuid) TO calib_notebook;


--
-- Name: FUNCTION flow_run_synced(p_job_id bigint, p_attempt integer); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.flow_run_synced(p_job_id bigint, p_attempt integer) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.flow_run_synced(p_job_id bigint, p_attempt integer) TO calib_executor;


--
-- Name: FUNCTION give_back(p_job_id bigint, p_claim uuid, p_reason text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.give_back(p_job_id bigint, p_claim uuid, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.give_back(p_job_id bigint, p_claim uuid, p_reason text) TO calib_executor;


--
-- Name: FUNCTION grant_member(p_project_id text, p_role_name text, p_username text, p_access text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.grant_member(p_project_id text, p_role_name text, p_username text, p_access text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.grant_member(p_project_id text, p_role_name text, p_username text, p_access text) TO calib_admin;


--
-- Name: FUNCTION heartbeat(p_job_id bigint, p_claim uuid, p_lease_seconds double precision); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.heartbeat(p_job_id bigint, p_claim uuid, p_lease_seconds double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.heartbeat(p_job_id bigint, p_claim uuid, p_lease_seconds double precision) TO calib_executor;
GRANT ALL ON FUNCTION calib.heartbeat(p_job_id bigint, p_claim uuid, p_lease_seconds double precision) TO calib_notebook;


--
-- Name: FUNCTION import_parameters(p_chip_id text, p_values jsonb, p_reason text, p_force boolean); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.import_parameters(p_chip_id text, p_values jsonb, p_reason text, p_force boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.import_parameters(p_chip_id text, p_values jsonb, p_reason text, p_force boolean) TO calib_operator;


--
-- Name: FUNCTION log_event(p_job_id bigint, p_claim uuid, p_event text, p_detail jsonb); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.log_event(p_job_id bigint, p_claim uuid, p_event text, p_detail jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.log_event(p_job_id bigint, p_claim uuid, p_event text, p_detail jsonb) TO calib_executor;


--
-- Name: FUNCTION mark(p_job_id bigint); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.mark(p_job_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.mark(p_job_id bigint) TO calib_mirror;
GRANT ALL ON FUNCTION calib.mark(p_job_id bigint) TO calib_admin;


--
-- Name: FUNCTION mark_all(); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.mark_all() FROM PUBLIC;
GRANT ALL ON FUNCTION calib.mark_all() TO calib_mirror;
GRANT ALL ON FUNCTION calib.mark_all() TO calib_admin;


--
-- Name: FUNCTION mark_done(p_mark_id bigint, p_version integer); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.mark_done(p_mark_id bigint, p_version integer) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.mark_done(p_mark_id bigint, p_version integer) TO calib_mirror;


--
-- Name: FUNCTION mark_failed(p_mark_id bigint, p_error text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.mark_failed(p_mark_id bigint, p_error text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.mark_failed(p_mark_id bigint, p_error text) TO calib_mirror;


--
-- Name: FUNCTION mark_refused(p_mark_id bigint, p_version integer, p_error text, p_refused jsonb, p_limit integer); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.mark_refused(p_mark_id bigint, p_version integer, p_error text, p_refused jsonb, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.mark_refused(p_mark_id bigint, p_version integer, p_error text, p_refused jsonb, p_limit integer) TO calib_mirror;


--
-- Name: FUNCTION mirror_seen(p_mirror_id text, p_condition text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.mirror_seen(p_mirror_id text, p_condition text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.mirror_seen(p_mirror_id text, p_condition text) TO calib_mirror;


--
-- Name: FUNCTION mirror_stopped(p_mirror_id text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.mirror_stopped(p_mirror_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.mirror_stopped(p_mirror_id text) TO calib_mirror;


--
-- Name: FUNCTION oldest_served_version(); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.oldest_served_version() FROM PUBLIC;
GRANT ALL ON FUNCTION calib.oldest_served_version() TO calib_reader;


--
-- Name: TABLE parameter_history; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.parameter_history TO calib_reader;


--
-- Name: FUNCTION parameters_as_of(p_chip_id text, p_as_of timestamp with time zone); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.parameters_as_of(p_chip_id text, p_as_of timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.parameters_as_of(p_chip_id text, p_as_of timestamp with time zone) TO calib_reader;


--
-- Name: FUNCTION parameters_at(p_chip_id text, p_qid text, p_instant timestamp with time zone); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.parameters_at(p_chip_id text, p_qid text, p_instant timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.parameters_at(p_chip_id text, p_qid text, p_instant timestamp with time zone) TO calib_reader;


--
-- Name: FUNCTION pause_chip(p_chip_id text, p_reason text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.pause_chip(p_chip_id text, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.pause_chip(p_chip_id text, p_reason text) TO calib_operator;


--
-- Name: FUNCTION plan_tasks(p_job_id bigint, p_claim uuid, p_tasks jsonb); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.plan_tasks(p_job_id bigint, p_claim uuid, p_tasks jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.plan_tasks(p_job_id bigint, p_claim uuid, p_tasks jsonb) TO calib_executor;
GRANT ALL ON FUNCTION calib.plan_tasks(p_job_id bigint, p_claim uuid, p_tasks jsonb) TO calib_notebook;


--
-- Name: FUNCTION prune(p_max integer); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.prune(p_max integer) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.prune(p_max integer) TO calib_mirror;
GRANT ALL ON FUNCTION calib.prune(p_max integer) TO calib_admin;


--
-- Name: FUNCTION quiesce_failed(p_job_id bigint, p_claim uuid, p_reason text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.quiesce_failed(p_job_id bigint, p_claim uuid, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.quiesce_failed(p_job_id bigint, p_claim uuid, p_reason text) TO calib_executor;
GRANT ALL ON FUNCTION calib.quiesce_failed(p_job_id bigint, p_claim uuid, p_reason text) TO calib_notebook;


--
-- Name: FUNCTION quiesced(p_job_id bigint, p_claim uuid, p_detail jsonb); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.quiesced(p_job_id bigint, p_claim uuid, p_detail jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.quiesced(p_job_id bigint, p_claim uuid, p_detail jsonb) TO calib_executor;
GRANT ALL ON FUNCTION calib.quiesced(p_job_id bigint, p_claim uuid, p_detail jsonb) TO calib_notebook;


--
-- Name: FUNCTION is_failure_kind(p_kind text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.is_failure_kind(p_kind text) FROM PUBLIC;


--
-- Name: FUNCTION now(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.now() FROM PUBLIC;
GRANT ALL ON FUNCTION calib_private.now() TO calib_reader;


--
-- Name: FUNCTION readable_projects(p_reader name); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.readable_projects(p_reader name) FROM PUBLIC;
GRANT ALL ON FUNCTION calib_private.readable_projects(p_reader name) TO calib_reader;


--
-- Name: TABLE job_events; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.job_events TO calib_reader;


--
-- Name: FUNCTION recent_events(p_since timestamp with time zone, p_project_id text, p_limit integer); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.recent_events(p_since timestamp with time zone, p_project_id text, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.recent_events(p_since timestamp with time zone, p_project_id text, p_limit integer) TO calib_reader;


--
-- Name: FUNCTION record_stage(p_job_id bigint, p_claim uuid, p_position integer, p_stage jsonb); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.record_stage(p_job_id bigint, p_claim uuid, p_position integer, p_stage jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.record_stage(p_job_id bigint, p_claim uuid, p_position integer, p_stage jsonb) TO calib_executor;
GRANT ALL ON FUNCTION calib.record_stage(p_job_id bigint, p_claim uuid, p_position integer, p_stage jsonb) TO calib_notebook;


--
-- Name: FUNCTION record_task(p_job_id bigint, p_claim uuid, p_task_run_id uuid, p_status text, p_result jsonb, p_figures jsonb, p_raw_meta jsonb, p_raw_data bytea[]); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.record_task(p_job_id bigint, p_claim uuid, p_task_run_id uuid, p_status text, p_result jsonb, p_figures jsonb, p_raw_meta jsonb, p_raw_data bytea[]) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.record_task(p_job_id bigint, p_claim uuid, p_task_run_id uuid, p_status text, p_result jsonb, p_figures jsonb, p_raw_meta jsonb, p_raw_data bytea[]) TO calib_executor;
GRANT ALL ON FUNCTION calib.record_task(p_job_id bigint, p_claim uuid, p_task_run_id uuid, p_status text, p_result jsonb, p_figures jsonb, p_raw_meta jsonb, p_raw_data bytea[]) TO calib_notebook;


--
-- Name: FUNCTION register_catalogue(p_chip_id text, p_backend text, p_version text, p_flows jsonb, p_tasks jsonb); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.register_catalogue(p_chip_id text, p_backend text, p_version text, p_flows jsonb, p_tasks jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.register_catalogue(p_chip_id text, p_backend text, p_version text, p_flows jsonb, p_tasks jsonb) TO calib_executor;


--
-- Name: FUNCTION register_executor(p_executor_id text, p_chip_id text, p_backend text, p_host text, p_pid integer, p_version text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.register_executor(p_executor_id text, p_chip_id text, p_backend text, p_host text, p_pid integer, p_version text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.register_executor(p_executor_id text, p_chip_id text, p_backend text, p_host text, p_pid integer, p_version text) TO calib_executor;
GRANT ALL ON FUNCTION calib.register_executor(p_executor_id text, p_chip_id text, p_backend text, p_host text, p_pid integer, p_version text) TO calib_notebook;


--
-- Name: FUNCTION register_mirror(p_mirror_id text, p_host text, p_pid integer, p_version text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.register_mirror(p_mirror_id text, p_host text, p_pid integer, p_version text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.register_mirror(p_mirror_id text, p_host text, p_pid integer, p_version text) TO calib_mirror;


--
-- Name: FUNCTION requeue(p_job_id bigint, p_reason text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.requeue(p_job_id bigint, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.requeue(p_job_id bigint, p_reason text) TO calib_submitter;


--
-- Name: FUNCTION resume_chip(p_chip_id text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.resume_chip(p_chip_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.resume_chip(p_chip_id text) TO calib_operator;


--
-- Name: FUNCTION retire_chip(p_chip_id text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.retire_chip(p_chip_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.retire_chip(p_chip_id text) TO calib_admin;


--
-- Name: FUNCTION retry_marks(p_job_id bigint); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.retry_marks(p_job_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.retry_marks(p_job_id bigint) TO calib_mirror;
GRANT ALL ON FUNCTION calib.retry_marks(p_job_id bigint) TO calib_admin;


--
-- Name: FUNCTION revert_parameter(p_chip_id text, p_qid text, p_name text, p_as_of timestamp with time zone, p_reason text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.revert_parameter(p_chip_id text, p_qid text, p_name text, p_as_of timestamp with time zone, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.revert_parameter(p_chip_id text, p_qid text, p_name text, p_as_of timestamp with time zone, p_reason text) TO calib_operator;


--
-- Name: FUNCTION revoke_member(p_project_id text, p_role_name text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.revoke_member(p_project_id text, p_role_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.revoke_member(p_project_id text, p_role_name text) TO calib_admin;


--
-- Name: FUNCTION schema_version(); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.schema_version() FROM PUBLIC;
GRANT ALL ON FUNCTION calib.schema_version() TO calib_reader;


--
-- Name: FUNCTION set_chip(p_chip_id text, p_max_waiting integer, p_max_waiting_per_project integer, p_submitter_priority integer); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.set_chip(p_chip_id text, p_max_waiting integer, p_max_waiting_per_project integer, p_submitter_priority integer) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.set_chip(p_chip_id text, p_max_waiting integer, p_max_waiting_per_project integer, p_submitter_priority integer) TO calib_admin;


--
-- Name: FUNCTION set_flow_run(p_job_id bigint, p_claim uuid, p_flow_run_id uuid); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.set_flow_run(p_job_id bigint, p_claim uuid, p_flow_run_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.set_flow_run(p_job_id bigint, p_claim uuid, p_flow_run_id uuid) TO calib_executor;


--
-- Name: FUNCTION set_parameter(p_chip_id text, p_qid text, p_name text, p_value double precision, p_error double precision, p_unit text, p_reason text, p_force boolean); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.set_parameter(p_chip_id text, p_qid text, p_name text, p_value double precision, p_error double precision, p_unit text, p_reason text, p_force boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.set_parameter(p_chip_id text, p_qid text, p_name text, p_value double precision, p_error double precision, p_unit text, p_reason text, p_force boolean) TO calib_operator;


--
-- Name: FUNCTION set_retention(p_jobs interval, p_events interval, p_figures interval, p_raw_data interval); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.set_retention(p_jobs interval, p_events interval, p_figures interval, p_raw_data interval) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.set_retention(p_jobs interval, p_events interval, p_figures interval, p_raw_data interval) TO calib_admin;


--
-- Name: FUNCTION set_time_zone(p_time_zone text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.set_time_zone(p_time_zone text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.set_time_zone(p_time_zone text) TO calib_admin;


--
-- Name: FUNCTION start_sweep(p_job_id bigint, p_claim uuid, p_tasks jsonb); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.start_sweep(p_job_id bigint, p_claim uuid, p_tasks jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.start_sweep(p_job_id bigint, p_claim uuid, p_tasks jsonb) TO calib_executor;
GRANT ALL ON FUNCTION calib.start_sweep(p_job_id bigint, p_claim uuid, p_tasks jsonb) TO calib_notebook;


--
-- Name: FUNCTION store_png(p_figure_id bigint, p_png bytea, p_render_error text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.store_png(p_figure_id bigint, p_png bytea, p_render_error text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.store_png(p_figure_id bigint, p_png bytea, p_render_error text) TO calib_mirror;


--
-- Name: FUNCTION submit_many(p_jobs jsonb); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.submit_many(p_jobs jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.submit_many(p_jobs jsonb) TO calib_submitter;


--
-- Name: FUNCTION sweep(); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.sweep() FROM PUBLIC;
GRANT ALL ON FUNCTION calib.sweep() TO calib_executor;
GRANT ALL ON FUNCTION calib.sweep() TO calib_mirror;


--
-- Name: FUNCTION take_marks(p_max integer, p_hold_seconds double precision); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.take_marks(p_max integer, p_hold_seconds double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.take_marks(p_max integer, p_hold_seconds double precision) TO calib_mirror;


--
-- Name: FUNCTION try_again(p_job_id bigint, p_claim uuid, p_failure_kind text, p_failure_message text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.try_again(p_job_id bigint, p_claim uuid, p_failure_kind text, p_failure_message text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.try_again(p_job_id bigint, p_claim uuid, p_failure_kind text, p_failure_message text) TO calib_executor;


--
-- Name: FUNCTION unrendered_figures(p_max integer); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.unrendered_figures(p_max integer) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.unrendered_figures(p_max integer) TO calib_mirror;


--
-- Name: FUNCTION unsynced_flow_runs(p_chip_id text); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.unsynced_flow_runs(p_chip_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.unsynced_flow_runs(p_chip_id text) TO calib_executor;


--
-- Name: FUNCTION waiting_jobs(p_chip_id text, p_limit integer); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.waiting_jobs(p_chip_id text, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.waiting_jobs(p_chip_id text, p_limit integer) TO calib_reader;


--
-- Name: FUNCTION why_waits(p_job_id bigint); Type: ACL; Schema: calib; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib.why_waits(p_job_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION calib.why_waits(p_job_id bigint) TO calib_reader;


--
-- Name: FUNCTION actor(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.actor() FROM PUBLIC;


--
-- Name: FUNCTION actor_is(p_role regrole); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.actor_is(p_role regrole) FROM PUBLIC;


--
-- Name: FUNCTION actor_role(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.actor_role() FROM PUBLIC;


--
-- Name: FUNCTION alive(p_last_seen_at timestamp with time zone, p_stopped_at timestamp with time zone); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.alive(p_last_seen_at timestamp with time zone, p_stopped_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION calib_private.alive(p_last_seen_at timestamp with time zone, p_stopped_at timestamp with time zone) TO calib_reader;


--
-- Name: FUNCTION announce(p_job_ids bigint[]); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.announce(p_job_ids bigint[]) FROM PUBLIC;


--
-- Name: FUNCTION asked_projects(p_project_id text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.asked_projects(p_project_id text) FROM PUBLIC;


--
-- Name: FUNCTION bound_transaction(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.bound_transaction() FROM PUBLIC;


--
-- Name: FUNCTION bound_writer(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.bound_writer() FROM PUBLIC;


--
-- Name: FUNCTION cancel_all_waiting(p_project_id text, p_chip_id text, p_reason text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.cancel_all_waiting(p_project_id text, p_chip_id text, p_reason text) FROM PUBLIC;


--
-- Name: FUNCTION cancel_before_start(p_job_id bigint, p_mode text, p_reason text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.cancel_before_start(p_job_id bigint, p_mode text, p_reason text) FROM PUBLIC;


--
-- Name: FUNCTION waiting_for(p_job_id bigint, p_chip_id text, p_priority smallint, p_not_before timestamp with time zone); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.waiting_for(p_job_id bigint, p_chip_id text, p_priority smallint, p_not_before timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION calib_private.waiting_for(p_job_id bigint, p_chip_id text, p_priority smallint, p_not_before timestamp with time zone) TO calib_reader;


--
-- Name: TABLE jobs; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.jobs TO calib_reader;
GRANT INSERT ON TABLE calib.jobs TO calib_submitter;


--
-- Name: COLUMN jobs.priority; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT UPDATE(priority) ON TABLE calib.jobs TO calib_submitter;


--
-- Name: COLUMN jobs.not_before; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT UPDATE(not_before) ON TABLE calib.jobs TO calib_submitter;


--
-- Name: COLUMN jobs.not_after; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT UPDATE(not_after) ON TABLE calib.jobs TO calib_submitter;


--
-- Name: COLUMN jobs.timeout_seconds; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT UPDATE(timeout_seconds) ON TABLE calib.jobs TO calib_submitter;


--
-- Name: COLUMN jobs.tags; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT UPDATE(tags) ON TABLE calib.jobs TO calib_submitter;


--
-- Name: COLUMN jobs.note; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT UPDATE(note) ON TABLE calib.jobs TO calib_submitter;


--
-- Name: COLUMN jobs.cancel_requested; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT UPDATE(cancel_requested) ON TABLE calib.jobs TO calib_submitter;


--
-- Name: COLUMN jobs.cancel_mode; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT UPDATE(cancel_mode) ON TABLE calib.jobs TO calib_submitter;


--
-- Name: COLUMN jobs.cancel_reason; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT UPDATE(cancel_reason) ON TABLE calib.jobs TO calib_submitter;


--
-- Name: FUNCTION cancel_row(p_old calib.jobs, p_new calib.jobs); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.cancel_row(p_old calib.jobs, p_new calib.jobs) FROM PUBLIC;


--
-- Name: FUNCTION cancel_sentence(p_job_id bigint, p_answer text, p_state text, p_dry_run boolean); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.cancel_sentence(p_job_id bigint, p_answer text, p_state text, p_dry_run boolean) FROM PUBLIC;


--
-- Name: FUNCTION cancel_waiting(p_job_id bigint); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.cancel_waiting(p_job_id bigint) FROM PUBLIC;


--
-- Name: FUNCTION changed_job(p_old calib.jobs, p_new calib.jobs); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.changed_job(p_old calib.jobs, p_new calib.jobs) FROM PUBLIC;


--
-- Name: FUNCTION check_backlog(p_chip calib_private.chips, p_project_id text, p_coming_of_project integer, p_coming integer); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.check_backlog(p_chip calib_private.chips, p_project_id text, p_coming_of_project integer, p_coming integer) FROM PUBLIC;


--
-- Name: FUNCTION check_cancel(p_mode text, p_reason text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.check_cancel(p_mode text, p_reason text) FROM PUBLIC;


--
-- Name: FUNCTION check_edits(p_new calib.jobs, p_edits jsonb); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.check_edits(p_new calib.jobs, p_edits jsonb) FROM PUBLIC;


--
-- Name: FUNCTION check_flow(p_chip_id text, p_flow text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.check_flow(p_chip_id text, p_flow text) FROM PUBLIC;


--
-- Name: FUNCTION check_format(p_value jsonb, p_format text, p_path text, p_chip_id text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.check_format(p_value jsonb, p_format text, p_path text, p_chip_id text) FROM PUBLIC;


--
-- Name: FUNCTION check_known_value(p_chip_id text, p_name text, p_value double precision, p_unit text, p_force boolean, OUT kept_unit text, OUT is_forced boolean); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.check_known_value(p_chip_id text, p_name text, p_value double precision, p_unit text, p_force boolean, OUT kept_unit text, OUT is_forced boolean) FROM PUBLIC;


--
-- Name: FUNCTION check_limits(p_new calib.jobs, p_flow calib_private.flows); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.check_limits(p_new calib.jobs, p_flow calib_private.flows) FROM PUBLIC;


--
-- Name: FUNCTION check_parameters(p_parameters jsonb, p_flow calib_private.flows); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.check_parameters(p_parameters jsonb, p_flow calib_private.flows) FROM PUBLIC;


--
-- Name: FUNCTION check_priority(p_chip calib_private.chips, p_project_id text, p_priority smallint); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.check_priority(p_chip calib_private.chips, p_project_id text, p_priority smallint) FROM PUBLIC;


--
-- Name: FUNCTION check_source(p_source_job_id bigint, p_chip_id text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.check_source(p_source_job_id bigint, p_chip_id text) FROM PUBLIC;


--
-- Name: FUNCTION check_submitter(p_project_id text, p_username text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.check_submitter(p_project_id text, p_username text) FROM PUBLIC;


--
-- Name: FUNCTION check_value(p_value jsonb, p_schema jsonb, p_path text, p_chip_id text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.check_value(p_value jsonb, p_schema jsonb, p_path text, p_chip_id text) FROM PUBLIC;


--
-- Name: FUNCTION checked_job(p_new calib.jobs, p_coming integer[]); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.checked_job(p_new calib.jobs, p_coming integer[]) FROM PUBLIC;


--
-- Name: FUNCTION checked_or_refused(p_new calib.jobs, p_coming integer[], p_place text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.checked_or_refused(p_new calib.jobs, p_coming integer[], p_place text) FROM PUBLIC;


--
-- Name: FUNCTION chip_state(p_chip_id text, p_now timestamp with time zone, OUT paused boolean, OUT pause_reason text, OUT alive boolean, OUT ready boolean, OUT condition text, OUT running_job_id bigint, OUT running_project_id text, OUT running_until timestamp with time zone); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.chip_state(p_chip_id text, p_now timestamp with time zone, OUT paused boolean, OUT pause_reason text, OUT alive boolean, OUT ready boolean, OUT condition text, OUT running_job_id bigint, OUT running_project_id text, OUT running_until timestamp with time zone) FROM PUBLIC;


--
-- Name: FUNCTION claimed_attempt(p_job_id bigint, p_claim uuid); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.claimed_attempt(p_job_id bigint, p_claim uuid) FROM PUBLIC;


--
-- Name: FUNCTION claimed_row(p_job_id bigint); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.claimed_row(p_job_id bigint) FROM PUBLIC;


--
-- Name: FUNCTION client_columns(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.client_columns() FROM PUBLIC;


--
-- Name: FUNCTION close_task_runs(p_job_id bigint, p_state text, p_failure_kind text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.close_task_runs(p_job_id bigint, p_state text, p_failure_kind text) FROM PUBLIC;


--
-- Name: FUNCTION conclude(p_lease calib_private.leases, p_state text, p_failure_kind text, p_failure_message text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.conclude(p_lease calib_private.leases, p_state text, p_failure_kind text, p_failure_message text) FROM PUBLIC;


--
-- Name: FUNCTION count_backlog(p_chip_id text, p_job_id bigint); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.count_backlog(p_chip_id text, p_job_id bigint) FROM PUBLIC;


--
-- Name: FUNCTION count_jobs(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.count_jobs() FROM PUBLIC;


--
-- Name: FUNCTION count_newer(p_chip_id text, p_project_id text, p_after bigint, OUT of_chip bigint, OUT of_project bigint); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.count_newer(p_chip_id text, p_project_id text, p_after bigint, OUT of_chip bigint, OUT of_project bigint) FROM PUBLIC;


--
-- Name: FUNCTION count_tasks(p_job_id bigint); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.count_tasks(p_job_id bigint) FROM PUBLIC;


--
-- Name: FUNCTION count_waiting(p_chip_id text, p_project_id text, OUT of_chip bigint, OUT of_project bigint); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.count_waiting(p_chip_id text, p_project_id text, OUT of_chip bigint, OUT of_project bigint) FROM PUBLIC;


--
-- Name: FUNCTION edit_job(p_new calib.jobs, p_edits jsonb); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.edit_job(p_new calib.jobs, p_edits jsonb) FROM PUBLIC;


--
-- Name: FUNCTION edit_parameters(p_what text, p_source text, p_chip_id text, p_values jsonb, p_reason text, p_force boolean); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.edit_parameters(p_what text, p_source text, p_chip_id text, p_values jsonb, p_reason text, p_force boolean) FROM PUBLIC;


--
-- Name: FUNCTION edits(p_old calib.jobs, p_new calib.jobs); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.edits(p_old calib.jobs, p_new calib.jobs) FROM PUBLIC;


--
-- Name: FUNCTION end_attempt(p_lease calib_private.leases, p_state text, p_failure_kind text, p_failure_message text, p_dirty boolean); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.end_attempt(p_lease calib_private.leases, p_state text, p_failure_kind text, p_failure_message text, p_dirty boolean) FROM PUBLIC;


--
-- Name: FUNCTION end_by_policy(p_lease calib_private.leases, p_failure_kind text, p_failure_message text, p_dirty boolean); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.end_by_policy(p_lease calib_private.leases, p_failure_kind text, p_failure_message text, p_dirty boolean) FROM PUBLIC;


--
-- Name: FUNCTION fault(p_value jsonb, p_schema jsonb); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.fault(p_value jsonb, p_schema jsonb) FROM PUBLIC;


--
-- Name: FUNCTION finite_number(p_value jsonb, p_key text, p_name text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.finite_number(p_value jsonb, p_key text, p_name text) FROM PUBLIC;


--
-- Name: FUNCTION flat_schema(p_schema jsonb, p_of text, p_root jsonb, p_path text, p_within text[], p_size integer); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.flat_schema(p_schema jsonb, p_of text, p_root jsonb, p_path text, p_within text[], p_size integer) FROM PUBLIC;


--
-- Name: FUNCTION forbid_change(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.forbid_change() FROM PUBLIC;


--
-- Name: FUNCTION forbid_reopening(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.forbid_reopening() FROM PUBLIC;


--
-- Name: FUNCTION foreseen_answer(p_job calib_private.jobs, p_mode text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.foreseen_answer(p_job calib_private.jobs, p_mode text) FROM PUBLIC;


--
-- Name: FUNCTION forget_job(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.forget_job() FROM PUBLIC;


--
-- Name: FUNCTION given_back(p_job_id bigint, p_claim uuid); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.given_back(p_job_id bigint, p_claim uuid) FROM PUBLIC;


--
-- Name: FUNCTION given_job(p_given jsonb, p_place text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.given_job(p_given jsonb, p_place text) FROM PUBLIC;


--
-- Name: FUNCTION given_values(p_new calib.jobs); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.given_values(p_new calib.jobs) FROM PUBLIC;


--
-- Name: FUNCTION guard_origin(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.guard_origin() FROM PUBLIC;


--
-- Name: FUNCTION guard_transition(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.guard_transition() FROM PUBLIC;


--
-- Name: FUNCTION has_role(p_who name, p_role regrole); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.has_role(p_who name, p_role regrole) FROM PUBLIC;


--
-- Name: FUNCTION hold_lease(p_job_id bigint, p_claim uuid); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.hold_lease(p_job_id bigint, p_claim uuid) FROM PUBLIC;


--
-- Name: FUNCTION hold_up(p_job_id bigint, p_chip_id text, p_flow text, p_priority smallint, p_attempt smallint, p_not_before timestamp with time zone, p_not_after timestamp with time zone, p_readable text[], OUT kind text, OUT sentence text, OUT blocking_job_id bigint, OUT clears_at timestamp with time zone); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.hold_up(p_job_id bigint, p_chip_id text, p_flow text, p_priority smallint, p_attempt smallint, p_not_before timestamp with time zone, p_not_after timestamp with time zone, p_readable text[], OUT kind text, OUT sentence text, OUT blocking_job_id bigint, OUT clears_at timestamp with time zone) FROM PUBLIC;


--
-- Name: FUNCTION in_both_directions(p_qid text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.in_both_directions(p_qid text) FROM PUBLIC;


--
-- Name: FUNCTION insert_job(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.insert_job() FROM PUBLIC;


--
-- Name: FUNCTION is_served(p_chip_id text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.is_served(p_chip_id text) FROM PUBLIC;


--
-- Name: FUNCTION is_writable(p_time timestamp with time zone); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.is_writable(p_time timestamp with time zone) FROM PUBLIC;


--
-- Name: FUNCTION job_key(p_project_id text, p_kind text, p_value text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.job_key(p_project_id text, p_kind text, p_value text) FROM PUBLIC;


--
-- Name: FUNCTION jobs_ahead(p_job_id bigint, p_chip_id text, p_flow text, p_priority smallint, p_now timestamp with time zone, p_far boolean, OUT n integer, OUT is_bounded boolean, OUT first_job_id bigint); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.jobs_ahead(p_job_id bigint, p_chip_id text, p_flow text, p_priority smallint, p_now timestamp with time zone, p_far boolean, OUT n integer, OUT is_bounded boolean, OUT first_job_id bigint) FROM PUBLIC;


--
-- Name: FUNCTION keep_flow_run_key(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.keep_flow_run_key() FROM PUBLIC;


--
-- Name: FUNCTION keep_job_keys(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.keep_job_keys() FROM PUBLIC;


--
-- Name: FUNCTION keep_task_keys(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.keep_task_keys() FROM PUBLIC;


--
-- Name: FUNCTION keys_of(p_job calib_private.jobs); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.keys_of(p_job calib_private.jobs) FROM PUBLIC;


--
-- Name: FUNCTION known_parameter(p_chip_id text, p_name text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.known_parameter(p_chip_id text, p_name text) FROM PUBLIC;


--
-- Name: FUNCTION labelled_role(p_label text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.labelled_role(p_label text) FROM PUBLIC;


--
-- Name: FUNCTION lease_interval(p_seconds double precision); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.lease_interval(p_seconds double precision) FROM PUBLIC;


--
-- Name: FUNCTION lock_owners(p_chip_id text, p_qids text[]); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.lock_owners(p_chip_id text, p_qids text[]) FROM PUBLIC;


--
-- Name: FUNCTION lock_waiting(p_job_id bigint); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.lock_waiting(p_job_id bigint) FROM PUBLIC;


--
-- Name: FUNCTION log_transition(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.log_transition() FROM PUBLIC;


--
-- Name: FUNCTION mark_chip(p_chip_id text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.mark_chip(p_chip_id text) FROM PUBLIC;


--
-- Name: FUNCTION mark_job(p_job_id bigint, p_announce boolean); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.mark_job(p_job_id bigint, p_announce boolean) FROM PUBLIC;


--
-- Name: FUNCTION matches(p_job calib_private.jobs, p_chip_id text, p_project_id text, p_submitted_by text, p_tags text[], p_state text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.matches(p_job calib_private.jobs, p_chip_id text, p_project_id text, p_submitted_by text, p_tags text[], p_state text) FROM PUBLIC;


--
-- Name: FUNCTION may_change(p_submitted_by text, p_project_id text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.may_change(p_submitted_by text, p_project_id text) FROM PUBLIC;


--
-- Name: FUNCTION may_claim(p_chip_id text, p_executor_id text, p_job_id bigint); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.may_claim(p_chip_id text, p_executor_id text, p_job_id bigint) FROM PUBLIC;


--
-- Name: FUNCTION may_execute(p_chip_id text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.may_execute(p_chip_id text) FROM PUBLIC;


--
-- Name: FUNCTION membership(p_project_id text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.membership(p_project_id text) FROM PUBLIC;


--
-- Name: FUNCTION merged_jobs(p_sources text[], p_where text, p_order text, p_limit integer); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.merged_jobs(p_sources text[], p_where text, p_order text, p_limit integer) FROM PUBLIC;


--
-- Name: FUNCTION next_execution_id(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.next_execution_id() FROM PUBLIC;


--
-- Name: FUNCTION next_position(p_part text, p_from timestamp with time zone, p_before timestamp with time zone); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.next_position(p_part text, p_from timestamp with time zone, p_before timestamp with time zone) FROM PUBLIC;


--
-- Name: FUNCTION note_pair(p_name text, p_value jsonb); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.note_pair(p_name text, p_value jsonb) FROM PUBLIC;


--
-- Name: FUNCTION notify(p_channel text, p_payload text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.notify(p_channel text, p_payload text) FROM PUBLIC;


--
-- Name: FUNCTION one_line(p_text text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.one_line(p_text text) FROM PUBLIC;


--
-- Name: FUNCTION operates(p_project_id text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.operates(p_project_id text) FROM PUBLIC;


--
-- Name: FUNCTION own_username(p_project_id text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.own_username(p_project_id text) FROM PUBLIC;


--
-- Name: FUNCTION parameter_owner(p_chip_id text, p_qid text, p_role text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.parameter_owner(p_chip_id text, p_qid text, p_role text) FROM PUBLIC;


--
-- Name: FUNCTION place_couplings(p_chip_id text, p_topology text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.place_couplings(p_chip_id text, p_topology text) FROM PUBLIC;


--
-- Name: FUNCTION place_qubits(p_chip_id text, p_topology text, p_n integer); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.place_qubits(p_chip_id text, p_topology text, p_n integer) FROM PUBLIC;


--
-- Name: FUNCTION plain_unit(p_unit text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.plain_unit(p_unit text) FROM PUBLIC;


--
-- Name: FUNCTION prune_events(p_from timestamp with time zone, p_before timestamp with time zone, p_max integer); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.prune_events(p_from timestamp with time zone, p_before timestamp with time zone, p_max integer) FROM PUBLIC;


--
-- Name: FUNCTION prune_executors(p_max integer); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.prune_executors(p_max integer) FROM PUBLIC;


--
-- Name: FUNCTION prune_figures(p_from timestamp with time zone, p_before timestamp with time zone, p_max integer); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.prune_figures(p_from timestamp with time zone, p_before timestamp with time zone, p_max integer) FROM PUBLIC;


--
-- Name: FUNCTION prune_jobs(p_from timestamp with time zone, p_before timestamp with time zone, p_max integer); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.prune_jobs(p_from timestamp with time zone, p_before timestamp with time zone, p_max integer) FROM PUBLIC;


--
-- Name: FUNCTION prune_part(p_part text, p_before timestamp with time zone, p_max integer); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.prune_part(p_part text, p_before timestamp with time zone, p_max integer) FROM PUBLIC;


--
-- Name: FUNCTION prune_raw_data(p_from timestamp with time zone, p_before timestamp with time zone, p_max integer); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.prune_raw_data(p_from timestamp with time zone, p_before timestamp with time zone, p_max integer) FROM PUBLIC;


--
-- Name: FUNCTION prune_window(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.prune_window() FROM PUBLIC;


--
-- Name: FUNCTION put_parameter(p_chip_id text, p_qid text, p_name text, p_value jsonb, p_source text, p_task_run_id uuid, p_reason text, p_force boolean); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.put_parameter(p_chip_id text, p_qid text, p_name text, p_value jsonb, p_source text, p_task_run_id uuid, p_reason text, p_force boolean) FROM PUBLIC;


--
-- Name: FUNCTION refuse(p_code text, p_column text, p_message text, p_hint text, p_detail text, p_constraint text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.refuse(p_code text, p_column text, p_message text, p_hint text, p_detail text, p_constraint text) FROM PUBLIC;


--
-- Name: FUNCTION refuse_system_columns(p_new calib.jobs); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.refuse_system_columns(p_new calib.jobs) FROM PUBLIC;


--
-- Name: FUNCTION register_flow(p_chip_id text, p_version text, p_flow jsonb); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.register_flow(p_chip_id text, p_version text, p_flow jsonb) FROM PUBLIC;


--
-- Name: FUNCTION register_task(p_chip_id text, p_version text, p_task jsonb); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.register_task(p_chip_id text, p_version text, p_task jsonb) FROM PUBLIC;


--
-- Name: FUNCTION request_cancel(p_job_id bigint, p_mode text, p_reason text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.request_cancel(p_job_id bigint, p_mode text, p_reason text) FROM PUBLIC;


--
-- Name: FUNCTION require_age(p_column text, p_age interval); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_age(p_column text, p_age interval) FROM PUBLIC;


--
-- Name: FUNCTION require_backend(p_chip calib_private.chips, p_backend text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_backend(p_chip calib_private.chips, p_backend text) FROM PUBLIC;


--
-- Name: FUNCTION require_chip(p_chip_id text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_chip(p_chip_id text) FROM PUBLIC;


--
-- Name: FUNCTION require_claimable(p_job_id bigint); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_claimable(p_job_id bigint) FROM PUBLIC;


--
-- Name: FUNCTION require_criteria(p_state text, p_chip_id text, p_task text, p_qid text, p_note jsonb); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_criteria(p_state text, p_chip_id text, p_task text, p_qid text, p_note jsonb) FROM PUBLIC;


--
-- Name: FUNCTION require_executor(p_executor_id text, p_chip_id text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_executor(p_executor_id text, p_chip_id text) FROM PUBLIC;


--
-- Name: FUNCTION require_executor_permission(p_chip_id text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_executor_permission(p_chip_id text) FROM PUBLIC;


--
-- Name: FUNCTION require_free_key(p_project_id text, p_dedup_key text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_free_key(p_project_id text, p_dedup_key text) FROM PUBLIC;


--
-- Name: FUNCTION require_in_use(p_chip calib_private.chips); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_in_use(p_chip calib_private.chips) FROM PUBLIC;


--
-- Name: FUNCTION require_known_names(p_name text, p_value jsonb); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_known_names(p_name text, p_value jsonb) FROM PUBLIC;


--
-- Name: FUNCTION require_known_role(p_role_name text, p_hint text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_known_role(p_role_name text, p_hint text) FROM PUBLIC;


--
-- Name: FUNCTION require_labelled_role(p_role_name text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_labelled_role(p_role_name text) FROM PUBLIC;


--
-- Name: FUNCTION require_limit(p_name text, p_value integer, p_least integer, p_most integer); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_limit(p_name text, p_value integer, p_least integer, p_most integer) FROM PUBLIC;


--
-- Name: FUNCTION require_one_sweep(p_tasks jsonb); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_one_sweep(p_tasks jsonb) FROM PUBLIC;


--
-- Name: FUNCTION require_operator(p_what text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_operator(p_what text) FROM PUBLIC;


--
-- Name: FUNCTION require_project(p_project_id text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_project(p_project_id text) FROM PUBLIC;


--
-- Name: FUNCTION require_read_committed(p_verb text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_read_committed(p_verb text) FROM PUBLIC;


--
-- Name: FUNCTION require_reason(p_reason text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_reason(p_reason text) FROM PUBLIC;


--
-- Name: FUNCTION require_registered(p_job_id bigint, p_task text, p_outputs jsonb); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_registered(p_job_id bigint, p_task text, p_outputs jsonb) FROM PUBLIC;


--
-- Name: FUNCTION require_role(VARIADIC p_roles regrole[]); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_role(VARIADIC p_roles regrole[]) FROM PUBLIC;


--
-- Name: FUNCTION require_shape(p_name text, p_value jsonb, p_shape text, p_code text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_shape(p_name text, p_value jsonb, p_shape text, p_code text) FROM PUBLIC;


--
-- Name: FUNCTION require_speaker(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_speaker() FROM PUBLIC;


--
-- Name: FUNCTION require_text(p_name text, p_text text, p_least integer, p_most integer); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.require_text(p_name text, p_text text, p_least integer, p_most integer) FROM PUBLIC;


--
-- Name: FUNCTION role_label(p_role regrole); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.role_label(p_role regrole) FROM PUBLIC;
GRANT ALL ON FUNCTION calib_private.role_label(p_role regrole) TO calib_reader;


--
-- Name: FUNCTION see_cancel(p_job_id bigint); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.see_cancel(p_job_id bigint) FROM PUBLIC;


--
-- Name: FUNCTION sees_all(p_reader name); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.sees_all(p_reader name) FROM PUBLIC;


--
-- Name: FUNCTION shape(p_of text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.shape(p_of text) FROM PUBLIC;


--
-- Name: FUNCTION shown(p_text text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.shown(p_text text) FROM PUBLIC;


--
-- Name: FUNCTION started_tasks(p_job_id bigint, p_tasks jsonb); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.started_tasks(p_job_id bigint, p_tasks jsonb) FROM PUBLIC;


--
-- Name: FUNCTION stopped_with(p_state text, p_failure_kind text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.stopped_with(p_state text, p_failure_kind text) FROM PUBLIC;


--
-- Name: FUNCTION store_cancel(p_job_id bigint, p_mode text, p_reason text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.store_cancel(p_job_id bigint, p_mode text, p_reason text) FROM PUBLIC;


--
-- Name: FUNCTION store_figures(p_task_run_id uuid, p_figures jsonb); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.store_figures(p_task_run_id uuid, p_figures jsonb) FROM PUBLIC;


--
-- Name: FUNCTION store_jobs(p_jobs calib.jobs[]); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.store_jobs(p_jobs calib.jobs[]) FROM PUBLIC;


--
-- Name: FUNCTION store_or_refuse(p_jobs calib.jobs[]); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.store_or_refuse(p_jobs calib.jobs[]) FROM PUBLIC;


--
-- Name: FUNCTION store_outputs(p_task_run_id uuid); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.store_outputs(p_task_run_id uuid) FROM PUBLIC;


--
-- Name: FUNCTION store_raw_data(p_task_run_id uuid, p_raw_meta jsonb, p_raw_data bytea[]); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.store_raw_data(p_task_run_id uuid, p_raw_meta jsonb, p_raw_data bytea[]) FROM PUBLIC;


--
-- Name: FUNCTION stored_row(p_row calib.jobs); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.stored_row(p_row calib.jobs) FROM PUBLIC;


--
-- Name: FUNCTION suggestion(p_word text, p_known text[]); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.suggestion(p_word text, p_known text[]) FROM PUBLIC;


--
-- Name: FUNCTION sweep_cancelled(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.sweep_cancelled() FROM PUBLIC;


--
-- Name: FUNCTION sweep_expired(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.sweep_expired() FROM PUBLIC;


--
-- Name: FUNCTION sweep_leases(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.sweep_leases() FROM PUBLIC;


--
-- Name: FUNCTION sweep_runs(p_job_id bigint, p_tasks jsonb); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.sweep_runs(p_job_id bigint, p_tasks jsonb) FROM PUBLIC;


--
-- Name: FUNCTION take_due_job(p_chip_id text, p_job_id bigint); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.take_due_job(p_chip_id text, p_job_id bigint) FROM PUBLIC;


--
-- Name: FUNCTION task_key(p_project_id text, p_chip_id text, p_task text, p_qid text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.task_key(p_project_id text, p_chip_id text, p_task text, p_qid text) FROM PUBLIC;


--
-- Name: FUNCTION topology_size(p_topology text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.topology_size(p_topology text) FROM PUBLIC;


--
-- Name: FUNCTION touch_job(p_job_id bigint); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.touch_job(p_job_id bigint) FROM PUBLIC;


--
-- Name: FUNCTION unreadable(p_json jsonb); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.unreadable(p_json jsonb) FROM PUBLIC;


--
-- Name: FUNCTION unsupported(p_key text, p_rule jsonb); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.unsupported(p_key text, p_rule jsonb) FROM PUBLIC;


--
-- Name: FUNCTION update_job(); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.update_job() FROM PUBLIC;


--
-- Name: FUNCTION verdict(p_job_id bigint); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.verdict(p_job_id bigint) FROM PUBLIC;


--
-- Name: FUNCTION wake_chip(p_chip_id text, p_payload text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.wake_chip(p_chip_id text, p_payload text) FROM PUBLIC;


--
-- Name: FUNCTION wake_executor(p_job_id bigint, p_chip_id text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.wake_executor(p_job_id bigint, p_chip_id text) FROM PUBLIC;


--
-- Name: FUNCTION was_granted(p_member oid, p_role oid); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.was_granted(p_member oid, p_role oid) FROM PUBLIC;


--
-- Name: FUNCTION write_event(p_job_id bigint, p_event text, p_detail jsonb, p_old text, p_new text); Type: ACL; Schema: calib_private; Owner: calib_owner
--

REVOKE ALL ON FUNCTION calib_private.write_event(p_job_id bigint, p_event text, p_detail jsonb, p_old text, p_new text) FROM PUBLIC;


--
-- Name: TABLE attempts; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.attempts TO calib_reader;


--
-- Name: TABLE chips; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.chips TO calib_reader;


--
-- Name: TABLE couplings; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.couplings TO calib_reader;


--
-- Name: TABLE executor_permissions; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.executor_permissions TO calib_reader;


--
-- Name: TABLE executors; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.executors TO calib_reader;


--
-- Name: TABLE figures; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.figures TO calib_reader;


--
-- Name: TABLE flows; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.flows TO calib_reader;


--
-- Name: TABLE job_counts; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.job_counts TO calib_reader;


--
-- Name: TABLE known_parameters; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.known_parameters TO calib_reader;


--
-- Name: TABLE memberships; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.memberships TO calib_reader;


--
-- Name: TABLE mirror_lag; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.mirror_lag TO calib_reader;


--
-- Name: TABLE mirrors; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.mirrors TO calib_reader;


--
-- Name: TABLE parameters; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.parameters TO calib_reader;


--
-- Name: TABLE projects; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.projects TO calib_reader;


--
-- Name: TABLE qubits; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.qubits TO calib_reader;


--
-- Name: TABLE raw_data; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.raw_data TO calib_reader;


--
-- Name: TABLE retention; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.retention TO calib_reader;


--
-- Name: TABLE settings; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.settings TO calib_reader;


--
-- Name: TABLE stages; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.stages TO calib_reader;


--
-- Name: TABLE sweeps; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.sweeps TO calib_reader;


--
-- Name: TABLE task_runs; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.task_runs TO calib_reader;


--
-- Name: TABLE tasks; Type: ACL; Schema: calib; Owner: calib_owner
--

GRANT SELECT ON TABLE calib.tasks TO calib_reader;


--
-- PostgreSQL database dump complete
--

\unrestrict snapshot
