-- Lets workers take jobs again.
-- KEYS[1] meta
-- ARGV    number of jobs to move
-- Returns a code: MORE if there are jobs left to move before workers may take them in their order
if redis.call('EXISTS', P .. 'paused') == 1 then
  if redis.call('EXISTS', P .. 'wait') == 0 then
    redis.call('RENAME', P .. 'paused', P .. 'wait')
  else
    redis.call('RPUSH', P .. 'wait', unpack(redis.call('LPOP', P .. 'paused', ARGV[1])))
    if redis.call('EXISTS', P .. 'paused') == 1 then return MORE end
  end
end
redis.call('HDEL', KEYS[1], 'paused')
Q.paused = false
if redis.call('EXISTS', P .. 'wait', P .. 'prioritized') > 0 then wake_up() else announce_next_due() end
event('resumed')
trim_events()
return DONE
