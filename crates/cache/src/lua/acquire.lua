-- Returns a value, or the lease with which to load it.
-- KEYS[1] value, KEYS[2] lease, KEYS[3] marks
-- ARGV    token, lease in ms, longest TTL in ms with which a value is loaded again (-1: never), length from which
--         a value is large; for a value that the caller cannot use, its first bytes: it is loaded again if it still begins
--         with them
-- Returns {VALUE, value, TTL in ms}
--         {LARGE, length, TTL in ms}  a value to be read on another connection
--         {BUSY}     another caller loads
--         {GRANTED, commit, ...}  the caller loads; what it reads includes these commits
--         {MARKED}   a change is being committed: load, and store nothing
--         {UNSTORED} the value is too large for Redis: load, and store nothing
local VALUE, BUSY, GRANTED, MARKED, LARGE, UNSTORED = 1, 2, 3, 4, 5, 6
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'table' then value = '' end -- not a string: unreadable, as any other value that is not an entry
if value then
  local ttl = redis.call('PTTL', KEYS[1])
  local unreadable = ARGV[5] and (value == ARGV[5] or ARGV[5] ~= '' and string.sub(value, 1, #ARGV[5]) == ARGV[5])
  local longest = tonumber(ARGV[3])
  if not unreadable and (ttl > longest or longest < 0) then
    if #value >= tonumber(ARGV[4]) then return {LARGE, #value, ttl} end
    return {VALUE, value, ttl}
  end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('ZCOUNT', KEYS[3], now, '+inf') > 0 then return {MARKED} end
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return {redis.call('GET', KEYS[2]) == 'unstored' and UNSTORED or BUSY}
end
local granted = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', -now) -- cleared, and not forgotten yet
table.insert(granted, 1, GRANTED)
return granted
