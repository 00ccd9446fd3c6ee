-- Changes when a delayed job is due.
-- KEYS[1] meta
-- ARGV    id, delay in ms, when it is due (ms since 1970)
-- Returns {code, name of the key that holds the id or ''}
local id = ARGV[1]
local place = place_of(id)
if not place or redis.call('EXISTS', P .. id) == 0 then return {NOT_FOUND, ''} end
if place ~= 'delayed' then return {WRONG_STATE, place} end
leave(id, place)
if not enter(id, 'delayed', '', number(ARGV[3])) then return {NOT_FOUND, ''} end
redis.call('HSET', P .. id, 'delay', ARGV[2])
announce_next_due()
trim_events()
return {DONE, ''}
