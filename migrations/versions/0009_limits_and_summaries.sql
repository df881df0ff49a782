-- All tables at once, in the order in which a submission and a running job use them.
LOCK TABLE calib_private.chips, calib_private.jobs, calib_private.execution_counters, calib_private.outbox
  IN ACCESS EXCLUSIVE MODE;

-- What cancel_jobs() answers for each job.
CREATE TYPE calib.cancel_answer AS (job_id bigint, answer text, state text, message text);

-- How many jobs of one project may wait (NULL: as many as of all), and how high a submitter may put its own.
ALTER TABLE calib_private.chips
  ADD COLUMN max_waiting_per_project integer CHECK (max_waiting_per_project BETWEEN 1 AND 1000000),
  ADD COLUMN submitter_priority smallint NOT NULL DEFAULT 100 CHECK (submitter_priority BETWEEN -100 AND 100);
DROP FUNCTION IF EXISTS calib.set_chip(text, integer);
-- They answer otherwise since.
DROP FUNCTION IF EXISTS calib_private.change_priority(bigint, smallint),
  calib_private.store_cancel(bigint, text, text), calib_private.cancel_waiting(bigint),
  calib_private.request_cancel(bigint, text, text);

-- What count_backlog() has counted of each chip: its waiting jobs up to number counted_to. The next count
-- goes to next_to, once all transactions before next_xid have ended.
CREATE TABLE calib_private.backlogs (
  chip_id    text PRIMARY KEY REFERENCES calib_private.chips ON DELETE CASCADE,
  counted_to bigint NOT NULL DEFAULT 0,
  waiting    bigint NOT NULL DEFAULT 0,
  by_project jsonb NOT NULL DEFAULT '{}',
  next_to    bigint NOT NULL DEFAULT 0,
  next_xid   xid8 NOT NULL DEFAULT '0',
  next_at    timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 100, autovacuum_vacuum_scale_factor = 0);
-- No other transaction has inserted a job that this one does not see: it holds the table.
INSERT INTO calib_private.backlogs (chip_id, counted_to, waiting, by_project, next_to)
SELECT c.chip_id, n.last, coalesce(sum(p.n), 0), coalesce(jsonb_object_agg(p.project_id, p.n)
    FILTER (WHERE p.n IS NOT NULL), '{}'), n.last
  FROM calib_private.chips c CROSS JOIN (SELECT coalesce(max(job_id), 0) AS last FROM calib_private.jobs) n
  LEFT JOIN (SELECT j.chip_id, j.project_id, count(*) AS n FROM calib_private.jobs j
    WHERE j.state = 'scheduled' GROUP BY 1, 2) p USING (chip_id)
 GROUP BY c.chip_id, n.last;

-- Starts and ends that are still to be announced.
ALTER TABLE calib_private.outbox ADD COLUMN announce boolean NOT NULL DEFAULT false;
CREATE INDEX outbox_unannounced ON calib_private.outbox (mark_id) WHERE announce;
DROP FUNCTION IF EXISTS calib_private.mark_job(bigint);

-- Numbers of executions. A sequence, for no claim may wait for another's transaction; a day's count begins at
-- the number that its first execution drew.
CREATE SEQUENCE calib_private.execution_numbers;
CREATE TABLE calib_private.execution_days (
  day          date PRIMARY KEY,
  first_number bigint NOT NULL
);
-- Each day's count goes on where the counter stood: no id is given again.
SELECT setval('calib_private.execution_numbers', coalesce(max(c.last_n), 0) + 1, false)
  FROM calib_private.execution_counters c;
INSERT INTO calib_private.execution_days (day, first_number)
SELECT c.day, max(c.last_n) OVER () + 1 - c.last_n FROM calib_private.execution_counters c;
DROP TABLE calib_private.execution_counters;

-- Functions that nothing calls any more, or with other arguments.
DROP FUNCTION IF EXISTS calib_private.is_due(text, bigint), calib_private.check_backlog(calib_private.chips),
  calib_private.checked_job(calib.jobs), calib_private.checked_or_refused(calib.jobs);
