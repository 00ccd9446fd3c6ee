-- Shared by scripts that write events or make jobs ready.
local function integer(value)
  return string.format('%.0f', value)
end

-- Trims the stream: once per script, not with each entry.
local function trim_events()
  redis.pcall('XTRIM', EVENTS, 'MAXLEN', '~', Q.max_events)
end

-- Wakes a blocked worker, if workers may take jobs.
local function wake_up()
  if not Q.paused then redis.pcall('ZADD', P .. 'marker', '0', '0') end
end

-- Returns the list that jobs without a priority wait in. While the queue is paused, workers of BullMQ 5 keep them in
-- `paused` and workers of BullMQ 6 in `wait`; joining those that are there already is safe with either.
local function waiting_list()
  if not Q.paused then return P .. 'wait' end
  if redis.call('EXISTS', P .. 'paused') == 0 and redis.call('EXISTS', P .. 'wait') == 1 then return P .. 'wait' end
  return P .. 'paused'
end

