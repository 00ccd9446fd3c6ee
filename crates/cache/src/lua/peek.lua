-- Reads a value.
-- KEYS[1] value, KEYS[2] lease, KEYS[3] marks (both unused), then generation and marks of each group
-- ARGV    length from which a value is large, length of the beginning to return instead of a value (0: the value)
-- Returns {value, TTL in ms}; of a large one, to be read on another connection, the length in its place; {} if there is none
local value = redis.pcall('GET', KEYS[1])
if type(value) ~= 'string' or is_outdated(value, KEYS) then return {} end
local ttl = redis.call('PTTL', KEYS[1])
if ARGV[2] ~= '0' then return {string.sub(value, 1, ARGV[2]), ttl} end
if #value >= tonumber(ARGV[1]) then return {#value, ttl} end
return {value, ttl}
