-- Puts back a member of the marker that a worker has popped and cannot use.
-- KEYS[1] meta
-- ARGV    member, score
if ARGV[1] == '0' then wake_up() else redis.pcall('ZADD', P .. 'marker', ARGV[2], ARGV[1]) end
return 1
