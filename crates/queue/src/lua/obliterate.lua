-- Removes the queue with all its jobs, some of them at a time.
-- KEYS[1] meta
-- ARGV    how many jobs at a time, '1' even if workers have jobs
-- Returns 1 if there is more to remove, 0 where all is gone; -1 where the queue is not paused, -2 where jobs are active
if redis.call('HEXISTS', KEYS[1], 'paused') == 0 then return -1 end
if ARGV[2] ~= '1' and redis.call('EXISTS', P .. 'active') == 1 then return -2 end
local left = number(ARGV[1])
local function clear(place, is_list)
  local ids = redis.call(is_list and 'LRANGE' or 'ZRANGE', P .. place, 0, left - 1)
  for _, id in ipairs(ids) do
    local deduplication_id = redis.call('HGET', P .. id, 'deid')
    if deduplication_id then free_deduplication_id(deduplication_id, id, true) end
    redis.call('DEL', P .. id .. ':lock')
    forget(id)
  end
  if is_list then redis.call('LTRIM', P .. place, #ids, -1)
  elseif #ids > 0 then redis.call('ZREMRANGEBYRANK', P .. place, 0, #ids - 1) end
  left = left - #ids
end
for _, list in ipairs({'active', 'wait', 'paused'}) do
  clear(list, true)
  if left <= 0 then return 1 end
end
for _, set in ipairs({'prioritized', 'delayed', 'completed', 'failed', 'waiting-children'}) do
  clear(set, false)
  if left <= 0 then return 1 end
end
redis.call('DEL', KEYS[1], P .. 'id', P .. 'pc', P .. 'marker', P .. 'events', P .. 'stalled', P .. 'stalled-check',
  P .. 'limiter', P .. 'repeat', P .. 'metrics:completed', P .. 'metrics:completed:data', P .. 'metrics:failed',
  P .. 'metrics:failed:data')
return 0
