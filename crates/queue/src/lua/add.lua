-- Adds jobs, all or none of them.
-- KEYS[1] meta
-- ARGV    for each job: id or '' for the counter's next value, name, data, opts, timestamp, and '' or what most jobs do
--         not have, separated by spaces: delay in ms, priority, 1 to go before its equals, time to live of the
--         deduplication id in ms or 0, deduplication id or nothing
-- Returns each job's id. Adding an existing id changes nothing; of jobs with one deduplication id the first is added.
local WIDTH = 6
local count = #ARGV / WIDTH
local meta = redis.call('HMGET', KEYS[1], 'paused', 'opts.maxLenEvents')
local paused, max_events = meta[1], meta[2]
if not max_events then
  max_events = '10000'
  redis.call('HSET', KEYS[1], 'opts.maxLenEvents', max_events)
end
local counter = redis.call('INCRBY', P .. 'id', count) - count

-- Returns the id of the job that owns a deduplication id, or makes `id` the owner.
local function owner_of(deduplication_id, ttl, id)
  local key = P .. 'de:' .. deduplication_id
  local owner = redis.call('GET', key)
  -- The owner may have been removed by a client that left the key.
  if owner and (redis.call('PTTL', key) > 0 or redis.call('EXISTS', P .. owner) == 1) then return owner end
  if ttl == '0' then redis.call('SET', key, id) else redis.call('SET', key, id, 'PX', ttl) end
end

local ids, waiting, before_others, prioritized, delayed = {}, {}, {}, {}, false
for i = 1, count do
  local id, name, data, opts, timestamp, extras = unpack(ARGV, (i - 1) * WIDTH + 1, i * WIDTH)
  local delay, priority, lifo, ttl, deduplication_id = '0', '0', '0', '0', ''
  if extras ~= '' then
    delay, priority, lifo, ttl, deduplication_id = string.match(extras, '^(%d+) (%d+) (%d) (%d+) (.*)$')
  end
  local taken = id ~= '' and redis.call('EXISTS', P .. id) == 1
  if id == '' then id = integer(counter + i) end
  ids[i] = id
  local owner = not taken and deduplication_id ~= '' and owner_of(deduplication_id, ttl, id)
  if taken then
    event('duplicated', 'jobId', id)
  elseif owner then
    ids[i] = owner
    event('deduplicated', 'jobId', owner, 'deduplicationId', deduplication_id, 'deduplicatedJobId', id)
  else
    local key = P .. id
    if deduplication_id == '' then
      redis.call('HSET', key, 'name', name, 'data', data, 'opts', opts, 'timestamp', timestamp, 'delay', delay,
        'priority', priority)
    else
      redis.call('HSET', key, 'name', name, 'data', data, 'opts', opts, 'timestamp', timestamp, 'delay', delay,
        'priority', priority, 'deid', deduplication_id)
    end
    event('added', 'jobId', id, 'name', name)
    if delay ~= '0' then
      delay_until(id, number(timestamp) + number(delay))
      delayed = true
    else
      if priority ~= '0' then
        prioritized[#prioritized + 1] = number(priority)
        prioritized[#prioritized + 1] = id
      else
        local list = lifo == '1' and before_others or waiting
        list[#list + 1] = id
      end
      event('waiting', 'jobId', id)
    end
  end
end

if #prioritized > 0 then
  local places = #prioritized / 2
  local first = redis.call('INCRBY', P .. 'pc', places) - places
  for at = 1, #prioritized, 2 do
    first = first + 1
    prioritized[at] = integer(prioritized[at] * PRIORITY_STEP + first % PRIORITY_STEP)
  end
  redis.call('ZADD', P .. 'prioritized', unpack(prioritized))
end
if #waiting > 0 then redis.call('LPUSH', waiting_list(paused), unpack(waiting)) end
if #before_others > 0 then redis.call('RPUSH', waiting_list(paused), unpack(before_others)) end
if not paused and #prioritized + #waiting + #before_others > 0 then wake_up() end
if delayed then announce_next_due() end
trim_events(max_events)
return ids
