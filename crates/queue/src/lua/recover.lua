-- Finds jobs whose worker has vanished: active, without a lock, and so already at the check before.
-- KEYS[1] meta
-- ARGV    now in ms, how long no other worker looks in ms, stalls a job may have
-- Returns the ids that were put back.
if redis.call('EXISTS', P .. 'stalled-check') == 1 then return {} end
redis.call('SET', P .. 'stalled-check', ARGV[1], 'PX', ARGV[2])
local meta = redis.call('HMGET', KEYS[1], 'paused', 'opts.maxLenEvents')
local paused, max_events = meta[1], meta[2] or '10000'
redis.call('XTRIM', P .. 'events', 'MAXLEN', '~', max_events)

local suspects = redis.call('SMEMBERS', P .. 'stalled')
redis.call('DEL', P .. 'stalled')
local recovered = {}
for _, id in ipairs(suspects) do
  if redis.call('EXISTS', P .. id .. ':lock') == 0 and redis.call('LREM', P .. 'active', 1, id) > 0 then
    if redis.call('HINCRBY', P .. id, 'stc', 1) > number(ARGV[3]) then
      redis.call('HSET', P .. id, 'defa', 'job stalled more than allowable limit')
    end
    -- Before its equals and with its priority: a result mail that stalled must not overtake a verification mail.
    make_ready(id, number(redis.call('HGET', P .. id, 'priority')), paused, true)
    event(max_events, 'waiting', 'jobId', id, 'prev', 'active')
    event(max_events, 'stalled', 'jobId', id)
    recovered[#recovered + 1] = id
  end
end
if #recovered > 0 and not paused then wake_up() end

local active = redis.call('LRANGE', P .. 'active', 0, -1)
for from = 1, #active, 5000 do
  redis.call('SADD', P .. 'stalled', unpack(active, from, math.min(from + 4999, #active)))
end
return recovered
