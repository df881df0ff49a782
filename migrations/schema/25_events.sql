-- Events, outbox marks and the limits that every writer keeps.

CREATE OR REPLACE FUNCTION calib_private.write_event(p_job_id bigint, p_event text,
  p_detail jsonb DEFAULT '{}', p_old text DEFAULT NULL, p_new text DEFAULT NULL)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO calib_private.job_events (job_id, actor, event, old_state, new_state, attempt, fence, detail)
  SELECT p_job_id, calib_private.actor(), p_event, p_old, p_new, nullif(j.attempt, 0), j.fence,
      coalesce(p_detail, '{}')
    FROM calib_private.jobs j WHERE j.job_id = p_job_id;
END $$;

-- A notice that finds the server's queue of notices full fails its whole transaction. Every notice is a hint
-- only: executors poll, and listeners read the rows.
CREATE OR REPLACE FUNCTION calib_private.notify(p_channel text, p_payload text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF pg_notification_queue_usage() < 0.8 THEN PERFORM pg_notify(p_channel, p_payload); END IF;
END $$;

CREATE OR REPLACE FUNCTION calib_private.wake_chip(p_chip_id text, p_payload text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.notify('calib_' || p_chip_id, p_payload);
END $$;

-- A change of the subject is a reason to try again. p_announce: its start or end is to be announced.
CREATE OR REPLACE FUNCTION calib_private.mark_job(p_job_id bigint, p_announce boolean DEFAULT false)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_now timestamptz := calib_private.now();
BEGIN
  INSERT INTO calib_private.outbox AS o (job_id, marked_at, next_try_at, announce)
  VALUES (p_job_id, v_now, v_now, p_announce)
  ON CONFLICT (job_id) DO UPDATE SET version = o.version + 1, announce = o.announce OR excluded.announce,
    next_try_at = least(o.next_try_at, excluded.next_try_at), refusals = 0, dead_at = NULL;
END $$;

CREATE OR REPLACE FUNCTION calib_private.mark_chip(p_chip_id text)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO calib_private.outbox AS o (chip_id, marked_at, next_try_at)
  VALUES (p_chip_id, calib_private.now(), calib_private.now())
  ON CONFLICT (chip_id) DO UPDATE SET version = o.version + 1,
    next_try_at = least(o.next_try_at, excluded.next_try_at), refusals = 0, dead_at = NULL
$$;

-- For changes of a job's results: the mirror must not write an older state over a newer one.
CREATE OR REPLACE FUNCTION calib_private.touch_job(p_job_id bigint)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  UPDATE calib_private.jobs j SET version = j.version + 1 WHERE j.job_id = p_job_id
$$;

-- For functions that lock rows which a running job writes too. A transaction that a person leaves open would
-- block the job: the server ends it well before the job's lease runs out.
CREATE OR REPLACE FUNCTION calib_private.bound_transaction()
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.require_speaker();
  PERFORM set_config('idle_in_transaction_session_timeout', '10s', true);
END $$;

-- The running jobs of all chips write marks of the outbox, and claims wait for the first one of a day. A
-- transaction that writes either and stays idle is ended by the server, whichever function wrote it.
CREATE OR REPLACE FUNCTION calib_private.bound_writer()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.bound_transaction();
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER bound_writer BEFORE UPDATE OR DELETE ON calib_private.outbox FOR EACH STATEMENT
  EXECUTE FUNCTION calib_private.bound_writer();
CREATE OR REPLACE TRIGGER bound_writer BEFORE INSERT ON calib_private.execution_days FOR EACH STATEMENT
  EXECUTE FUNCTION calib_private.bound_writer();

CREATE OR REPLACE FUNCTION calib_private.forbid_change()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM calib_private.refuse('CQ010', '', format('%s only grows: rows of it are never changed',
    TG_TABLE_NAME));
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER events_only_grow BEFORE UPDATE ON calib_private.job_events FOR EACH ROW
  EXECUTE FUNCTION calib_private.forbid_change();
