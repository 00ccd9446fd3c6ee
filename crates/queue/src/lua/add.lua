-- Adds jobs, all or none of them.
-- KEYS[1] meta
-- ARGV    for each job: id or '' for the counter's next value, name, data, opts, timestamp, and '' or what most jobs do
--         not have, separated by spaces: delay in ms, priority, 1 to go before its equals, time to live of the
--         deduplication id in ms or 0, deduplication id or nothing
-- Returns {0, each job's id}, or if none is added, {number of the job that prevents it or -1, why}. Adding an existing id
-- changes nothing; of jobs with one deduplication id the first is added.
local WIDTH = 6
local count = #ARGV / WIDTH
local jobs, named, owners, prioritized = {}, {}, {}, 0

-- Returns whether there is a job with an id. What is left of a job, such as `delay`, is none.
local function exists(id)
  local job = try('HMGET', P .. id, 'name', 'opts', 'timestamp')
  return job and (job[1] or job[2] or job[3])
end

-- First looks: which jobs are there already?
local PLAIN = {delay = '0', priority = '0', lifo = '0', deduplication_id = ''}
for i = 1, count do
  local id, extras, job = ARGV[(i - 1) * WIDTH + 1], ARGV[i * WIDTH], PLAIN
  if extras ~= '' then
    job = {}
    job.delay, job.priority, job.lifo, job.ttl, job.deduplication_id =
      string.match(extras, '^(%d+) (%d+) (%d) (%d+) (.*)$')
  end
  if id ~= '' then
    if named[id] or exists(id) then job = {is_duplicate = true} end
    named[id] = true
  end
  if job.deduplication_id and job.deduplication_id ~= '' then
    local key = P .. 'de:' .. job.deduplication_id
    job.owner = owners[job.deduplication_id] or try('GET', key)
    -- The owner may have been removed by a client that left the key.
    local is_owned = type(job.owner) == 'table' or job.owner and (redis.call('PTTL', key) > 0 or exists(job.owner))
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

-- Then counts: gaps in the counters do no harm.
local counter = redis.call('INCRBY', P .. 'id', count) - count
if counter < 0 or counter + count > MAX_SAFE then return {-1, P .. 'id: out of range'} end
local place = prioritized > 0 and redis.call('INCRBY', P .. 'pc', prioritized) - prioritized
if not Q.has_max_events then redis.call('HSET', KEYS[1], 'opts.maxLenEvents', Q.max_events) end

-- Then writes the hashes.
local ids, waiting, before_others, with_scores, due = {}, {}, {}, {}, {}
for i, job in ipairs(jobs) do
  local id, name, data, opts, timestamp = unpack(ARGV, (i - 1) * WIDTH + 1, i * WIDTH)
  if id == '' then id = integer(counter + i) elseif not job.is_duplicate then redis.call('DEL', P .. id) end
  if not job.is_duplicate and not job.owner then
    while not try('HSET', P .. id, 'name', name, 'data', data, 'opts', opts, 'timestamp', timestamp, 'delay', job.delay,
      'priority', job.priority) do
      id = integer(redis.call('INCR', P .. 'id')) -- another client's key has the name
    end
    if job.deduplication_id ~= '' then
      job.id = id
      if job.was_owned then redis.call('DEL', P .. 'dn:' .. job.deduplication_id) end -- kept for a job that is gone
      redis.call('HSET', P .. id, 'deid', job.deduplication_id)
      redis.call('SET', P .. 'de:' .. job.deduplication_id, id, unpack(job.ttl ~= '0' and {'PX', job.ttl} or {}))
    end
    if job.delay ~= '0' then
      due[i] = number(timestamp) + number(job.delay)
    elseif job.priority ~= '0' then
      place = place + 1
      with_scores[#with_scores + 1] = integer(number(job.priority) * PRIORITY_STEP + place % PRIORITY_STEP)
      with_scores[#with_scores + 1] = id
    else
      local list = job.lifo == '1' and before_others or waiting
      list[#list + 1] = id
    end
  end
  ids[i] = id
end

-- Then the states, or if a key has another type, takes the hashes back.
failure = ''
if #with_scores > 0 then try('ZADD', P .. 'prioritized', unpack(with_scores)) end
if #waiting > 0 then try('LPUSH', waiting_list(), unpack(waiting)) end
if #before_others > 0 then try('RPUSH', waiting_list(), unpack(before_others)) end
local score_at, announce_next_due
if next(due) then score_at, announce_next_due = lazily() end
for i = 1, score_at and count or 0 do
  local score = due[i] and failure == '' and score_at(due[i])
  if score then redis.call('ZADD', P .. 'delayed', score, ids[i]) end
end
if failure ~= '' then
  local why = failure
  for i, job in ipairs(jobs) do
    if not job.is_duplicate and not job.owner then
      for _, set in ipairs({'prioritized', 'delayed'}) do try('ZREM', P .. set, ids[i]) end
      try('LREM', waiting_list(), 1, ids[i])
      redis.call('DEL', P .. ids[i])
      if job.deduplication_id ~= '' then redis.call('DEL', P .. 'de:' .. job.deduplication_id) end
    end
  end
  return {-1, why}
end

-- Last the events, the first of which trims the stream.
local function first_event(...)
  redis.pcall('XADD', EVENTS, 'MAXLEN', '~', Q.max_events, '*', 'event', ...)
end
local emit = first_event
for i, job in ipairs(jobs) do
  if job.is_duplicate then
    emit('duplicated', 'jobId', ids[i])
  elseif job.owner then
    local owner = type(job.owner) == 'table' and job.owner.id or job.owner
    emit('deduplicated', 'jobId', owner, 'deduplicationId', job.deduplication_id, 'deduplicatedJobId', ids[i])
    ids[i] = owner
  else
    emit('added', 'jobId', ids[i], 'name', ARGV[(i - 1) * WIDTH + 2])
    if due[i] then event('delayed', 'jobId', ids[i], 'delay', integer(due[i]))
    else event('waiting', 'jobId', ids[i]) end
  end
  emit = event
end
if #with_scores + #waiting + #before_others > 0 then wake_up() end
if announce_next_due then announce_next_due() end
return {0, ids}
