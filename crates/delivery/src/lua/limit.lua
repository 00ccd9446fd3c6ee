-- A shared rate limit (generic cell rate algorithm): KEYS[1] holds, in microseconds, when the bucket will be full again.
-- ARGV    how long one token takes to come back, in microseconds; how many the bucket holds
-- Returns 0 where a token was taken, else how many microseconds to wait for the next one.
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME') -- Redis's clock: the same for every process
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local wait = full_at - (burst - 1) * interval - now
if wait > 0 then return math.ceil(wait) end
full_at = full_at + interval
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1)
return 0
