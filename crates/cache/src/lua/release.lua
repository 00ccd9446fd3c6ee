-- Releases a lease: the load failed.
-- KEYS[1] value (unused), KEYS[2] lease, KEYS[3] marks (unused)
-- ARGV    token
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[2])
