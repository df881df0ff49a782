-- The tables of release 0.3.0: the truth, which only calib_owner touches. Clients see the views of calib.

CREATE TABLE calib_private.settings (
  only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  time_zone text NOT NULL DEFAULT 'Asia/Tokyo'
);
INSERT INTO calib_private.settings DEFAULT VALUES;

CREATE TABLE calib_private.projects (
  project_id  text PRIMARY KEY
              CONSTRAINT project_id_form CHECK (project_id ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$'),
  description text NOT NULL DEFAULT '',
  created_at  timestamptz NOT NULL DEFAULT calib_private.now(),
  created_by  text NOT NULL
);

CREATE TABLE calib_private.memberships (
  project_id text NOT NULL REFERENCES calib_private.projects,
  role_name  text NOT NULL,
  username   text NOT NULL CONSTRAINT username_form CHECK (username ~ '^[a-z0-9][a-z0-9_-]{2,63}$'),
  access     text NOT NULL CHECK (access IN ('reader', 'submitter', 'operator')),
  PRIMARY KEY (project_id, role_name)
);

CREATE TABLE calib_private.chips (
  chip_id      text PRIMARY KEY CONSTRAINT chip_id_form CHECK (chip_id ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$'),
  backend      text NOT NULL CHECK (backend IN ('fake', 'qubex')),
  topology     text NOT NULL,
  n_qubits     integer NOT NULL CHECK (n_qubits BETWEEN 1 AND 4096),
  paused       boolean NOT NULL DEFAULT false,
  pause_reason text,
  paused_by    text,
  paused_at    timestamptz,
  max_waiting  integer NOT NULL DEFAULT 1000 CHECK (max_waiting BETWEEN 1 AND 1000000),
  created_at   timestamptz NOT NULL DEFAULT calib_private.now(),
  created_by   text NOT NULL,
  CONSTRAINT pause_has_reason CHECK (paused = (pause_reason IS NOT NULL))
);

CREATE TABLE calib_private.qubits (
  chip_id     text NOT NULL REFERENCES calib_private.chips,
  qid         text NOT NULL CHECK (qid ~ '^(0|[1-9][0-9]*)$'),
  grid_row    integer NOT NULL,
  grid_column integer NOT NULL,
  mux         integer,
  PRIMARY KEY (chip_id, qid)
);

CREATE TABLE calib_private.couplings (
  chip_id text NOT NULL,
  qid     text NOT NULL,
  control text NOT NULL,
  target  text NOT NULL,
  PRIMARY KEY (chip_id, qid),
  FOREIGN KEY (chip_id, control) REFERENCES calib_private.qubits,
  FOREIGN KEY (chip_id, target) REFERENCES calib_private.qubits,
  CONSTRAINT coupling_qid_form CHECK (qid = control || '-' || target AND control <> target)
);

CREATE TABLE calib_private.executor_permissions (
  role_name text NOT NULL,
  chip_id   text NOT NULL REFERENCES calib_private.chips,
  PRIMARY KEY (role_name, chip_id)
);

CREATE TABLE calib_private.executors (
  executor_id  text PRIMARY KEY CHECK (executor_id <> ''),
  chip_id      text NOT NULL REFERENCES calib_private.chips,
  role_name    text NOT NULL,
  host         text NOT NULL,
  pid          integer NOT NULL,
  version      text NOT NULL,
  condition    text NOT NULL DEFAULT 'ready',
  started_at   timestamptz NOT NULL,
  last_seen_at timestamptz NOT NULL,
  stopped_at   timestamptz
-- A few rows, each renewed every few seconds.
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100);
-- Searched by chip alone; with last_seen_at in the index every sign of life would be written twice.
CREATE INDEX executors_by_chip ON calib_private.executors (chip_id);
CREATE INDEX executors_by_start ON calib_private.executors (started_at);

-- What may be asked for on which chip. The executors say so when they register.
CREATE TABLE calib_private.flows (
  chip_id         text NOT NULL REFERENCES calib_private.chips,
  flow            text NOT NULL CHECK (flow ~ '^[a-z][a-z0-9_]{0,62}$'),
  description     text NOT NULL DEFAULT '',
  schema          jsonb NOT NULL CHECK (jsonb_typeof(schema) = 'object'),
  repeatable      boolean NOT NULL,
  timeout_seconds integer NOT NULL CHECK (timeout_seconds BETWEEN 1 AND 604800),
  version         text NOT NULL,
  registered_by   text NOT NULL,
  registered_at   timestamptz NOT NULL,
  PRIMARY KEY (chip_id, flow)
);

CREATE TABLE calib_private.tasks (
  chip_id           text NOT NULL REFERENCES calib_private.chips,
  task              text NOT NULL CHECK (task ~ '^[A-Za-z][A-Za-z0-9]{0,62}$'),
  task_type         text NOT NULL CHECK (task_type IN ('qubit', 'coupling', 'global', 'system')),
  description       text NOT NULL DEFAULT '',
  schema            jsonb NOT NULL CHECK (jsonb_typeof(schema) = 'object'),
  input_parameters  text[] NOT NULL,
  output_parameters text[] NOT NULL,
  version           text NOT NULL,
  registered_by     text NOT NULL,
  registered_at     timestamptz NOT NULL,
  PRIMARY KEY (chip_id, task)
);

CREATE TABLE calib_private.jobs (
  job_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  project_id      text NOT NULL REFERENCES calib_private.projects,
  username        text NOT NULL CONSTRAINT username_form CHECK (username ~ '^[a-z0-9][a-z0-9_-]{2,63}$'),
  chip_id         text NOT NULL REFERENCES calib_private.chips,
  flow            text NOT NULL,
  parameters      jsonb NOT NULL CHECK (jsonb_typeof(parameters) = 'object'),
  priority        smallint NOT NULL CHECK (priority BETWEEN -100 AND 100),
  not_before      timestamptz NOT NULL,
  not_after       timestamptz,
  timeout_seconds integer NOT NULL CHECK (timeout_seconds BETWEEN 1 AND 604800),
  max_attempts    smallint NOT NULL CHECK (max_attempts BETWEEN 1 AND 10),
  repeatable      boolean NOT NULL,
  dedup_key       text,
  tags            text[] NOT NULL,
  note            jsonb NOT NULL CHECK (jsonb_typeof(note) = 'object'),
  state           text NOT NULL DEFAULT 'scheduled'
                  CHECK (state IN ('scheduled', 'running', 'completed', 'failed', 'cancelled')),
  attempt         smallint NOT NULL DEFAULT 0,
  fence           bigint,
  execution_id    text UNIQUE,
  flow_run_id     uuid,
  executor_id     text,
  submitted_by    text NOT NULL,
  submitted_at    timestamptz NOT NULL,
  started_at      timestamptz,
  finished_at     timestamptz,
  cancel_seen_at  timestamptz,
  tasks_total     integer NOT NULL DEFAULT 0,
  tasks_done      integer NOT NULL DEFAULT 0,
  tasks_failed    integer NOT NULL DEFAULT 0,
  failure_kind    text CONSTRAINT failure_kind_known CHECK (calib_private.is_failure_kind(failure_kind)),
  failure_message text,
  version         integer NOT NULL DEFAULT 1,
  CONSTRAINT attempts_in_range CHECK (attempt BETWEEN 0 AND max_attempts),
  CONSTRAINT running_holds_fence CHECK (state <> 'running' OR (fence IS NOT NULL AND started_at IS NOT NULL)),
  CONSTRAINT finished_iff_terminal CHECK ((finished_at IS NOT NULL) = (state IN ('completed', 'failed',
    'cancelled'))),
  CONSTRAINT failed_has_kind CHECK ((failure_kind IS NOT NULL) = (state = 'failed')),
  CONSTRAINT once_unless_repeatable CHECK (repeatable OR max_attempts = 1)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);

CREATE INDEX jobs_waiting ON calib_private.jobs (chip_id, priority DESC, job_id) WHERE state = 'scheduled';
-- Proof, whatever else fails: two jobs never run on one chip.
CREATE UNIQUE INDEX jobs_one_running_per_chip ON calib_private.jobs (chip_id) WHERE state = 'running';
CREATE UNIQUE INDEX jobs_dedup_live ON calib_private.jobs (project_id, dedup_key)
  WHERE dedup_key IS NOT NULL AND state IN ('scheduled', 'running');
CREATE INDEX jobs_expiring ON calib_private.jobs (not_after) WHERE state = 'scheduled'
  AND not_after IS NOT NULL;
CREATE INDEX jobs_finished ON calib_private.jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_by_project ON calib_private.jobs (project_id, job_id DESC);
CREATE INDEX jobs_by_chip ON calib_private.jobs (chip_id, job_id DESC);
-- Few among many, and the ones that people look for.
CREATE INDEX jobs_not_completed ON calib_private.jobs (state, job_id DESC)
  WHERE state IN ('failed', 'cancelled');
-- Jobs that wait again after an attempt; a sweep looks among them for a cancel that crossed the end of that
-- attempt.
CREATE INDEX jobs_waiting_again ON calib_private.jobs (job_id) WHERE state = 'scheduled' AND attempt > 0;

-- A cancel is a row of its own, so that no client's open transaction can lock a running job. Prefect's door
-- has a row apart: the executor that writes it must never wait for a client that has not committed its own.
CREATE TABLE calib_private.cancel_requests (
  job_id       bigint NOT NULL REFERENCES calib_private.jobs ON DELETE CASCADE,
  door         text NOT NULL CHECK (door IN ('client', 'prefect')),
  mode         text NOT NULL CHECK (mode IN ('after_task', 'now')),
  reason       text NOT NULL DEFAULT '',
  requested_by text NOT NULL,
  requested_at timestamptz NOT NULL,
  PRIMARY KEY (job_id, door)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);

-- One row per chip: mutex, lease and monotone fencing token. `dirty` says that the last holder was lost while
-- it may have been driving the instrument: whoever claims next must quiesce it first.
CREATE TABLE calib_private.leases (
  chip_id     text PRIMARY KEY REFERENCES calib_private.chips ON DELETE CASCADE,
  fence       bigint NOT NULL DEFAULT 0,
  job_id      bigint REFERENCES calib_private.jobs,
  executor_id text,
  expires_at  timestamptz,
  dirty       boolean NOT NULL DEFAULT false,
  CONSTRAINT lease_all_or_none CHECK (num_nulls(job_id, executor_id, expires_at) IN (0, 3))
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 100, autovacuum_vacuum_scale_factor = 0);
CREATE INDEX leases_by_job ON calib_private.leases (job_id) WHERE job_id IS NOT NULL;

CREATE TABLE calib_private.attempts (
  job_id          bigint NOT NULL REFERENCES calib_private.jobs ON DELETE CASCADE,
  attempt         smallint NOT NULL,
  fence           bigint NOT NULL,
  executor_id     text NOT NULL,
  flow_run_id     uuid,
  started_at      timestamptz NOT NULL,
  ended_at        timestamptz,
  verdict         text CHECK (verdict IN ('completed', 'failed', 'cancelled')),
  outcome         text CHECK (outcome IN ('completed', 'failed', 'cancelled', 'requeued')),
  failure_kind    text CONSTRAINT failure_kind_known CHECK (calib_private.is_failure_kind(failure_kind)),
  failure_message text,
  prefect_synced  boolean NOT NULL DEFAULT false,
  PRIMARY KEY (job_id, attempt),
  CONSTRAINT ended_with_outcome CHECK ((ended_at IS NULL) = (outcome IS NULL))
-- Changed a few times while the job runs, then never: room on the page keeps these changes out of the
-- indexes.
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
CREATE INDEX attempts_unsynced ON calib_private.attempts (job_id)
  WHERE ended_at IS NOT NULL AND flow_run_id IS NOT NULL AND NOT prefect_synced;

CREATE TABLE calib_private.job_events (
  event_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id    bigint NOT NULL REFERENCES calib_private.jobs ON DELETE CASCADE,
  at        timestamptz NOT NULL DEFAULT calib_private.now(),
  actor     text NOT NULL,
  event     text NOT NULL,
  old_state text,
  new_state text,
  attempt   smallint,
  fence     bigint,
  detail    jsonb NOT NULL DEFAULT '{}'
) WITH (
  -- The default waits until a fifth of a table is dead: at ten million rows for weeks, and then works for an
  -- hour.
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
  -- Rows that only grow are frozen as they come, not all at once when their age forces it.
  autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX job_events_by_job ON calib_private.job_events (job_id, event_id);
-- For retention: of a job's events the one that ended it stands for all.
CREATE INDEX job_events_of_ends ON calib_private.job_events (at)
  WHERE new_state IN ('completed', 'failed', 'cancelled');

CREATE TABLE calib_private.task_runs (
  task_run_id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  job_id                bigint NOT NULL,
  attempt               smallint NOT NULL,
  task                  text NOT NULL,
  qid                   text NOT NULL,
  repetition            smallint NOT NULL DEFAULT 0,
  task_type             text NOT NULL CHECK (task_type IN ('qubit', 'coupling', 'global', 'system')),
  status                text NOT NULL DEFAULT 'scheduled'
                        CHECK (status IN ('scheduled', 'running', 'completed', 'failed', 'skipped',
                          'cancelled')),
  ordinal               integer NOT NULL,
  upstream_id           uuid,
  started_at            timestamptz,
  ended_at              timestamptz,
  hardware_seconds      double precision,
  message               text NOT NULL DEFAULT '',
  failure_kind          text
                        CONSTRAINT failure_kind_known CHECK (calib_private.is_failure_kind(failure_kind)),
  cause                 text NOT NULL DEFAULT '',
  remedy                text NOT NULL DEFAULT '',
  stack_trace           text NOT NULL DEFAULT '',
  input_parameters      jsonb NOT NULL DEFAULT '{}',
  output_parameters     jsonb NOT NULL DEFAULT '{}',
  run_parameters        jsonb NOT NULL DEFAULT '{}',
  quality_metrics       jsonb NOT NULL DEFAULT '{}',
  note                  jsonb NOT NULL DEFAULT '{}',
  UNIQUE (job_id, attempt, task, qid, repetition),
  FOREIGN KEY (job_id, attempt) REFERENCES calib_private.attempts ON DELETE CASCADE,
  CONSTRAINT ended_iff_over CHECK ((ended_at IS NOT NULL) = (status IN ('completed', 'failed', 'skipped',
    'cancelled'))),
  CONSTRAINT failed_has_kind CHECK ((failure_kind IS NOT NULL) = (status = 'failed'))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);

CREATE TABLE calib_private.figures (
  figure_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task_run_id  uuid NOT NULL REFERENCES calib_private.task_runs ON DELETE CASCADE,
  ordinal      smallint NOT NULL,
  name         text NOT NULL,
  plotly       json NOT NULL,
  png          bytea,
  render_error text,
  stored_at    timestamptz NOT NULL DEFAULT calib_private.now(),
  UNIQUE (task_run_id, ordinal)
) WITH (
  -- Few rows and large values: what was pruned is free only after a vacuum of the TOAST table.
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500,
  toast.autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_threshold = 5000);
CREATE INDEX figures_unrendered ON calib_private.figures (figure_id) WHERE png IS NULL
  AND render_error IS NULL;
CREATE INDEX figures_by_age ON calib_private.figures (stored_at);

CREATE TABLE calib_private.raw_data (
  raw_data_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task_run_id uuid NOT NULL REFERENCES calib_private.task_runs ON DELETE CASCADE,
  ordinal     smallint NOT NULL,
  name        text NOT NULL,
  dtype       text NOT NULL,
  shape       integer[] NOT NULL,
  unit        text NOT NULL,
  data        bytea NOT NULL,
  stored_at   timestamptz NOT NULL DEFAULT calib_private.now(),
  UNIQUE (task_run_id, ordinal)
) WITH (
  -- Few rows and large values: what was pruned is free only after a vacuum of the TOAST table.
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500,
  toast.autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_threshold = 5000);
-- IQ data does not compress; do not try.
ALTER TABLE calib_private.raw_data ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE INDEX raw_data_by_age ON calib_private.raw_data (stored_at);

CREATE TABLE calib_private.parameter_versions (
  version_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  chip_id     text NOT NULL REFERENCES calib_private.chips,
  qid         text NOT NULL,
  name        text NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
  value       double precision NOT NULL,
  value_type  text NOT NULL CHECK (value_type IN ('float', 'int')),
  error       double precision NOT NULL,
  unit        text NOT NULL,
  description text NOT NULL DEFAULT '',
  valid       tstzrange NOT NULL CHECK (NOT isempty(valid)),
  source      text NOT NULL CHECK (source IN ('task', 'import', 'edit', 'revert')),
  task_run_id uuid,
  actor       text NOT NULL,
  reason      text NOT NULL DEFAULT '',
  -- A version outlives its job, so it names its origin by itself.
  job_id       bigint,
  execution_id text,
  -- NaN equals NaN in PostgreSQL, so a comparison with the infinities alone would let it pass.
  CONSTRAINT value_finite CHECK (value NOT IN ('NaN', 'Infinity', '-Infinity')),
  CONSTRAINT error_finite CHECK (error >= 0 AND error NOT IN ('NaN', 'Infinity')),
  CONSTRAINT has_origin CHECK (CASE WHEN source = 'task' THEN task_run_id IS NOT NULL
                                    ELSE task_run_id IS NULL AND reason <> '' END),
  CONSTRAINT origin_is_whole CHECK (
    num_nonnulls(job_id, execution_id) IN (0, CASE source WHEN 'task' THEN 2 ELSE 0 END))
);
-- Two truths at one instant cannot exist.
ALTER TABLE calib_private.parameter_versions ADD CONSTRAINT parameter_versions_do_not_overlap
  EXCLUDE USING gist (chip_id calib_ext.gist_text_ops WITH =, qid calib_ext.gist_text_ops WITH =,
                      name calib_ext.gist_text_ops WITH =, valid WITH &&);
CREATE UNIQUE INDEX parameter_versions_current ON calib_private.parameter_versions (chip_id, qid, name)
  WHERE upper_inf(valid);
CREATE INDEX parameter_versions_by_job ON calib_private.parameter_versions (job_id) WHERE job_id IS NOT NULL;
-- The few versions that no task measured: which days an import or an edit has changed.
CREATE INDEX parameter_versions_by_hand ON calib_private.parameter_versions (chip_id, lower(valid))
  WHERE source <> 'task';

CREATE TABLE calib_private.execution_counters (
  day    date PRIMARY KEY,
  last_n integer NOT NULL
) WITH (fillfactor = 50);

-- A dirty mark, not a message: the mirror reads the present rows. One mark per job, or per chip whose
-- parameters were imported or edited.
CREATE TABLE calib_private.outbox (
  mark_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id      bigint UNIQUE REFERENCES calib_private.jobs ON DELETE CASCADE,
  chip_id     text UNIQUE REFERENCES calib_private.chips,
  version     integer NOT NULL DEFAULT 1,
  marked_at   timestamptz NOT NULL,
  attempts    integer NOT NULL DEFAULT 0,
  next_try_at timestamptz NOT NULL,
  last_error  text,
  refusals    integer NOT NULL DEFAULT 0,
  refused     jsonb NOT NULL DEFAULT '[]',
  dead_at     timestamptz,
  CONSTRAINT one_subject CHECK (num_nonnulls(job_id, chip_id) = 1)
) WITH (fillfactor = 70, autovacuum_vacuum_threshold = 100, autovacuum_vacuum_scale_factor = 0);
-- However many dead letters there are, a look costs the same.
CREATE INDEX outbox_due ON calib_private.outbox (next_try_at) WHERE dead_at IS NULL;

CREATE TABLE calib_private.mirrors (
  mirror_id    text PRIMARY KEY CHECK (length(mirror_id) BETWEEN 1 AND 200),
  role_name    text NOT NULL,
  host         text NOT NULL,
  pid          integer NOT NULL,
  version      text NOT NULL,
  condition    text NOT NULL DEFAULT 'ready',
  started_at   timestamptz NOT NULL,
  last_seen_at timestamptz NOT NULL,
  stopped_at   timestamptz
);

-- How long what is kept after the end of its job; NULL: not limited.
CREATE TABLE calib_private.retention (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  jobs     interval,
  events   interval,
  figures  interval,
  raw_data interval,
  set_by   text NOT NULL,
  set_at   timestamptz NOT NULL
);
INSERT INTO calib_private.retention (set_by, set_at) VALUES (calib_private.actor(), calib_private.now());

-- Where the next look of a prune begins. It moves over windows of which nothing could go, and begins again at
-- the oldest rows at the end; so all rows have their turn, and each call looks at few.
CREATE TABLE calib_private.prune_positions (
  part     text PRIMARY KEY CHECK (part IN ('jobs', 'events', 'figures', 'raw_data')),
  position timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO calib_private.prune_positions (part) VALUES ('jobs'), ('events'), ('figures'), ('raw_data');

-- What functions return.
CREATE TYPE calib_private.complaint AS (code text, message text, hint text);
CREATE TYPE calib.claimed_job AS (
  job_id bigint, fence bigint, attempt smallint, max_attempts smallint, execution_id text, project_id text,
    username text,
  chip_id text, flow text, parameters jsonb, tags text[], note jsonb, timeout_seconds integer,
    repeatable boolean,
  submitted_by text, submitted_at timestamptz, started_at timestamptz, dirty boolean);
CREATE TYPE calib.cancel_request AS (cancel_mode text, cancel_reason text, cancel_requested_by text);
CREATE TYPE calib.swept_job AS (job_id bigint, chip_id text, outcome text);
CREATE TYPE calib.outbox_mark AS (mark_id bigint, job_id bigint, chip_id text, version integer,
  attempts integer);
