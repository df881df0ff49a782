DROP FUNCTION calib.try_again(bigint, bigint, text, text);
DROP FUNCTION calib.chips_to_reconcile(text);
DROP FUNCTION calib_private.is_served(text);
