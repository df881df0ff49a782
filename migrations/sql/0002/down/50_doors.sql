DROP FUNCTION calib.oldest_served_version();
