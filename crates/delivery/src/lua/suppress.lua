-- Adds an address to a list of suppressions, KEYS[1], unless it is there.
-- ARGV    the address; the entry as JSON, without its times; ms after which an entry that is not an operator's ends
-- Returns 1 where it is new, else 0: then the entry keeps its reason, and notes that it was seen again.
local time = redis.call('TIME') -- Redis's clock: the same for every process
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local entry = cjson.decode(ARGV[2])
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored then
  local is_read, known = pcall(cjson.decode, stored)
  if not is_read or type(known) ~= 'table' then return 0 end
  local ends
  if known.cause and known.cause ~= 'operator' then
    ends = (tonumber(known.seen) or tonumber(known.since) or 0) + tonumber(ARGV[3])
  end
  -- What an operator adds counts from now on, whatever was there.
  if (not ends or ends > now) and (entry.cause ~= 'operator' or known.cause == 'operator') then
    if known.cause and known.cause ~= 'operator' then
      known.seen = now
      redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(known))
    end
    return 0
  end
end
entry.since = now
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(entry))
return 1
