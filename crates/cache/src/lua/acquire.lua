-- Gives a value, or the right to load it.
-- KEYS[1] value, KEYS[2] lease
-- ARGV    token, lease in ms
-- Returns {1, value}; {3} the caller loads; {2} somebody else does
local value = redis.call('GET', KEYS[1])
if value then return {1, value} end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return {3} end
return {2}
