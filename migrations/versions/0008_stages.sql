-- All tables at once, in the order in which a submission and a running job use them.
LOCK TABLE calib_private.flows, calib_private.jobs, calib_private.attempts IN ACCESS EXCLUSIVE MODE;

-- QDash calls a flow "single-task-executor".
ALTER TABLE calib_private.flows DROP CONSTRAINT flows_flow_check,
  ADD CONSTRAINT flows_flow_check CHECK (flow ~ '^[a-z][a-z0-9_-]{0,62}$');

-- No foreign key: the number stays when that job is pruned, as a parameter's job_id does.
ALTER TABLE calib_private.jobs ADD COLUMN source_job_id bigint;

-- One step of the pipeline that an attempt runs.
CREATE TABLE calib_private.stages (
  job_id     bigint NOT NULL,
  attempt    smallint NOT NULL,
  position   smallint NOT NULL CHECK (position BETWEEN 0 AND 1000),
  name       text NOT NULL,
  step       text NOT NULL,
  mode       text,
  targets    text[] NOT NULL,
  status     text NOT NULL CHECK (status IN ('running', 'completed', 'failed', 'cancelled', 'skipped')),
  result     jsonb NOT NULL CHECK (jsonb_typeof(result) = 'object'),
  message    text NOT NULL,
  started_at timestamptz,
  ended_at   timestamptz,
  PRIMARY KEY (job_id, attempt, position),
  FOREIGN KEY (job_id, attempt) REFERENCES calib_private.attempts ON DELETE CASCADE,
  CONSTRAINT running_until_it_ends CHECK ((status = 'running') = (ended_at IS NULL)),
  CONSTRAINT started_unless_skipped CHECK (status = 'skipped' OR started_at IS NOT NULL)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);

-- Executors and notebooks of 0.5.0 started single tasks by it.
DROP FUNCTION IF EXISTS calib.start_task(bigint, uuid, text, text, text, integer, uuid, jsonb, jsonb);
