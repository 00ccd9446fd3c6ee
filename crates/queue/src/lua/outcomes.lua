-- Outcomes other than `completed`.
local function put_back(id, before_others)
  make_ready(id, 'active', before_others)
  if not paused then wake_up() end
end

local function snooze(id, due)
  redis.call('HSET', P .. id, 'delay', integer(math.max(due - now, 0)))
  delay_until(id, due)
  announce_next_due()
end

local outcomes = {
  -- reason, stacktrace as JSON, `attempts count age`
  failed = function(id, made, deduplication_id, reason, stacktrace, spec)
    local attempts, limit = string.match(spec, '^(%S+) (.*)$')
    if deduplication_id ~= '' then free_deduplication_id(deduplication_id, id) end
    redis.call('HDEL', P .. id, 'defa')
    retain(id, 'failed', limit, 'failedReason', reason, 'stacktrace', stacktrace, 'atm', made)
    event('failed', 'jobId', id, 'failedReason', reason, 'prev', 'active')
    if number(made) >= number(attempts) then event('retries-exhausted', 'jobId', id, 'attemptsMade', made) end
  end,
  -- reason, stacktrace as JSON, delay in ms: 0 is none, -1 is none and before its equals
  retried = function(id, made, _, reason, stacktrace, delay)
    redis.call('HSET', P .. id, 'failedReason', reason, 'stacktrace', stacktrace, 'atm', made)
    if number(delay) > 0 then snooze(id, now + number(delay)) else put_back(id, delay == '-1') end
  end,
  -- when it is due, in ms since 1970
  snoozed = function(id, _, _, due)
    snooze(id, number(due))
  end,
  released = function(id)
    put_back(id, true)
  end,
  -- for how long no job is taken, in ms
  limited = function(id, _, _, span)
    redis.call('SET', P .. 'limiter', NO_MORE, 'PX', span)
    put_back(id, true)
  end,
  -- reason, data as JSON or '', opts as JSON: replaces what no reader can parse, and fails the job
  poisoned = function(id, made, _, reason, data, opts)
    if data ~= '' then redis.call('HSET', P .. id, 'data', data) end
    redis.call('HSET', P .. id, 'opts', opts)
    retain(id, 'failed', '-1 -1', 'failedReason', reason, 'stacktrace', '[]', 'atm', made)
    event('failed', 'jobId', id, 'failedReason', reason, 'prev', 'active')
  end,
}

-- Makes delayed jobs ready that are due, and returns when the next one is.
local function promote_due(is_blocked)
  local last = integer((now + 1) * ALL_OF_MS - 1)
  local due = redis.call('ZRANGEBYSCORE', P .. 'delayed', '0', last, 'LIMIT', '0', '1000')
  redis.call('ZREM', P .. 'delayed', unpack(due))
  for _, id in ipairs(due) do end_delay(id) end
  if not is_blocked then wake_up() end
  return next_due()
end

return outcomes, promote_due
