-- Adds flows, all of their jobs or none.
-- KEYS    meta of each queue
-- ARGV    now in ms, then for each job, parents before their children: number of its queue, id, name, data, opts,
--         timestamp, extras as in add.lua, key of its parent or '', `parent` for its hash, '1' if it has children
-- Returns {code, ids}, or if none is added, {code, number of the job that prevents it} or {code, why}
local WIDTH = 10
local now, count = number(ARGV[1]), (#ARGV - 1) / WIDTH
local jobs, named, owned = {}, {}, {}

-- Returns whether there is a job with an id, and whether the keys of one can be written.
local function look(job)
  local found = redis.call('TYPE', job.key).ok
  if found ~= 'none' and found ~= 'hash' then return nil, job.key .. ': a ' .. found end
  found = redis.call('TYPE', job.key .. ':dependencies').ok
  if found ~= 'none' and found ~= 'set' then return nil, job.key .. ':dependencies: a ' .. found end
  local hash = redis.call('HMGET', job.key, 'name', 'opts', 'timestamp')
  return named[job.key] or hash[1] or hash[2] or hash[3]
end

-- Returns the id of the job that has a deduplication id.
local function owner_of(deduplication_id)
  local key = P .. 'de:' .. deduplication_id
  local owner = owned[key] or try('GET', key)
  local is_owned = owner and (owned[key] or redis.call('PTTL', key) > 0 or is_job(owner))
  return is_owned and owner
end

-- First looks.
for i = 2, #KEYS do within(string.sub(KEYS[i], 1, -5), check_types) end
for i = 1, count do
  local at = 1 + (i - 1) * WIDTH
  local job = {prefix = string.sub(KEYS[number(ARGV[at + 1])], 1, -5), id = ARGV[at + 2], name = ARGV[at + 3],
    data = ARGV[at + 4], opts = ARGV[at + 5], timestamp = ARGV[at + 6], parent = ARGV[at + 8], link = ARGV[at + 9],
    has_children = ARGV[at + 10] == '1', delay = '0', priority = '0', lifo = '0', deduplication_id = ''}
  if ARGV[at + 7] ~= '' then
    job.delay, job.priority, job.lifo, job.ttl, job.deduplication_id =
      string.match(ARGV[at + 7], '^(%d+) (%d+) (%d) (%d+) (.*)$')
  end
  job.key = job.prefix .. job.id
  local why
  job.exists, why = look(job)
  if why then return {BAD_KEY, why} end
  if job.parent ~= '' and not named[job.parent] and redis.call('EXISTS', job.parent) == 0 then
    return {PARENT_MISSING, i}
  end
  if job.exists and job.parent ~= '' and not named[job.key] then
    local other = redis.call('HGET', job.key, 'parentKey')
    if other and other ~= job.parent and redis.call('EXISTS', other) == 1 then return {OTHER_PARENT, i} end
  end
  if job.exists and named[job.key] and named[job.key].parent ~= job.parent then return {OTHER_PARENT, i} end
  if job.deduplication_id ~= '' and not job.exists then
    within(job.prefix, function()
      job.owner = owner_of(job.deduplication_id)
      if not job.owner then owned[P .. 'de:' .. job.deduplication_id] = job.id end
    end)
  end
  named[job.key] = named[job.key] or job
  jobs[i] = job
end

-- Makes an existing job a child.
local function attach(job)
  event('duplicated', 'jobId', job.id)
  if job.parent == '' then return end
  if redis.call('ZSCORE', P .. 'completed', job.id) then
    redis.call('HSET', job.parent .. ':processed', job.key, redis.call('HGET', job.key, 'returnvalue') or 'null')
  else
    redis.call('SADD', job.parent .. ':dependencies', job.key)
  end
  redis.call('HSET', job.key, 'parentKey', job.parent, 'parent', job.link)
end

local function create(job)
  redis.call('DEL', job.key)
  redis.call('HSET', job.key, 'name', job.name, 'data', job.data, 'opts', job.opts, 'timestamp', job.timestamp, 'delay',
    job.delay, 'priority', job.priority)
  if job.parent ~= '' then
    redis.call('HSET', job.key, 'parentKey', job.parent, 'parent', job.link)
    redis.call('SADD', job.parent .. ':dependencies', job.key)
  end
  if job.deduplication_id ~= '' then
    redis.call('HSET', job.key, 'deid', job.deduplication_id)
    redis.call('SET', P .. 'de:' .. job.deduplication_id, job.id, unpack(job.ttl ~= '0' and {'PX', job.ttl} or {}))
  end
  event('added', 'jobId', job.id, 'name', job.name)
  if job.has_children then
    redis.call('ZADD', P .. 'waiting-children', job.timestamp, job.id)
    event('waiting-children', 'jobId', job.id)
  elseif job.delay ~= '0' then
    enter(job.id, 'delayed', nil, number(job.timestamp) + number(job.delay))
    announce_next_due()
  else
    enter(job.id, 'ready', nil, job.priority == '0' and job.lifo == '1' and 'first')
    wake_up()
  end
end

-- Then writes.
local ids = {}
for i, job in ipairs(jobs) do
  ids[i] = job.owner or job.id
  within(job.prefix, function()
    redis.call('HSETNX', P .. 'meta', 'opts.maxLenEvents', Q.max_events)
    try('INCR', P .. 'id')
    if job.exists then
      attach(job)
    elseif job.owner then
      event('deduplicated', 'jobId', job.owner, 'deduplicationId', job.deduplication_id, 'deduplicatedJobId', job.id)
    else
      create(job)
    end
    trim_events()
  end)
end

-- Parents whose children have all completed before wait for none.
for _, job in ipairs(jobs) do
  if job.has_children then release_if_done(job, now) end
  if job.parent ~= '' and not named[job.parent] then
    local prefix, id = split_key(job.parent)
    release_if_done({key = job.parent, prefix = prefix, id = id}, now)
  end
end
return {DONE, ids}
