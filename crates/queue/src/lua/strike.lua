-- Counts in KEYS[1], which is forgotten ARGV[1] seconds after the first count. Returns the count.
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return count
