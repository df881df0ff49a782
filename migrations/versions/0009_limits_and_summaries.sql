-- All tables at once, in the order in which a submission and a running job use them.
LOCK TABLE calib_private.jobs, calib_private.attempts, calib_private.task_runs,
  calib_private.parameter_versions IN ACCESS EXCLUSIVE MODE;

-- By what find_jobs() finds a job: its chip, submitter, tags, pairs of its note, dedup_key, flow runs and
-- tasks, each as one number with the project. Written once, where an index of the jobs is written anew with
-- each change of state. No foreign key: it would lock and write the job's row.
CREATE TABLE calib_private.job_keys (
  key    bigint NOT NULL,
  job_id bigint NOT NULL,
  PRIMARY KEY (key, job_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);

-- These two not for the search for a due job, which names neither submitter nor project: it would read and
-- sort all that waits.
CREATE INDEX jobs_live_by_submitter ON calib_private.jobs (submitted_by, job_id DESC)
  WHERE state IN ('scheduled', 'running') AND submitted_by <> '';
CREATE INDEX jobs_waiting_by_project ON calib_private.jobs (project_id, chip_id, priority DESC, job_id)
  WHERE state = 'scheduled' AND project_id <> '';
CREATE INDEX jobs_not_completed_by_project ON calib_private.jobs (project_id, state, job_id DESC)
  WHERE state IN ('failed', 'cancelled');
CREATE INDEX jobs_ended_by_project ON calib_private.jobs (project_id, finished_at)
  WHERE finished_at IS NOT NULL;
CREATE INDEX parameter_versions_by_name ON calib_private.parameter_versions (chip_id, qid, name,
  lower(valid));
CREATE INDEX parameter_versions_by_start ON calib_private.parameter_versions (chip_id, lower(valid));

CREATE TYPE calib.found_job AS (
  job_id bigint, project_id text, username text, chip_id text, flow text, state text, priority smallint,
  tags text[], note jsonb, dedup_key text, execution_id text, flow_run_id uuid, submitted_by text,
  submitted_at timestamptz, not_before timestamptz, started_at timestamptz, finished_at timestamptz,
  failure_kind text, failure_message text
);

-- How many jobs there are: settled ended before ended_until, and cannot become more; jobs is all of them at
-- counted_at. What has ended since is settled once no transaction is left that began before next_until.
CREATE TABLE calib_private.job_counts (
  project_id text NOT NULL,
  chip_id    text NOT NULL,
  state      text NOT NULL,
  settled    bigint NOT NULL,
  jobs       bigint NOT NULL,
  PRIMARY KEY (project_id, chip_id, state)
) WITH (fillfactor = 50);
CREATE TABLE calib_private.job_counting (
  only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  counted_at  timestamptz NOT NULL DEFAULT '-infinity',
  ended_until timestamptz NOT NULL,
  next_until  timestamptz NOT NULL,
  next_xid    xid8 NOT NULL
) WITH (fillfactor = 50);
-- Ended jobs that were deleted, until they are taken off.
CREATE TABLE calib_private.deleted_jobs (
  project_id  text NOT NULL,
  chip_id     text NOT NULL,
  state       text NOT NULL,
  finished_at timestamptz NOT NULL
);

INSERT INTO calib_private.job_counting (ended_until, next_until, next_xid)
SELECT until, until, pg_snapshot_xmax(pg_current_snapshot())
  FROM (SELECT coalesce(max(finished_at) - interval '10 minutes', '-infinity') AS until
    FROM calib_private.jobs) j;
INSERT INTO calib_private.job_counts
SELECT project_id, chip_id, state, count(*), count(*)
  FROM calib_private.jobs, calib_private.job_counting WHERE finished_at < ended_until GROUP BY 1, 2, 3;

-- As keys_of(), task_key() and keep_flow_run_key() of the schema give them.
INSERT INTO calib_private.job_keys
SELECT DISTINCT hashtextextended(concat_ws(chr(31), j.project_id, k.kind, k.value), 0), j.job_id
  FROM calib_private.jobs j, LATERAL (
    VALUES ('chip', j.chip_id), ('submitted_by', j.submitted_by), ('dedup_key', j.dedup_key)
    UNION ALL SELECT 'tag', t FROM unnest(j.tags) t
    UNION ALL SELECT 'note', e.key || '=' || CASE jsonb_typeof(e.value)
      WHEN 'number' THEN trim_scale(e.value::numeric)::text
      WHEN 'string' THEN e.value #>> '{}' WHEN 'boolean' THEN e.value::text END FROM jsonb_each(j.note) e
    UNION ALL SELECT 'flow_run_id', a.flow_run_id::text
      FROM calib_private.attempts a WHERE a.job_id = j.job_id
    UNION ALL SELECT 'task', concat_ws(chr(31), j.chip_id, r.task, r.qid)
      FROM calib_private.task_runs r WHERE r.job_id = j.job_id) k (kind, value)
 WHERE k.value IS NOT NULL ORDER BY 1, 2;
