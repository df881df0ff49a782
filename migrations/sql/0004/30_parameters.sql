-- What was in force at an instant is found by the range's own index: of valid_from and valid_to, its two ends, the index
-- knows nothing, and every version ever made would be read.
CREATE OR REPLACE FUNCTION calib.parameters_as_of(p_chip_id text, p_as_of timestamptz) RETURNS SETOF calib.parameter_history LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT p.chip_id, p.qid, p.name, p.value, p.error, p.unit, p.value_type, p.description, lower(p.valid), upper(p.valid),
         p.source, p.task_run_id, p.job_id, p.execution_id, p.actor, p.reason
    FROM calib_private.parameter_versions p WHERE p.chip_id = p_chip_id AND p.valid @> p_as_of
$$;

-- The same of one qubit or coupling: the mirror asks for many, each at the ends of days of its own.
CREATE FUNCTION calib.parameters_at(p_chip_id text, p_qid text, p_instant timestamptz) RETURNS SETOF calib.parameter_history LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT p.chip_id, p.qid, p.name, p.value, p.error, p.unit, p.value_type, p.description, lower(p.valid), upper(p.valid),
         p.source, p.task_run_id, p.job_id, p.execution_id, p.actor, p.reason
    FROM calib_private.parameter_versions p WHERE p.chip_id = p_chip_id AND p.qid = p_qid AND p.valid @> p_instant
$$;
REVOKE ALL ON FUNCTION calib.parameters_at(text, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION calib.parameters_at(text, text, timestamptz) TO calib_reader;

-- The few versions that no task measured, by the beginning of their validity: which days somebody's hand has changed.
CREATE INDEX parameter_versions_by_hand ON calib_private.parameter_versions (chip_id, lower(valid)) WHERE source <> 'task';
