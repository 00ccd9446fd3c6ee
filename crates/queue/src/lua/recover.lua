-- Finds jobs whose worker has vanished: active, without a lock, and so already at the check before.
-- KEYS[1] meta
-- ARGV    now in ms, how long no other worker looks in ms, stalls a job may have
-- Returns the ids that were made ready again.
if redis.call('EXISTS', P .. 'stalled-check') == 1 then return {} end
redis.call('SET', P .. 'stalled-check', ARGV[1], 'PX', ARGV[2])
local meta = redis.call('HMGET', KEYS[1], 'paused', 'opts.maxLenEvents')

local suspects = redis.call('SMEMBERS', P .. 'stalled')
redis.call('DEL', P .. 'stalled')
local recovered = {}
for _, id in ipairs(suspects) do
  if redis.call('EXISTS', P .. id .. ':lock') == 0 and redis.call('LREM', P .. 'active', 1, id) > 0 then
    recover(id, number(ARGV[3]), meta[1])
    recovered[#recovered + 1] = id
  end
end
if #recovered > 0 and not meta[1] then wake_up() end
trim_events(meta[2])

local active = redis.call('LRANGE', P .. 'active', 0, -1)
for from = 1, #active, 5000 do
  redis.call('SADD', P .. 'stalled', unpack(active, from, math.min(from + 4999, #active)))
end
return recovered
