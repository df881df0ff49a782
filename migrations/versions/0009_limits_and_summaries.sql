-- All tables at once, in the order in which a submission and a running job use them.
LOCK TABLE calib_private.jobs IN ACCESS EXCLUSIVE MODE;
