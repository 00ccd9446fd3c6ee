-- Sets a job's progress.
-- KEYS[1] meta
-- ARGV    id, progress as JSON
-- Returns a code
if redis.call('EXISTS', P .. ARGV[1]) == 0 then return NOT_FOUND end
redis.call('HSET', P .. ARGV[1], 'progress', ARGV[2])
event('progress', 'jobId', ARGV[1], 'data', ARGV[2])
trim_events()
return DONE
