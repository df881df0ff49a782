-- Who may do what. Clients get views and functions of schema calib and nothing of calib_private.
GRANT USAGE ON SCHEMA calib TO calib_reader;

-- Functions inside a view run with the reader's rights; without USAGE on their schema no client can name
-- them.
GRANT EXECUTE ON FUNCTION
  calib_private.readable_projects(name),
  calib_private.now(),
  calib_private.role_label(regrole),
  calib_private.alive(timestamptz, timestamptz),
  calib_private.waiting_for(bigint, text, smallint, timestamptz)
TO calib_reader;

GRANT SELECT ON
  calib.jobs, calib.attempts, calib.job_events, calib.task_runs, calib.sweeps, calib.stages,
  calib.figures, calib.raw_data, calib.chips, calib.qubits, calib.couplings, calib.executors,
  calib.executor_permissions, calib.flows, calib.tasks, calib.known_parameters, calib.parameters,
  calib.parameter_history, calib.projects, calib.memberships, calib.settings, calib.retention,
  calib.mirrors, calib.mirror_lag, calib.job_counts
TO calib_reader;

GRANT EXECUTE ON FUNCTION
  calib.schema_version(),
  calib.oldest_served_version(),
  calib.why_waits(bigint),
  calib.find_jobs(text, text, text, text, text, jsonb, text, text, uuid, text, text, bigint, integer),
  calib.waiting_jobs(text, integer),
  calib.recent_events(timestamptz, text, integer),
  calib.parameters_as_of(text, timestamptz),
  calib.parameters_at(text, text, timestamptz)
TO calib_reader;

-- Never UPDATE on the whole view: that would allow LOCK TABLE ... IN ACCESS EXCLUSIVE MODE, down to the
-- tables.
GRANT INSERT ON calib.jobs TO calib_submitter;
GRANT UPDATE (cancel_requested, cancel_mode, cancel_reason, priority, not_before, not_after, timeout_seconds,
  tags, note) ON calib.jobs TO calib_submitter;
GRANT EXECUTE ON FUNCTION
  calib.requeue(bigint, text),
  calib.submit_many(jsonb),
  calib.cancel_jobs(text, text, text, text[], text, bigint[], text, text, boolean)
TO calib_submitter;

GRANT EXECUTE ON FUNCTION
  calib.pause_chip(text, text),
  calib.resume_chip(text),
  calib.set_parameter(text, text, text, double precision, double precision, text, text, boolean),
  calib.import_parameters(text, jsonb, text, boolean),
  calib.revert_parameter(text, text, text, timestamptz, text)
TO calib_operator;

GRANT EXECUTE ON FUNCTION
  calib.register_executor(text, text, text, text, integer, text),
  calib.executor_seen(text, text),
  calib.executor_stopped(text),
  calib.register_catalogue(text, text, text, jsonb, jsonb),
  calib.claim(text, text, uuid, double precision, bigint),
  calib.heartbeat(bigint, uuid, double precision),
  calib.cancel_from_prefect(bigint, uuid, text),
  calib.set_flow_run(bigint, uuid, uuid),
  calib.log_event(bigint, uuid, text, jsonb),
  calib.quiesced(bigint, uuid, jsonb),
  calib.quiesce_failed(bigint, uuid, text),
  calib.conclude(bigint, uuid, text, text, text),
  calib.finish(bigint, uuid),
  calib.end_job(bigint, uuid, text, text, text),
  calib.give_back(bigint, uuid, text),
  calib.try_again(bigint, uuid, text, text),
  calib.sweep(),
  calib.chips_to_reconcile(text),
  calib.unsynced_flow_runs(text),
  calib.flow_run_synced(bigint, integer),
  calib.plan_tasks(bigint, uuid, jsonb),
  calib.start_sweep(bigint, uuid, jsonb),
  calib.end_sweep(bigint, uuid, uuid, double precision),
  calib.record_stage(bigint, uuid, integer, jsonb),
  calib.record_task(bigint, uuid, uuid, text, jsonb, jsonb, jsonb, bytea[])
TO calib_executor;

-- What an interactive session needs for jobs of its own; calib.claim() gives it no others.
GRANT EXECUTE ON FUNCTION
  calib.register_executor(text, text, text, text, integer, text),
  calib.executor_stopped(text),
  calib.claim(text, text, uuid, double precision, bigint),
  calib.heartbeat(bigint, uuid, double precision),
  calib.quiesced(bigint, uuid, jsonb),
  calib.quiesce_failed(bigint, uuid, text),
  calib.conclude(bigint, uuid, text, text, text),
  calib.finish(bigint, uuid),
  calib.end_job(bigint, uuid, text, text, text),
  calib.plan_tasks(bigint, uuid, jsonb),
  calib.start_sweep(bigint, uuid, jsonb),
  calib.end_sweep(bigint, uuid, uuid, double precision),
  calib.record_stage(bigint, uuid, integer, jsonb),
  calib.record_task(bigint, uuid, uuid, text, jsonb, jsonb, jsonb, bytea[])
TO calib_notebook;

GRANT EXECUTE ON FUNCTION
  calib.register_mirror(text, text, integer, text),
  calib.mirror_seen(text, text),
  calib.mirror_stopped(text),
  calib.take_marks(integer, double precision),
  calib.announce_jobs(),
  calib.mark_done(bigint, integer),
  calib.mark_failed(bigint, text),
  calib.mark_refused(bigint, integer, text, jsonb, integer),
  calib.retry_marks(bigint),
  calib.mark(bigint),
  calib.mark_all(),
  calib.unrendered_figures(integer),
  calib.store_png(bigint, bytea, text),
  calib.sweep(),
  calib.prune(integer)
TO calib_mirror;

GRANT EXECUTE ON FUNCTION
  calib.add_project(text, text),
  calib.archive_project(text),
  calib.grant_member(text, text, text, text),
  calib.revoke_member(text, text),
  calib.add_chip(text, text, text),
  calib.set_chip(text, integer, integer, integer),
  calib.retire_chip(text),
  calib.allow_executor(text, text),
  calib.disallow_executor(text, text),
  calib.set_time_zone(text),
  calib.set_retention(interval, interval, interval, interval),
  calib.prune(integer),
  calib.retry_marks(bigint),
  calib.mark(bigint),
  calib.mark_all()
TO calib_admin;
