-- Shared by scripts that write events or make jobs ready.
local function integer(value)
  return string.format('%.0f', value)
end

-- Trims the stream: once per script, not with each entry.
local function trim_events(max)
  max = max or redis.call('HGET', KEYS[1], 'opts.maxLenEvents') or '10000'
  redis.call('XTRIM', EVENTS, 'MAXLEN', '~', max)
end

local function wake_up()
  redis.call('ZADD', P .. 'marker', '0', '0')
end

-- Returns the list that jobs without a priority wait in. While the queue is paused, workers of BullMQ 5 keep them in
-- `paused` and workers of BullMQ 6 in `wait`; joining those that are there already is safe with either.
local function waiting_list(paused)
  if not paused then return P .. 'wait' end
  if redis.call('EXISTS', P .. 'paused') == 0 and redis.call('EXISTS', P .. 'wait') == 1 then return P .. 'wait' end
  return P .. 'paused'
end

-- Returns when the earliest delayed job is due, in ms since 1970, or nil.
local function next_due()
  local head = redis.call('ZRANGE', P .. 'delayed', '0', '0', 'WITHSCORES')
  return head[2] and math.floor(tonumber(head[2]) / ALL_OF_MS)
end

-- Tells blocked workers when the earliest delayed job is due.
local function announce_next_due()
  local due = next_due()
  if due then redis.call('ZADD', P .. 'marker', due, '1') end
end

local function delay_until(id, due)
  local first = due * ALL_OF_MS
  local last = first + ALL_OF_MS - 1
  local taken = redis.call('ZREVRANGEBYSCORE', P .. 'delayed', last, first, 'WITHSCORES', 'LIMIT', 0, 1)
  local score = taken[2] and math.min(tonumber(taken[2]) + 1, last) or first
  redis.call('ZADD', P .. 'delayed', score, id)
  event('delayed', 'jobId', id, 'delay', integer(due))
end

