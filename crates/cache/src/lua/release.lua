-- Releases a lease: the load failed, or its value is too large for Redis.
-- KEYS[1] value, KEYS[2] lease, KEYS[3] marks (unused)
-- ARGV    token, time in ms for which it is remembered that the value is too large (0: it is not), unless invalidated
-- Returns 1 if nothing was invalidated since the lease was acquired
local lease = redis.call('GET', KEYS[2])
if not lease or string.sub(lease, 1, #ARGV[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
if ARGV[2] ~= '0' then
  redis.call('DEL', KEYS[1]) -- what was loaded replaces it
  redis.pcall('SET', KEYS[2], 'unstored', 'PX', ARGV[2])
end
return 1
