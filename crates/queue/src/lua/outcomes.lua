-- What becomes of runs that did not simply complete.
local function put_back(id, before_others)
  make_ready(id, number(redis.call('HGET', P .. id, 'priority')), paused, before_others)
  if not paused then wake_up() end
  event('waiting', 'jobId', id, 'prev', 'active')
end

local function put_off(id, due)
  redis.call('HSET', P .. id, 'delay', integer(math.max(due - now, 0)))
  delay_until(id, due)
  announce_next_due()
end

local outcomes = {
  -- reason, stacktrace as JSON, `attempts count age`
  failed = function(id, made, deduplication_id, reason, stacktrace, rest)
    local attempts, limit = string.match(rest, '^(%S+) (.*)$')
    if deduplication_id ~= '' then free_deduplication_id(deduplication_id, id) end
    redis.call('HDEL', P .. id, 'defa')
    retain(id, 'failed', limit, 'failedReason', reason, 'stacktrace', stacktrace, 'atm', made)
    event('failed', 'jobId', id, 'failedReason', reason, 'prev', 'active')
    if number(made) >= number(attempts) then event('retries-exhausted', 'jobId', id, 'attemptsMade', made) end
  end,
  -- reason, stacktrace as JSON, delay in ms: 0 is at once, -1 at once and before its equals
  retried = function(id, made, _, reason, stacktrace, delay)
    redis.call('HSET', P .. id, 'failedReason', reason, 'stacktrace', stacktrace, 'atm', made)
    if number(delay) > 0 then put_off(id, now + number(delay)) else put_back(id, delay == '-1') end
  end,
  -- when it is to run, in ms since 1970
  parked = function(id, _, _, due)
    put_off(id, number(due))
  end,
  -- not run to its end
  returned = function(id)
    put_back(id, true)
  end,
  -- for how long nothing is to be taken, in ms
  limited = function(id, _, _, span)
    redis.call('SET', P .. 'limiter', NO_MORE, 'PX', span)
    put_back(id, true)
  end,
  -- reason, data as JSON or '', opts as JSON: what no reader could make sense of is made readable, and then failed
  poisoned = function(id, made, _, reason, data, opts)
    if data ~= '' then redis.call('HSET', P .. id, 'data', data) end
    redis.call('HSET', P .. id, 'opts', opts)
    retain(id, 'failed', '-1 -1', 'failedReason', reason, 'stacktrace', '[]', 'atm', made)
    event('failed', 'jobId', id, 'failedReason', reason, 'prev', 'active')
  end,
}

-- Makes delayed jobs ready that are due; gives when the next one is.
local function promote_due(is_blocked)
  local last = integer((now + 1) * ALL_OF_MS - 1)
  local due = redis.call('ZRANGEBYSCORE', P .. 'delayed', '0', last, 'LIMIT', '0', '1000')
  redis.call('ZREM', P .. 'delayed', unpack(due))
  for _, id in ipairs(due) do
    make_ready(id, number(redis.call('HGET', P .. id, 'priority')), paused)
    redis.call('HSET', P .. id, 'delay', '0')
    event('waiting', 'jobId', id, 'prev', 'delayed')
  end
  if not is_blocked then wake_up() end
  return next_due()
end

return outcomes, promote_due
