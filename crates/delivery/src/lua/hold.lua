-- Holds entries of a list of suppressions, KEYS[1], or puts them in force.
-- ARGV    1 to hold, 0 to put in force; then the addresses
-- Returns how many entries have changed.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local holds, changed = ARGV[1] == '1', 0
for i = 2, #ARGV do
  local stored = redis.call('HGET', KEYS[1], ARGV[i])
  local is_read, known = pcall(cjson.decode, stored or '')
  if is_read and type(known) == 'table' and known.cause ~= 'operator' and (known.held or false) ~= holds then
    known.held = holds or nil
    if not holds then known.seen = now end
    redis.call('HSET', KEYS[1], ARGV[i], cjson.encode(known))
    changed = changed + 1
  end
end
return changed
