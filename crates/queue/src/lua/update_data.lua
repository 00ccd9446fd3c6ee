-- Replaces a job's data.
-- KEYS[1] meta
-- ARGV    id, data as JSON
-- Returns a code
if redis.call('HEXISTS', P .. ARGV[1], 'name') == 0 then return NOT_FOUND end
redis.call('HSET', P .. ARGV[1], 'data', ARGV[2])
return DONE
