-- Removes old jobs of one place. Those that workers have or that BullMQ must handle stay.
-- KEYS[1] meta
-- ARGV    place, removed if not newer than this (ms since 1970), most to remove, how many to pass over, how many to
--         look at, '1' to say so in an event
-- Returns {ids that were removed, how many were passed by, 1 if there may be more}
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
    and not is_foreign(id) then
    take_from(place, id)
    local deduplication_id = redis.call('HGET', P .. id, 'deid')
    if deduplication_id then free_deduplication_id(deduplication_id, id, true) end
    forget(id)
    removed[#removed + 1] = id
  end
end
if #removed > 0 and ARGV[6] == '1' then
  event('cleaned', 'count', #removed)
  trim_events(redis.call('HGET', KEYS[1], 'opts.maxLenEvents'))
end
return {removed, #ids - #removed, #ids == number(ARGV[5]) and #removed < most and 1 or 0}
