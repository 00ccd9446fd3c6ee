-- Stops workers from taking jobs.
-- KEYS[1] meta
-- Workers of BullMQ 5 rename `wait` to `paused` and back and overwrite what is there: jobs are safe only if all of them
-- are in `paused`. They are appended, so that none there is lost either.
if redis.call('EXISTS', P .. 'paused') == 0 then
  if redis.call('EXISTS', P .. 'wait') == 1 then redis.call('RENAME', P .. 'wait', P .. 'paused') end
else
  local ids = redis.call('LRANGE', P .. 'wait', 0, -1)
  for from = 1, #ids, 5000 do redis.call('RPUSH', P .. 'paused', unpack(ids, from, math.min(from + 4999, #ids))) end
  redis.call('DEL', P .. 'wait')
end
redis.call('HSET', KEYS[1], 'paused', 1)
redis.call('DEL', P .. 'marker')
event('paused')
trim_events()
