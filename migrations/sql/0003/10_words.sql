-- Words where there were none.

-- A COPY may give nothing at all in a row, and the DETAIL of a refusal may not be NULL.
CREATE OR REPLACE FUNCTION calib_private.given_values(p_new calib.jobs) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'Nothing was stored. Row: '
      || coalesce(left(string_agg(e.key || ' ' || calib_private.one_line(left(e.value, 120)), ', '), 500), 'nothing was given')
    FROM jsonb_each_text(to_jsonb(p_new)) e WHERE e.value IS NOT NULL
$$;

CREATE OR REPLACE FUNCTION calib.mark_refused(p_mark_id bigint, p_version integer, p_error text, p_refused jsonb, p_limit integer DEFAULT 5)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_dead boolean;
BEGIN
  IF p_refused IS NULL THEN
    PERFORM calib_private.refuse('CQ007', 'refused', 'refused: expected the documents that MongoDB refused, got nothing');
  END IF;
  UPDATE calib_private.outbox o SET last_error = left(p_error, 2000), refused = p_refused,
         refusals = CASE WHEN o.version = p_version THEN o.refusals + 1 ELSE 0 END,
         dead_at = CASE WHEN o.version = p_version AND o.refusals + 1 >= p_limit THEN calib_private.now() END,
         next_try_at = calib_private.now() + make_interval(secs => least(300, power(2, least(o.attempts, 9))))
   WHERE o.mark_id = p_mark_id RETURNING o.dead_at IS NOT NULL INTO v_dead;
  RETURN coalesce(v_dead, false);
END $$;
