-- Reads for how long no job is taken.
-- KEYS[1] meta
-- ARGV    number of jobs from which on the limit counts; 0 for the queue's own, or if it has none, for any
-- Returns ms, or 0
local most = number(ARGV[1])
if most == 0 then most = number(redis.call('HGET', KEYS[1], 'max')) end
if most > number(redis.call('GET', P .. 'limiter')) then return 0 end
return math.max(redis.call('PTTL', P .. 'limiter'), 0)
