-- Transitions of jobs whose run did not complete. `run` has the job's id, the attempts made and its parent.
local function put_back(id, at)
  local exists = enter(id, 'ready', 'active', at)
  if exists then wake_up() end
  return exists
end

local function snooze(id, due)
  local exists = enter(id, 'delayed', 'active', due)
  if exists then
    redis.call('HSET', P .. id, 'delay', integer(math.max(due - poll.now, 0)))
    announce_next_due()
  end
  return exists
end

-- Keeps a finished job. One that is not kept is removed from those that its parent waits for.
local function retain_child(run, set, limit, ...)
  retain(run.id, set, limit, ...)
  if run.parent and limit == '0' then lose_child(run.parent, P .. run.id) end
end

local function fail(run, limit, deduplication_id, reason, stacktrace)
  if deduplication_id ~= '' then end_deduplication(deduplication_id, run.id) end
  redis.call('HDEL', P .. run.id, 'defa')
  if run.parent then fail_child(run.parent, P .. run.id, reason, poll.now) end
  retain_child(run, 'failed', limit, 'failedReason', reason, 'stacktrace', stacktrace, 'atm', run.made)
  event('failed', 'jobId', run.id, 'failedReason', reason, 'prev', 'active')
  return true
end

-- They return whether there is such a job, or nil if a key has another type.
local outcomes = {
  -- returnvalue as JSON, limit, deduplication id or ''
  child_completed = function(run, value, limit, deduplication_id)
    if deduplication_id ~= '' then end_deduplication(deduplication_id, run.id) end
    if run.parent then complete_child(run.parent, P .. run.id, value, poll.now) end
    retain_child(run, 'completed', limit, 'returnvalue', value, 'atm', run.made)
    event('completed', 'jobId', run.id, 'returnvalue', value, 'prev', 'active')
    return true
  end,
  -- A job without children to wait for runs again.
  waiting_children = function(run)
    if redis.call('SCARD', P .. run.id .. ':dependencies') == 0 then return put_back(run.id, 'first') end
    if not try('ZADD', P .. 'waiting-children', integer(poll.now), run.id) then return end
    event('waiting-children', 'jobId', run.id, 'prev', 'active')
    return true
  end,
  -- reason, stacktrace as JSON, `attempts limit deduplication-id`
  failed = function(run, reason, stacktrace, spec)
    local attempts, limit, deduplication_id = string.match(spec, '^(%S+) (%S*) (.*)$')
    fail(run, limit, deduplication_id, reason, stacktrace)
    if number(run.made) >= number(attempts) then
      event('retries-exhausted', 'jobId', run.id, 'attemptsMade', run.made)
    end
    return true
  end,
  -- reason, stacktrace as JSON, delay in ms: 0 is none, -1 is none and before its equals
  retried = function(run, reason, stacktrace, delay)
    local exists
    if number(delay) > 0 then
      exists = snooze(run.id, poll.now + number(delay))
    else
      exists = put_back(run.id, delay == '-1' and 'first')
    end
    if exists then
      redis.call('HSET', P .. run.id, 'failedReason', reason, 'stacktrace', stacktrace, 'atm', run.made)
    end
    return exists
  end,
  -- when it is due, in ms since 1970
  snoozed = function(run, due)
    return snooze(run.id, number(due))
  end,
  released = function(run)
    return put_back(run.id, 'first')
  end,
  -- for how long no job is taken, in ms
  limited = function(run, span)
    redis.call('SET', P .. 'limiter', NO_MORE, 'PX', span)
    return put_back(run.id, 'first')
  end,
  -- reason, data as JSON or '', `limit field,field,... deduplication-id`: replaces fields that no reader can parse, keeps
  -- what they held in fields `unreadable:...`, and fails the job
  poisoned = function(run, reason, data, spec)
    local limit, fields, deduplication_id = string.match(spec, '^(%S*) (%S+) (.*)$')
    local key = P .. run.id
    local readable = {name = 'unknown', data = data, opts = '{"attempts":0}', progress = '0', parent = '{}'}
    for field in string.gmatch(fields, '[^,]+') do
      local was = redis.call('HGET', key, field)
      if was and field == 'data' and data == '' then -- it was too long to be read
        readable.data = pcall(cjson.decode, was) and was or '"too long"'
      end
      if was and was ~= readable[field] then redis.call('HSET', key, 'unreadable:' .. field, was) end
      redis.call('HSET', key, field, readable[field])
    end
    for field, value in pairs({name = 'unknown', data = '{}', opts = '{}', timestamp = ARGV[1]}) do
      redis.call('HSETNX', key, field, value)
    end
    return fail(run, limit, deduplication_id, reason, '[]')
  end,
}

-- Does to a job what an outcome says. Returns nil if a key has another type: then the job is not changed, but for what an
-- unforeseen error may leave.
local function conclude(outcome, run, ...)
  if run.parent and not is_sound(run.parent) then return end
  local is_done, exists = pcall(outcomes[outcome], run, ...)
  if is_done then return exists end
  failure = P .. run.id .. ': ' .. (type(exists) == 'table' and exists.err or tostring(exists))
end

