-- Adds a line to a job's log.
-- KEYS[1] meta
-- ARGV    id, line, lines to keep or 0 for all
-- Returns how many lines there are now, or -1 where there is no such job.
if redis.call('EXISTS', P .. ARGV[1]) == 0 then return -1 end
local key = P .. ARGV[1] .. ':logs'
local lines = redis.call('RPUSH', key, ARGV[2])
local most = number(ARGV[3])
if most == 0 or lines <= most then return lines end
redis.call('LTRIM', key, -most, -1)
return most
