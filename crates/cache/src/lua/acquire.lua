-- Returns a value, or the lease with which to load it.
-- KEYS[1] value, KEYS[2] lease, KEYS[3] marks, then generation and marks of each group
-- ARGV    token, lease in ms, longest TTL in ms with which a value is loaded again (-1: never), length from which
--         a value is large; for a value that the caller cannot use, its first bytes: it is loaded again if it still begins
--         with them
-- Returns {VALUE, value, TTL in ms}
--         {LARGE, length, TTL in ms}  a value to be read on another connection
--         {BUSY}     another caller loads
--         {GRANTED, generations, commit, ...}  the caller loads; what it reads includes these commits
--         {MARKED}   a change is being committed: load, and store nothing
--         {UNSTORED} the value is too large for Redis: load, and store nothing
-- The lease of a value with groups is the token and their generations: if a group is invalidated, it is void.
local VALUE, BUSY, GRANTED, MARKED, LARGE, UNSTORED = 1, 2, 3, 4, 5, 6
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'table' then value = '' end -- not a string: unreadable, as any other value that is not an entry
if value then
  local ttl = redis.call('PTTL', KEYS[1])
  local unusable = ARGV[5] and (value == ARGV[5] or ARGV[5] ~= '' and string.sub(value, 1, #ARGV[5]) == ARGV[5])
  local longest = tonumber(ARGV[3])
  if not unusable and (ttl > longest or longest < 0) and not is_outdated(value, KEYS) then
    if #value >= tonumber(ARGV[4]) then return {LARGE, #value, ttl} end
    return {VALUE, value, ttl}
  end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for n = 3, #KEYS, 2 do
  if redis.call('ZCOUNT', KEYS[n], now, '+inf') > 0 then return {MARKED} end
end
local lease, current = ARGV[1], ''
if #KEYS > 3 then
  local held = redis.call('GET', KEYS[2])
  if held and held ~= 'unstored' and string.match(held, ' (.*)$') ~= generations(KEYS) then
    redis.call('DEL', KEYS[2])
    held = false
  end
  if not held then current = generations(KEYS, ARGV[1]) end
  lease = lease .. ' ' .. current
end
if not redis.call('SET', KEYS[2], lease, 'NX', 'PX', ARGV[2]) then
  return {redis.call('GET', KEYS[2]) == 'unstored' and UNSTORED or BUSY}
end
local granted = {GRANTED, current}
for n = 3, #KEYS, 2 do -- cleared, and not forgotten yet
  for _, commit in ipairs(redis.call('ZRANGEBYSCORE', KEYS[n], '-inf', -now)) do table.insert(granted, commit) end
end
return granted
