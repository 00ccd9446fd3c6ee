-- Puts one token of a shared rate limit back: KEYS[1] holds, in microseconds, when the bucket will be full again.
-- ARGV    how long one token takes to come back, in microseconds
local time = redis.call('TIME') -- Redis's clock: the same for every process
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local full_at = tonumber(redis.call('GET', KEYS[1]) or 0) - tonumber(ARGV[1])
if full_at <= now then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1)
end
return 0
