-- How many jobs there are in each state, and when the next delayed one is due.
-- KEYS[1] meta
local head = redis.call('ZRANGE', P .. 'delayed', 0, 0, 'WITHSCORES')
return {
  redis.call('LLEN', P .. 'wait') + redis.call('LLEN', P .. 'paused'),
  redis.call('ZCARD', P .. 'prioritized'),
  redis.call('ZCARD', P .. 'delayed'),
  redis.call('LLEN', P .. 'active'),
  redis.call('ZCARD', P .. 'completed'),
  redis.call('ZCARD', P .. 'failed'),
  head[2] and math.floor(tonumber(head[2]) / ALL_OF_MS) or 0,
}
