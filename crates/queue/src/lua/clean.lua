-- Removes old jobs of one state. Jobs that workers have or that schedulers have to come stay.
-- KEYS[1] meta
-- ARGV    name of the key, time up to which jobs are old (ms since 1970), number of jobs to remove, number to skip,
--         number to read, '1' to write an event
-- Returns {ids of removed jobs, number of jobs left as they were, 1 if there may be more}
local place, before, most = ARGV[1], number(ARGV[2]), number(ARGV[3])
local from, to = number(ARGV[4]), number(ARGV[4]) + number(ARGV[5]) - 1
local is_list = place == 'wait' or place == 'paused' or place == 'active'
local ids = redis.call(is_list and 'LRANGE' or 'ZRANGE', P .. place, from, to)

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
if #removed > 0 and ARGV[6] == '1' then
  event('cleaned', 'count', #removed)
  trim_events()
end
return {removed, #ids - #removed, #ids == number(ARGV[5]) and #removed < most and 1 or 0}
