-- Reads the states of jobs. Deletes what is left of a job that is in no state: it would never run, and block its id.
-- KEYS[1] meta
-- ARGV    ids
-- Returns for each job the name of the key that holds its id, or '' if there is no such job.
local places = {}
for at, id in ipairs(ARGV) do
  local exists = redis.call('EXISTS', P .. id) == 1
  local place = place_of(id) or redis.call('EXISTS', P .. id .. ':lock') == 1 and 'active'
  if exists and not place and not is_foreign(id) then forget(id) end
  places[at] = exists and place or ''
end
return places
