-- Heartbeat that proves three things: Redis answers, has not been flushed, and takes writes.
-- KEYS[1] canary
-- ARGV    TTL of the canary in ms, number of the heartbeat
-- Returns {number of the heartbeat that set the canary (0: there is none, and no room for it), 1 if writes are taken}
local canary = redis.call('GET', KEYS[1])
local written = redis.pcall('SET', KEYS[1], canary or ARGV[2], 'PX', ARGV[1])
local refused = type(written) == 'table' and written.err or ''
if string.find(refused, 'OOM', 1, true) then -- memory is full, but deletions still work
  redis.pcall('PEXPIRE', KEYS[1], ARGV[1])
  return {tonumber(canary or 0), 1}
end
return {tonumber(canary or ARGV[2]), refused == '' and 1 or 0}
