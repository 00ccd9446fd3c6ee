-- Finds active jobs whose lock names a worker of this crate that has been silent.
-- KEYS[1] meta
-- ARGV    prefix of our tokens, prefix of the heartbeat keys, the asking worker's part of its tokens, for how many ms
-- Returns id, token, id of the worker's connection, for how many ms it has sent no heartbeat, id, token, ...
local active = redis.call('LRANGE', P .. 'active', 0, 4999)
if #active == 0 then return {} end
local locks, suspects, own = {}, {}, ':' .. ARGV[3] .. ':'
for i, id in ipairs(active) do locks[i] = P .. id .. ':lock' end
for i, token in ipairs(redis.call('MGET', unpack(locks))) do
  if token and string.sub(token, 1, #ARGV[1]) == ARGV[1] and not string.find(token, own, 1, true) then
    local connection, silence = silent_connection(ARGV[2], token, locks[i], number(ARGV[4]))
    if connection then
      suspects[#suspects + 1] = active[i]
      suspects[#suspects + 1] = token
      suspects[#suspects + 1] = connection
      suspects[#suspects + 1] = string.format('%.0f', silence)
    end
  end
end
return suspects
