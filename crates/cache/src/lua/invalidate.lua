-- Takes away a value, and the right to store what was read before.
-- KEYS[1] value, KEYS[2] lease
redis.call('DEL', KEYS[1], KEYS[2])
return 0
