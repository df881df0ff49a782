-- Projects, members, chips and permissions: the administrator's verbs. Pausing a chip is an operator's.

CREATE OR REPLACE FUNCTION calib.add_project(p_project_id text, p_description text DEFAULT '')
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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
END $$;
COMMENT ON FUNCTION calib.add_project(text, text) IS
  'Makes a project of 1 to 63 letters, digits, _ and -; does nothing if it exists. For calib_admin. Raises '
  'CQ003, CQ007.';

CREATE OR REPLACE FUNCTION calib_private.require_project(p_project_id text)
RETURNS void LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM calib_private.projects p WHERE p.project_id = p_project_id) THEN
    PERFORM calib_private.refuse('CQ001', 'project_id',
      format('unknown project %s%s', calib_private.shown(p_project_id),
        calib_private.suggestion(coalesce(p_project_id, ''),
        ARRAY(SELECT p.project_id FROM calib_private.projects p))));
  END IF;
END $$;

CREATE OR REPLACE FUNCTION calib.grant_member(p_project_id text, p_role_name text, p_username text,
  p_access text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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
END $$;
COMMENT ON FUNCTION calib.grant_member(text, text, text, text) IS
  'Makes a database role a member of a project, or changes its membership. p_username: its name in QDash; '
  'p_access: reader, submitter or operator. For calib_admin. Raises CQ001, CQ003, CQ007.';

-- What is taken from a role is named as the views show it: a role that was dropped by its number.
CREATE OR REPLACE FUNCTION calib_private.require_labelled_role(p_role_name text)
RETURNS regrole LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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

-- From now on the role neither reads nor submits nor cancels, unless a group of its own is a member too. Its
-- jobs stay.
CREATE OR REPLACE FUNCTION calib.revoke_member(p_project_id text, p_role_name text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.require_role('calib_admin');
  PERFORM calib_private.require_project(p_project_id);
  DELETE FROM calib_private.memberships m
   WHERE m.project_id = p_project_id AND m.role_name = calib_private.require_labelled_role(p_role_name);
END $$;
COMMENT ON FUNCTION calib.revoke_member(text, text) IS
  'Ends the membership of a database role: it no longer reads, submits or cancels; its jobs stay. '
  'p_role_name: as calib.memberships shows it, a number if the role was dropped. For calib_admin. Raises '
  'CQ001, CQ003.';

CREATE OR REPLACE FUNCTION calib_private.require_read_committed(p_verb text)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    PERFORM calib_private.refuse('CQ010', 'transaction_isolation',
      format('%s: expected a transaction of read committed, got %s', p_verb,
        current_setting('transaction_isolation')), 'Call it outside of a transaction.');
  END IF;
END $$;

-- The caller keeps new jobs out. One that starts meanwhile goes on.
CREATE OR REPLACE FUNCTION calib_private.cancel_all_waiting(p_project_id text, p_chip_id text, p_reason text)
RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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

-- No new jobs from now on; those that wait are cancelled, and a running one goes on. Returns how many were
-- cancelled. All of it stays to be read.
CREATE OR REPLACE FUNCTION calib.archive_project(p_project_id text)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
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
COMMENT ON FUNCTION calib.archive_project(text) IS
  'Archives a project: it takes no new jobs, and those that wait are cancelled; a running job goes on, and '
  'everything can still be read. Returns how many were cancelled. For calib_admin. Raises CQ001, CQ003, '
  'CQ010.';

-- Qubits and couplings of a topology, as QDash numbers them. In square-lattice-mux-N the MUXes are 2 x 2
-- blocks laid row by row, a qubit is 4 * mux + position, and positions 0 and 3 are the controls of their
-- neighbours.
CREATE OR REPLACE FUNCTION calib_private.topology_size(p_topology text)
RETURNS integer LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN p_topology ~ '^(linear-[1-9][0-9]{0,3}|square-lattice-mux-(4|16|64|144|256|1024))$'
    THEN substring(p_topology FROM '[0-9]+$')::integer END
$$;

CREATE OR REPLACE FUNCTION calib_private.place_qubits(p_chip_id text, p_topology text, p_n integer)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO calib_private.qubits (chip_id, qid, grid_row, grid_column, mux)
  SELECT p_chip_id, q::text,
    CASE WHEN square THEN 2 * (q / 4 / muxes) + q % 4 / 2 ELSE 0 END,
    CASE WHEN square THEN 2 * (q / 4 % muxes) + q % 2 ELSE q END,
    CASE WHEN square THEN q / 4 END
    FROM generate_series(0, p_n - 1) q,
      (SELECT p_topology LIKE 'square%' AS square, greatest(1, sqrt(p_n)::integer / 2) AS muxes) shape
$$;

CREATE OR REPLACE FUNCTION calib_private.place_couplings(p_chip_id text, p_topology text)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO calib_private.couplings (chip_id, qid, control, target)
  SELECT p_chip_id, a.qid || '-' || b.qid, a.qid, b.qid
    FROM calib_private.qubits a JOIN calib_private.qubits b
      ON a.chip_id = b.chip_id AND abs(a.grid_row - b.grid_row) + abs(a.grid_column - b.grid_column) = 1
   WHERE a.chip_id = p_chip_id
     AND CASE WHEN p_topology LIKE 'square%' THEN a.qid::integer % 4 IN (0, 3)
         ELSE a.qid::integer < b.qid::integer END
$$;

CREATE OR REPLACE FUNCTION calib.add_chip(p_chip_id text, p_backend text, p_topology text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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
END $$;
COMMENT ON FUNCTION calib.add_chip(text, text, text) IS
  'Makes a chip with its qubits and couplings; does nothing if it exists. p_backend: fake or qubex; '
  'p_topology: square-lattice-mux-N or linear-N. Both are fixed. For calib_admin. Raises CQ003, CQ007, '
  'CQ010.';

CREATE OR REPLACE FUNCTION calib_private.require_limit(p_name text, p_value integer, p_least integer,
  p_most integer)
RETURNS void LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_value NOT BETWEEN p_least AND p_most THEN
    PERFORM calib_private.refuse('CQ007', p_name,
      format('%s: expected %s to %s, got %s', p_name, p_least, p_most, p_value));
  END IF;
END $$;

CREATE OR REPLACE FUNCTION calib.set_chip(p_chip_id text, p_max_waiting integer DEFAULT NULL,
  p_max_waiting_per_project integer DEFAULT NULL, p_submitter_priority integer DEFAULT NULL)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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
COMMENT ON FUNCTION calib.set_chip(text, integer, integer, integer) IS
  'Sets how many jobs may wait for a chip, in all and of one project (1 to 1000000), and the highest '
  'priority that a submitter may give (-100 to 100); NULL: unchanged. For calib_admin. Raises CQ001, CQ003, '
  'CQ007.';

-- No new jobs and no claims from now on; those that wait are cancelled. Returns how many. Refused while a job
-- runs. All of it stays to be read.
CREATE OR REPLACE FUNCTION calib.retire_chip(p_chip_id text)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
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
COMMENT ON FUNCTION calib.retire_chip(text) IS
  'Retires a chip on which no job runs: it takes no new jobs and no executor, and jobs that wait are '
  'cancelled; everything can still be read. Returns how many were cancelled. For calib_admin. Raises CQ001, '
  'CQ003, CQ007, CQ010.';

CREATE OR REPLACE FUNCTION calib.allow_executor(p_role_name text, p_chip_id text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.require_role('calib_admin');
  PERFORM calib_private.require_chip(p_chip_id);
  INSERT INTO calib_private.executor_permissions (role_name, chip_id)
  VALUES (calib_private.require_known_role(p_role_name,
    'Make it first: CREATE ROLE name LOGIN IN ROLE calib_executor.'), p_chip_id)
  ON CONFLICT DO NOTHING;
END $$;
COMMENT ON FUNCTION calib.allow_executor(text, text) IS
  'Allows a database role to execute jobs on a chip. For calib_admin. Raises CQ001, CQ003, CQ007.';

-- From now on an executor of the role is refused, unless a group of its own may execute too: it claims
-- nothing, and what it does for a job that runs is answered as if its lease were lost. The lease runs out.
CREATE OR REPLACE FUNCTION calib.disallow_executor(p_role_name text, p_chip_id text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.require_role('calib_admin');
  PERFORM calib_private.require_chip(p_chip_id);
  DELETE FROM calib_private.executor_permissions p
   WHERE p.chip_id = p_chip_id AND p.role_name = calib_private.require_labelled_role(p_role_name);
END $$;
COMMENT ON FUNCTION calib.disallow_executor(text, text) IS
  'Ends the permission of a database role to execute jobs on a chip: its executors claim nothing, and lose '
  'the lease that they hold. p_role_name: as calib.executor_permissions shows it, a number if the role was '
  'dropped. For calib_admin. Raises CQ001, CQ003, CQ007.';

CREATE OR REPLACE FUNCTION calib.set_time_zone(p_time_zone text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.require_role('calib_admin');
  IF NOT EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = p_time_zone) THEN
    PERFORM calib_private.refuse('CQ007', 'time_zone',
      format('time_zone: expected a name such as "Asia/Tokyo", got %s', calib_private.shown(p_time_zone)));
  END IF;
  UPDATE calib_private.settings SET time_zone = p_time_zone;
END $$;
COMMENT ON FUNCTION calib.set_time_zone(text) IS
  'Sets the time zone of the day in execution_id, such as Asia/Tokyo. For calib_admin. Raises CQ003, '
  'CQ007.';

CREATE OR REPLACE FUNCTION calib.pause_chip(p_chip_id text, p_reason text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.require_operator('pause a chip');
  PERFORM calib_private.require_chip(p_chip_id);
  PERFORM calib_private.bound_transaction();
  PERFORM calib_private.require_reason(p_reason);
  UPDATE calib_private.chips c SET paused = true, pause_reason = p_reason, paused_by = calib_private.actor(),
      paused_at = calib_private.now()
   WHERE c.chip_id = p_chip_id;
END $$;
COMMENT ON FUNCTION calib.pause_chip(text, text) IS
  'Pauses a chip with a reason: once it returns, no job starts; a running job goes on. For calib_operator '
  'of some project. Raises CQ001, CQ003, CQ007.';

CREATE OR REPLACE FUNCTION calib.resume_chip(p_chip_id text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.require_operator('resume a chip');
  PERFORM calib_private.require_chip(p_chip_id);
  PERFORM calib_private.bound_transaction();
  UPDATE calib_private.chips c SET paused = false, pause_reason = NULL, paused_by = NULL, paused_at = NULL
      WHERE c.chip_id = p_chip_id;
  PERFORM calib_private.wake_chip(p_chip_id, 'job');
END $$;
COMMENT ON FUNCTION calib.resume_chip(text) IS
  'Resumes a paused chip. For calib_operator of some project. Raises CQ001, CQ003, CQ007.';
