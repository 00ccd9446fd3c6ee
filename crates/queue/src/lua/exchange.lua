-- One turn of a worker: reports what became of jobs it had, then takes new ones.
-- KEYS[1] meta
-- ARGV    now in ms, lock in ms, worker name or '', token prefix, number of the first new token, jobs wanted,
--         then for each report: id, token, outcome, and four arguments of that outcome (below)
-- Returns {a code for each report, {{id, hash, token} for each job taken}, when the next delayed job is due or 0,
--          how long the rate limit lasts or 0}
-- Codes   0 done; -1 no such job; -2 the lock is gone; -3 not active; -6 somebody else has the lock
local now = number(ARGV[1])
local meta = redis.call('HMGET', KEYS[1], 'paused', 'concurrency', 'max', 'duration', 'opts.maxLenEvents')
local paused, concurrency, max_events = meta[1], meta[2], meta[5] or '10000'

-- Gives up the lock and the place in `active`; a code below 0 says why that cannot be, and then nothing has changed
-- that this worker owned.
local function release(id, token)
  if redis.call('EXISTS', P .. id) == 0 then return -1 end
  local owner = redis.call('GET', P .. id .. ':lock')
  if not owner then return -2 end
  if owner ~= token then return -6 end
  if redis.call('LREM', P .. 'active', -1, id) == 0 then return -3 end
  redis.call('DEL', P .. id .. ':lock')
  redis.call('SREM', P .. 'stalled', id)
  return 0
end

local function forget(id)
  local key = P .. id
  redis.call('DEL', key, key .. ':logs', key .. ':dependencies', key .. ':processed', key .. ':failed',
    key .. ':unsuccessful')
end

-- A deduplication id without a time to live belongs to its job until that ends.
local function free_deduplication_id(id)
  local deduplication_id = redis.call('HGET', P .. id, 'deid')
  if not deduplication_id then return end
  local key = P .. 'de:' .. deduplication_id
  if redis.call('GET', key) == id and redis.call('PTTL', key) <= 0 then redis.call('DEL', key) end
end

-- Keeps a finished job in `set` as long as `count` (-1: any number) and `age` in s (-1: for ever) allow.
local function retain(id, set, count, age, field, value)
  if count == 0 then return forget(id) end
  redis.call('ZADD', P .. set, now, id)
  redis.call('HSET', P .. id, field, value, 'finishedOn', ARGV[1])
  local gone = {}
  if age >= 0 then gone = redis.call('ZRANGEBYSCORE', P .. set, '-inf', now - age * 1000, 'LIMIT', 0, 1000) end
  for _, old in ipairs(gone) do forget(old) end
  if #gone > 0 then redis.call('ZREM', P .. set, unpack(gone)) end
  if count > 0 then
    local surplus = redis.call('ZRANGE', P .. set, 0, -(count + 1))
    for _, old in ipairs(surplus) do forget(old) end
    if #surplus > 0 then redis.call('ZREMRANGEBYRANK', P .. set, 0, -(count + 1)) end
  end
end

local function note_failure(id, reason, stacktrace)
  redis.call('HSET', P .. id, 'failedReason', reason, 'stacktrace', stacktrace)
  return redis.call('HINCRBY', P .. id, 'atm', 1)
end

local function put_back(id, before_others)
  make_ready(id, number(redis.call('HGET', P .. id, 'priority')), paused, before_others)
  if not paused then wake_up() end
  event(max_events, 'waiting', 'jobId', id, 'prev', 'active')
end

local function put_off(id, due)
  delay_until(id, due)
  event(max_events, 'delayed', 'jobId', id, 'delay', string.format('%.0f', due))
end

local outcomes = {
  -- returnvalue as JSON, count, age
  completed = function(id, returnvalue, count, age)
    free_deduplication_id(id)
    redis.call('HINCRBY', P .. id, 'atm', 1)
    retain(id, 'completed', number(count), number(age), 'returnvalue', returnvalue)
    event(max_events, 'completed', 'jobId', id, 'returnvalue', returnvalue, 'prev', 'active')
  end,
  -- reason, stacktrace as JSON, attempts, `count age`
  failed = function(id, reason, stacktrace, attempts, keep)
    local made = note_failure(id, reason, stacktrace)
    free_deduplication_id(id)
    redis.call('HDEL', P .. id, 'defa')
    local count, age = string.match(keep, '^(%S+) (%S+)$')
    retain(id, 'failed', number(count), number(age), 'failedReason', reason)
    event(max_events, 'failed', 'jobId', id, 'failedReason', reason, 'prev', 'active')
    if made >= number(attempts) then event(max_events, 'retries-exhausted', 'jobId', id, 'attemptsMade', made) end
  end,
  -- reason, stacktrace as JSON, delay in ms
  retried = function(id, reason, stacktrace, delay)
    note_failure(id, reason, stacktrace)
    if number(delay) <= 0 then return put_back(id) end
    redis.call('HSET', P .. id, 'delay', delay)
    put_off(id, now + number(delay))
  end,
  -- when it is to run, in ms since 1970
  parked = function(id, due)
    redis.call('HSET', P .. id, 'delay', string.format('%.0f', math.max(number(due) - now, 0)))
    put_off(id, number(due))
  end,
  -- not run to its end
  returned = function(id)
    put_back(id, true)
  end,
}

local codes = {}
for at = 7, #ARGV, 7 do
  local id, token, outcome = unpack(ARGV, at, at + 2)
  local code = release(id, token)
  if code == 0 then outcomes[outcome](id, unpack(ARGV, at + 3, at + 6)) end
  codes[#codes + 1] = code
end
if #codes > 0 then redis.call('XTRIM', P .. 'events', 'MAXLEN', '~', max_events) end

local active = redis.call('LLEN', P .. 'active')
local blocked = paused or (concurrency and active >= number(concurrency))

local due = redis.call('ZRANGEBYSCORE', P .. 'delayed', 0, (now + 1) * ALL_OF_MS - 1, 'LIMIT', 0, 1000)
if #due > 0 then
  redis.call('ZREM', P .. 'delayed', unpack(due))
  for _, id in ipairs(due) do
    make_ready(id, number(redis.call('HGET', P .. id, 'priority')), paused)
    redis.call('HSET', P .. id, 'delay', '0')
    event(max_events, 'waiting', 'jobId', id, 'prev', 'delayed')
  end
  if not blocked then wake_up() end
end

local wanted = number(ARGV[6])
local max, limited_for = number(meta[3]), 0
if max > 0 then
  local left = max - number(redis.call('GET', P .. 'limiter'))
  if left <= 0 then limited_for = math.max(redis.call('PTTL', P .. 'limiter'), 0) end
  wanted = math.min(wanted, math.max(left, 0))
end
if concurrency then wanted = math.min(wanted, number(concurrency) - active) end
if blocked then wanted = 0 end

local function next_ready()
  local id = redis.call('RPOPLPUSH', P .. 'wait', P .. 'active')
  if id then return id end
  id = redis.call('ZPOPMIN', P .. 'prioritized')[1]
  if id then redis.call('LPUSH', P .. 'active', id) end
  return id
end

local taken = {}
while #taken < wanted do
  local id = next_ready()
  if not id then
    redis.call('DEL', P .. 'pc')
    break
  end
  local token = ARGV[4] .. string.format('%.0f', number(ARGV[5]) + #taken)
  redis.call('SET', P .. id .. ':lock', token, 'PX', ARGV[2])
  event(max_events, 'active', 'jobId', id, 'prev', 'waiting')
  redis.call('HSET', P .. id, 'processedOn', ARGV[1])
  if ARGV[3] ~= '' then redis.call('HSET', P .. id, 'pb', ARGV[3]) end
  redis.call('HINCRBY', P .. id, 'ats', 1)
  taken[#taken + 1] = {id, redis.call('HGETALL', P .. id), token}
end

if #taken > 0 then
  wake_up()
  if max > 0 and redis.call('INCRBY', P .. 'limiter', #taken) == #taken then
    redis.call('PEXPIRE', P .. 'limiter', number(meta[4]))
  end
elseif #codes > 0 and active == 0 and redis.call('EXISTS', P .. 'wait', P .. 'prioritized') == 0 then
  event(max_events, 'drained')
end

local head = redis.call('ZRANGE', P .. 'delayed', 0, 0, 'WITHSCORES')
return {codes, taken, head[2] and math.floor(tonumber(head[2]) / ALL_OF_MS) or 0, limited_for}
