-- Notes how far a job is.
-- KEYS[1] meta
-- ARGV    id, progress as JSON
-- Returns 1, or 0 where there is no such job.
if redis.call('EXISTS', P .. ARGV[1]) == 0 then return 0 end
redis.call('HSET', P .. ARGV[1], 'progress', ARGV[2])
event('progress', 'jobId', ARGV[1], 'data', ARGV[2])
trim_events(redis.call('HGET', KEYS[1], 'opts.maxLenEvents'))
return 1
