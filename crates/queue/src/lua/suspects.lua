-- Finds active jobs whose lock names a worker of this crate without a heartbeat.
-- KEYS[1] meta
-- ARGV    prefix of our tokens, prefix of the heartbeat keys, the asking worker's part of its tokens
-- Returns id, token, id, token, ...
local active = redis.call('LRANGE', P .. 'active', 0, 4999)
if #active == 0 then return {} end
local locks, suspects, alive = {}, {}, {[ARGV[3]] = true}
for i, id in ipairs(active) do locks[i] = P .. id .. ':lock' end
for i, token in ipairs(redis.call('MGET', unpack(locks))) do
  if token and string.sub(token, 1, #ARGV[1]) == ARGV[1] then
    local worker = string.match(token, ':([^:]+):%d+$') or ''
    if alive[worker] == nil then alive[worker] = redis.call('EXISTS', ARGV[2] .. worker) == 1 end
    if not alive[worker] then
      suspects[#suspects + 1] = active[i]
      suspects[#suspects + 1] = token
    end
  end
end
return suspects
