-- The taking.
local concurrency, limited_for, taken = Q.concurrency, 0, {}
local active = concurrency and redis.call('LLEN', P .. 'active')
local is_blocked = Q.paused or (concurrency and active >= concurrency)
local first_delayed = try('ZRANGE', P .. 'delayed', '0', '0', 'WITHSCORES')
local earliest = first_delayed and first_delayed[2] and math.floor(tonumber(first_delayed[2]) / ALL_OF_MS)
if earliest and earliest <= poll.now then
  poll.seldom = poll.seldom or lazily()
  earliest = poll.seldom.promote_due(is_blocked)
end

-- How many jobs the concurrency and the rate limit allow.
local wanted = is_blocked and 0 or number(ARGV[5])
if concurrency and wanted > 0 then wanted = math.min(wanted, concurrency - active) end
if wanted > 0 then
  if poll.reports == 0 or poll.has_moved then
    poll.spent = try('GET', P .. 'limiter')
  end
  local left = (Q.max or NO_MORE) - number(poll.spent)
  if left <= 0 then
    local lasts = redis.call('PTTL', P .. 'limiter')
    if lasts == -1 then redis.call('DEL', P .. 'limiter') end -- it would never expire
    limited_for = math.max(lasts, 1) -- 0 would be no limit
    left = 0
  end
  wanted = math.min(wanted, left)
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
if #ids > 0 then
  local jobs, bytes, longest, counted = {}, 0, number(ARGV[6]), 0
  if #ids == wanted then poll.has_more = 1 end
  for i, id in ipairs(ids) do
    local job = read_job(id, longest)
    if string.find(id, '[\128-\255]') and job then
      poll.seldom = poll.seldom or lazily()
      if not poll.seldom.is_utf8(id) then
        poll.seldom.isolate(id)
        job = nil
      end
    end
    if job then
      bytes = bytes + job.bytes
      if bytes > longest and #jobs > 0 then
        poll.seldom = poll.seldom or lazily()
        poll.seldom.unpop(ids, scores or {}, i)
        poll.has_more = 1
        break
      end
      jobs[#jobs + 1], ids[#jobs + 1] = job, id
    else
      poll.gone[#poll.gone + 1] = id
    end
  end
  local length = #jobs > 0 and try('LPUSH', P .. 'active', unpack(ids, 1, #jobs))
  if length then
    active = length
  elseif #jobs > 0 then
    poll.seldom = poll.seldom or lazily()
    for i = #jobs + 1, #ids do ids[i] = nil end
    poll.seldom.unpop(ids, scores or {}, 1)
    jobs = {}
  end
  for i, job in ipairs(jobs) do
    local id, started = ids[i], job.started and string.format('%.0f', number(job.started) + 1) or '1'
    local key = P .. id
    redis.call('SET', key .. ':lock', ARGV[4], 'PX', ARGV[2])
    if i == 1 then
      redis.pcall('XADD', EVENTS, 'MAXLEN', '~', Q.max_events, '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
    else
      event('active', 'jobId', id, 'prev', 'waiting')
    end
    if ARGV[3] == '' then
      redis.call('HSET', key, 'processedOn', ARGV[1], 'ats', started)
    else
      redis.call('HSET', key, 'processedOn', ARGV[1], 'ats', started, 'pb', ARGV[3])
    end
    if not job.deferred then counted = counted + 1 end
    taken[i] = {id, ARGV[4], job[1], job[2]}
  end
  try('ZADD', P .. 'marker', '0', '0') -- there may be more, for other workers
  if Q.max and counted > 0 then
    poll.seldom = poll.seldom or lazily()
    poll.seldom.spend(counted)
  end
end

active = active or redis.call('LLEN', P .. 'active')
if #taken == 0 and poll.reports > 0 then
  -- BullMQ's rule: not if what a worker asks for is delayed, limited or paused.
  local is_refused = number(ARGV[5]) > 0 and (is_blocked or limited_for > 0 or earliest)
  if redis.call('EXISTS', P .. 'wait', P .. 'prioritized', P .. 'paused') == 0 then
    if poll.has_ended and active == 0 and not is_refused then event('drained') end
  elseif concurrency and not Q.paused and active < concurrency then
    try('ZADD', P .. 'marker', '0', '0') -- a slot is free, for another worker
  end
  redis.pcall('XTRIM', EVENTS, 'MAXLEN', '~', Q.max_events)
end
return {poll.codes, taken, earliest or 0, limited_for, active, poll.gone, poll.has_more or 0, failure}
