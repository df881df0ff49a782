ALTER TABLE calib_private.job_events RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, autovacuum_vacuum_insert_scale_factor,
  autovacuum_analyze_scale_factor);
ALTER TABLE calib_private.attempts RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
ALTER TABLE calib_private.task_runs RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
ALTER TABLE calib_private.cancel_requests RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
ALTER TABLE calib_private.figures RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold,
  toast.autovacuum_vacuum_scale_factor, toast.autovacuum_vacuum_threshold);
ALTER TABLE calib_private.raw_data RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold,
  toast.autovacuum_vacuum_scale_factor, toast.autovacuum_vacuum_threshold);
ALTER TABLE calib_private.executors RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);

DROP FUNCTION calib.prune(integer), calib.set_retention(interval, interval, interval, interval), calib_private.require_age(text, interval),
  calib_private.prune_jobs(timestamptz, integer), calib_private.prune_events(timestamptz, integer), calib_private.prune_figures(timestamptz, integer),
  calib_private.prune_raw_data(timestamptz, integer), calib_private.prune_executors(integer);
DROP VIEW calib.retention, calib_private.settled_jobs;
DROP TABLE calib_private.retention;

DROP INDEX calib_private.executors_by_start, calib_private.executors_by_chip, calib_private.job_events_of_ends;
CREATE INDEX executors_by_chip ON calib_private.executors (chip_id, last_seen_at) WHERE stopped_at IS NULL;
ALTER TABLE calib_private.figures DROP COLUMN stored_at;
ALTER TABLE calib_private.raw_data DROP COLUMN stored_at;

CREATE OR REPLACE VIEW calib.parameter_history AS
SELECT p.chip_id, p.qid, p.name, p.value, p.error, p.unit, p.value_type, p.description, lower(p.valid) AS valid_from, upper(p.valid) AS valid_to,
       p.source, p.task_run_id, t.job_id, j.execution_id, p.actor, p.reason
  FROM calib_private.parameter_versions p LEFT JOIN calib_private.task_runs t USING (task_run_id) LEFT JOIN calib_private.jobs j ON j.job_id = t.job_id;
CREATE OR REPLACE VIEW calib.parameters AS
SELECT p.chip_id, p.qid, p.name, p.value, p.error, p.unit, p.value_type, p.description, lower(p.valid) AS valid_from,
       p.source, p.task_run_id, t.job_id, j.execution_id, p.actor, p.reason
  FROM calib_private.parameter_versions p LEFT JOIN calib_private.task_runs t USING (task_run_id) LEFT JOIN calib_private.jobs j ON j.job_id = t.job_id
 WHERE upper_inf(p.valid);
DROP INDEX calib_private.parameter_versions_by_job;
CREATE INDEX parameter_versions_by_task_run ON calib_private.parameter_versions (task_run_id);
ALTER TABLE calib_private.parameter_versions DROP CONSTRAINT origin_is_whole, DROP COLUMN job_id, DROP COLUMN execution_id;
-- Versions whose task run was pruned keep its number; new ones are checked again.
ALTER TABLE calib_private.parameter_versions ADD CONSTRAINT parameter_versions_task_run_id_fkey
  FOREIGN KEY (task_run_id) REFERENCES calib_private.task_runs NOT VALID;
DO $$
BEGIN
  ALTER TABLE calib_private.parameter_versions VALIDATE CONSTRAINT parameter_versions_task_run_id_fkey;
EXCEPTION WHEN foreign_key_violation THEN
  RAISE NOTICE 'parameter versions of pruned jobs stay: their task runs are gone';
END $$;
