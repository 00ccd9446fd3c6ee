-- Removes old jobs of one state, the oldest first. Jobs that workers have or that schedulers have to come stay.
-- KEYS[1] meta
-- ARGV    name of the key, time up to which jobs are old (ms since 1970), number of jobs to remove, number to skip,
--         number to read, '' or number of jobs removed before, to write an event after the last step
-- Returns {ids of removed jobs, number of jobs left as they were, 1 if there may be more}
local place, before, most = ARGV[1], number(ARGV[2]), number(ARGV[3])
local skip, count = number(ARGV[4]), number(ARGV[5])
local ids = {}
if place == 'wait' or place == 'paused' or place == 'active' then -- the oldest is the last
  local found = redis.call('LRANGE', P .. place, -(skip + count), -(skip + 1))
  for at = #found, 1, -1 do ids[#ids + 1] = found[at] end
else
  ids = redis.call('ZRANGE', P .. place, skip, skip + count - 1)
end

local function age_of(id)
  local times = redis.call('HMGET', P .. id, 'finishedOn', 'processedOn', 'timestamp')
  return number(times[1] or times[2] or times[3])
end

local removed = {}
for _, id in ipairs(ids) do
  if #removed < most and age_of(id) <= before and redis.call('EXISTS', P .. id .. ':lock') == 0
    and not is_next_of_scheduler(id) and leave(id, place) then
    transitions.discard(id, true)
    removed[#removed + 1] = id
  end
end
local has_more = #ids == count and #removed < most
if ARGV[6] ~= '' and not has_more then
  event('cleaned', 'count', integer(number(ARGV[6]) + #removed))
  trim_events()
end
return {removed, #ids - #removed, has_more and 1 or 0}
