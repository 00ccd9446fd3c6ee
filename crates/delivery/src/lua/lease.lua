-- Takes or keeps one of several places. KEYS[1] holds who has one, by when that ends, in ms.
-- ARGV    who; how many places there are, 0 to give it back; for how many ms
-- Returns 1 where the place is the caller's, else 0.
local who, places, life = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if places == 0 then
  redis.call('ZREM', KEYS[1], who)
  return 0
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
if not redis.call('ZSCORE', KEYS[1], who) and redis.call('ZCARD', KEYS[1]) >= places then return 0 end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + life), who)
redis.call('PEXPIRE', KEYS[1], life)
return 1
