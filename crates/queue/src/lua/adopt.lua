-- Gives a worker the jobs it took in a turn whose answer was lost.
-- KEYS[1] meta
-- ARGV    the worker's own part of its tokens, lock in ms, then the ids it knows of
-- Returns {id, hash, token, 0} for each other job whose lock is the worker's.
local known, adopted = {}, {}
for at = 3, #ARGV do known[ARGV[at]] = true end
local active = redis.call('LRANGE', P .. 'active', 0, 4999)
for _, id in ipairs(active) do
  local lock = P .. id .. ':lock'
  local token = not known[id] and redis.call('GET', lock)
  if token and string.match(token, ':([^:]+):%d+$') == ARGV[1] then
    redis.call('PEXPIRE', lock, ARGV[2])
    adopted[#adopted + 1] = {id, redis.call('HGETALL', P .. id), token, 0}
  end
end
return adopted
