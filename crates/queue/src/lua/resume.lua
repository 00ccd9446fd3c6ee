-- Lets workers take jobs again.
-- KEYS[1] meta
redis.call('HDEL', KEYS[1], 'paused')
Q.paused = false
if redis.call('EXISTS', P .. 'wait') == 0 then
  if redis.call('EXISTS', P .. 'paused') == 1 then redis.call('RENAME', P .. 'paused', P .. 'wait') end
else
  local ids = redis.call('LRANGE', P .. 'paused', 0, -1)
  for from = 1, #ids, 5000 do redis.call('RPUSH', P .. 'wait', unpack(ids, from, math.min(from + 4999, #ids))) end
  redis.call('DEL', P .. 'paused')
end
if redis.call('EXISTS', P .. 'wait', P .. 'prioritized') > 0 then wake_up() else announce_next_due() end
event('resumed')
trim_events()
