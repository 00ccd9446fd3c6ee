-- Stores a value, if nothing was invalidated since its lease was acquired.
-- KEYS[1] value, KEYS[2] lease, KEYS[3] marks (unused)
-- ARGV    token, value, TTL in ms
-- Returns 1 if it was stored
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[2])
return 1
