-- Takes a job from a worker that has vanished and makes it ready again.
local function recover(id, max_stalls, paused)
  if redis.call('HINCRBY', P .. id, 'stc', 1) > max_stalls then
    redis.call('HSET', P .. id, 'defa', 'job stalled more than allowable limit')
  end
  -- Before its equals and with its priority: a result mail that stalled must not overtake a verification mail.
  make_ready(id, number(redis.call('HGET', P .. id, 'priority')), paused, true)
  event('waiting', 'jobId', id, 'prev', 'active')
  event('stalled', 'jobId', id)
end
