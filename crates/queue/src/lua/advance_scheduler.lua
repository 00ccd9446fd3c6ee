-- Adds the job that comes after a scheduler's job, once that is run.
-- KEYS[1] meta
-- ARGV    id, now in ms, next time of its pattern or '', job that is run, interval and offset in ms as in that job's
--         options or '', of the next job: id as JSON up to the time, options up to `delay`, priority, '1' to go before
--         its equals, deduplication id or ''; id of its jobs up to the time, '1' if an older version stored no hash with it
-- Returns {code, id of the next job}
local scheduler, now, prefix = ARGV[1], number(ARGV[2]), ARGV[12]
local key = P .. 'repeat:' .. scheduler
local prev = tonumber(redis.call('ZSCORE', P .. 'repeat', scheduler) or nil)
if not prev then return {NOT_FOUND, ''} end
if ARGV[4] ~= prefix .. integer(prev) then return {WRONG_STATE, ''} end

local stored = redis.call('HMGET', key, 'name', 'data', 'every', 'startDate', 'offset', 'ic')
local at, every = tonumber(ARGV[3]), tonumber(stored[3] or ARGV[5])
if every and every > 0 then
  at = next_of_every(prev, every, now, number(stored[5] or ARGV[6]), number(stored[4]))
end
if not at then return {NOT_FOUND, ''} end
local next_id = prefix .. integer(at)
if redis.call('EXISTS', P .. next_id) == 1 then
  event('duplicated', 'jobId', next_id)
  return {TAKEN, next_id}
end

-- Older versions of BullMQ did not store the name and the data with the scheduler.
local name, data = stored[1], stored[2]
if not (name and stored[6]) then
  local job = redis.call('HMGET', P .. ARGV[4], 'name', 'data')
  name, data = name or job[1], data or job[2]
  if data and data ~= '{}' and ARGV[13] ~= '1' then redis.call('HSET', key, 'data', data) end
end
redis.call('ZADD', P .. 'repeat', integer(at), scheduler)
if ARGV[13] ~= '1' then redis.call('HINCRBY', key, 'ic', 1) end
local job = {prefix = prefix, json_id = ARGV[7], opts = ARGV[8], name = name or '', data = data or '{}', priority = ARGV[9],
  lifo = ARGV[10], deduplication_id = ARGV[11]}
return {DONE, add_scheduled(scheduler, at, now, job)}
