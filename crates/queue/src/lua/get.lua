-- Reads one job.
-- KEYS[1] meta
-- ARGV    id
-- Returns {name of the key that holds the id, hash, when it is due or 0}, or {} if there is no such job.
local place = is_stored(ARGV[1]) and place_of(ARGV[1])
if not place then return {} end
local hash = redis.call('HGETALL', P .. ARGV[1])
local score = place == 'delayed' and tonumber(redis.call('ZSCORE', P .. 'delayed', ARGV[1])) or 0
return {place, hash, math.floor(score / ALL_OF_MS)}
