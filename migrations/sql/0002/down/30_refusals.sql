DROP TRIGGER bound_writer ON calib_private.outbox;
DROP TRIGGER bound_writer ON calib_private.execution_counters;
DROP FUNCTION calib_private.bound_writer(), calib_private.require_shape(text, jsonb, text, text), calib_private.shape(text),
  calib_private.require_text(text, text, integer, integer), calib_private.one_line(text);
