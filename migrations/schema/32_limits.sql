-- How many jobs may wait, and how high a submitter may put its own. Jobs that wait again after an attempt are
-- exempt.

CREATE OR REPLACE FUNCTION calib_private.check_priority(p_chip calib_private.chips, p_project_id text,
  p_priority smallint)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_priority > p_chip.submitter_priority AND NOT calib_private.operates(p_project_id) THEN
    PERFORM calib_private.refuse('CQ003', 'priority',
      format('priority: on chip "%s" a submitter may give at most %s, got %s', p_chip.chip_id,
      p_chip.submitter_priority, p_priority), format('An operator of project "%s" may give more.',
      p_project_id));
  END IF;
END $$;

-- An insert counts only the jobs that came after the last count; when those are many, it counts all anew. No
-- transaction waits for another's count. Jobs whose numbers were given before the last count are counted for
-- good once the transactions of that time have ended, or after ten seconds: jobs of one that stays open for
-- longer are in the next count.
CREATE OR REPLACE FUNCTION calib_private.count_backlog(p_chip_id text, p_job_id bigint)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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

-- The waiting jobs of a chip that came after job p_after. One plan for all: planned anew each time, by the
-- number itself, it would read more for the plan than for the jobs. In the order of an index, so that it does
-- not read all that wait.
CREATE OR REPLACE FUNCTION calib_private.count_newer(p_chip_id text, p_project_id text, p_after bigint,
  OUT of_chip bigint, OUT of_project bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
  SET plan_cache_mode = force_generic_plan SET enable_sort = off AS $$
BEGIN
  SELECT count(*), count(*) FILTER (WHERE w.project_id = p_project_id) INTO of_chip, of_project
    FROM (SELECT j.project_id FROM calib_private.jobs j WHERE j.chip_id = p_chip_id
      AND j.state = 'scheduled' AND j.job_id > p_after ORDER BY j.job_id DESC) w;
END $$;

CREATE OR REPLACE FUNCTION calib_private.count_waiting(p_chip_id text, p_project_id text,
  OUT of_chip bigint, OUT of_project bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  SELECT count(*), count(*) FILTER (WHERE j.project_id = p_project_id) INTO of_chip, of_project
    FROM calib_private.jobs j WHERE j.chip_id = p_chip_id AND j.state = 'scheduled';
END $$;

CREATE OR REPLACE FUNCTION calib_private.check_backlog(p_chip calib_private.chips, p_project_id text,
  p_coming_of_project integer, p_coming integer)
RETURNS void LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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
