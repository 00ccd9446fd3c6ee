-- Stops workers from taking jobs.
-- KEYS[1] meta
-- ARGV    number of jobs to move, '1' in the first step
-- Returns a code: MORE if there are jobs left to move
-- Workers of BullMQ 5 rename `wait` to `paused` and back and overwrite what is there: jobs are safe only if all of them
-- are in `paused`. They are appended, so that none there is lost either.
if ARGV[2] == '1' then
  redis.call('HSET', KEYS[1], 'paused', 1)
  redis.call('DEL', P .. 'marker')
  event('paused')
  trim_events()
end
if redis.call('EXISTS', P .. 'wait') == 0 then return DONE end
if redis.call('EXISTS', P .. 'paused') == 0 then
  redis.call('RENAME', P .. 'wait', P .. 'paused')
  return DONE
end
local ids = redis.call('LPOP', P .. 'wait', ARGV[1])
redis.call('RPUSH', P .. 'paused', unpack(ids))
return redis.call('EXISTS', P .. 'wait') == 1 and MORE or DONE
