-- Renews a lease while the load runs.
-- KEYS[1] value (unused), KEYS[2] lease, KEYS[3] marks (unused)
-- ARGV    token, lease in ms
local lease = redis.call('GET', KEYS[2])
if not lease or string.sub(lease, 1, #ARGV[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[2], ARGV[2])
