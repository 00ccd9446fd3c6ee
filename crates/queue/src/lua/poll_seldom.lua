-- What a poll seldom needs.
local seldom = {end_deduplication = end_deduplication}
poll.now = number(ARGV[1])

-- Returns why a job cannot complete or wait: its children have not ended, or have failed it.
function seldom.refusal(id, outcome)
  local is_complete = outcome == 'completed' or outcome == 'child_completed'
  if not is_complete and outcome ~= 'waiting_children' then return end
  if redis.call('EXISTS', P .. id) == 0 then return NOT_FOUND end
  if try('ZCARD', P .. id .. ':unsuccessful') ~= 0 then return FAILED_CHILDREN end
  if is_complete and try('SCARD', P .. id .. ':dependencies') ~= 0 then return PENDING_CHILDREN end
end

-- Does to a job what the `i`th report says.
function seldom.conclude(i)
  local id, _, outcome, made, _, a, b, c = unpack(ARGV, HEAD + (i - 1) * WIDTH + 1, HEAD + i * WIDTH)
  local length = try('HLEN', P .. id)
  if length == 0 then answer[CODES + i] = NOT_FOUND end
  if not length or length == 0 then return end
  if conclude(outcome, {id = id, made = made, parent = parent_of(id)}, a, b, c) == nil then seldom.keep_active(id) end
end

-- Adds the jobs that `retain` keeps to their sets.
function seldom.store_kept()
  for set, finished in pairs(kept) do
    if #finished > 0 and not try('ZADD', P .. set, unpack(finished)) then
      for at = 2, #finished, 2 do seldom.keep_active(finished[at]) end
    end
  end
end

-- Leaves a job with its worker, which reports it again later.
function seldom.keep_active(id)
  poll.limits = nil -- of a set that has another type
  for i = 1, poll.reports do
    local at = HEAD + (i - 1) * WIDTH
    if ARGV[at + 1] == id then
      redis.call('LPUSH', P .. 'active', id)
      redis.call('SET', P .. id .. ':lock', ARGV[at + 2], 'PX', ARGV[2])
      answer[CODES + i] = BAD_KEY
    end
  end
end

-- Makes delayed jobs ready that are due, and returns when the next one is.
function seldom.promote_due(is_blocked)
  local last = integer((poll.now + 1) * ALL_OF_MS - 1)
  local due = redis.call('ZRANGEBYSCORE', P .. 'delayed', '-inf', last, 'LIMIT', '0', '1000')
  local left, gone = {}, poll.gone or {}
  for _, id in ipairs(due) do
    local exists = transitions.promote(id)
    if exists == nil then break end
    if not exists then gone[#gone + 1] = id end
    left[#left + 1] = id
  end
  if #gone > 0 then poll.gone = gone end
  if #left > 0 then redis.call('ZREM', P .. 'delayed', unpack(left)) end
  if not is_blocked then wake_up() end
  return next_due()
end

-- Removes jobs from a set that a limit no longer allows.
function seldom.remove(set, ids)
  for _, id in ipairs(ids) do forget_child(id) end
  redis.call('ZREM', P .. set, unpack(ids))
end

-- Returns whether a text is UTF-8.
function seldom.is_utf8(text)
  local at = 1
  while at <= #text do
    local byte = string.byte(text, at)
    local more = byte < 128 and 0 or byte >= 194 and byte < 224 and 1 or byte >= 224 and byte < 240 and 2
      or byte >= 240 and byte < 245 and 3
    if not more or not string.find(string.sub(text, at + 1, at + more), '^' .. string.rep('[\128-\191]', more) .. '$') then
      return false
    end
    at = at + more + 1
  end
  return true
end

-- Fails a job that is in no state and whose id no worker can name.
function seldom.isolate(id)
  local reason = "the job's id is not UTF-8"
  local stored = try('ZADD', P .. 'failed', ARGV[1], id)
  if not stored then return end
  redis.call('HSET', P .. id, 'finishedOn', ARGV[1], 'failedReason', reason, 'stacktrace', '[]')
  event('failed', 'jobId', id, 'failedReason', reason, 'prev', 'waiting')
end

-- Counts taken jobs towards the rate limit.
function seldom.spend(jobs)
  local spent = redis.pcall('INCRBY', P .. 'limiter', jobs)
  if type(spent) == 'table' then redis.call('SET', P .. 'limiter', jobs) end -- it was no count
  if type(spent) == 'table' or spent == jobs then redis.call('PEXPIRE', P .. 'limiter', Q.duration) end
end

-- Puts ids back that were popped last, from the `first`th on; those of `prioritized` have a score.
function seldom.unpop(ids, scores, first)
  for i = #ids, first, -1 do
    if scores[i] then redis.call('ZADD', P .. 'prioritized', scores[i], ids[i])
    else redis.call('RPUSH', P .. 'wait', ids[i]) end
    ids[i] = nil
  end
end

