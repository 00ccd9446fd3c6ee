-- Reads the mailers whose heartbeat counts: KEYS[1] holds them by their last one.
-- ARGV    for how many ms a heartbeat counts
-- Returns for each its id, then fields and values.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local mailers = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], string.format('%.0f', now - tonumber(ARGV[1])), '+inf', 'LIMIT', 0, 200)) do
  local words = redis.call('HGETALL', KEYS[1] .. ':' .. id)
  table.insert(words, 1, id)
  mailers[#mailers + 1] = words
end
return mailers
