DROP VIEW calib.mirrors, calib.mirror_lag;
DROP FUNCTION calib.mark_refused(bigint, integer, text, jsonb, integer), calib.retry_marks(bigint),
  calib.register_mirror(text, text, integer, text), calib.mirror_seen(text, text), calib.mirror_stopped(text);
DROP TABLE calib_private.mirrors;
DROP INDEX calib_private.outbox_due;
ALTER TABLE calib_private.outbox DROP COLUMN refusals, DROP COLUMN refused, DROP COLUMN dead_at;
CREATE INDEX outbox_due ON calib_private.outbox (next_try_at);

CREATE VIEW calib.mirror_lag WITH (security_barrier) AS
SELECT o.mark_id, o.job_id, o.chip_id, o.marked_at, extract(epoch FROM calib_private.now() - o.marked_at)::double precision AS lag_seconds,
       o.attempts, o.next_try_at, o.last_error
  FROM calib_private.outbox o LEFT JOIN calib_private.jobs j USING (job_id)
 WHERE o.job_id IS NULL OR j.project_id = ANY ((SELECT calib_private.readable_projects())::text[]);
GRANT SELECT ON calib.mirror_lag TO calib_reader;
