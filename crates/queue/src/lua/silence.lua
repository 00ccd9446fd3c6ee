-- A worker's heartbeat is a key whose value is `<id of its connection> <life of the key> <lock>`, in ms; older versions of
-- this crate write another value.
local beats = {}

-- Returns the id of the connection of the worker with this token, and for how many ms it has sent no heartbeat, by the
-- server's clock, if that are `limit` ms and it has neither set nor extended the lock either. If there is no such heartbeat,
-- the lock's end decides.
local function silent_connection(prefix, token, lock_key, limit)
  local worker = string.match(token, ':([^:]+):%d+$') or ''
  local beat = beats[worker]
  if not beat then
    local id, life, lock = string.match(redis.call('MGET', prefix .. worker)[1] or '', '^(%d+) (%d+) (%d+)$')
    beat = {id = id, lock = number(lock), silence = id and number(life) - redis.call('PTTL', prefix .. worker)}
    beats[worker] = beat
  end
  if beat.id and beat.silence >= limit and beat.lock - redis.call('PTTL', lock_key) >= limit then
    return beat.id, beat.silence
  end
end

