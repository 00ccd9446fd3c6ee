-- Runs a finished job again.
-- KEYS[1] meta
-- ARGV    id, '1' to count its attempts anew, now (ms since 1970)
-- Returns '' where that was done, 'none' where there is no such job, or else where the job is.
local place = place_of(ARGV[1])
if not place or redis.call('EXISTS', P .. ARGV[1]) == 0 then return 'none' end
if place ~= 'failed' and place ~= 'completed' then return place end
local meta = redis.call('HMGET', KEYS[1], 'paused', 'opts.maxLenEvents')
retry(ARGV[1], place, ARGV[2], meta[1], ARGV[3])
if not meta[1] then wake_up() end
trim_events(meta[2])
return ''
