-- What PostgreSQL alone can prove. Each check is one query; its rows are violations in words.

-- check: every job ended
SELECT format('job %s is still %s (%s)', j.job_id, j.state, j.waiting_for) FROM calib.jobs j
 WHERE j.state NOT IN ('completed', 'failed', 'cancelled');

-- check: one end for each job
SELECT format('job %s ended %s times: %s', e.job_id, count(*), string_agg(e.new_state, ', ' ORDER BY e.event_id))
  FROM calib.job_events e WHERE e.new_state IN ('completed', 'failed', 'cancelled') GROUP BY e.job_id HAVING count(*) > 1;

-- check: nothing after the end
SELECT format('job %s: event %s after its end', l.job_id, l.event) FROM calib.job_events l
  JOIN calib.job_events e ON e.job_id = l.job_id AND e.new_state IN ('completed', 'failed', 'cancelled')
   AND e.event_id < l.event_id WHERE l.event NOT IN ('cancel_too_late');

-- check: one job on a chip at a time
SELECT format('chip %s: job %s (fence %s) began before job %s (fence %s) had ended', chip_id, job_id, fence, before_job, before_fence)
  FROM (SELECT j.chip_id, a.job_id, a.fence, a.started_at,
               lag(a.job_id) OVER w AS before_job, lag(a.fence) OVER w AS before_fence, lag(a.started_at) OVER w AS before_started,
               max(coalesce(a.ended_at, 'infinity')) OVER (PARTITION BY j.chip_id ORDER BY a.started_at, a.fence
                 ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before_ended
          FROM calib_private.attempts a JOIN calib_private.jobs j USING (job_id)
        WINDOW w AS (PARTITION BY j.chip_id ORDER BY a.started_at, a.fence)) s
 WHERE started_at < before_ended;

-- check: fences only grow
SELECT format('chip %s: fence %s of job %s came after fence %s', chip_id, fence, job_id, before_fence)
  FROM (SELECT j.chip_id, a.job_id, a.fence, lag(a.fence) OVER (PARTITION BY j.chip_id ORDER BY a.started_at, a.ended_at) AS before_fence
          FROM calib_private.attempts a JOIN calib_private.jobs j USING (job_id)) s
 WHERE fence <= before_fence;

-- check: the event log holds the chip once
SELECT format('chip %s: job %s was claimed while job %s ran', chip_id, job_id, before_job)
  FROM (SELECT j.chip_id, e.job_id, e.new_state, e.old_state, lag(e.job_id) OVER w AS before_job,
               lag(e.new_state) OVER w AS before_state
          FROM calib_private.job_events e JOIN calib_private.jobs j USING (job_id)
         WHERE 'running' IN (e.old_state, e.new_state)
        WINDOW w AS (PARTITION BY j.chip_id ORDER BY e.at, e.event_id)) s
 WHERE new_state = 'running' AND before_state = 'running';

-- check: attempts agree with the event log
SELECT format('job %s attempt %s: %s', job_id, attempt, words) FROM (
  SELECT a.job_id, a.attempt, CASE
      WHEN a.ended_at IS NULL THEN 'has not ended'
      WHEN a.outcome <> CASE e.new_state WHEN 'scheduled' THEN 'requeued' ELSE e.new_state END THEN format('outcome %s, log %s', a.outcome, e.new_state)
      WHEN e.new_state IS NULL THEN 'no event ends it'
      WHEN a.verdict IS NOT NULL AND a.verdict <> a.outcome THEN format('verdict %s, outcome %s', a.verdict, a.outcome) END AS words
    FROM calib_private.attempts a LEFT JOIN calib_private.job_events e
      ON e.job_id = a.job_id AND e.attempt = a.attempt AND e.old_state = 'running') s WHERE words IS NOT NULL;

-- check: no result from a stale fence
SELECT format('job %s attempt %s (fence %s): %s on %s: %s', t.job_id, t.attempt, a.fence, t.task, t.qid, w.words)
  FROM calib_private.task_runs t JOIN calib_private.attempts a USING (job_id, attempt), LATERAL (SELECT CASE
      WHEN (t.note ->> 'fence')::bigint <> a.fence THEN 'was measured under fence ' || (t.note ->> 'fence')
      WHEN t.started_at > a.ended_at THEN 'was started after the attempt had ended'
      -- The end of an attempt closes what it leaves open, in the same transaction and a moment later.
      WHEN t.ended_at > a.ended_at AND NOT (t.message = 'not started' OR t.message LIKE 'stopped with%') THEN 'was written after the attempt had ended'
      WHEN t.started_at < a.started_at THEN 'was written before the attempt began' END AS words) w
 WHERE w.words IS NOT NULL;

-- check: no parameter from a stale fence
SELECT format('chip %s qid %s: %s = %s: %s', p.chip_id, p.qid, p.name, p.value, w.words)
  FROM calib_private.parameter_versions p JOIN calib_private.task_runs t USING (task_run_id)
  JOIN calib_private.attempts a ON a.job_id = t.job_id AND a.attempt = t.attempt, LATERAL (SELECT CASE
      WHEN t.status <> 'completed' THEN 'its task run is ' || t.status
      WHEN lower(p.valid) NOT BETWEEN a.started_at AND a.ended_at THEN format('not valid from within job %s attempt %s', a.job_id, a.attempt)
      WHEN p.name LIKE 'drill%' AND floor(p.value) <> a.fence THEN format('came under fence %s as the result of fence %s', floor(p.value), a.fence)
    END AS words) w WHERE p.source = 'task' AND w.words IS NOT NULL;

-- check: each result once
SELECT format('job %s attempt %s: %s on %s has %s results, %s events', job_id, attempt, task, qid, results, events)
  FROM (SELECT t.job_id, t.attempt, t.task, t.qid, count(*) AS results,
               (SELECT count(*) FROM calib.job_events e WHERE e.job_id = t.job_id AND e.attempt = t.attempt AND e.event = 'task_completed'
                   AND e.detail ->> 'task' = t.task AND e.detail ->> 'qid' = t.qid) AS events
          FROM calib.task_runs t WHERE t.status = 'completed' GROUP BY t.job_id, t.attempt, t.task, t.qid) s
 WHERE results <> 1 OR events <> 1;

-- check: no result lost
SELECT format('job %s attempt %s: %s on %s was reported completed, its result is %s', e.job_id, e.attempt, e.detail ->> 'task', e.detail ->> 'qid', coalesce(t.status, 'missing'))
  FROM calib.job_events e LEFT JOIN calib.task_runs t ON t.job_id = e.job_id AND t.attempt = e.attempt
   AND t.task = e.detail ->> 'task' AND t.qid = e.detail ->> 'qid'
 WHERE e.event = 'task_completed' AND t.status IS DISTINCT FROM 'completed';

-- check: results are whole
SELECT format('job %s: %s on %s has %s figures, %s raw data, %s parameters', t.job_id, t.task, t.qid, n.figures, n.raw_data, n.parameters)
  FROM calib.task_runs t, LATERAL (SELECT
      (SELECT count(*) FROM calib.figures f WHERE f.task_run_id = t.task_run_id) AS figures,
      (SELECT count(*) FROM calib.raw_data r WHERE r.task_run_id = t.task_run_id) AS raw_data,
      (SELECT count(*) FROM calib_private.parameter_versions p WHERE p.task_run_id = t.task_run_id) AS parameters) n
 WHERE t.status = 'completed' AND t.note ? 'fence'
   AND (n.figures, n.raw_data, n.parameters) IS DISTINCT FROM ((t.note ->> 'figures')::bigint, (t.note ->> 'raw_data')::bigint, 1);

-- check: completed jobs did all they were asked
SELECT format('job %s (%s) completed with %s of %s tasks', j.job_id, j.parameters ->> 'manner', n.done, j.parameters ->> 'tasks')
  FROM calib.jobs j, LATERAL (SELECT count(*) AS done FROM calib.task_runs t
    WHERE t.job_id = j.job_id AND t.attempt = j.attempt AND t.status = 'completed') n
 WHERE j.flow = 'drill' AND j.state = 'completed'
   AND (n.done <> (j.parameters ->> 'tasks')::bigint OR j.parameters ->> 'manner' IN ('fail', 'crash', 'leave', 'poison'));

-- check: task runs end with their job
SELECT format('job %s (%s): %s on %s is %s', j.job_id, j.state, t.task, t.qid, t.status) FROM calib.task_runs t JOIN calib.jobs j USING (job_id)
 WHERE j.state IN ('completed', 'failed', 'cancelled') AND t.status IN ('scheduled', 'running');

-- check: a seen cancel wins
SELECT format('job %s has a seen cancel and ended %s', j.job_id, j.state) FROM calib.jobs j
 WHERE j.cancel_seen_at IS NOT NULL AND j.state IN ('completed', 'failed')
UNION ALL SELECT format('job %s: event cancel_seen, then %s', e.job_id, j.state) FROM calib.job_events e JOIN calib.jobs j USING (job_id)
 WHERE e.event = 'cancel_seen' AND j.state IN ('completed', 'failed');

-- check: no cancel recorded as a loss
SELECT format('job %s was to be cancelled %s s before its executor was lost, and ended %s', j.job_id, extract(epoch FROM e.at - j.cancel_requested_at), e2.new_state)
  FROM calib.jobs j JOIN calib.job_events e ON e.job_id = j.job_id AND e.event = 'lease_expired' AND e.at > j.cancel_requested_at + interval '5 s'
  JOIN calib.job_events e2 ON e2.job_id = j.job_id AND e2.attempt = e.attempt AND e2.old_state = 'running'
 WHERE e2.new_state <> 'cancelled' AND NOT EXISTS (SELECT FROM calib.attempts a WHERE a.job_id = j.job_id AND a.attempt = e.attempt AND a.verdict IS NOT NULL);

-- check: a cancel is checked in time
SELECT format('job %s was to be cancelled %s s before its verdict, the cancel was not checked, and it ended %s', j.job_id, extract(epoch FROM e.at - j.cancel_requested_at), j.state)
  FROM calib.jobs j JOIN calib.job_events e ON e.job_id = j.job_id AND e.attempt = j.attempt AND e.event = 'concluded' AND e.at > j.cancel_requested_at + interval '5 s'
 WHERE j.cancel_seen_at IS NULL AND j.state IN ('completed', 'failed');

-- check: no job is cancelled without a request
SELECT format('job %s is cancelled without a request', j.job_id) FROM calib.jobs j WHERE j.state = 'cancelled' AND NOT j.cancel_requested;

-- check: the lost have had their attempts
SELECT format('job %s failed (%s) after %s of %s attempts', j.job_id, j.failure_kind, j.attempt, j.max_attempts) FROM calib.jobs j
 WHERE j.state = 'failed' AND j.attempt < j.max_attempts
   AND (j.failure_kind IN ('lost', 'shutdown') OR j.failure_message LIKE 'the job''s process %' OR j.failure_message LIKE 'the flow could not be started%')
UNION ALL SELECT format('job %s had %s attempts, allowed are %s', a.job_id, count(*), max(j.max_attempts)) FROM calib.attempts a JOIN calib.jobs j USING (job_id)
 GROUP BY a.job_id HAVING count(*) > max(j.max_attempts) OR count(*) <> max(j.attempt);

-- check: failures have reasons
SELECT format('job %s failed without a reason', j.job_id) FROM calib.jobs j WHERE j.state = 'failed' AND coalesce(j.failure_message, '') = '';

-- check: one execution id for each
SELECT format('job %s: execution id %s', j.job_id, coalesce(j.execution_id, 'missing')) FROM calib.jobs j WHERE (j.attempt > 0) <> (j.execution_id IS NOT NULL)
UNION ALL SELECT format('execution id %s is there %s times', execution_id, count(*)) FROM calib.jobs WHERE execution_id IS NOT NULL GROUP BY execution_id HAVING count(*) > 1;

-- check: every chip is free
SELECT format('chip %s is held by %s for job %s', l.chip_id, l.executor_id, l.job_id) FROM calib_private.leases l WHERE l.job_id IS NOT NULL
UNION ALL SELECT format('chip %s is paused: %s', c.chip_id, c.pause_reason) FROM calib.chips c WHERE c.paused;

-- check: the outbox is empty
SELECT format('%s waits for the mirror after %s tries: %s', coalesce('job ' || o.job_id, 'chip ' || o.chip_id), o.attempts, coalesce(o.last_error, 'not reached')) FROM calib.mirror_lag o;

-- check: Prefect was told
SELECT format('job %s attempt %s: Prefect was not told %s', a.job_id, a.attempt, a.outcome) FROM calib.attempts a
 WHERE a.flow_run_id IS NOT NULL AND NOT a.prefect_synced;

-- check: no job fails because a server was unreachable
SELECT format('job %s: %s', j.job_id, j.failure_message) FROM calib.jobs j WHERE j.state = 'failed' AND j.failure_kind NOT IN ('lost', 'shutdown')
   AND j.failure_message ~ 'exit code 0|Database(Away|Unreachable)|PostgreSQL|Prefect|could not be started';
