-- How many jobs there are in each state, and when the next delayed one is due.
-- KEYS[1] meta
return {
  redis.call('LLEN', P .. 'wait') + redis.call('LLEN', P .. 'paused'),
  redis.call('ZCARD', P .. 'prioritized'),
  redis.call('ZCARD', P .. 'delayed'),
  redis.call('LLEN', P .. 'active'),
  redis.call('ZCARD', P .. 'completed'),
  redis.call('ZCARD', P .. 'failed'),
  next_due() or 0,
}
