-- Stores a value, if nothing was invalidated since its lease was acquired.
-- KEYS[1] value, KEYS[2] lease, KEYS[3] marks (unused), then generation and marks of each group
-- ARGV    token, value, TTL in ms, generations of the lease
-- Returns 1 if it was stored
local lease = redis.call('GET', KEYS[2])
if not lease or string.sub(lease, 1, #ARGV[1]) ~= ARGV[1] then return 0 end
if generations(KEYS) ~= ARGV[4] then
  redis.call('DEL', KEYS[2])
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[2])
for n = 4, #KEYS, 2 do -- rarely: every process is notified of it
  if redis.call('PTTL', KEYS[n]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[n], 2 * ARGV[3]) end
end
return 1
