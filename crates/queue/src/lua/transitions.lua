-- The transitions between states that are not a worker's, each of a job that has left its state. They return whether
-- there is such a job, or nil if a key has another type.
local transitions = {}

-- Makes a delayed job ready.
function transitions.promote(id)
  local exists = enter(id, 'ready', 'delayed')
  if exists then redis.call('HSET', P .. id, 'delay', '0') end
  return exists
end

-- Makes a finished job ready again, and records when; BullMQ ignores `retriedOn`.
function transitions.retry(id, set, reset, at)
  local exists = enter(id, 'ready', set)
  if exists then
    redis.call('HDEL', P .. id, 'finishedOn', 'processedOn', set == 'failed' and 'failedReason' or 'returnvalue')
    if reset == '1' then redis.call('HDEL', P .. id, 'atm', 'ats') end
    redis.call('HSET', P .. id, 'retriedOn', at)
    relink(id, set)
  end
  return exists
end

-- Makes a job ready whose worker has vanished. It goes before its equals but keeps its priority: a result mail that
-- stalled must not overtake a verification mail. A job of a scheduler may stall any number of times.
function transitions.stall(id, max_stalls)
  local exists = enter(id, 'ready', 'active', 'first')
  if exists then
    local stalls = number(redis.call('HGET', P .. id, 'stc')) + 1
    redis.call('HSET', P .. id, 'stc', integer(stalls))
    local scheduler = redis.call('HGET', P .. id, 'rjk')
    if stalls > max_stalls and not (scheduler and redis.call('EXISTS', P .. 'repeat:' .. scheduler) == 1) then
      redis.call('HSET', P .. id, 'defa', 'job stalled more than allowable limit')
    end
    event('stalled', 'jobId', id)
  end
  return exists
end

-- Deletes a job, frees its deduplication id, and tells its parent. If many are deleted at once (`is_swept`), a parent in
-- the same queue is deleted with its last child.
function transitions.discard(id, is_swept)
  free_deduplication_id_of(id)
  forget_child(id, is_swept)
end

