-- Extends one lock.
-- KEYS[1] meta
-- ARGV    id, token, lock in ms
-- Returns a code
local key = P .. ARGV[1] .. ':lock'
local owner = redis.call('MGET', key)[1]
if not owner then return redis.call('EXISTS', P .. ARGV[1]) == 0 and NOT_FOUND or LOCK_MISSING end
if owner ~= ARGV[2] then return LOCK_MISMATCH end
redis.call('PEXPIRE', key, ARGV[3])
try('SREM', P .. 'stalled', ARGV[1])
return DONE
