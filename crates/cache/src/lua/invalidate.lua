-- Removes a value and the lease under which an older one could be stored. Every process is notified, even if there was
-- no value: a load may be in flight.
-- KEYS[1] value, KEYS[2] lease, KEYS[3] marks
-- ARGV    kind: 'mark' before a commit, 'clear' after it, 'delete' without one; commit; TTL of a mark in ms
if redis.call('DEL', KEYS[1]) == 0 then
  redis.pcall('SET', KEYS[1], '', 'PX', 1) -- deleting a missing key would notify nobody
  redis.call('DEL', KEYS[1])
end
redis.call('DEL', KEYS[2])
if ARGV[1] == 'clear' then
  redis.call('ZREM', KEYS[3], ARGV[2])
elseif ARGV[1] == 'mark' then -- last, since it is what fails if memory is full
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
  redis.call('ZADD', KEYS[3], now + ARGV[3], ARGV[2])
  redis.call('PEXPIRE', KEYS[3], ARGV[3])
end
return 0
