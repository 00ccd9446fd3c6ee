-- What several scripts do.
local function integer(value)
  return string.format('%.0f', value)
end

-- The stream is trimmed once per script, not with each entry.
local function trim_events(max)
  redis.call('XTRIM', EVENTS, 'MAXLEN', '~', max or '10000')
end

local function wake_up()
  redis.call('ZADD', P .. 'marker', '0', '0')
end

-- The list that jobs without a priority wait in. While the queue is paused, fleets of BullMQ 5 keep them in `paused`
-- and fleets of BullMQ 6 in `wait`; going where some are already loses none in either.
local function waiting_list(paused)
  if not paused then return P .. 'wait' end
  if redis.call('EXISTS', P .. 'paused') == 0 and redis.call('EXISTS', P .. 'wait') == 1 then return P .. 'wait' end
  return P .. 'paused'
end

-- Puts a job where workers take from: behind its equals, or before them.
local function make_ready(id, priority, paused, before_others)
  if priority > 0 then
    local place = before_others and 0 or redis.call('INCR', P .. 'pc') % PRIORITY_STEP
    redis.call('ZADD', P .. 'prioritized', priority * PRIORITY_STEP + place, id)
  else
    redis.call(before_others and 'RPUSH' or 'LPUSH', waiting_list(paused), id)
  end
end

-- When the earliest delayed job is due, in ms since 1970; nil where there is none.
local function next_due()
  local head = redis.call('ZRANGE', P .. 'delayed', '0', '0', 'WITHSCORES')
  return head[2] and math.floor(tonumber(head[2]) / ALL_OF_MS)
end

-- Shows sleeping workers when the earliest delayed job is due.
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
