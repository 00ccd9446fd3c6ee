-- Enqueues a job behind its equals, or before them.
local function enqueue(id, priority, before_others)
  if priority > 0 then
    local place = before_others and 0 or redis.call('INCR', P .. 'pc') % PRIORITY_STEP
    redis.call('ZADD', P .. 'prioritized', priority * PRIORITY_STEP + place, id)
  else
    redis.call(before_others and 'RPUSH' or 'LPUSH', waiting_list(paused), id)
  end
end

-- Makes a job ready that has left the state `prev`: behind its equals, or before them. Returns whether its hash exists.
-- If not, its id is enqueued all the same, for the next worker to drop it with a warning.
local function make_ready(id, prev, before_others)
  local job = redis.call('HMGET', P .. id, 'name', 'priority')
  enqueue(id, number(job[2]), before_others)
  event('waiting', 'jobId', id, 'prev', prev)
  return job[1]
end

-- Makes a job ready that has left `delayed`.
local function end_delay(id)
  if make_ready(id, 'delayed') then redis.call('HSET', P .. id, 'delay', '0') end
end

