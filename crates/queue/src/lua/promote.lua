-- Makes a delayed job ready now.
-- KEYS[1] meta
-- ARGV    id
-- Returns {code, name of the key that holds the id or ''}
local place = place_of(ARGV[1])
if place ~= 'delayed' then return {place and WRONG_STATE or NOT_FOUND, place or ''} end
local exists = transitions.promote(ARGV[1])
leave(ARGV[1], place)
if not exists then return {NOT_FOUND, ''} end
wake_up()
trim_events()
return {DONE, ''}
