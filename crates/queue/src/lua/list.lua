-- Lists jobs of one state.
-- KEYS[1] meta
-- ARGV    state, number of jobs to skip, number of jobs to return, '1' for the newest (or last to run) first
-- Returns {id, hash, when it is due or 0} for each job. Ids without a hash are left out.
local state, skip, count, newest_first = ARGV[1], number(ARGV[2]), number(ARGV[3]), ARGV[4] == '1'
if count <= 0 then return {} end

-- Workers take from the right end of a list.
local function of_list(key)
  local length = redis.call('LLEN', key)
  local ids = {}
  if newest_first then
    ids = redis.call('LRANGE', key, skip, skip + count - 1)
  elseif skip < length then
    local found = redis.call('LRANGE', key, math.max(length - skip - count, 0), length - skip - 1)
    for at = #found, 1, -1 do ids[#ids + 1] = found[at] end
  end
  skip, count = math.max(skip - length, 0), count - #ids
  return ids
end

local ids, due = {}, {}
if state == 'waiting' or state == 'active' then
  local lists = state == 'active' and {'active'} or (newest_first and {'paused', 'wait'} or {'wait', 'paused'})
  for _, list in ipairs(lists) do
    for _, id in ipairs(of_list(P .. list)) do ids[#ids + 1] = id end
  end
else
  local command = newest_first and 'ZREVRANGE' or 'ZRANGE'
  local found = redis.call(command, P .. state, skip, skip + count - 1, 'WITHSCORES')
  for at = 1, #found, 2 do
    ids[#ids + 1] = found[at]
    due[found[at]] = state == 'delayed' and math.floor(tonumber(found[at + 1]) / ALL_OF_MS) or 0
  end
end
local jobs = {}
for _, id in ipairs(ids) do
  local hash = redis.pcall('HGETALL', P .. id)
  if #hash > 0 then jobs[#jobs + 1] = {id, hash, due[id] or 0} end
end
return jobs
