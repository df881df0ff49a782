-- A lease is proved by its claim alone: the calls of 0.3.0, which prove it by job and fence, are gone.
DROP FUNCTION IF EXISTS
  calib.claim(text, text, double precision, bigint),
  calib.heartbeat(bigint, bigint, double precision),
  calib.cancel_from_prefect(bigint, bigint, text),
  calib.set_flow_run(bigint, bigint, uuid),
  calib.log_event(bigint, bigint, text, jsonb),
  calib.quiesced(bigint, bigint, jsonb),
  calib.quiesce_failed(bigint, bigint, text),
  calib.conclude(bigint, bigint, text, text, text),
  calib.finish(bigint, bigint),
  calib.give_back(bigint, bigint, text),
  calib.try_again(bigint, bigint, text, text),
  calib.plan_tasks(bigint, bigint, jsonb),
  calib.start_task(bigint, bigint, text, text, text, integer, uuid, jsonb, jsonb),
  calib.record_task(bigint, bigint, uuid, text, jsonb, jsonb, jsonb, bytea[]),
  calib_private.sees_all(),
  calib_private.readable_projects();

-- Where a cancel comes from: a client, Prefect, or the queue itself, which cancels expired jobs. The last two
-- share one row: neither may wait for a client that has not committed its own.
LOCK TABLE calib_private.jobs, calib_private.cancel_requests IN ACCESS EXCLUSIVE MODE;
ALTER TABLE calib_private.cancel_requests RENAME COLUMN door TO origin;
ALTER TABLE calib_private.cancel_requests DROP CONSTRAINT cancel_requests_door_check,
  ADD CONSTRAINT cancel_requests_origin_check CHECK (origin IN ('client', 'prefect', 'queue'));
DO $$
BEGIN  -- PostgreSQL 18 names these constraints.
  IF EXISTS (SELECT FROM pg_constraint c WHERE c.conname = 'cancel_requests_door_not_null') THEN
    ALTER TABLE calib_private.cancel_requests
      RENAME CONSTRAINT cancel_requests_door_not_null TO cancel_requests_origin_not_null;
  END IF;
END $$;
UPDATE calib_private.cancel_requests SET origin = 'queue'
 WHERE origin = 'prefect' AND reason = 'expired' AND requested_by = 'calib_owner';
CREATE UNIQUE INDEX cancel_requests_of_no_client ON calib_private.cancel_requests (job_id)
  WHERE origin <> 'client';
