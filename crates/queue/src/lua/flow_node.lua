-- Reads a job of a flow.
-- KEYS[1] meta
-- ARGV    id, number of children of each kind to return
-- Returns {name of the key that holds the id, hash, when it is due or 0, {prefix, id, prefix, id, ...} of its children: those
--          that completed, those that it waits for, those that failed it, and those that failed and that it goes on
--          without}, or {} if there is no such job.
local id, most = ARGV[1], number(ARGV[2])
local place = is_stored(id) and place_of(id)
if not place then return {} end
local key, children = P .. id, {}

local function list(command, suffix, ...)
  local found = most > 0 and try(command, key .. suffix, ...) or {}
  for at = 1, math.min(#found, most) do
    local prefix, child = split_key(found[at])
    children[#children + 1] = prefix
    children[#children + 1] = child
  end
end

list('HKEYS', ':processed')
list('SMEMBERS', ':dependencies')
list('ZRANGE', ':unsuccessful', 0, math.max(most - 1, 0))
list('HKEYS', ':failed')
local score = place == 'delayed' and tonumber(try('ZSCORE', P .. 'delayed', id)) or 0
return {place, redis.call('HGETALL', key), math.floor(score / ALL_OF_MS), children}
