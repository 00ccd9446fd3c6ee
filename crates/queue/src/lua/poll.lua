-- The poll itself. `lazily` makes the functions that it seldom needs: each command and each function made costs about
-- 1 us, and a poll for one job has a budget of 40 us.
local reports = (#ARGV - HEAD) / WIDTH
local codes = {}
local spent -- of the rate limit
local outcomes, promote_due

-- Releases each job's lock and removes it from `active`, or sets a code that says why not; such a job is not changed.
if reports > 0 then
  local keys, locks, released, unlocked = {}, {}, {}, {}
  for i = 1, reports do
    keys[i] = P .. ARGV[HEAD + (i - 1) * WIDTH + 1]
    locks[i] = keys[i] .. ':lock'
  end
  local all_exist = redis.call('EXISTS', unpack(keys)) == reports
  locks[reports + 1] = P .. 'limiter'
  local owners = redis.call('MGET', unpack(locks))
  spent = owners[reports + 1]
  for i = 1, reports do
    local at = HEAD + (i - 1) * WIDTH
    local id, owner = ARGV[at + 1], owners[i]
    if not all_exist and redis.call('EXISTS', keys[i]) == 0 then codes[i] = NOT_FOUND
    elseif not owner then codes[i] = LOCK_MISSING
    elseif owner ~= ARGV[at + 2] then codes[i] = LOCK_MISMATCH
    elseif redis.call('LREM', P .. 'active', '-1', id) == 0 then codes[i] = WRONG_STATE
    else
      codes[i] = DONE
      released[#released + 1] = id
      unlocked[#unlocked + 1] = locks[i]
    end
  end
  if #released > 0 then
    redis.call('DEL', unpack(unlocked))
    redis.call('SREM', P .. 'stalled', unpack(released))
  end
end

for i = 1, reports do
  if codes[i] == DONE then
    local id, _, outcome, made, deduplication_id, a, b, c = unpack(ARGV, HEAD + (i - 1) * WIDTH + 1, HEAD + i * WIDTH)
    if outcome == 'completed' then
      if deduplication_id ~= '' then free_deduplication_id(deduplication_id, id) end
      retain(id, 'completed', b, 'returnvalue', a, 'atm', made)
      event('completed', 'jobId', id, 'returnvalue', a, 'prev', 'active')
    else
      if not outcomes then outcomes, promote_due = lazily() end
      outcomes[outcome](id, made, deduplication_id, a, b, c)
    end
  end
end
for set, finished in pairs(kept) do
  if #finished > 0 then redis.call('ZADD', P .. set, unpack(finished)) end
end
for key, set in pairs(limits) do
  local count, age = string.match(key, '(%S+) (%S+)$')
  count, age = number(count), number(age)
  if age >= 0 then
    local old = redis.call('ZRANGEBYSCORE', P .. set, '-inf', now - age * 1000, 'LIMIT', '0', '1000')
    for _, id in ipairs(old) do forget(id) end
    if #old > 0 then redis.call('ZREM', P .. set, unpack(old)) end
  end
  if count > 0 then
    local surplus = redis.call('ZRANGE', P .. set, '0', -(count + 1))
    for _, id in ipairs(surplus) do forget(id) end
    if #surplus > 0 then redis.call('ZREMRANGEBYRANK', P .. set, '0', -(count + 1)) end
  end
end

local active = concurrency and redis.call('LLEN', P .. 'active')
local blocked = paused or (concurrency and active >= number(concurrency))

local first_delayed = redis.call('ZRANGE', P .. 'delayed', '0', '0', 'WITHSCORES')
local earliest = first_delayed[2] and math.floor(tonumber(first_delayed[2]) / ALL_OF_MS)
if earliest and earliest <= now then
  if not promote_due then outcomes, promote_due = lazily() end
  earliest = promote_due(blocked)
end

local wanted, limited_for = number(ARGV[5]), 0
if concurrency then wanted = math.min(wanted, number(concurrency) - active) end
if blocked then wanted = 0 end
local max = number(meta[3])
if wanted > 0 then
  if reports == 0 or outcomes then spent = redis.call('GET', P .. 'limiter') end
  local left = (max > 0 and max or NO_MORE) - number(spent)
  if left <= 0 then
    local lasts = redis.call('PTTL', P .. 'limiter')
    if lasts == -1 then redis.call('DEL', P .. 'limiter') end -- it would never expire
    limited_for = math.max(lasts, 1) -- 0 would be no limit
    wanted = 0
  end
  wanted = math.min(wanted, left)
end

-- Moves jobs from `wait` and then from `prioritized` to `active`.
local ids = wanted > 0 and redis.call('RPOP', P .. 'wait', wanted) or {}
if #ids < wanted then
  local with_scores = redis.call('ZPOPMIN', P .. 'prioritized', wanted - #ids)
  for at = 1, #with_scores, 2 do ids[#ids + 1] = with_scores[at] end
  if #ids < wanted then redis.call('DEL', P .. 'pc') end
end
if #ids > 0 then
  active = redis.call('LPUSH', P .. 'active', unpack(ids))
else
  active = active or redis.call('LLEN', P .. 'active')
end

local taken, gone, counted, max_events = {}, {}, 0, meta[5] or '10000'
for i, id in ipairs(ids) do
  local key = P .. id
  local fields, unread = read_job(key, number(ARGV[6]))
  if fields[NAME] then
    redis.call('SET', key .. ':lock', ARGV[4], 'PX', ARGV[2])
    if i == 1 then
      redis.call('XADD', EVENTS, 'MAXLEN', '~', max_events, '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
    else
      event('active', 'jobId', id, 'prev', 'waiting')
    end
    local started = fields[STARTED] and string.format('%.0f', number(fields[STARTED]) + 1) or '1'
    if ARGV[3] == '' then
      redis.call('HSET', key, 'processedOn', ARGV[1], 'ats', started)
    else
      redis.call('HSET', key, 'processedOn', ARGV[1], 'ats', started, 'pb', ARGV[3])
    end
    if not fields[DEFERRED] then counted = counted + 1 end
    taken[#taken + 1] = {id, ARGV[4], fields, unread}
  else -- its hash was evicted or deleted: once the id is dropped, a producer can add it again
    redis.call('LREM', P .. 'active', 1, id)
    active = active - 1
    gone[#gone + 1] = id
  end
end

if #ids > 0 then
  redis.call('ZADD', P .. 'marker', '0', '0') -- there may be more, for other workers
  if max > 0 and counted > 0 and redis.call('INCRBY', P .. 'limiter', counted) == counted then
    redis.call('PEXPIRE', P .. 'limiter', number(meta[4]))
  end
elseif reports > 0 and active == 0 and redis.call('EXISTS', P .. 'wait', P .. 'prioritized') == 0 then
  event('drained')
end
if #taken == 0 and reports > 0 then redis.call('XTRIM', EVENTS, 'MAXLEN', '~', max_events) end
return {codes, taken, earliest or 0, limited_for, active, gone}
