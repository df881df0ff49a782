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
