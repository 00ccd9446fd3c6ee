-- Removes values and the leases under which older ones could be stored. Every process is notified, even if there was no
-- value: a load may be in flight.
-- KEYS    value, lease and marks of each key
-- ARGV    kind: 'mark' before a commit, 'clear' after it, 'delete' without one; commit; TTL of a mark in ms
local kind, commit, ttl = ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local failed
for at = 1, #KEYS, 3 do
  local value, marks = KEYS[at], KEYS[at + 2]
  if redis.call('DEL', value) == 0 then
    redis.pcall('SET', value, '', 'PX', 1) -- deleting a missing key would notify nobody
    redis.call('DEL', value)
  end
  redis.call('DEL', KEYS[at + 1])
  if kind == 'clear' then
    redis.call('ZREM', marks, commit)
  elseif kind == 'mark' then
    redis.call('ZREMRANGEBYSCORE', marks, '-inf', now)
    local marked = redis.pcall('ZADD', marks, now + ttl, commit)
    if type(marked) == 'table' then failed = marked end -- memory is full: the values are removed nevertheless
    redis.call('PEXPIRE', marks, ttl)
  end
end
return failed or 0
