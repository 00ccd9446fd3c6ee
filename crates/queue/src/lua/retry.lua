-- Runs a finished job again.
-- KEYS[1] meta
-- ARGV    id, '1' to reset its attempts, now (ms since 1970)
-- Returns {code, name of the key that holds the id or ''}
local id, place = ARGV[1], place_of(ARGV[1])
if not place or redis.call('EXISTS', P .. id) == 0 then return {NOT_FOUND, ''} end
if place ~= 'failed' and place ~= 'completed' then return {WRONG_STATE, place} end
local exists = transitions.retry(id, place, ARGV[2], ARGV[3])
leave(id, place)
if not exists then return {NOT_FOUND, ''} end
wake_up()
trim_events()
return {DONE, ''}
