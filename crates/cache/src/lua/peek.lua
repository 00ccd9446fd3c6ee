-- Reads a value.
-- KEYS[1] value
-- ARGV    length from which a value is large
-- Returns the value; of a large one, to be read on another connection, the length
local value = redis.call('GET', KEYS[1])
if value and #value >= tonumber(ARGV[1]) then return #value end
return value
