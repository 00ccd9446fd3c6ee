-- Takes jobs from workers that are dead.
-- KEYS[1] meta
-- ARGV    stalls a job may have, then for each job: id, token its lock must still have
-- Returns the ids that were made ready again.
local meta = redis.call('HMGET', KEYS[1], 'paused', 'opts.maxLenEvents')
local recovered = {}
for at = 2, #ARGV, 2 do
  local id, lock = ARGV[at], P .. ARGV[at] .. ':lock'
  if redis.call('GET', lock) == ARGV[at + 1] and redis.call('LREM', P .. 'active', 1, id) > 0 then
    redis.call('DEL', lock)
    redis.call('SREM', P .. 'stalled', id)
    recover(id, number(ARGV[1]), meta[1])
    recovered[#recovered + 1] = id
  end
end
if #recovered > 0 then
  if not meta[1] then wake_up() end
  trim_events(meta[2])
end
return recovered
