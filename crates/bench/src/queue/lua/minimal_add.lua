-- Adds jobs. KEYS[1] meta; ARGV now in ms, opts, then the data of each job. Returns the last id.
local P = string.sub(KEYS[1], 1, -5)
local id
for i = 3, #ARGV do
  id = tostring(redis.call('INCR', P .. 'id'))
  redis.call('HSET', P .. id, 'name', 'bench', 'data', ARGV[i], 'opts', ARGV[2], 'timestamp', ARGV[1], 'delay', '0',
    'priority', '0')
  redis.call('XADD', P .. 'events', '*', 'event', 'added', 'jobId', id, 'name', 'bench')
  redis.call('LPUSH', P .. 'wait', id)
  redis.call('XADD', P .. 'events', '*', 'event', 'waiting', 'jobId', id)
end
redis.call('ZADD', P .. 'marker', 0, '0')
redis.call('XTRIM', P .. 'events', 'MAXLEN', '~', '10000')
return id
