-- Reads groups of failed mails. KEYS[1] holds the groups; the other keys begin with it.
-- ARGV    the groups
-- Returns for each: its id, what failed, how many have, the first and the last time, a job, and how many are in it.
local groups = {}
for _, id in ipairs(ARGV) do
  local hash = KEYS[1] .. ':' .. id
  local found = redis.call('HMGET', hash, 'fields', 'count', 'first', 'last', 'sample')
  if found[5] then
    groups[#groups + 1] = {id, found[1], found[2], found[3], found[4], found[5], tostring(redis.call('ZCARD', hash .. ':jobs'))}
  end
end
return groups
