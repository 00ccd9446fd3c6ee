-- Counts suppressions by one source: KEYS[1] holds the addresses of the last minute, by when they came.
-- ARGV    the address; how many there may be
-- Returns the addresses that are too many: none; all of them when the number is exceeded; from then on the new one.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - 60000))
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('PEXPIRE', KEYS[1], 60000)
local excess = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[2])
if excess <= 0 then return {} end
if excess > 1 then return {ARGV[1]} end
return redis.call('ZRANGE', KEYS[1], 0, -1)
