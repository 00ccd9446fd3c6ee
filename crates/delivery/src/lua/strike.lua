-- Counts in KEYS[1] each of what is named ARGV[2] once; all is forgotten ARGV[1] seconds after the first. Returns how many.
redis.call('SADD', KEYS[1], ARGV[2])
local count = redis.call('SCARD', KEYS[1])
if count == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return count
