-- Reads summaries of jobs.
-- KEYS[1] meta
-- ARGV    fields of the data as a JSON list, then ids
-- Returns a summary of each job that there is.
local pick = cjson.decode(ARGV[1])

-- Returns the name of the key that holds an id, and when the job is due. Lists are not searched, which may be long: a job that
-- is in no sorted set, and has no lock, is waiting.
local function place_of(id)
  for _, set in ipairs({'completed', 'failed', 'delayed', 'prioritized', 'waiting-children'}) do
    local score = try('ZSCORE', P .. set, id)
    if score then return set, set == 'delayed' and math.floor(tonumber(score) / ALL_OF_MS) or 0 end
  end
  return redis.call('EXISTS', P .. id .. ':lock') == 1 and 'active' or 'wait', 0
end

local found = {}
for at = 2, #ARGV do
  local id = ARGV[at]
  if redis.call('TYPE', P .. id).ok == 'hash' then
    local place, due = place_of(id)
    found[#found + 1] = summary(id, place, due, pick)
  end
end
return found
