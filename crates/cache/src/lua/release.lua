-- Gives back the right to load: the load failed.
-- KEYS[1] value, KEYS[2] lease
-- ARGV    token
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return 0
