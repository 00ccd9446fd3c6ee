-- Adds jobs, all or none of them.
-- KEYS[1] meta
-- ARGV    for each job: id or '' for the counter's next value, name, data, opts, timestamp, and '' or what most jobs do
--         not have, separated by spaces: delay in ms, priority, 1 to go before its equals, time to live of the
--         deduplication id in ms or 0, deduplication id or nothing
-- Returns {0, id, id, ...}, or if none is added, {number of the job that prevents it or -1, why}. Adding an existing id
-- changes nothing; of jobs with one deduplication id the first is added.
local WIDTH = 6
local count = #ARGV / WIDTH
local jobs, seldom = {}, nil -- without those that have neither an id nor what most do not have
local named, owners, prioritized = {}, {}, 0

-- First looks: which jobs are there already?
for i = 1, count do
  local id, extras = ARGV[(i - 1) * WIDTH + 1], ARGV[i * WIDTH]
  if id ~= '' or extras ~= '' then
    seldom = seldom or lazily()
    local job = {delay = '0', priority = '0', lifo = '0', deduplication_id = ''}
    if extras ~= '' then
      job.delay, job.priority, job.lifo, job.ttl, job.deduplication_id =
        string.match(extras, '^(%d+) (%d+) (%d) (%d+) (.*)$')
    end
    if id ~= '' then
      if named[id] or seldom.exists(id) then job = {is_duplicate = true} end
      named[id] = true
    end
    if job.deduplication_id and job.deduplication_id ~= '' then
      local key = P .. 'de:' .. job.deduplication_id
      job.owner = owners[job.deduplication_id] or try('GET', key)
      -- The owner may have been removed by a client that left the key.
      local is_owned = type(job.owner) == 'table'
        or job.owner and (redis.call('PTTL', key) > 0 or seldom.exists(job.owner))
      if not is_owned then
        job.was_owned = job.owner
        job.owner = nil
        owners[job.deduplication_id] = job
      end
    end
    if failure ~= '' then return {i, failure} end
    if job.priority ~= '0' and job.delay == '0' and not job.owner then prioritized = prioritized + 1 end
    jobs[i] = job
  end
end

-- Then counts: gaps in the counters do no harm.
local counter = redis.call('INCRBY', P .. 'id', count) - count
if counter < 0 or counter + count > MAX_SAFE then return {-1, P .. 'id: out of range'} end
local place = prioritized > 0 and redis.call('INCRBY', P .. 'pc', prioritized) - prioritized
if not Q.has_max_events then redis.call('HSET', KEYS[1], 'opts.maxLenEvents', Q.max_events) end

-- Then writes the hashes.
local waiting, before_others, with_scores, due = {}, nil, nil, nil
local answer = {0}
for i = 1, count do
  local at, job = (i - 1) * WIDTH, jobs[i]
  local id, key = ARGV[at + 1], nil
  if id == '' then
    id = counter + i
    id = id < 1e14 and id .. '' or string.format('%.0f', id) -- the former is faster
  end
  key = P .. id
  if not job or not job.is_duplicate and not job.owner then
    if ARGV[at + 1] ~= '' then redis.call('DEL', key) end
    while not try('HSET', key, 'name', ARGV[at + 2], 'data', ARGV[at + 3], 'opts', ARGV[at + 4], 'timestamp', ARGV[at + 5],
      'delay', job and job.delay or '0', 'priority', job and job.priority or '0') do
      id = string.format('%.0f', redis.call('INCR', P .. 'id')) -- another client's key has the name
      key = P .. id
    end
    if not job then
      waiting[#waiting + 1] = id
    else
      if job.deduplication_id ~= '' then
        job.id = id
        if job.was_owned then redis.call('DEL', P .. 'dn:' .. job.deduplication_id) end -- kept for a job that is gone
        redis.call('HSET', key, 'deid', job.deduplication_id)
        redis.call('SET', P .. 'de:' .. job.deduplication_id, id, unpack(job.ttl ~= '0' and {'PX', job.ttl} or {}))
      end
      if job.delay ~= '0' then
        due = due or {}
        due[i] = number(ARGV[at + 5]) + number(job.delay)
      elseif job.priority ~= '0' then
        place = place + 1
        with_scores = with_scores or {}
        with_scores[#with_scores + 1] =
          string.format('%.0f', number(job.priority) * PRIORITY_STEP + place % PRIORITY_STEP)
        with_scores[#with_scores + 1] = id
      elseif job.lifo == '1' then
        before_others = before_others or {}
        before_others[#before_others + 1] = id
      else
        waiting[#waiting + 1] = id
      end
    end
  end
  answer[1 + i] = id
end

-- Then the states, or if a key has another type, takes the hashes back.
failure = ''
if (Q.paused or due) and not seldom then seldom = lazily() end
local list = Q.paused and seldom.waiting_list() or P .. 'wait'
if with_scores then try('ZADD', P .. 'prioritized', unpack(with_scores)) end
if waiting[1] then try('LPUSH', list, unpack(waiting)) end
if before_others then try('RPUSH', list, unpack(before_others)) end
for i = 1, due and count or 0 do
  local score = due[i] and failure == '' and seldom.score_at(due[i])
  if score then redis.call('ZADD', P .. 'delayed', score, answer[1 + i]) end
end
if failure ~= '' then
  local why = failure
  for i = 1, count do
    local id, job = answer[1 + i], jobs[i] or {deduplication_id = ''}
    if not job.is_duplicate and not job.owner then
      for _, set in ipairs({'prioritized', 'delayed'}) do try('ZREM', P .. set, id) end
      try('LREM', list, 1, id)
      redis.call('DEL', P .. id)
      if job.deduplication_id ~= '' then redis.call('DEL', P .. 'de:' .. job.deduplication_id) end
    end
  end
  return {-1, why}
end

-- Last the events.
local is_trimmed
for i = 1, count do
  local id, job = answer[1 + i], jobs[i]
  if job and job.is_duplicate then
    event('duplicated', 'jobId', id)
  elseif job and job.owner then
    local owner = type(job.owner) == 'table' and job.owner.id or job.owner
    event('deduplicated', 'jobId', owner, 'deduplicationId', job.deduplication_id, 'deduplicatedJobId', id)
    answer[1 + i] = owner
  else
    local name = ARGV[(i - 1) * WIDTH + 2]
    if is_trimmed then
      redis.pcall('XADD', EVENTS, '*', 'event', 'added', 'jobId', id, 'name', name)
    else
      redis.pcall('XADD', EVENTS, 'MAXLEN', '~', Q.max_events, '*', 'event', 'added', 'jobId', id, 'name', name)
      is_trimmed = true
    end
    if due and due[i] then
      event('delayed', 'jobId', id, 'delay', string.format('%.0f', due[i]))
    else
      redis.pcall('XADD', EVENTS, '*', 'event', 'waiting', 'jobId', id)
    end
  end
end
if not is_trimmed then redis.pcall('XTRIM', EVENTS, 'MAXLEN', '~', Q.max_events) end
if not Q.paused and (with_scores or waiting[1] or before_others) then redis.pcall('ZADD', P .. 'marker', '0', '0') end
if due then seldom.announce_next_due() end
return answer
