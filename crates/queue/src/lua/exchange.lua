-- One turn of a worker: reports what became of jobs it had, then takes new ones.
-- KEYS[1] meta
-- ARGV    now in ms, lock in ms, worker name or '', token prefix, number of the first new token, jobs wanted, longest
--         data in bytes, then for each report: id, token, outcome, attempts made, deduplication id or '', and three
--         arguments of that outcome (below)
-- Returns {a code for each report, {{id, hash, token, 0 or the length of data too long to be read} for each job taken},
--          when the next delayed job is due or 0, how long the rate limit lasts or 0, jobs that are active now}
-- Codes   0 done; -1 no such job; -2 the lock is gone; -3 not active; -6 somebody else has the lock
local HEAD, WIDTH = 7, 8
local NO_MORE = 9007199254740991 -- BullMQ's rate-limit count that no limit is above
local now = number(ARGV[1])
local meta = redis.call('HMGET', KEYS[1], 'paused', 'concurrency', 'max', 'duration', 'opts.maxLenEvents')
local paused, concurrency = meta[1], meta[2]

-- Gives up each job's lock and its place in `active`. A code below 0 says why that cannot be; then nothing of the job
-- has been changed.
local function release(reports)
  local keys, locks, codes = {}, {}, {}
  for i = 1, reports do
    keys[i] = P .. ARGV[HEAD + (i - 1) * WIDTH + 1]
    locks[i] = keys[i] .. ':lock'
  end
  local all_exist = redis.call('EXISTS', unpack(keys)) == reports
  local owners = redis.call('MGET', unpack(locks))
  local released, unlocked = {}, {}
  for i = 1, reports do
    local at = HEAD + (i - 1) * WIDTH
    local id, owner = ARGV[at + 1], owners[i]
    if not all_exist and redis.call('EXISTS', keys[i]) == 0 then codes[i] = -1
    elseif not owner then codes[i] = -2
    elseif owner ~= ARGV[at + 2] then codes[i] = -6
    elseif redis.call('LREM', P .. 'active', -1, id) == 0 then codes[i] = -3
    else
      codes[i] = 0
      released[#released + 1] = id
      unlocked[#unlocked + 1] = locks[i]
    end
  end
  if #released > 0 then
    redis.call('DEL', unpack(unlocked))
    redis.call('SREM', P .. 'stalled', unpack(released))
  end
  return codes
end

local kept = {completed = {}, failed = {}} -- score, id, score, id, ... of what ended in this turn
local limits = {} -- 'count age' -> which sets they hold for

-- Keeps a finished job in `set` as long as `limit`, `count age`, allows: that many of them, so many seconds; -1 is
-- any number.
local function retain(id, set, limit, ...)
  if string.sub(limit, 1, 2) == '0 ' then return forget(id) end
  local finished = kept[set]
  finished[#finished + 1] = ARGV[1]
  finished[#finished + 1] = id
  redis.call('HSET', P .. id, 'finishedOn', ARGV[1], ...)
  if limit ~= '-1 -1' then
    limits[set .. ' ' .. limit] = set
  end
end

local function purge(key, set)
  local count, age = string.match(key, '(%S+) (%S+)$')
  count, age = number(count), number(age)
  if age >= 0 then
    local old = redis.call('ZRANGEBYSCORE', P .. set, '-inf', now - age * 1000, 'LIMIT', 0, 1000)
    for _, id in ipairs(old) do forget(id) end
    if #old > 0 then redis.call('ZREM', P .. set, unpack(old)) end
  end
  if count > 0 then
    local surplus = redis.call('ZRANGE', P .. set, 0, -(count + 1))
    for _, id in ipairs(surplus) do forget(id) end
    if #surplus > 0 then redis.call('ZREMRANGEBYRANK', P .. set, 0, -(count + 1)) end
  end
end

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
  -- returnvalue as JSON, `count age`
  completed = function(id, made, deduplication_id, returnvalue, limit)
    if deduplication_id ~= '' then free_deduplication_id(deduplication_id, id) end
    retain(id, 'completed', limit, 'returnvalue', returnvalue, 'atm', made)
    event('completed', 'jobId', id, 'returnvalue', returnvalue, 'prev', 'active')
  end,
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

local reports = (#ARGV - HEAD) / WIDTH
local codes = {}
if reports > 0 then
  codes = release(reports)
  for i = 1, reports do
    local at = HEAD + (i - 1) * WIDTH
    if codes[i] == 0 then outcomes[ARGV[at + 3]](ARGV[at + 1], unpack(ARGV, at + 4, at + WIDTH)) end
  end
  for set, finished in pairs(kept) do
    if #finished > 0 then redis.call('ZADD', P .. set, unpack(finished)) end
  end
  for key, set in pairs(limits) do purge(key, set) end
end

local active = redis.call('LLEN', P .. 'active')
local blocked = paused or (concurrency and active >= number(concurrency))

local earliest = next_due()
if earliest and earliest <= now then
  local due = redis.call('ZRANGEBYSCORE', P .. 'delayed', 0, integer((now + 1) * ALL_OF_MS - 1), 'LIMIT', 0, 1000)
  redis.call('ZREM', P .. 'delayed', unpack(due))
  for _, id in ipairs(due) do
    make_ready(id, number(redis.call('HGET', P .. id, 'priority')), paused)
    redis.call('HSET', P .. id, 'delay', '0')
    event('waiting', 'jobId', id, 'prev', 'delayed')
  end
  if not blocked then wake_up() end
  earliest = next_due()
end

local wanted, limited_for = number(ARGV[6]), 0
if concurrency then wanted = math.min(wanted, number(concurrency) - active) end
if blocked then wanted = 0 end
local max = number(meta[3])
if wanted > 0 then
  local left = (max > 0 and max or NO_MORE) - number(redis.call('GET', P .. 'limiter'))
  if left <= 0 then
    local lasts = redis.call('PTTL', P .. 'limiter')
    if lasts == -1 then redis.call('DEL', P .. 'limiter') end -- it would never end
    limited_for = math.max(lasts, 1) -- less than 1 ms is more than nothing
    wanted = 0
  end
  wanted = math.min(wanted, left)
end

-- Up to `count` ids, out of `wait` and then out of `prioritized`, now in `active`.
local function next_ready(count)
  if count <= 0 then return {} end
  local ids = redis.call('RPOP', P .. 'wait', count) or {}
  if #ids < count then
    local pairs_of = redis.call('ZPOPMIN', P .. 'prioritized', count - #ids)
    for at = 1, #pairs_of, 2 do ids[#ids + 1] = pairs_of[at] end
    if #ids < count then redis.call('DEL', P .. 'pc') end
  end
  if #ids > 0 then redis.call('LPUSH', P .. 'active', unpack(ids)) end
  return ids
end

-- Marks a job as begun and gives its hash as it was before. Somebody may have removed the hash and left the id; a hash
-- is made then, so that the job can be shown as failed.
local function begin(id)
  local key = P .. id
  local length, hash = redis.call('HSTRLEN', key, 'data'), nil
  if length <= number(ARGV[7]) then
    hash, length = redis.call('HGETALL', key), 0
  else
    hash = {}
    for _, field in ipairs({'name', 'opts', 'timestamp', 'priority', 'atm', 'ats', 'stacktrace'}) do
      local value = redis.call('HGET', key, field)
      if value then
        hash[#hash + 1] = field
        hash[#hash + 1] = value
      end
    end
  end
  local started, deferred, named = 1, false, false
  for at = 1, #hash, 2 do
    if hash[at] == 'ats' then started = number(hash[at + 1]) + 1 end
    if hash[at] == 'defa' then deferred = true end
    if hash[at] == 'name' then named = true end
  end
  if not named then
    redis.call('HSET', key, 'name', '', 'data', '{}', 'opts', '{"attempts":0}', 'timestamp', ARGV[1], 'delay', '0',
      'priority', '0')
  end
  if ARGV[3] == '' then
    redis.call('HSET', key, 'processedOn', ARGV[1], 'ats', started)
  else
    redis.call('HSET', key, 'processedOn', ARGV[1], 'ats', started, 'pb', ARGV[3])
  end
  return hash, length, deferred
end

local taken, counted = {}, 0
for i, id in ipairs(next_ready(wanted)) do
  local token = ARGV[4] .. integer(number(ARGV[5]) + i - 1)
  redis.call('SET', P .. id .. ':lock', token, 'PX', ARGV[2])
  event('active', 'jobId', id, 'prev', 'waiting')
  local hash, length, deferred = begin(id)
  if not deferred then counted = counted + 1 end
  taken[i] = {id, hash, token, length}
end

if #taken > 0 then
  wake_up()
  if max > 0 and counted > 0 and redis.call('INCRBY', P .. 'limiter', counted) == counted then
    redis.call('PEXPIRE', P .. 'limiter', number(meta[4]))
  end
elseif reports > 0 and active == 0 and redis.call('EXISTS', P .. 'wait', P .. 'prioritized') == 0 then
  event('drained')
end
if #taken + reports > 0 then trim_events(meta[5]) end
return {codes, taken, earliest or 0, limited_for, active + #taken}
