-- Removes the paused queue with all its jobs, in steps.
-- KEYS[1] meta
-- ARGV    number of jobs per step, '1' to remove active jobs too
-- Returns a code: MORE while there are jobs left
if redis.call('HEXISTS', KEYS[1], 'paused') == 0 then return NOT_PAUSED end
if ARGV[2] ~= '1' and redis.call('EXISTS', P .. 'active') == 1 then return NOT_IDLE end
local left = number(ARGV[1])
local function clear(place, is_list)
  local ids = redis.call(is_list and 'LRANGE' or 'ZRANGE', P .. place, 0, left - 1)
  for _, id in ipairs(ids) do
    redis.call('DEL', P .. id .. ':lock')
    transitions.discard(id, true)
  end
  if is_list then redis.call('LTRIM', P .. place, #ids, -1)
  elseif #ids > 0 then redis.call('ZREM', P .. place, unpack(ids)) end
  left = left - #ids
end
for _, list in ipairs({'active', 'wait', 'paused'}) do
  clear(list, true)
  if left <= 0 then return MORE end
end
for _, set in ipairs({'prioritized', 'delayed', 'completed', 'failed', 'waiting-children'}) do
  clear(set, false)
  if left <= 0 then return MORE end
end
redis.call('DEL', KEYS[1], P .. 'id', P .. 'pc', P .. 'marker', P .. 'events', P .. 'stalled', P .. 'stalled-check',
  P .. 'limiter', P .. 'repeat', P .. 'metrics:completed', P .. 'metrics:completed:data', P .. 'metrics:failed',
  P .. 'metrics:failed:data')
return DONE
