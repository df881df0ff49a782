-- All tables at once, in the order in which a submission and a running job use them.
LOCK TABLE calib_private.chips, calib_private.tasks, calib_private.jobs, calib_private.attempts,
  calib_private.task_runs, calib_private.parameter_versions, calib_private.execution_counters,
  calib_private.outbox IN ACCESS EXCLUSIVE MODE;

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

-- By what find_jobs() finds a job: its chip, submitter, tags, pairs of its note, dedup_key, flow runs and
-- tasks, each as one number with the project. Written once, where an index of the jobs is written anew with
-- each change of state. No foreign key: it would lock and write the job's row.
CREATE TABLE calib_private.job_keys (
  key    bigint NOT NULL,
  job_id bigint NOT NULL,
  PRIMARY KEY (key, job_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);

-- These two not for the search for a due job, which names neither submitter nor project: it would read and
-- sort all that waits.
CREATE INDEX jobs_live_by_submitter ON calib_private.jobs (submitted_by, job_id DESC)
  WHERE state IN ('scheduled', 'running') AND submitted_by <> '';
CREATE INDEX jobs_waiting_by_project ON calib_private.jobs (project_id, chip_id, priority DESC, job_id)
  WHERE state = 'scheduled' AND project_id <> '';
CREATE INDEX jobs_not_completed_by_project ON calib_private.jobs (project_id, state, job_id DESC)
  WHERE state IN ('failed', 'cancelled');
CREATE INDEX jobs_ended_by_project ON calib_private.jobs (project_id, finished_at)
  WHERE finished_at IS NOT NULL;
CREATE INDEX parameter_versions_by_name ON calib_private.parameter_versions (chip_id, qid, name,
  lower(valid));
CREATE INDEX parameter_versions_by_start ON calib_private.parameter_versions (chip_id, lower(valid));

CREATE TYPE calib.found_job AS (
  job_id bigint, project_id text, username text, chip_id text, flow text, state text, priority smallint,
  tags text[], note jsonb, dedup_key text, execution_id text, flow_run_id uuid, submitted_by text,
  submitted_at timestamptz, not_before timestamptz, started_at timestamptz, finished_at timestamptz,
  failure_kind text, failure_message text
);

-- How many jobs there are: settled ended before ended_until, and cannot become more; jobs is all of them at
-- counted_at. What has ended since is settled once no transaction is left that began before next_until.
CREATE TABLE calib_private.job_counts (
  project_id text NOT NULL,
  chip_id    text NOT NULL,
  state      text NOT NULL,
  settled    bigint NOT NULL,
  jobs       bigint NOT NULL,
  PRIMARY KEY (project_id, chip_id, state)
) WITH (fillfactor = 50);
CREATE TABLE calib_private.job_counting (
  only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  counted_at  timestamptz NOT NULL DEFAULT '-infinity',
  ended_until timestamptz NOT NULL,
  next_until  timestamptz NOT NULL,
  next_xid    xid8 NOT NULL
) WITH (fillfactor = 50);
-- Ended jobs that were deleted, until they are taken off.
CREATE TABLE calib_private.deleted_jobs (
  project_id  text NOT NULL,
  chip_id     text NOT NULL,
  state       text NOT NULL,
  finished_at timestamptz NOT NULL
);

INSERT INTO calib_private.job_counting (ended_until, next_until, next_xid)
SELECT until, until, pg_snapshot_xmax(pg_current_snapshot())
  FROM (SELECT coalesce(max(finished_at) - interval '10 minutes', '-infinity') AS until
    FROM calib_private.jobs) j;
INSERT INTO calib_private.job_counts
SELECT project_id, chip_id, state, count(*), count(*)
  FROM calib_private.jobs, calib_private.job_counting WHERE finished_at < ended_until GROUP BY 1, 2, 3;

-- As keys_of(), task_key() and keep_flow_run_key() of the schema give them.
INSERT INTO calib_private.job_keys
SELECT DISTINCT hashtextextended(concat_ws(chr(31), j.project_id, k.kind, k.value), 0), j.job_id
  FROM calib_private.jobs j, LATERAL (
    VALUES ('chip', j.chip_id), ('submitted_by', j.submitted_by), ('dedup_key', j.dedup_key)
    UNION ALL SELECT 'tag', t FROM unnest(j.tags) t
    UNION ALL SELECT 'note', e.key || '=' || CASE jsonb_typeof(e.value)
      WHEN 'number' THEN trim_scale(e.value::numeric)::text
      WHEN 'string' THEN e.value #>> '{}' WHEN 'boolean' THEN e.value::text END FROM jsonb_each(j.note) e
    UNION ALL SELECT 'flow_run_id', a.flow_run_id::text
      FROM calib_private.attempts a WHERE a.job_id = j.job_id
    UNION ALL SELECT 'task', concat_ws(chr(31), j.chip_id, r.task, r.qid)
      FROM calib_private.task_runs r WHERE r.job_id = j.job_id) k (kind, value)
 WHERE k.value IS NOT NULL ORDER BY 1, 2;

-- What the name of a parameter stands for. A value is a double, so none is a text. Either end of the range
-- may be open.
CREATE TABLE calib_private.known_parameters (
  name        text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
  unit        text NOT NULL,
  kind        text NOT NULL CHECK (kind IN ('number', 'integer')),
  lower       double precision,
  upper       double precision CHECK (upper >= lower),
  description text NOT NULL
);
INSERT INTO calib_private.known_parameters (name, unit, kind, lower, upper, description) VALUES
  ('anharmonicity', 'GHz', 'number', -1, 0, '1-2 transition frequency less that of the 0-1 transition'),
  ('average_gate_fidelity', 'a.u.', 'number', 0, 1, 'of a Clifford gate, by randomized benchmarking'),
  ('average_readout_fidelity', 'a.u.', 'number', 0, 1, 'mean of those of the two states'),
  ('bell_state_fidelity', 'a.u.', 'number', 0, 1, 'of a Bell state, by tomography'),
  ('cancel_amplitude', 'a.u.', 'number', -1, 1, 'amplitude of the cancellation pulse on the target'),
  ('cancel_beta', 'a.u.', 'number', -100, 100, 'DRAG coefficient of the cancellation pulse'),
  ('cancel_phase', 'a.u.', 'number', -10, 10, 'phase of the cancellation pulse, radians'),
  ('coarse_control_amplitude', 'a.u.', 'number', 0, 1, 'control amplitude found by spectroscopy'),
  ('coarse_qubit_frequency', 'GHz', 'number', 1, 20, '0-1 transition frequency found by spectroscopy'),
  ('coarse_resonator_frequency', 'GHz', 'number', 1, 20, 'resonator frequency found by a scan'),
  ('control_amplitude', 'a.u.', 'number', 0, 1, 'control amplitude that gives a Rabi frequency of 12.5 MHz'),
  ('control_frequency', 'GHz', 'number', 2, 12, 'carrier of the control pulses'),
  ('cr_amplitude', 'a.u.', 'number', -1, 1, 'amplitude of the cross-resonance pulse on the control'),
  ('cr_phase', 'a.u.', 'number', -10, 10, 'phase of the cross-resonance pulse, radians'),
  ('cr_ramptime', 'ns', 'number', 0, 100000, 'ramp time of the cross-resonance pulse'),
  ('critical_photon_number', 'a.u.', 'number', 0, 1000000, 'photons at which the dispersive limit ends'),
  ('depolarizing_rate', 'a.u.', 'number', 0, 1, 'of a Clifford gate, by randomized benchmarking'),
  ('dispersive_shift', 'MHz', 'number', -1000, 1000, 'shift of the resonator by the state of the qubit'),
  ('drag_hpi_amplitude', 'a.u.', 'number', 0, 1, 'amplitude of the half-π DRAG pulse'),
  ('drag_hpi_beta', 'a.u.', 'number', -100, 100, 'DRAG coefficient of the half-π pulse'),
  ('drag_hpi_duration', 'ns', 'number', 1, 100000, 'length of the half-π DRAG pulse'),
  ('drag_hpi_length', 'ns', 'number', 1, 100000, 'length of the half-π DRAG pulse'),
  ('drag_pi_amplitude', 'a.u.', 'number', 0, 1, 'amplitude of the π DRAG pulse'),
  ('drag_pi_beta', 'a.u.', 'number', -100, 100, 'DRAG coefficient of the π pulse'),
  ('drag_pi_duration', 'ns', 'number', 1, 100000, 'length of the π DRAG pulse'),
  ('drag_pi_length', 'ns', 'number', 1, 100000, 'length of the π DRAG pulse'),
  ('ef_control_amplitude', 'a.u.', 'number', 0, 1, 'amplitude of pulses on the 1-2 transition'),
  ('ef_frequency', 'GHz', 'number', 1, 20, '1-2 transition frequency'),
  ('electrical_delay', 'ns', 'number', -100000, 100000, 'delay of the readout line'),
  ('error_per_gate', 'a.u.', 'number', 0, 1, 'by randomized benchmarking'),
  ('f01_quality_level', 'a.u.', 'integer', 0, 100, 'score of the 0-1 peak in the spectrum'),
  ('f01_repr_db', 'dB', 'number', -200, 100, 'power at which the 0-1 peak is seen'),
  ('gate_fidelity', 'a.u.', 'number', 0, 1, 'by randomized benchmarking'),
  ('hpi_amplitude', 'a.u.', 'number', 0, 1, 'amplitude of the half-π pulse'),
  ('hpi_duration', 'ns', 'number', 1, 100000, 'length of the half-π pulse'),
  ('hpi_length', 'ns', 'number', 1, 100000, 'length of the half-π pulse'),
  ('kappa_external', 'MHz', 'number', 0, 1000, 'loss of the resonator into the line'),
  ('kappa_internal', 'MHz', 'number', 0, 1000, 'loss of the resonator by itself'),
  ('maximum_rabi_frequency', 'MHz/a.u.', 'number', 0, 100000, 'Rabi frequency per control amplitude'),
  ('one_qubit_gate_coherence_limit', 'a.u.', 'number', 0, 1, 'best fidelity that T1 and T2 allow'),
  ('optimal_power', 'dB', 'number', -200, 100, 'power of the readout'),
  ('optimal_readout_frequency', 'GHz', 'number', 1, 20, 'carrier at which the states differ most'),
  ('pi_amplitude', 'a.u.', 'number', 0, 1, 'amplitude of the π pulse'),
  ('pi_duration', 'ns', 'number', 1, 100000, 'length of the π pulse'),
  ('pi_length', 'ns', 'number', 1, 100000, 'length of the π pulse'),
  ('purcell_filter_frequency', 'GHz', 'number', 1, 20, 'frequency of the Purcell filter'),
  ('purcell_filter_linewidth', 'MHz', 'number', 0, 10000, 'linewidth of the Purcell filter'),
  ('qubit_frequency', 'GHz', 'number', 2, 12, '0-1 transition frequency'),
  ('rabi_amplitude', 'a.u.', 'number', 0, 1000, 'half the Rabi oscillation'),
  ('rabi_angle', 'degree', 'number', -360, 360, 'rotation that brings the oscillation to the imaginary axis'),
  ('rabi_distance', 'a.u.', 'number', -1000, 1000, 'distance of the oscillation''s line from the origin'),
  ('rabi_frequency', 'MHz', 'number', 0, 1000, 'Rabi frequency at the control amplitude'),
  ('rabi_noise', 'a.u.', 'number', 0, 1000, 'deviation of the points across the oscillation'),
  ('rabi_offset', 'a.u.', 'number', -1000, 1000, 'centre of the oscillation'),
  ('rabi_phase', 'a.u.', 'number', -10, 10, 'phase of the oscillation at zero pulse area, radians'),
  ('rabi_r2', 'a.u.', 'number', 0, 1, 'R² of the fit of the Rabi oscillation'),
  ('rabi_reference_phase', 'a.u.', 'number', -10, 10, 'phase of the undriven signal, radians'),
  ('ramsey_frequency', 'MHz', 'number', 0, 1000, 'frequency of the Ramsey fringe'),
  ('readout_amplitude', 'a.u.', 'number', 0, 1, 'amplitude of the readout pulse'),
  ('readout_fidelity_0', 'a.u.', 'number', 0, 1, 'share of 0 that is read as 0'),
  ('readout_fidelity_1', 'a.u.', 'number', 0, 1, 'share of 1 that is read as 1'),
  ('readout_frequency', 'GHz', 'number', 1, 20, 'carrier of the readout pulse'),
  ('readout_length', 'ns', 'number', 1, 100000, 'length of the readout pulse'),
  ('resonator_frequency', 'GHz', 'number', 1, 20, 'frequency of the readout resonator'),
  ('resonator_purcell_filter_coupling', 'MHz', 'number', 0, 10000, 'coupling of resonator and its filter'),
  ('rotary_amplitude', 'a.u.', 'number', -1, 1, 'amplitude of the rotary tone on the target'),
  ('static_zz_interaction', 'KHz', 'number', -100000, 100000, 'ZZ interaction of two idle qubits'),
  ('t1', 'μs', 'number', 0, 10000, 'energy relaxation time'),
  ('t1_average', 'μs', 'number', 0, 10000, 'mean of several measurements of T1'),
  ('t1_std', 'μs', 'number', 0, 10000, 'standard deviation of several measurements of T1'),
  ('t2_echo', 'μs', 'number', 0, 10000, 'dephasing time of an echo'),
  ('t2_echo_average', 'μs', 'number', 0, 10000, 'mean of several measurements of the echo'),
  ('t2_echo_std', 'μs', 'number', 0, 10000, 'standard deviation of several measurements of the echo'),
  ('t2_star', 'μs', 'number', 0, 10000, 'dephasing time of a Ramsey fringe'),
  ('two_qubit_gate_coherence_limit', 'a.u.', 'number', 0, 1, 'best fidelity that T1 and T2 of both allow'),
  ('x180_depolarizing_rate', 'a.u.', 'number', 0, 1, 'of the π pulse, by interleaved benchmarking'),
  ('x180_gate_fidelity', 'a.u.', 'number', 0, 1, 'of the π pulse, by interleaved benchmarking'),
  ('x90_depolarizing_rate', 'a.u.', 'number', 0, 1, 'of the half-π pulse, by interleaved benchmarking'),
  ('x90_gate_fidelity', 'a.u.', 'number', 0, 1, 'of the half-π pulse, by interleaved benchmarking'),
  ('zx90_depolarizing_rate', 'a.u.', 'number', 0, 1, 'of the ZX90 gate, by interleaved benchmarking'),
  ('zx90_gate_fidelity', 'a.u.', 'number', 0, 1, 'of the ZX90 gate, by interleaved benchmarking'),
  ('zx90_gate_time', 'ns', 'number', 1, 100000, 'length of the ZX90 gate'),
  ('zx_rotation_rate', 'a.u.', 'number', -1000, 1000, 'of the cross-resonance pulse');

-- Name, unit, kind and range of the values that a task gives, as its executor declares them; of an executor
-- of an older release the names only.
ALTER TABLE calib_private.tasks ADD COLUMN outputs jsonb NOT NULL DEFAULT '[]';
UPDATE calib_private.tasks t SET outputs = coalesce(
  (SELECT jsonb_agg(jsonb_build_object('name', n)) FROM unnest(t.output_parameters) n), '[]');
-- They take more since.
DROP FUNCTION IF EXISTS
  calib.set_parameter(text, text, text, double precision, double precision, text, text),
  calib.import_parameters(text, jsonb, text),
  calib_private.put_parameter(text, text, text, jsonb, text, uuid, text),
  calib_private.begin_edit(text, text, text[], text);

-- Functions that nothing calls any more, or with other arguments.
DROP FUNCTION IF EXISTS calib_private.is_due(text, bigint), calib_private.check_backlog(calib_private.chips),
  calib_private.checked_job(calib.jobs), calib_private.checked_or_refused(calib.jobs);
