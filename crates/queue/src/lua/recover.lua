-- Recovers jobs whose worker has vanished: those in `active` that had no lock at the check before and have none now.
-- KEYS[1] meta
-- ARGV    now in ms, for how many ms no other worker checks, stalls that a job may have
-- Returns the ids of jobs that are ready again.
if redis.call('EXISTS', P .. 'stalled-check') == 1 then return {} end
redis.call('SET', P .. 'stalled-check', ARGV[1], 'PX', ARGV[2])

local suspects = redis.call('SMEMBERS', P .. 'stalled')
redis.call('DEL', P .. 'stalled')
local recovered = {}
for _, id in ipairs(suspects) do
  if not redis.call('MGET', P .. id .. ':lock')[1] and redis.call('LREM', P .. 'active', 1, id) > 0 then
    if transitions.stall(id, number(ARGV[3])) then recovered[#recovered + 1] = id end
  end
end
if #recovered > 0 then wake_up() end
trim_events()

local active = redis.call('LRANGE', P .. 'active', 0, -1)
for from = 1, #active, 5000 do
  redis.call('SADD', P .. 'stalled', unpack(active, from, math.min(from + 4999, #active)))
end
return recovered
