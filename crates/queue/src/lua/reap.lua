-- Takes jobs from workers that are dead.
-- KEYS[1] meta
-- ARGV    stalls that a job may have, then for each job: id, token that its lock must still have
-- Returns the ids of jobs that are ready again.
local recovered = {}
for at = 2, #ARGV, 2 do
  local id, lock = ARGV[at], P .. ARGV[at] .. ':lock'
  if redis.call('GET', lock) == ARGV[at + 1] and redis.call('LREM', P .. 'active', 1, id) > 0 then
    redis.call('DEL', lock)
    redis.call('SREM', P .. 'stalled', id)
    if transitions.stall(id, number(ARGV[1])) then recovered[#recovered + 1] = id end
  end
end
if #recovered > 0 then
  wake_up()
  trim_events()
end
return recovered
