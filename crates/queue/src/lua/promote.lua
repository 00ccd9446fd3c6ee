-- Makes a delayed job ready now.
-- KEYS[1] meta
-- ARGV    id
-- Returns {code, name of the key that holds the id or ''}
local place = place_of(ARGV[1])
if place ~= 'delayed' then return {place and WRONG_STATE or NOT_FOUND, place or ''} end
leave(place, ARGV[1])
end_delay(ARGV[1])
publish()
return {DONE, ''}
