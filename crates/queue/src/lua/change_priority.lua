-- Changes a job's priority. A job that is ready moves behind its new equals, or before them.
-- KEYS[1] meta
-- ARGV    id, priority, '1' to go before its equals
-- Returns a code
local id, priority, before_others = ARGV[1], number(ARGV[2]), ARGV[3] == '1'
if redis.call('HEXISTS', P .. id, 'name') == 0 then return NOT_FOUND end
local is_ready = redis.call('ZREM', P .. 'prioritized', id) + redis.call('LREM', P .. 'wait', -1, id)
  + redis.call('LREM', P .. 'paused', -1, id) > 0
redis.call('HSET', P .. id, 'priority', priority)
if is_ready then
  make_ready(id, priority, before_others and 'lifo')
  wake_up()
end
return DONE
