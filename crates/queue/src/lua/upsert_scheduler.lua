-- Creates a scheduler or replaces one, with its next job.
-- KEYS[1] meta
-- ARGV    id, now in ms, next time of its pattern or '', interval in ms or '', offset in ms, start in ms or 0,
--         of its jobs: id as JSON up to the time, options up to `delay`, name, data, priority, '1' to go before its
--         equals, deduplication id or ''; then field, value, ... of the scheduler
-- Returns {code, id of the next job}
local FIELDS = 14
local scheduler, now, every = ARGV[1], number(ARGV[2]), tonumber(ARGV[4])
local given_offset, start = number(ARGV[5]), number(ARGV[6])
local job = {prefix = 'repeat:' .. ARGV[1] .. ':', json_id = ARGV[7], opts = ARGV[8], name = ARGV[9], data = ARGV[10], priority = ARGV[11], lifo = ARGV[12],
  deduplication_id = ARGV[13]}
local key = P .. 'repeat:' .. scheduler
local stored = redis.call('HMGET', key, 'every', 'offset', 'ic')
local prev = tonumber(redis.call('ZSCORE', P .. 'repeat', scheduler) or nil)
local prev_id = prev and 'repeat:' .. scheduler .. ':' .. integer(prev)

-- A job that has not started is replaced; one that has stays.
local place = prev_id and place_of(prev_id)
local is_replaced = place == 'delayed' or place == 'prioritized' or place == 'wait' or place == 'paused'

local at, offset = tonumber(ARGV[3]), given_offset
if every then
  local is_same = prev and tonumber(stored[1] or nil) == every
  at, offset = next_of_every(is_same and prev or nil, every, now, given_offset, start)
  if is_replaced and is_same then at = prev end
end
local function is_taken()
  local id = 'repeat:' .. scheduler .. ':' .. integer(at)
  return redis.call('EXISTS', P .. id) == 1 and not (is_replaced and id == prev_id)
end
local slots = 0
while is_taken() do
  if not every or slots == 32 then return {TAKEN, ''} end
  slots, at = slots + 1, at + every
end

if is_replaced then
  leave(prev_id, place)
  transitions.discard(prev_id)
end
redis.call('DEL', key)
redis.call('HSET', key, 'ic', stored[3] or '1', unpack(ARGV, FIELDS))
if given_offset > 0 or not is_replaced then
  redis.call('HSET', key, 'offset', integer(offset))
elseif stored[2] then
  redis.call('HSET', key, 'offset', stored[2])
end
redis.call('ZADD', P .. 'repeat', integer(at), scheduler)
return {DONE, add_scheduled(scheduler, at, now, job)}
