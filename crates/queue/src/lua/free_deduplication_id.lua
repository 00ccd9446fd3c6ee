-- Frees a deduplication id: the next job that has it is added.
-- KEYS[1] meta
-- ARGV    deduplication id, id of the job that must own it or ''
-- Returns 1 if it was in use
local key = P .. 'de:' .. ARGV[1]
if ARGV[2] ~= '' and redis.call('GET', key) ~= ARGV[2] then return 0 end
return redis.call('DEL', key)
