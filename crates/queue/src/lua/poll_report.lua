-- The reports. A job whose children have not ended cannot complete.
-- Releases each job's lock and removes it from `active`, or sets a code that says why not; such a job is not changed.
local reports, may_be_children = poll.reports, nil
if reports > 0 then
  local locks, children, released, refusal = {}, {}, {}, nil
  for i = 1, reports do
    local key = P .. ARGV[HEAD + (i - 1) * WIDTH + 1]
    locks[i] = key .. ':lock'
    children[i] = key .. ':dependencies'
    children[reports + i] = key .. ':unsuccessful'
  end
  if redis.call('EXISTS', unpack(children)) > 0 then
    poll.seldom = lazily()
    refusal = poll.seldom.refusal
  end
  locks[reports + 1], locks[reports + 2] = P .. 'limiter', P .. 'id'
  local owners = redis.call('MGET', unpack(locks))
  poll.spent, answer[7] = owners[reports + 1], owners[reports + 2] or ''
  -- An active job becomes the child of another if a flow with its id is added. Each add counts up `id`.
  may_be_children = ARGV[7] == '' or ARGV[7] ~= answer[7]
  for i = 1, reports do
    local at = HEAD + (i - 1) * WIDTH
    local id, owner = ARGV[at + 1], owners[i]
    local code = DONE
    if owner ~= ARGV[at + 2] then
      code = redis.call('EXISTS', P .. id) == 0 and NOT_FOUND or owner and LOCK_MISMATCH or LOCK_MISSING
    else
      code = refusal and refusal(id, ARGV[at + 3]) or redis.call('LREM', P .. 'active', '-1', id) == 0 and WRONG_STATE or DONE
    end
    answer[CODES + i] = code
    if code == DONE then
      released[#released + 1] = id
      locks[#released] = locks[i]
    end
  end
  if #released > 0 then
    redis.call('DEL', unpack(locks, 1, #released))
    try('SREM', P .. 'stalled', unpack(released))
  end
end

-- Does to each released job what its report says.
local completed -- score, id, score, id, ... of those that are kept
for i = 1, reports do
  local at = HEAD + (i - 1) * WIDTH
  local id = ARGV[at + 1]
  if answer[CODES + i] ~= DONE then
    -- It stays as it is.
  elseif ARGV[at + 3] == 'completed' and not (may_be_children and try('HGET', P .. id, 'parentKey')) then
    local value, limit, key = ARGV[at + 6], ARGV[at + 7], P .. id
    local is_gone
    if limit == '0' then
      is_gone = forget(id) == 0
    else
      local new = try('HSET', key, 'finishedOn', ARGV[1], 'returnvalue', value, 'atm', ARGV[at + 4], 'ats', ARGV[at + 5])
      if new == 4 and redis.call('HLEN', key) == 4 then -- a job that was taken has `ats`
        is_gone = true
        redis.call('DEL', key)
      elseif not new then
        -- The key has another type.
      elseif completed then
        completed[#completed + 1] = ARGV[1]
        completed[#completed + 1] = id
      else
        completed = {ARGV[1], id}
      end
      if limit ~= '' then
        poll.limits = poll.limits or {}
        poll.limits['completed,' .. limit] = 'completed'
      end
    end
    if is_gone then
      answer[CODES + i] = NOT_FOUND
    else
      if ARGV[at + 8] ~= '' then
        poll.seldom = poll.seldom or lazily()
        poll.seldom.end_deduplication(ARGV[at + 8], id)
      end
      poll.has_ended = true
      redis.pcall('XADD', EVENTS, '*', 'event', 'completed', 'jobId', id, 'returnvalue', value, 'prev', 'active')
    end
  else
    poll.seldom = poll.seldom or lazily()
    poll.has_moved = true
    if ARGV[at + 3] == 'completed' then ARGV[at + 3] = 'child_completed' end
    poll.seldom.conclude(i)
  end
end
if completed and not try('ZADD', P .. 'completed', unpack(completed)) then
  poll.seldom = poll.seldom or lazily()
  for at = 2, #completed, 2 do poll.seldom.keep_active(completed[at]) end
end
if poll.has_moved then poll.seldom.store_kept() end
if poll.points and reports > 0 then
  poll.seldom = poll.seldom or lazily()
  poll.seldom.collect_metrics()
end
-- What the limits no longer allow: up to `most` old jobs, and up to 1000 that are too many.
if poll.limits then
  for key, set in pairs(poll.limits) do
    local count, age, most = string.match(key, '([^,]+),([^,]+),([^,]+)$')
    count, age = number(count), number(age)
    if age >= 0 then
      local old = redis.call('ZRANGEBYSCORE', P .. set, '-inf', number(ARGV[1]) - age * 1000, 'LIMIT', '0', most)
      if #old > 0 then
        poll.seldom = poll.seldom or lazily()
        poll.seldom.remove(set, old)
      end
    end
    local surplus = count > 0 and math.min(redis.call('ZCARD', P .. set) - count, 1000) or 0
    if surplus > 0 then
      poll.seldom = poll.seldom or lazily()
      poll.seldom.remove(set, redis.call('ZRANGE', P .. set, '0', surplus - 1))
    end
  end
end

