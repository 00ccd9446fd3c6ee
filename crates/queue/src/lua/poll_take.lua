-- The taking.
local function first_due()
  local first = try('ZRANGE', P .. 'delayed', '0', '0', 'WITHSCORES')
  return first and first[2] and math.floor(tonumber(first[2]) / ALL_OF_MS)
end
local concurrency = Q.concurrency
local active = concurrency and redis.call('LLEN', P .. 'active')
local is_blocked = Q.paused or (concurrency and active >= concurrency)
local earliest = ARGV[5] ~= '' and first_due()
if earliest and earliest <= tonumber(ARGV[1]) then
  poll.seldom = poll.seldom or lazily()
  earliest = poll.seldom.promote_due(is_blocked)
end

-- How many jobs the concurrency and the rate limit allow.
local wanted = is_blocked and 0 or tonumber(ARGV[4])
if concurrency and wanted > 0 then wanted = math.min(wanted, concurrency - active) end
if wanted > 0 then
  if reports == 0 or poll.has_moved then poll.spent = try('GET', P .. 'limiter') end
  if poll.spent or Q.max then
    local left = (Q.max or NO_MORE) - number(poll.spent)
    if left <= 0 then
      local lasts = redis.call('PTTL', P .. 'limiter')
      if lasts == -1 then redis.call('DEL', P .. 'limiter') end -- it would never expire
      answer[2] = math.max(lasts, 1) -- 0 would be no limit
      left = 0
    end
    wanted = math.min(wanted, left)
  end
end

-- Removes ids from `wait` and then from `prioritized`.
local ids, scores = wanted > 0 and try('RPOP', P .. 'wait', wanted) or {}, nil
if #ids < wanted then
  local with_scores = try('ZPOPMIN', P .. 'prioritized', wanted - #ids) or {}
  scores = {}
  for at = 1, #with_scores, 2 do
    ids[#ids + 1] = with_scores[at]
    scores[#ids] = with_scores[at + 1]
  end
end

-- Reads the jobs, as long as they have together no more bytes than one job may have.
local taken, counted = 0, 0
if #ids > 0 then
  local starts = {} -- of jobs that have run before
  local bytes, size = 0, #answer
  if #ids == wanted then answer[4] = 1 end
  for i = 1, #ids do
    local id = ids[i]
    local key = P .. id
    -- A new job has these fields and no others.
    local job = redis.pcall('HLEN', key) == 6
      and redis.call('HMGET', key, 'name', 'data', 'opts', 'timestamp', 'delay', 'priority')
    local is_new = job and job[1] and job[2] and job[3] and job[4] and job[5] and job[6]
      and #job[1] + #job[2] + #job[3] + #job[4] <= LONGEST
    if not is_new then job = read_job(id, LONGEST) end
    bytes = bytes + (is_new and #job[2] + #job[3] or job and job.bytes or 0)
    if job and string.find(id, '[\128-\255]') then
      poll.seldom = poll.seldom or lazily()
      if not poll.seldom.is_utf8(id) then
        poll.seldom.isolate(id)
        job = nil
      end
    end
    if not job then
      poll.gone = poll.gone or {}
      poll.gone[#poll.gone + 1] = id
    elseif bytes > LONGEST and taken > 0 then
      poll.seldom = poll.seldom or lazily()
      poll.seldom.unpop(ids, scores or {}, i)
      answer[4] = 1
      break
    else
      taken = taken + 1
      ids[taken] = id
      if scores then scores[taken] = scores[i] end
      if is_new then
        counted = counted + 1
        local at = #answer
        answer[at + 1], answer[at + 2], answer[at + 3], answer[at + 4] = job[1], job[2], job[3], job[4]
        answer[at + 5], answer[at + 6], answer[at + 7] = job[5], job[6], id
      else
        if not job.deferred then counted = counted + 1 end
        starts[taken] = job.started
        answer[#answer + 1] = job
      end
    end
  end
  for i = #ids, taken + 1, -1 do ids[i] = nil end
  local length = taken > 0 and try('LPUSH', P .. 'active', unpack(ids))
  if length then
    active = length
  elseif taken > 0 then
    poll.seldom = poll.seldom or lazily()
    poll.seldom.unpop(ids, scores or {}, 1)
    for i = #answer, size + 1, -1 do answer[i] = nil end
    taken = 0
  end
  for i = 1, taken do
    local id, started = ids[i], '1'
    local key = P .. id
    if starts[i] then started = string.format('%.0f', number(starts[i]) + 1) end
    redis.call('SET', key .. ':lock', ARGV[3], 'PX', ARGV[2])
    if i == 1 then
      redis.pcall('XADD', EVENTS, 'MAXLEN', '~', Q.max_events, '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
    else
      redis.pcall('XADD', EVENTS, '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
    end
    if poll.name == '' then
      redis.call('HSET', key, 'processedOn', ARGV[1], 'ats', started)
    else
      redis.call('HSET', key, 'processedOn', ARGV[1], 'ats', started, 'pb', poll.name)
    end
  end
  try('ZADD', P .. 'marker', '0', '0') -- there may be more, for other workers
  if Q.max and taken > 0 and counted > 0 then
    poll.seldom = poll.seldom or lazily()
    poll.seldom.spend(counted)
  end
end

active = active or redis.call('LLEN', P .. 'active')
if ARGV[5] == '' and taken < tonumber(ARGV[4]) then
  earliest = first_due()
  if earliest and earliest <= tonumber(ARGV[1]) then answer[4] = 1 end
end
if taken == 0 and reports > 0 then
  -- BullMQ's rule: not if what a worker asks for is delayed, limited or paused.
  local is_refused = ARGV[4] ~= '0' and (is_blocked or answer[2] > 0 or earliest)
  if redis.call('EXISTS', P .. 'wait', P .. 'prioritized', P .. 'paused') == 0 then
    if poll.has_ended and active == 0 and not is_refused then event('drained') end
  elseif concurrency and not Q.paused and active < concurrency then
    try('ZADD', P .. 'marker', '0', '0') -- a slot is free, for another worker
  end
  redis.pcall('XTRIM', EVENTS, 'MAXLEN', '~', Q.max_events)
end
answer[1], answer[3], answer[5] = earliest or 0, active, failure
if poll.gone then
  answer[6] = #poll.gone
  for _, id in ipairs(poll.gone) do answer[#answer + 1] = id end
end
return answer
