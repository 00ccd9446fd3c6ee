-- Reads the states of jobs.
-- KEYS[1] meta
-- ARGV    ids
-- Returns for each job the name of the key that holds its id, or '' if there is no such job.
local places = {}
for at, id in ipairs(ARGV) do
  local place = is_stored(id) and (place_of(id) or redis.call('EXISTS', P .. id .. ':lock') == 1 and 'active')
  places[at] = place or ''
end
return places
