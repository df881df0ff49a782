-- All tables at once, in the order in which a submission and a running job use them.
LOCK TABLE calib_private.tasks, calib_private.attempts, calib_private.task_runs IN ACCESS EXCLUSIVE MODE;

-- One measurement of one task whose targets are driven and read together.
CREATE TABLE calib_private.sweeps (
  sweep_id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  job_id           bigint NOT NULL,
  attempt          smallint NOT NULL,
  task             text NOT NULL,
  targets          text[] NOT NULL CHECK (cardinality(targets) > 0),
  started_at       timestamptz NOT NULL,
  ended_at         timestamptz,
  -- NaN is larger than every number in PostgreSQL.
  hardware_seconds double precision CHECK (hardware_seconds BETWEEN 0 AND 1000000000),
  UNIQUE (job_id, attempt, sweep_id),
  FOREIGN KEY (job_id, attempt) REFERENCES calib_private.attempts ON DELETE CASCADE,
  CONSTRAINT measured_has_ended CHECK (ended_at IS NOT NULL OR hardware_seconds IS NULL)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);

-- Of the same attempt. So the unique index on the attempt's task runs serves the foreign key too: one of its
-- own would be written again whenever a task starts.
ALTER TABLE calib_private.task_runs ADD COLUMN sweep_id uuid,
  ADD FOREIGN KEY (job_id, attempt, sweep_id) REFERENCES calib_private.sweeps (job_id, attempt, sweep_id),
  DROP CONSTRAINT task_runs_task_type_check, ADD CONSTRAINT task_runs_task_type_check
    CHECK (task_type IN ('qubit', 'coupling', 'mux', 'global', 'system'));
ALTER TABLE calib_private.tasks DROP CONSTRAINT tasks_task_type_check, ADD CONSTRAINT tasks_task_type_check
    CHECK (task_type IN ('qubit', 'coupling', 'mux', 'global', 'system'));

CREATE TYPE calib.started_task AS (qid text, task_run_id uuid, sweep_id uuid);
