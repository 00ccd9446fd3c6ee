-- Counts jobs by state.
-- KEYS[1] meta
-- Returns the numbers of jobs, and when the next delayed job is due or 0
return {
  redis.call('LLEN', P .. 'wait') + redis.call('LLEN', P .. 'paused'),
  redis.call('ZCARD', P .. 'prioritized'),
  redis.call('ZCARD', P .. 'delayed'),
  redis.call('ZCARD', P .. 'waiting-children'),
  redis.call('LLEN', P .. 'active'),
  redis.call('ZCARD', P .. 'completed'),
  redis.call('ZCARD', P .. 'failed'),
  next_due() or 0,
}
