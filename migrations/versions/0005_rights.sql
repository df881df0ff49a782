-- Superseded by nothing that calls them.
DROP FUNCTION IF EXISTS calib_private.access_rank(text);
DROP FUNCTION IF EXISTS calib_private.hold_lease(bigint, bigint);
DROP FUNCTION IF EXISTS calib_private.require_lease(calib_private.leases, bigint, bigint);
DROP FUNCTION IF EXISTS calib_private.claim_is_unused(calib_private.leases, text);

-- A random number that only the attempt's executor knows: it proves who holds the lease. Who holds one now, or
-- has just ended and may ask again, came through the calls of 0.3.0, which show job and fence.
ALTER TABLE calib_private.attempts ADD COLUMN claim uuid;
UPDATE calib_private.attempts a SET claim = md5(a.job_id || '/' || a.fence)::uuid
 WHERE a.ended_at IS NULL OR a.ended_at > calib_private.now() - interval '1 hour';
ALTER TABLE calib_private.attempts
  ADD CONSTRAINT open_has_claim CHECK (ended_at IS NOT NULL OR claim IS NOT NULL);
