-- Gives a value, or the right to load it.
-- KEYS[1] value, KEYS[2] lease, KEYS[3] marks
-- ARGV    token, lease in ms, most ms that a value may have left to be loaded anew (-1: it is not loaded anew)
-- Returns {1, value, ms left}
--         {2}  somebody else loads
--         {3}  the caller loads
--         {4}  a change is being committed: load, and store nothing
local value = redis.call('GET', KEYS[1])
if value then
  local left = redis.call('PTTL', KEYS[1])
  if left > tonumber(ARGV[3]) or tonumber(ARGV[3]) < 0 then return {1, value, left} end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('ZCOUNT', KEYS[3], now, '+inf') > 0 then return {4} end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return {3} end
return {2}
