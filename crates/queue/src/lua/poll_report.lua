-- The reports. A job whose children have not ended cannot complete.
-- Releases each job's lock and removes it from `active`, or sets a code that says why not; such a job is not changed.
if poll.reports > 0 then
  local codes, keys, locks, released, unlocked = poll.codes, {}, {}, {}, {}
  for i = 1, poll.reports do
    keys[i] = P .. ARGV[HEAD + (i - 1) * WIDTH + 1]
    locks[i] = keys[i] .. ':lock'
  end
  local all_exist = redis.call('EXISTS', unpack(keys)) == poll.reports
  for i = 1, poll.reports do
    keys[poll.reports + i], keys[i] = keys[i] .. ':unsuccessful', keys[i] .. ':dependencies'
  end
  if redis.call('EXISTS', unpack(keys)) > 0 then poll.seldom = lazily() end
  local refusal = poll.seldom and poll.seldom.refusal
  locks[poll.reports + 1] = P .. 'limiter'
  local owners = redis.call('MGET', unpack(locks))
  poll.spent = owners[poll.reports + 1]
  for i = 1, poll.reports do
    local at = HEAD + (i - 1) * WIDTH
    local id, owner = ARGV[at + 1], owners[i]
    if not all_exist and redis.call('EXISTS', P .. id) == 0 then codes[i] = NOT_FOUND
    elseif not owner then codes[i] = LOCK_MISSING
    elseif owner ~= ARGV[at + 2] then codes[i] = LOCK_MISMATCH
    elseif refusal and refusal(id, ARGV[at + 3]) then codes[i] = refusal(id, ARGV[at + 3])
    elseif redis.call('LREM', P .. 'active', '-1', id) == 0 then codes[i] = WRONG_STATE
    else
      codes[i] = DONE
      released[#released + 1] = id
      unlocked[#unlocked + 1] = locks[i]
    end
  end
  if #released > 0 then
    redis.call('DEL', unpack(unlocked))
    try('SREM', P .. 'stalled', unpack(released))
  end
end

-- Does to each released job what its report says.
for i = 1, poll.reports do
  if poll.codes[i] == DONE then
    local id, _, outcome, made, deduplication_id, a, b, c = unpack(ARGV, HEAD + (i - 1) * WIDTH + 1, HEAD + i * WIDTH)
    if not poll.seldom and (outcome ~= 'completed' or deduplication_id ~= '') then poll.seldom = lazily() end
    if outcome == 'completed' then
      if deduplication_id ~= '' then poll.seldom.end_deduplication(deduplication_id, id) end
      retain(id, 'completed', b, 'returnvalue', a, 'atm', made)
      event('completed', 'jobId', id, 'returnvalue', a, 'prev', 'active')
    else
      poll.has_moved = true
      if poll.seldom.conclude(outcome, id, made, deduplication_id, a, b, c) == nil then poll.seldom.keep_active(id) end
    end
  end
end
for set, finished in pairs(poll.kept) do
  if #finished > 0 and not try('ZADD', P .. set, unpack(finished)) then
    poll.seldom = poll.seldom or lazily()
    for at = 2, #finished, 2 do poll.seldom.keep_active(finished[at]) end
  end
end
if poll.points and poll.reports > 0 then
  poll.seldom = poll.seldom or lazily()
  poll.seldom.collect_metrics()
end
-- What the limits no longer allow: up to `most` old jobs, and up to 1000 that are too many.
for key, set in pairs(poll.limits) do
  local count, age, most = string.match(key, '(%S+) (%S+) (%S+)$')
  count, age = number(count), number(age)
  if age >= 0 then
    local old = redis.call('ZRANGEBYSCORE', P .. set, '-inf', poll.now - age * 1000, 'LIMIT', '0', most)
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

