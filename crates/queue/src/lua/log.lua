-- Adds a line to a job's log.
-- KEYS[1] meta
-- ARGV    id, line, number of lines to keep or 0 for all
-- Returns {code, number of lines}
if redis.call('EXISTS', P .. ARGV[1]) == 0 then return {NOT_FOUND, 0} end
local key = P .. ARGV[1] .. ':logs'
local lines = redis.call('RPUSH', key, ARGV[2])
local most = number(ARGV[3])
if most == 0 or lines <= most then return {DONE, lines} end
redis.call('LTRIM', key, -most, -1)
return {DONE, most}
