-- Sweeps: the task runs of one task on many targets, which are driven and read together. All of them start in
-- one transaction; each is recorded alone.

COMMENT ON TYPE calib.started_task IS 'What start_sweep() returns: a task that runs now, and its sweep.';

-- Those of the given tasks that run in a sweep, in the order given.
CREATE OR REPLACE FUNCTION calib_private.started_tasks(p_job_id bigint, p_tasks jsonb)
RETURNS SETOF calib.started_task LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT t.qid, t.task_run_id, t.sweep_id
    FROM calib_private.jobs j JOIN calib_private.task_runs t USING (job_id, attempt)
      JOIN jsonb_array_elements(p_tasks) WITH ORDINALITY AS e(item, n) ON t.task = e.item ->> 'task'
        AND t.qid = e.item ->> 'qid'
        AND t.repetition = coalesce((e.item ->> 'repetition')::numeric::smallint, 0)
   WHERE j.job_id = p_job_id AND t.status = 'running' AND t.sweep_id IS NOT NULL ORDER BY e.n
$$;

-- Whether the given tasks run already, as one whole sweep: the first answer was lost. A part of a
-- sweep that has ended may run again, in another one.
CREATE OR REPLACE FUNCTION calib_private.sweep_runs(p_job_id bigint, p_tasks jsonb)
RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
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

CREATE OR REPLACE FUNCTION calib_private.require_one_sweep(p_tasks jsonb)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
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

CREATE OR REPLACE FUNCTION calib.start_sweep(p_job_id bigint, p_claim uuid, p_tasks jsonb)
RETURNS SETOF calib.started_task LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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
COMMENT ON FUNCTION calib.start_sweep(bigint, uuid, jsonb) IS
  'Marks the tasks of a sweep as running, announced or not, all or none. p_tasks: array of {task, qid, '
  'task_type, repetition, upstream_id, input_parameters, run_parameters}, one task on each qid once. While '
  'they run, the same call again repeats the answer; after end_sweep() a part of them may run in another '
  'sweep. For calib_notebook, calib_executor. Raises CQ003, CQ007, CQ010, CQ020.';

CREATE OR REPLACE FUNCTION calib.end_sweep(p_job_id bigint, p_claim uuid, p_sweep_id uuid,
  p_hardware_seconds double precision)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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
COMMENT ON FUNCTION calib.end_sweep(bigint, uuid, uuid, double precision) IS
  'Ends a sweep with the instrument time of all its targets together, in seconds. For calib_notebook, '
  'calib_executor. Raises CQ001, CQ003, CQ007, CQ010, CQ020.';
