-- Heartbeat that proves three things: Redis answers, has not been flushed, and takes writes.
-- KEYS[1] canary
-- ARGV    TTL of the canary in ms, number of the heartbeat
-- Returns {number of the heartbeat that set the canary, 1 if writes are taken}
local canary = redis.call('GET', KEYS[1]) or ARGV[2]
local written = redis.pcall('SET', KEYS[1], canary, 'PX', ARGV[1])
local refused = type(written) == 'table' and written.err or ''
if string.find(refused, 'OOM', 1, true) then -- memory is full, but deletions still work
  redis.pcall('PEXPIRE', KEYS[1], ARGV[1])
  refused = ''
end
return {tonumber(canary), refused == '' and 1 or 0}
