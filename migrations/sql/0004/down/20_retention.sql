DROP FUNCTION calib_private.prune_part(text, timestamptz, integer), calib_private.next_position(text, timestamptz, timestamptz),
  calib_private.prune_jobs(timestamptz, timestamptz, integer), calib_private.prune_events(timestamptz, timestamptz, integer),
  calib_private.prune_figures(timestamptz, timestamptz, integer), calib_private.prune_raw_data(timestamptz, timestamptz, integer),
  calib_private.prune_window();
DROP TABLE calib_private.prune_positions;
