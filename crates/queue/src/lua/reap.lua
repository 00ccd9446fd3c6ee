-- Takes jobs from workers that are dead: whose connections were found closed, and that are still silent.
-- KEYS[1] meta
-- ARGV    stalls that a job may have, prefix of the heartbeat keys, for how many ms a dead worker is silent, then for each
--         job: id, token that its lock must still have, id of the connection that the heartbeat must still have
-- Returns the ids of jobs that are ready again.
local recovered = {}
for at = 4, #ARGV, 3 do
  local id, lock, token = ARGV[at], P .. ARGV[at] .. ':lock', ARGV[at + 1]
  local is_dead = silent_connection(ARGV[2], token, lock, number(ARGV[3])) == ARGV[at + 2]
  if is_dead and redis.call('MGET', lock)[1] == token and redis.call('LREM', P .. 'active', 1, id) > 0 then
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
