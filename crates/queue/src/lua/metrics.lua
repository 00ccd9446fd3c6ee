-- Reads how many jobs have ended per minute.
-- KEYS[1] meta
-- ARGV    completed or failed, number of the first and of the last minute, the newest being 0 and the oldest -1
-- Returns {count, prevTS, prevCount, jobs of each minute, number of stored minutes}
local key = P .. 'metrics:' .. ARGV[1]
local meta = redis.call('HMGET', key, 'count', 'prevTS', 'prevCount')
local jobs = redis.call('LRANGE', key .. ':data', ARGV[2], ARGV[3])
for at, text in ipairs(jobs) do jobs[at] = number(text) end
return {number(meta[1]), number(meta[2]), number(meta[3]), jobs, redis.call('LLEN', key .. ':data')}
