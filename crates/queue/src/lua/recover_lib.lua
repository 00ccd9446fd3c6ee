-- Makes a job ready whose worker has vanished and which has left `active`. It goes before its equals but keeps its
-- priority: a result mail that stalled must not overtake a verification mail.
local function recover(id, max_stalls)
  if make_ready(id, 'active', true) and redis.call('HINCRBY', P .. id, 'stc', 1) > max_stalls then
    redis.call('HSET', P .. id, 'defa', 'job stalled more than allowable limit')
  end
  event('stalled', 'jobId', id)
end

