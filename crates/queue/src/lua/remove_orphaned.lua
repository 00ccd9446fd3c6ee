-- Deletes what is left of jobs that are in no state.
-- KEYS[1] meta
-- ARGV    ids
-- Returns the ids of which something was left.
local removed = {}
for _, id in ipairs(ARGV) do
  if is_stored(id) and not place_of(id) and redis.call('EXISTS', P .. id .. ':lock') == 0 then
    transitions.discard(id)
    removed[#removed + 1] = id
  end
end
return removed
