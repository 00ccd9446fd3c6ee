-- Adds jobs, all or none of them.
-- KEYS[1] meta
-- ARGV    for each job: id or '' for a counted one, name, data, opts, timestamp, delay in ms, priority
-- Returns each job's id; an id that is taken is left as it is.
local WIDTH = 7
local meta = redis.call('HMGET', KEYS[1], 'paused', 'opts.maxLenEvents')
local paused, max_events = meta[1], meta[2]
if not max_events then
  max_events = '10000'
  redis.call('HSET', KEYS[1], 'opts.maxLenEvents', max_events)
end

local ids = {}
for at = 1, #ARGV, WIDTH do
  local counted = redis.call('INCR', P .. 'id')
  local id, name, data, opts, timestamp, delay, priority = unpack(ARGV, at, at + WIDTH - 1)
  if id == '' then id = string.format('%.0f', counted) end
  ids[#ids + 1] = id
  if redis.call('EXISTS', P .. id) == 1 then
    event(max_events, 'duplicated', 'jobId', id)
  else
    redis.call('HSET', P .. id, 'name', name, 'data', data, 'opts', opts, 'timestamp', timestamp,
      'delay', delay, 'priority', priority)
    event(max_events, 'added', 'jobId', id, 'name', name)
    if number(delay) > 0 then
      local due = number(timestamp) + number(delay)
      delay_until(id, due)
      event(max_events, 'delayed', 'jobId', id, 'delay', string.format('%.0f', due))
    else
      make_ready(id, number(priority), paused)
      if not paused then wake_up() end
      event(max_events, 'waiting', 'jobId', id)
    end
  end
end
return ids
