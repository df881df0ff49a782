-- All tables at once, in the order in which a submission and a running job use them.
LOCK TABLE calib_private.jobs IN ACCESS EXCLUSIVE MODE;

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

-- What count_backlog() has counted of each chip: its waiting jobs up to number counted_to. The next count goes
-- to next_to, once the transactions that had no number greater than next_xid have ended.
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
  ('depolarizing_rate', 'a.u.', 'number', 0, 1, 'of a Clifford gate, by randomized benchmarking'),
  ('dispersive_shift', 'MHz', 'number', -1000, 1000, 'shift of the resonator by the state of the qubit'),
  ('drag_hpi_amplitude', 'a.u.', 'number', 0, 1, 'amplitude of the half-π DRAG pulse'),
  ('drag_hpi_beta', 'a.u.', 'number', -100, 100, 'DRAG coefficient of the half-π pulse'),
  ('drag_hpi_length', 'ns', 'number', 1, 100000, 'length of the half-π DRAG pulse'),
  ('drag_pi_amplitude', 'a.u.', 'number', 0, 1, 'amplitude of the π DRAG pulse'),
  ('drag_pi_beta', 'a.u.', 'number', -100, 100, 'DRAG coefficient of the π pulse'),
  ('drag_pi_length', 'ns', 'number', 1, 100000, 'length of the π DRAG pulse'),
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
  ('qubit_frequency', 'GHz', 'number', 2, 12, '0-1 transition frequency'),
  ('rabi_amplitude', 'a.u.', 'number', 0, 1000, 'half the Rabi oscillation'),
  ('rabi_angle', 'degree', 'number', -360, 360, 'rotation that brings the oscillation to the imaginary axis'),
  ('rabi_distance', 'a.u.', 'number', -1000, 1000, 'distance of the oscillation''s line from the origin'),
  ('rabi_frequency', 'MHz', 'number', 0, 1000, 'Rabi frequency at the control amplitude'),
  ('rabi_noise', 'a.u.', 'number', 0, 1000, 'deviation of the points across the oscillation'),
  ('rabi_offset', 'a.u.', 'number', -1000, 1000, 'centre of the oscillation'),
  ('rabi_phase', 'a.u.', 'number', -10, 10, 'phase of the oscillation at zero pulse area, radians'),
  ('rabi_reference_phase', 'a.u.', 'number', -10, 10, 'phase of the undriven signal, radians'),
  ('ramsey_frequency', 'MHz', 'number', 0, 1000, 'frequency of the Ramsey fringe'),
  ('readout_amplitude', 'a.u.', 'number', 0, 1, 'amplitude of the readout pulse'),
  ('readout_fidelity_0', 'a.u.', 'number', 0, 1, 'share of 0 that is read as 0'),
  ('readout_fidelity_1', 'a.u.', 'number', 0, 1, 'share of 1 that is read as 1'),
  ('readout_frequency', 'GHz', 'number', 1, 20, 'carrier of the readout pulse'),
  ('readout_length', 'ns', 'number', 1, 100000, 'length of the readout pulse'),
  ('resonator_frequency', 'GHz', 'number', 1, 20, 'frequency of the readout resonator'),
  ('rotary_amplitude', 'a.u.', 'number', -1, 1, 'amplitude of the rotary tone on the target'),
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
