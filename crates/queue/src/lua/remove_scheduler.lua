-- Removes a scheduler, and its next job if that is delayed.
-- KEYS[1] meta
-- ARGV    id
-- Returns 1 if there was one
local at = redis.call('ZSCORE', P .. 'repeat', ARGV[1])
if not at then return 0 end
local id = 'repeat:' .. ARGV[1] .. ':' .. integer(tonumber(at))
if leave(id, 'delayed') then
  transitions.discard(id)
  event('removed', 'jobId', id, 'prev', 'delayed')
  trim_events()
end
redis.call('ZREM', P .. 'repeat', ARGV[1])
redis.call('DEL', P .. 'repeat:' .. ARGV[1])
return 1
