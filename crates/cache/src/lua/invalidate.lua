-- Removes values and the leases under which older ones could be stored. Every process is notified, even if there was no
-- value: a load may be in flight.
-- KEYS    value, lease and marks of each key. Marks are commits in flight, by the end of their mark; and those that were
--         cleared, by the time until which that is remembered, negative. Both in ms on Redis's clock
-- ARGV    kind: 'mark' before a commit, 'clear' after it, 'unmark' if its outcome is unknown, 'delete' without one; commit;
--         TTL in ms of a mark, and of the memory of what was cleared
local kind, commit = ARGV[1], ARGV[2]
local ttl = tonumber(kind == 'mark' and ARGV[3] or ARGV[4])
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
  if kind ~= 'delete' then redis.call('ZREM', marks, commit) end
  if kind == 'mark' or kind == 'clear' then
    redis.call('ZREMRANGEBYSCORE', marks, -now, now)
    local added = redis.pcall('ZADD', marks, kind == 'mark' and now + ttl or -(now + ttl), commit)
    -- Memory is full: the values are removed nevertheless. Where it is not remembered that a commit was cleared, values
    -- that are loaded now are loaded once more.
    if type(added) == 'table' and kind == 'mark' then failed = added end
    if redis.call('PTTL', marks) < ttl then redis.call('PEXPIRE', marks, ttl) end
  end
end
return failed or 0
