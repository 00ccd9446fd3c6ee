-- Heartbeat that proves three things: Redis answers, has not been flushed, and takes writes.
-- KEYS[1] canary: number of the heartbeat that created it, number of the last one
-- ARGV    TTL of the canary in ms, number of the heartbeat
-- Returns {number of the heartbeat that created the canary, DONE, REFUSED or FULL}; number 0: it is unknown
local REFUSED, DONE, FULL = 0, 1, 2
local canary = redis.call('GET', KEYS[1])
local created = canary and string.match(canary, '^%d+')
local written = redis.pcall('SET', KEYS[1], (created or ARGV[2]) .. ':' .. ARGV[2], 'PX', ARGV[1])
local refused = type(written) == 'table' and written.err
if not refused then return {tonumber(created or ARGV[2]), DONE} end
if not string.find(refused, 'OOM', 1, true) then return {tonumber(created or 0), REFUSED} end
redis.pcall('PEXPIRE', KEYS[1], ARGV[1])
return {tonumber(created or 0), FULL}
