-- All tables at once, in the order in which a submission and a running job use them.
LOCK TABLE calib_private.jobs, calib_private.execution_counters IN ACCESS EXCLUSIVE MODE;

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
