-- Adds a job whose deduplication does more than to drop it.
-- KEYS[1] meta
-- ARGV    those of add.lua for one job, and BullMQ's names of what the deduplication does, each after a space: `extend`
--         starts the time to live again, `replace` removes the job before if it is delayed, `keepLastIfActive` keeps the
--         last one to be added when the active job ends, `reschedule` delays the delayed job before by the delay of this one
-- Returns as add.lua
local modes = table.remove(ARGV)
local function does(mode) return string.find(modes, ' ' .. mode, 1, true) ~= nil end
local id, name, data, opts, timestamp, extras = unpack(ARGV)
local delay, priority, lifo, ttl, deduplication_id = string.match(extras, '^(%d+) (%d+) (%d) (%d+) (.*)$')
local key, kept = P .. 'de:' .. deduplication_id, P .. 'dn:' .. deduplication_id
if does('keepLastIfActive') then ttl = '0' end -- an active job's id does not expire

local function add_for(time_to_live)
  ARGV[6] = table.concat({delay, priority, lifo, time_to_live, deduplication_id}, ' ')
  return add()
end

local owner = try('GET', key)
if failure ~= '' then return {1, failure} end
local lasts = redis.call('PTTL', key)
local is_new = not owner or lasts == -1 and not exists(owner) -- removed by a client that left the key
if is_new or id ~= '' and exists(id) then return add_for(ttl) end

local due = try('ZSCORE', P .. 'delayed', owner)
if does('replace') and due then
  local new = id ~= '' and id or integer(number(try('GET', P .. 'id')) + 1)
  event('removed', 'jobId', owner, 'prev', 'delayed')
  event('deduplicated', 'jobId', new, 'deduplicationId', deduplication_id, 'deduplicatedJobId', owner)
  redis.call('DEL', key)
  redis.call('ZREM', P .. 'delayed', owner)
  local goes_on = ttl ~= '0' and not does('extend')
  local answer = add_for(goes_on and (lasts > 0 and integer(lasts) or '0') or ttl)
  if answer[1] == 0 then
    forget(owner)
    redis.call('DEL', kept)
  else
    redis.call('SET', key, owner, unpack(lasts > 0 and {'PX', lasts} or {}))
    redis.call('ZADD', P .. 'delayed', due, owner)
  end
  return answer
end

local counter = try('INCR', P .. 'id')
if not counter then return {-1, failure} end
if id == '' then id = integer(counter) end
local is_kept = does('keepLastIfActive') and try('LPOS', P .. 'active', owner)
if is_kept then
  redis.call('DEL', kept)
  redis.call('HSET', kept, 'name', name, 'data', data, 'opts', opts, 'jid', id)
  redis.call('PERSIST', key)
elseif does('replace') then
  return {0, owner} -- without an event, as in BullMQ
elseif does('extend') and ttl ~= '0' then
  redis.call('SET', key, owner, 'PX', ttl)
elseif does('extend') and does('keepLastIfActive') then
  redis.call('PERSIST', key)
end
event('deduplicated', 'jobId', owner, 'deduplicationId', deduplication_id, 'deduplicatedJobId', id)
if not is_kept and does('reschedule') and due then
  local at = number(timestamp) + number(delay)
  redis.call('HSET', P .. owner, 'delay', delay)
  redis.call('ZADD', P .. 'delayed', score_at(at), owner)
  event('delayed', 'jobId', owner, 'delay', integer(at))
  announce_next_due()
end
trim_events()
return {0, owner}
