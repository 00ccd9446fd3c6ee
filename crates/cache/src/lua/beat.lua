-- A sign of life that proves three things: Redis answers, has not been flushed, and takes writes.
-- KEYS[1] canary
-- ARGV    life of the canary in ms, number of the beat
-- Returns {number of the beat that the canary is of, 1 where writes are taken}
local canary = redis.call('GET', KEYS[1]) or ARGV[2]
local written = redis.pcall('SET', KEYS[1], canary, 'PX', ARGV[1])
local refused = type(written) == 'table' and written.err or ''
if string.find(refused, 'OOM', 1, true) then -- full, but what is deleted is deleted
  redis.pcall('PEXPIRE', KEYS[1], ARGV[1])
  refused = ''
end
return {tonumber(canary), refused == '' and 1 or 0}
