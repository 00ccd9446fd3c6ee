-- Extends locks.
-- KEYS[1] meta
-- ARGV    lock in ms, then for each job: id, token
-- Returns the ids whose lock the worker no longer has.
local lost = {}
for at = 2, #ARGV, 2 do
  local id, token = ARGV[at], ARGV[at + 1]
  local key = P .. id .. ':lock'
  if redis.call('MGET', key)[1] == token then
    redis.call('PEXPIRE', key, ARGV[1])
    try('SREM', P .. 'stalled', id)
  else
    lost[#lost + 1] = id
  end
end
return lost
